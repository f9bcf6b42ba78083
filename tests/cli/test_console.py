"""Progress and log lines on one stderr: what they say, how often, and that they do not meet on one line."""

from __future__ import annotations

import os
import pty
import re
import sys

import pytest

from projection.cli import console
from projection.cli.console import Figures, _Sparing


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(console.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_the_rate_is_that_of_late_and_falls_to_nothing_when_nothing_moves(clock):
    shown: list[Figures] = []
    advance = _Sparing(shown.append, None, 0.05)
    for second in range(1, 101):
        clock.now += 1.0
        advance(second * 1_000, 200_000)
    assert (100_000, 200_000, 1_000.0) == shown[-1]
    for second in range(1, 41):
        clock.now += 1.0
        advance(100_000 + second * 10)
    assert (100_400, None, 10.0) == shown[-1]
    for _ in range(21):
        clock.now += 1.0
        advance(100_400)
    assert 0.0 == shown[-1].rate


def test_plain_lines_come_more_and_more_rarely_and_only_when_something_moved(clock):
    shown: list[tuple[float, int]] = []
    advance = _Sparing(lambda now: shown.append((clock.now - 100.0, now.done)), None, 5.0, plain=True)
    for second in range(1, 3_601):
        clock.now += 1.0
        advance(min(second, 1_800) * 10)
    assert [5.0, 15.0, 35.0, 75.0, 155.0, 315.0, 615.0, 915.0, 1215.0, 1515.0, 1815.0] == [at for at, _ in shown]
    assert 18_000 == shown[-1][1]


def test_while_nothing_is_done_nothing_is_said(clock):
    shown: list[Figures] = []
    advance = _Sparing(shown.append, None, 5.0, plain=True)
    for _ in range(1_000):
        clock.now += 1.0
        advance(0)
    assert [] == shown


PROGRAM = """
import time
import structlog
from projection.cli import console
from projection.cli.logs import configure_logs
from projection.model.settings import Settings
log = structlog.get_logger()
configure_logs(Settings())
console._BAR_EVERY = 0.0
with console.progress("folding", 1_000) as advance:
    for done in range(0, 1_001, 50):
        advance(done)
        log.info("a log line", number=done)
        if done % 200 == 0:
            console.note(f"a note {done}")
log.info("the last line")
"""


def test_on_a_terminal_each_log_line_begins_at_the_first_column_above_the_bar():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", PROGRAM], {**os.environ, "TERM": "xterm", "COLUMNS": "200"})
    written = b""
    try:
        while data := os.read(terminal, 65_536):
            written += data
    except OSError:  # the terminal's other end has gone
        pass
    os.close(terminal)
    assert 0 == os.waitpid(pid, 0)[1]
    lines = on_screen(written.decode())
    assert 21 == sum(bool(re.match(r"\S+Z .*a log line .*number=", line)) for line in lines), lines
    assert 6 == sum(line.startswith("a note") for line in lines)
    assert [] == [line for line in lines if "folding" in line]  # it is gone at the end
    assert "the last line" in lines[-1]


def on_screen(written: str) -> list[str]:
    """The lines of a terminal without end after all of this, by the few controls that are used."""
    lines, row, column = [""], 0, 0
    for found in re.finditer(r"\x1b\[([\d;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)", written):
        number, control, end, text = found.groups()
        if control == "A":
            row = max(0, row - int(number or 1))
        elif control == "K":
            lines[row] = "" if number == "2" else lines[row][:column]
        elif end == "\r":
            column = 0
        elif end == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif text is not None:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in lines if line.strip()]
