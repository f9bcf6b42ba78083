"""What commands tell of old forms of events: each by the name that is stored, with what becomes of it."""

from __future__ import annotations

import json

import pytest
from command_support import projection

PROGRAM = """\
proj 1
projection counter

event Counted { id: string(9), n: int }
  was Tallied as old =>
    { id: old.name, n: old.n * 2 }
event Tallied { name: string(9), n: int }

view Counter { total: int = 0 }

on Counted as e to e.id =>
  let counter = view ?? {};
  counter with { total += e.n }
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "counter.proj").write_text(PROGRAM)
    (tmp_path / "events.jsonl").write_text(json.dumps({"type": "Tallied", "data": {"name": "a", "n": 3}}))
    return tmp_path


def test_gas_bounds_them_by_themselves(folder):
    shown = projection("gas", "counter.proj", folder=folder).stdout
    assert "on Counted\n" in shown
    assert "on Tallied (Counted was Tallied)\n" in shown


def test_trace_shows_how_the_event_is_made(folder):
    shown = projection("trace", "counter.proj", "--events", "events.jsonl", "--event", 1, folder=folder).stdout
    assert "on Tallied to (line 11, Counted was Tallied)" in shown
    assert "old.n * 2" in shown
    assert "total: 6" in shown


def test_doc_names_them_with_the_event(folder):
    assert (
        "Was `Tallied`: such events are turned into this one."
        in projection("doc", "counter.proj", folder=folder).stdout
    )
