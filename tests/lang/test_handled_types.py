"""Which types of events programs handle, and which one somebody meant who wrote another."""

from __future__ import annotations

import pytest

from projection.lang.handled import HandledTypes
from projection.lang.program import Program

PROGRAM = """\
proj 1
projection p

event Counted { id: string }
event OrderPlaced of "order" { id: string }
event Renamed from "counter.renamed.v2" { id: string }
event Unused { id: string }

view V { n: int = 0 }

on Counted, OrderPlaced, Renamed as e to "x" => view ?? {}
"""


@pytest.fixture
def handled(tmp_path):
    path = tmp_path / "p.proj"
    path.write_text(PROGRAM)
    return HandledTypes.of([Program.load(path).checked])


@pytest.mark.parametrize(
    ("of", "name", "taken"),
    [
        ("anything", "Counted", True),
        ("order", "OrderPlaced", True),
        ("Order", "OrderPlaced", False),
        ("x", "counter.renamed.v2", True),
        ("x", "Renamed", False),
        ("x", "Unused", False),
        ("x", "counted", False),
    ],
)
def test_what_is_handled_is_what_a_program_reacts_to(tmp_path, handled, of, name, taken):
    path = tmp_path / "p.proj"
    assert taken == handled.takes(of, name) == (Program.load(path).reaction(of, name) is not None)


@pytest.mark.parametrize(
    ("of", "name", "said"),
    [
        ("x", "Countd", "did you mean 'Counted'?"),
        ("x", "counted", "did you mean 'Counted'?"),
        ("x", "com.example/Counted", "did you mean 'Counted'?"),
        ("x", "order_placed", "did you mean 'OrderPlaced' of aggregate type 'order'?"),
        ("Order", "OrderPlaced", "did you mean 'OrderPlaced' of aggregate type 'order'?"),
        ("order", "OrderPlacd", "did you mean 'OrderPlaced'?"),
        ("x", "SomethingElse", None),
        ("x", "Counted" * 100_000, None),
        ("x", "", None),
    ],
)
def test_a_type_that_is_nearly_another_one_is_guessed(handled, of, name, said):
    assert said == handled.guess(of, name)


def test_a_program_that_takes_all_events_handles_every_type(tmp_path):
    path = tmp_path / "p.proj"
    path.write_text("proj 1\nprojection p\n\nview V { n: int = 0 }\n\non * as e to meta.aggregate_id => view ?? {}\n")
    assert HandledTypes.of([Program.load(path).checked]).takes("any", "Thing")
