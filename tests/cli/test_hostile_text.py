"""Text from outside that a terminal would obey: whatever command shows it, a reader sees its escape."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest
from command_support import command, counted, environment, in_this_process, write_events, write_manifest
from patience import WITHIN_S

import projection.cli
from projection.cli.logs import escaped

HOSTILE = "\x1b[2J\x07\x9b1m\u202e\u200b\r"
PROGRAM = f"""\
proj 1
## A counter. {HOSTILE.replace(chr(13), "")}
projection counter
event Counted {{ id: string, n: int }}
view Counter {{ total: int = 0, last: string = "" }}
on Counted as e to e.id
  when e.n < 0 => fail("NEGATIVE", "{{e.id}} is below zero")
  else =>
    let counter = view ?? {{}};  # {HOSTILE.replace(chr(13), "")}
    counter with {{ total += e.n, last: e.id }}
test "shown" {{ event Counted {{ id: "{HOSTILE.replace(chr(13), "")}", n: 1 }}; expect view("{HOSTILE.replace(chr(13), "")}").total == 2; }}
"""
BROKEN = PROGRAM.replace("e.n < 0", f"e.n < {HOSTILE[0]} 0")
EVENTS = [
    counted(f"a{HOSTILE}"),
    counted(f"a{HOSTILE}", -1),
    counted(f"a{HOSTILE}", 2),
    counted("b", 1, tenant=f"t{HOSTILE}"),
]
COMMANDS = [
    "check counter.proj",
    "check broken.proj",
    "check broken.proj --format github",
    "check counter.proj --format github",
    "trace counter.proj --events events.jsonl --event 2",
    "trace counter.proj --events events.jsonl --event 3",
    "why counter ID --events events.jsonl --tenant a",
    "diff counter.proj other.proj --events events.jsonl",
    "query counter --events events.jsonl --tenant a",
    "query counter --events events.jsonl --tenant a --filter id!=\x1b",
    "test counter.proj",
    "doc counter.proj",
    "gas counter.proj",
    "fmt --diff counter.proj",
    "fmt --check broken.proj",
]
FOR_PROGRAMS = [
    "replay events.jsonl",
    "query counter --events events.jsonl --tenant a --format json",
    "query counter --events events.jsonl --tenant a --format csv",
    "fmt -",
]
_OBEYED = re.compile("[^\\n\\t -~\\u00a1-\\u00ac\\u00ae-\\u200a\\u2010-\\u2027\\u2030-\\u205e\\u2070-\\ufefe]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "counter.proj").write_text(PROGRAM)
    (folder / "other.proj").write_text(PROGRAM.replace("total += e.n", "total += e.n + 1"))
    (folder / "broken.proj").write_text(BROKEN)
    write_manifest(folder, {"counter": {"program": "counter.proj"}}, None)
    write_events(folder / "events.jsonl", EVENTS)
    return folder


def run(words, folder, **environment):
    return in_this_process(
        *(one.replace("ID", f"a{HOSTILE}") for one in words.split(" ")), folder=folder, **environment
    )


@pytest.mark.parametrize("words", COMMANDS)
def test_no_command_shows_what_a_terminal_obeys(folder, words):
    said = run(words, folder)
    shown = said.stdout + said.stderr
    assert len(shown) > 10
    assert [] == _OBEYED.findall(shown)


@pytest.mark.parametrize("words", COMMANDS)
def test_on_a_terminal_a_command_shows_the_same_but_for_its_styles(folder, words):
    on_terminal = run(words, folder, FORCE_COLOR="1", TERM="xterm").stdout
    unstyled = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal)
    assert run(words, folder).stdout.splitlines() == [line.rstrip() for line in unstyled.splitlines()]


@pytest.mark.parametrize("words", FOR_PROGRAMS)
def test_what_programs_read_is_as_it_is_and_on_a_terminal_means_the_same(folder, words):
    with (folder / "counter.proj").open() as program:
        raw = subprocess.run(
            command(*words.split(" ")), stdin=program, stdout=PIPE, cwd=folder, env=environment(), check=False
        ).stdout
    shown = on_a_terminal(words.split(" "), folder)
    assert _OBEYED.search(raw.decode())
    assert [] == _OBEYED.findall(shown)
    if raw.startswith(b"{"):
        assert [json.loads(line) for line in raw.splitlines()] == [json.loads(line) for line in shown.splitlines()]


def on_a_terminal(words, folder):
    """What a command writes to stdout where that is a terminal."""
    master, slave = pty.openpty()
    with (
        (folder / "counter.proj").open() as program,
        subprocess.Popen(
            command(*words), stdin=program, stdout=slave, stderr=DEVNULL, cwd=folder, env=environment()
        ) as process,
    ):
        os.close(slave)
        shown = b""
        with suppress(OSError):  # which is how a terminal says that it is over
            while data := os.read(master, 65_536):
                shown += data
        process.wait(WITHIN_S)
    os.close(master)
    return shown.decode().replace("\r\n", "\n")


def test_commands_write_by_what_escapes_alone():
    """So that a command that is new escapes as well."""
    writers = {
        file.name
        for file in Path(projection.cli.__file__).parent.glob("*.py")
        if re.search(r"stdout\.(buffer|write)|(?<![.\w])print\(", file.read_text())
    }
    assert {"console.py", "tables.py"} == writers


def test_a_parked_event_is_told_with_escapes(folder):
    said = in_this_process("trace", "counter.proj", "--events", "events.jsonl", "--event", "2", folder=folder)
    assert r"\x1b[2J\x07\x9b1m\u202e\u200b" in said.stdout


def test_a_log_line_holds_escapes():
    event = escaped(None, "info", {"event": f"e{HOSTILE}", "view_id": HOSTILE, "count": 3})
    assert [] == _OBEYED.findall(json.dumps(event, ensure_ascii=False))
    assert 3 == event["count"]
