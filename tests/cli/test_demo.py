"""`projection demo`: it shows what it promises, and leaves nothing behind, however it ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_support import command, environment, eventually, projection, refused
from patience import WITHIN_S
from rich.console import Console

from projection.cli.demo import _what_next

EVENTS = 24_000


def processes_of(folder: Path) -> list[str]:
    """The commands that run somewhere in a folder, by what Linux tells of each process."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + b" " + os.fsencode((process / "cwd").readlink())
        except OSError:  # gone meanwhile, or not ours
            continue
        if os.fsencode(folder) in said:
            found.append(said.replace(b"\0", b" ").decode())
    return found


@pytest.fixture
def temporary(tmp_path):
    """Where the demo makes its temporary folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def nothing_is_left(temporary: Path) -> bool:
    return [] == list(temporary.iterdir()) and [] == processes_of(temporary)


def test_the_demo_ends_with_the_views_of_a_replay_and_leaves_nothing_behind(tmp_path, temporary):
    ended = projection("demo", folder=tmp_path, TMPDIR=str(temporary))
    assert 0 == ended.returncode, ended.stderr
    result = json.loads(ended.stdout)
    assert (EVENTS, True) == (result["events"], result["identical_to_replay"])
    assert EVENTS // 2 <= result["killed_at"] < EVENTS
    assert 1_000 < result["views"]
    for shown in ("kill -9 at event", "0 parked", "shop_customers", "shop_orders", "shop_sales", "What to type next:"):
        assert shown in ended.stderr
    assert "Traceback" not in ended.stderr
    assert nothing_is_left(temporary)


@pytest.mark.parametrize("path", ["/nowhere", str(Path(sys.executable).parent)])
def test_where_the_command_is_not_on_the_path_it_says_how_to_get_it_there(monkeypatch, capsys, path):
    monkeypatch.setenv("PATH", path)
    _what_next(Console(file=sys.stdout, width=200), None)
    shown = capsys.readouterr().out
    activate = f"source {Path(sys.executable).with_name('activate')}"
    assert (path == "/nowhere") == (activate in shown)


def test_a_folder_is_kept_and_the_commands_that_it_names_work_there(tmp_path, temporary):
    ended = projection("demo", "--events", "2000", "--folder", "kept", folder=tmp_path, TMPDIR=str(temporary))
    assert (0, True) == (ended.returncode, json.loads(ended.stdout)["identical_to_replay"])
    assert (nothing_is_left(temporary), []) == (True, processes_of(tmp_path / "kept"))
    (show,) = [line.split() for line in ended.stderr.splitlines() if line.startswith("  projection show ")]
    shown = projection(*show[1:], folder=tmp_path)
    assert (0, 3) == (shown.returncode, len(shown.stdout.splitlines()))
    (query,) = [shlex.split(line) for line in ended.stderr.splitlines() if line.startswith("  projection query ")]
    asked = projection(*query[1:], folder=tmp_path)
    assert (0, 6) == (asked.returncode, len(asked.stdout.splitlines()))
    assert asked.stdout.rstrip() in ended.stderr, "it is what the demo has shown"
    refused(projection("demo", "--folder", "kept", folder=tmp_path), 2, "option --folder: 'kept' is not empty")


def test_a_folder_that_cannot_be_one_is_told(tmp_path):
    (tmp_path / "file").touch()
    refused(projection("demo", "--folder", "file", folder=tmp_path), 2, "option --folder: 'file' cannot be used")
    refused(projection("demo", "--folder", "file/in", folder=tmp_path), 2, "option --folder: 'file/in' cannot be used")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_ended_half_way_leaves_nothing_behind(tmp_path, temporary, signum):
    """In a process group of its own, and the signal to it alone: its node has to be ended by it."""
    with subprocess.Popen(
        command("demo"),
        cwd=tmp_path,
        env=environment(TMPDIR=str(temporary)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as demo:
        eventually(lambda: list(temporary.glob("*/data/shop_sales/1/0/data.mdb")), demo)  # its node is at work
        demo.send_signal(signum)
        out, errors = demo.communicate(timeout=WITHIN_S)
    assert (128 + signum, b"") == (demo.returncode, out)
    assert b"Traceback" not in errors
    assert nothing_is_left(temporary)
