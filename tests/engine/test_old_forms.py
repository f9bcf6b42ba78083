"""Old forms of events in the engine: parked for their views, dropped, adopted and explained as all events are."""

from __future__ import annotations

import json
from typing import Any

from engine_support import TENANCY, deploy, envelope
from node_support import replayed

from projection.engine.lane import Lane
from projection.engine.replay import FileEvents
from projection.history.explaining import explain
from projection.history.logs import FileLog
from projection.history.watching import Outcome
from projection.model.ids import TenantId, ViewId
from projection.store.memory import MemoryLaneStore

PROGRAM = """\
proj 1
projection orders

event Placed { id: string, total: int }
  was Created as old =>
    { id: old.no, total: sum(old.prices) }
event Created { no: string, prices: list<int> }
event Paid { id: string, amount: int }

view Order { total: int, paid: int = 0, as: string }

on Placed as e creates e.id => { total: e.total, as: meta.type }
on Paid as e updates e.id => view with { paid += e.amount }
"""
MOST = 2**63 - 1


def created(no: str, *prices: int) -> bytes:
    return envelope("Created", {"no": no, "prices": prices})


def paid(no: str, amount: int = 1) -> bytes:
    return envelope("Paid", {"id": no, "amount": amount})


def views(found: Any) -> dict[str, Any]:
    return {str(key.view_id): json.loads(data) for key, data in found["tallies"][0]}


def test_old_forms_are_folded_as_what_they_become(tmp_path):
    deployed = deploy(tmp_path, PROGRAM)
    found = replayed(deployed, [created("a", 1, 2), envelope("Placed", {"id": "b", "total": 3}), paid("a")])
    assert {
        "a": {"total": 3, "paid": 1, "as": "Created"},
        "b": {"total": 3, "paid": 0, "as": "Placed"},
    } == views(found)


def test_an_old_form_that_cannot_be_turned_is_parked_for_its_view_and_later_events_wait(tmp_path):
    deployed = deploy(tmp_path, PROGRAM)
    found = replayed(deployed, [created("a", MOST, 1), created("b", 1), paid("a"), paid("b")])
    assert {"b": {"total": 1, "paid": 1, "as": "Created"}} == views(found)
    parked = found["tallies"][1]
    assert [("a", 1, "R701"), ("a", 3, "P000")] == [(one.view_id, one.sequence, one.code) for one in parked]
    assert "tallies.proj:6:26" == parked[0].span


def test_one_that_does_not_fit_what_it_was_is_parked_for_its_view_as_well(tmp_path):
    deployed = deploy(tmp_path, PROGRAM)
    found = replayed(deployed, [envelope("Created", {"no": "a", "prices": "none"}), paid("a")])
    assert [("a", "D105"), ("a", "P000")] == [(one.view_id, one.code) for one in found["tallies"][1]]


async def test_why_names_the_line_that_made_the_event_and_the_handler(tmp_path):
    (deployed,) = deploy(tmp_path, PROGRAM)
    log = FileLog(lambda: iter([created("a", 1, 2), paid("a")]))
    found = await explain(log, deployed, TenantId("a"), ViewId("a"))
    assert [(Outcome.MADE, (6, 12)), (Outcome.CHANGED, (13,))] == [(one.outcome, one.lines) for one in found.effects]


def test_a_lane_takes_old_forms_only_where_something_handles_what_they_become(tmp_path):
    (deployed,) = deploy(tmp_path, PROGRAM.replace("on Placed as e creates e.id => {", "on Placed to none => keep #"))
    lane = Lane(deployed, MemoryLaneStore())
    assert lane.reaction("tally", "Created") is not None
    nobody = deploy(tmp_path / "n", PROGRAM.replace("on Placed", "# on Placed"))[0]
    assert Lane(nobody, MemoryLaneStore()).reaction("tally", "Created") is None
    event = FileEvents(nobody.entry, TENANCY).event(1, created("a"))
    assert event.error is None
