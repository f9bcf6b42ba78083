"""A log that cannot be written, or that nobody reads: the node folds on and answers, and says what is missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

import httpx
import pytest
from command_support import command, counted, deploy, environment, eventually, fill, scanned
from patience import WITHIN_S, wait_until
from unwritable import Unwritable
from warm_commands import warm_commands

from projection.engine.log_writer import _WAITING_BYTES, DROPPED, LineStream, LogWriter


def url_of(data: Path) -> str | None:
    """The address at which the node of a data folder listens; its log cannot be asked."""
    try:
        pid = json.loads((data / "node.lock").read_bytes())["pid"]
    except (OSError, ValueError):
        return None
    own = {str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir() if one.is_symlink()}
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == "0A" and f"socket:[{inode}]" in own:
            return f"http://127.0.0.1:{int(local.partition(':')[2], 16)}"
    return None


def node_with_stderr(folder: Path, stderr: int, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(warm_commands().folder / "projection"), "run", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=folder,
        env=environment(),
    )


@pytest.mark.parametrize("place", Unwritable)
def test_a_node_whose_log_cannot_be_written_folds_on_and_answers(tmp_path, nats_server, stream_name, place):
    deploy(tmp_path, stream=stream_name)
    fill(nats_server.url, stream_name, [counted("x")])
    with place.opened() as number:
        node = node_with_stderr(tmp_path, number, "--url", nats_server.url, "--stream", stream_name)
        try:
            eventually(lambda: url_of(tmp_path / "data"), node)
            url = url_of(tmp_path / "data")
            for _ in range(3):
                assert 200 == httpx.get(f"{url}/health", timeout=WITHIN_S).status_code
                last = fill(nats_server.url, stream_name, [counted("x"), counted("bad", -1)])
                eventually(lambda last=last: scanned(tmp_path / "data", "counter") == last, node)
            asked = {"min_sequence": last, "wait_ms": 20_000}
            answer = httpx.get(
                f"{url}/v1/views/counter/x", params=asked, headers={"x-tenant-id": "a"}, timeout=WITHIN_S
            )
            assert (200, {"total": 4}) == (answer.status_code, answer.json()["view"])
            if place is not Unwritable.FULL_PIPE:
                told = httpx.get(f"{url}/metrics", timeout=WITHIN_S).text.splitlines()
                (dropped,) = (line for line in told if line.startswith("projection_log_lines_dropped_total "))
                assert float(dropped.split()[1]) > 0
            node.send_signal(signal.SIGTERM)
            out, _ = node.communicate(timeout=WITHIN_S)
        finally:
            node.kill()
            node.communicate()
    assert 0 == node.returncode
    assert last == json.loads(out)["events"]


@pytest.mark.parametrize("arguments", [("check",), ("no-such-command",), ("show", "counter", "x")])
def test_a_command_whose_errors_cannot_be_written_ends_with_its_status(tmp_path, arguments):
    deploy(tmp_path, "proj 1\nprojection counter\n")
    ended = {}
    for name in (os.devnull, "/dev/full"):
        with Path(name).open("w") as stderr:
            ran = subprocess.run(
                command(*arguments), check=False, stdout=subprocess.DEVNULL, stderr=stderr, cwd=tmp_path,
                env=environment(), timeout=WITHIN_S,
            )  # fmt: skip
        ended[name] = ran.returncode
    assert ended["/dev/full"] == ended[os.devnull] != 0


def test_results_that_cannot_be_written_are_a_sentence_and_a_failing_status(tmp_path):
    deploy(tmp_path)
    with Path("/dev/full").open("w") as stdout:
        ran = subprocess.run(
            command("doc", "counter.proj"), check=False, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            env=environment(), timeout=WITHIN_S,
        )  # fmt: skip
    assert (1, "error: the output cannot be written: No space left on device\n") == (ran.returncode, ran.stderr)


def test_a_terminal_that_is_gone_fails_no_work(tmp_path):
    program = (
        "import os, pty, sys\n"
        "mine, other = pty.openpty()\n"
        "os.dup2(other, 2)\n"
        "os.close(other)\n"
        "from projection.cli import console\n"
        "console._BAR_EVERY = 0.0\n"
        "with console.progress('folding', 100) as advance:\n"
        "    advance(1)\n"
        "    os.close(mine)\n"
        "    for done in range(100):\n"
        "        advance(done)\n"
        "        console.note('a note')\n"
        "print('done')\n"
    )
    env = {**environment(), "TERM": "xterm"}
    ran = subprocess.run(
        [sys.executable, "-c", program], check=False, stdout=subprocess.PIPE, env=env, timeout=WITHIN_S, text=True
    )
    assert (0, "done\n") == (ran.returncode, ran.stdout)


class Refusing:
    """A place to write lines to that refuses, waits and takes them as it is told."""

    def __init__(self) -> None:
        self.refuses = False
        self.may_write = Event()
        self.may_write.set()
        self.tried = 0
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.tried += 1
        assert self.may_write.wait(WITHIN_S)
        if self.refuses:
            raise OSError(28, "No space left on device")
        self.lines.append(line)


def test_lines_that_were_lost_are_counted_and_told_once_lines_can_be_written_again():
    place, before = Refusing(), DROPPED.count
    writer = LogWriter(place.write, lambda lines: f"{lines} were lost")
    writer.put("1")
    wait_until(lambda: place.lines)
    place.refuses = True
    for number in "234":
        writer.put(number)
    wait_until(lambda: DROPPED.count - before == 3)
    place.refuses = False
    writer.put("5")
    writer.put("6")
    writer.end(WITHIN_S)
    assert ["1", "3 were lost", "5", "6"] == place.lines


def test_lines_wait_for_a_reader_up_to_a_bound_in_bytes():
    place, before = Refusing(), DROPPED.count
    place.may_write.clear()
    writer = LogWriter(place.write, lambda lines: f"{lines} were lost")
    line = "x" * (_WAITING_BYTES // 8)
    for _ in range(20):
        writer.put(line)
    lost = DROPPED.count - before
    assert 12 < lost < 15
    writer.put("a short one still fits")
    place.may_write.set()
    writer.end(WITHIN_S)
    kept = [one for one in place.lines if one == line]
    assert 20 == len(kept) + lost
    assert f"{lost} were lost" in place.lines


def test_a_line_that_found_room_in_part_is_ended_before_the_next_one(tmp_path, monkeypatch):
    path, taken = tmp_path / "log", []
    write = os.write

    def some(number: int, data: bytes) -> int:
        if not taken:
            taken.append(write(number, data[:3]))
            return 3
        if len(taken) == 1:
            taken.append(0)
            raise OSError(28, "No space left on device")
        return write(number, data)

    with path.open("w") as file:
        lines = LineStream(file)
        monkeypatch.setattr("projection.engine.log_writer.os.write", some)
        with pytest.raises(OSError, match="No space"):
            lines.write("the first")
        lines.write("the second")
        monkeypatch.undo()
    assert "the\nthe second\n" == path.read_text()


def test_what_a_library_logs_waits_for_nobody_who_reads_stderr():
    code = (
        "import logging; from projection.cli.logs import configure_logs; configure_logs()\n"
        "for _ in range(100): logging.getLogger('asyncio').warning('w' * 4096)\n"
        "print('done', flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        said = process.stdout.readline()
        assert b"w" * 4096 in process.stderr.read()
    assert b"done\n" == said
