"""Which lines of the log are written: by the level of their component, and once of many that are like one another."""

from __future__ import annotations

import ast
import random
import re
from pathlib import Path

import pytest
import structlog

from projection.engine import log_control
from projection.engine.log_control import LevelFilter, RepeatLimit, counted
from projection.engine.log_writer import LINES
from projection.model.log_settings import COMPONENTS, LEVELS, LogLevels

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCES = sorted((CHECKOUT / "projection").rglob("*.py"))


def loggers(source):
    """The component of each logger that a source makes; None where it names none."""
    for one in ast.walk(ast.parse(source)):
        if isinstance(one, ast.Call) and ast.unparse(one.func).rpartition(".")[2] == "get_logger":
            named = {word.arg: ast.literal_eval(word.value) for word in one.keywords if word.arg == "component"}
            yield named.get("component")


def test_whoever_logs_says_which_component_it_is():
    assert [None, "fold"] == [*loggers("structlog.get_logger()\nget_logger(component='fold')")]
    texts = {path: path.read_text() for path in SOURCES}
    found = {path: [*loggers(text)] for path, text in texts.items() if "get_logger" in text}
    assert {} == {path: named for path, named in found.items() if not set(named) <= set(COMPONENTS)}
    assert set(COMPONENTS) == {name for named in found.values() for name in named}


def test_the_page_for_operators_lists_the_components():
    section = (CHECKOUT / "docs/operating.md").read_text().partition("### The log\n")[2].partition("\n## ")[0]
    assert [*COMPONENTS] == re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def is_written(processor, level, **event):
    try:
        processor(None, level, dict(event))
    except structlog.DropEvent:
        return False
    return True


@pytest.mark.parametrize("level", LEVELS)
def test_a_line_below_the_level_of_its_component_is_left_out(level):
    levels = LevelFilter()
    levels.levels = LogLevels.parse(f"error,stream={level}")
    assert [rank >= LEVELS.index(level) for rank in range(len(LEVELS))] == [
        is_written(levels, one, event="x", component="stream") for one in LEVELS
    ]
    for component in set(COMPONENTS) - {"stream"}:
        assert [False, False, False, True] == [
            is_written(levels, one, event="x", component=component) for one in LEVELS
        ]
    assert is_written(levels, "critical", event="x", component="stream")
    assert not is_written(levels, "warning", event="a line of no component counts as the node's")


class Repeating:
    """A limit with a clock of its own."""

    def __init__(self, monkeypatch):
        self.now, self.due, self.told = 0.0, [], []
        monkeypatch.setattr(log_control, "monotonic", lambda: self.now)
        self.limit = RepeatLimit(
            lambda level, event: self.told.append((level, event)),
            every_s=10.0,
            later=lambda seconds, call: self.due.append((self.now + seconds, call)),
        )

    def pass_to(self, now):
        for at, call in sorted(self.due, key=lambda one: one[0]):
            if at <= now:
                self.now = at
                self.due.remove((at, call))
                call()
        self.now = now


@pytest.fixture
def repeating(monkeypatch):
    return Repeating(monkeypatch)


def test_of_lines_that_are_like_one_another_one_is_written_and_then_how_many_more_there_were(repeating):
    before = LINES.suppressed
    line = {"event": "an event is parked", "component": "fold", "view_type": "fines", "code": "R710"}
    written = [is_written(repeating.limit, "warning", **line, sequence=n, tenant=f"t{n}") for n in range(1_000)]
    assert [True] + [False] * 999 == written
    assert ([], 999) == (repeating.told, LINES.suppressed - before)
    repeating.pass_to(10.0)
    assert [("warning", {**line, "event": "999 more like it", "like": "an event is parked"})] == repeating.told
    assert is_written(repeating.limit, "warning", **line, sequence=1_000)
    repeating.pass_to(30.0)
    assert 1 == len(repeating.told), "nothing repeated since"
    assert is_written(repeating.limit, "warning", **line, sequence=1_001)


def test_lines_that_differ_in_what_they_are_about_are_no_repetition(repeating):
    about = [
        {"event": event, "view_type": view_type, "code": code, "reason": reason}
        for event in ("trouble", "an event is parked")
        for view_type in ("a", "b")
        for code in ("R710", "D101")
        for reason in ("the disk is full", "the server is away")
    ]
    assert all(is_written(repeating.limit, "error", **one) for one in about)
    assert not any(is_written(repeating.limit, "error", **one) for one in about)
    assert all(is_written(repeating.limit, "critical", **one) for one in about), "nor are those of another level"


@pytest.mark.parametrize("level", ["debug", "info"])
def test_lines_below_a_warning_are_not_limited(repeating, level):
    assert all(is_written(repeating.limit, level, event="request", path="/x") for _ in range(100))


def test_however_many_kinds_of_lines_come_memory_is_bounded_and_no_line_is_lost_uncounted(repeating):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, written, came = random.Random(seed), 0, 20_000
    for _ in range(came):
        repeating.pass_to(repeating.now + rng.random() / 20)
        written += is_written(repeating.limit, "error", event="x", reason=str(rng.randrange(3_000)))
        assert len(repeating.limit._seen) <= log_control._MOST
    repeating.limit.tell_more()
    more = sum(int(event["event"].split()[0].replace(",", "")) for _, event in repeating.told)
    assert came == written + more
    assert written < came


def test_lines_are_counted_by_their_level():
    before = dict(LINES.by_level)
    for method in ("warning", "warn", "exception", "error", "info"):
        counted(None, method, {"event": "x"})
    assert {"warning": 2, "error": 2, "info": 1} == {
        level: count - before[level] for level, count in LINES.by_level.items() if count != before[level]
    }
