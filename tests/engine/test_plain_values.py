"""Programs get plain values only: whatever they store of `id` and `meta` can be encoded, to the same bytes on every way."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from engine_support import TEMPLATE, TENANCY, deploy, envelope, feed
from plain_programs import ID, VALUES, expressions, programs, reached

from projection.cli.trace import _Tracing
from projection.engine.adoption import adopt
from projection.engine.builds import open_store, plan_builds
from projection.engine.decisions import drop
from projection.engine.event import EventReader, with_message
from projection.engine.lane import Lane
from projection.engine.recipes import deployed_by
from projection.engine.requeue import settle
from projection.history.comparison import Pair, compare
from projection.history.explaining import explain
from projection.history.logs import FileLog
from projection.lang.check.sessions import NO_PROGRAM, Session
from projection.lang.library import BUILTINS
from projection.lang.message_parts import MessageParts
from projection.lang.program import MessageMeta, Program
from projection.lang.run.executors import Execution
from projection.lang.source import Source
from projection.lang.values.codec import encode
from projection.model.envelope import decode_envelope
from projection.model.event_format.headers import headers_block
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.keys import ViewKey
from projection.model.parked import Drop
from projection.model.timestamp import parse_timestamp
from projection.store.catalog import Catalog
from projection.store.memory import MemoryLaneStore
from projection.stream.port import Message
from projection.stream.recorded import recorded_line
from projection.testing.folding import Projection
from projection.testing.fuzz.observing import Fold, Subject
from projection.testing.given import given_events, recorded_by

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.store.port import ViewReader

    Views = dict[str, bytes | None]

NORTH, THING = TenantId("north"), ViewId(ID)
FIRST, SECOND = EVENTS = tuple(
    envelope(
        "Happened", {}, "north", aggregate_type="thing", aggregate_id="A",
        event_id=f"e{number}", correlation_id="c", timestamp=f"2024-02-29T23:30:0{number}+01:00",
    )
    for number in (1, 2)
)  # fmt: skip
MESSAGES = [
    Message(number, "tenant.north.aggregate.thing.A", data, f"17{'0' * 17}", "", headers_block({"X": "y"}))
    for number, data in enumerate(EVENTS, 1)
]
LINES = [recorded_line(one) for one in MESSAGES]
_BUILTINS_OF_OTHER_TYPES = {"all", "any", "base64", "fail", "hex", "parse_utf8", "total_seconds"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("things")


@pytest.fixture(scope="module")
def both(folder: Path) -> dict[str, tuple[DeployedView, ...]]:
    """Programs that take all events, and the same refusing the first one."""
    strict, lax = programs("meta.sequence == 1"), programs("meta.sequence == 0")
    return {"strict": deploy(folder / "strict", strict), "lax": deploy(folder / "lax", lax)}


@pytest.fixture(params=Execution)
def execution(request: pytest.FixtureRequest) -> Execution:
    return request.param


def run_by(execution: Execution, deployed: Iterable[DeployedView]) -> list[DeployedView]:
    return [replace(one, program=Program(one.program.checked, one.program.limits, execution)) for one in deployed]


@pytest.fixture(scope="module")
def expected(both) -> Views:
    """The views behind the second event, made by the programs alone, of values that are plain."""
    found: Views = {}
    one = decode_envelope(SECOND)
    moment = parse_timestamp(one.timestamp)
    meta = MessageMeta(
        aggregate_id="A", aggregate_type="thing", correlation_id="c", date=moment.date, event_id="e2", sequence=2,
        tenant_id="north", time=moment.time, type="Happened", _headers={"x": "y"}, _subject=MESSAGES[1].subject,
        _stored_at=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
    )  # fmt: skip
    for deployed in both["lax"]:
        program = deployed.program
        event, targets, _gas = program.reaction("thing", "Happened").take(one.payload, meta)
        applied = program.apply(ID, targets[ID], event, meta, None)
        found[deployed.entry.view_type] = program.encode_view(applied.view)
    return found


def some(deployed: Iterable[DeployedView]) -> list[DeployedView]:
    """Those that hold all values whole, and `id` through builtins: opening a data folder checks programs again."""
    return list(deployed)[:2]


def of_some(expected: Views) -> Views:
    return dict(list(expected.items())[:2])


def view_of(store: ViewReader, deployed: DeployedView) -> bytes | None:
    return store.get_view(ViewKey(NORTH, deployed.entry.view_type, THING))


def test_the_programs_store_every_field_of_meta_and_the_id_through_every_builtin_that_takes_one(expected):
    assert set(BUILTINS) - _BUILTINS_OF_OTHER_TYPES == reached()
    assert set(VALUES) <= set(expressions())
    stored = [value for view in expected.values() for value in json.loads(view).values()]
    assert len(expressions()) == len(stored) > 400
    assert {ID, "north", "A", "thing", "c", "e2", 2, "2024-02-29", "2024-02-29T22:30:02Z", "Happened"} <= {
        value for value in stored if isinstance(value, (str, int))
    }


def test_a_live_fold(both, expected, execution):
    found = {}
    for deployed in run_by(execution, both["lax"]):
        lane = feed(Lane(deployed, MemoryLaneStore()), MESSAGES)
        assert [] == list(lane.store.parked())
        found[deployed.entry.view_type] = view_of(lane.store, deployed)
    assert expected == found


def test_what_waited_behind_a_dropped_event(both, expected, execution):
    found = {}
    for deployed in run_by(execution, both["strict"]):
        store = feed(Lane(deployed, MemoryLaneStore(deployed.fold_identity)), MESSAGES).store
        assert 2 == len(list(store.parked()))
        settle(store, replace(deployed, fold_identity="decided", drops=frozenset({(1, NORTH, ID)})))
        found[deployed.entry.view_type] = view_of(store, deployed)
    assert expected == found


def fold_on(data: Path, deployed: Iterable[DeployedView]) -> None:
    with Catalog.open(data) as catalog:
        for one in plan_builds(catalog, list(deployed)):
            with open_store(one.build, one.deployed) as store:
                feed(Lane(one.deployed, store), MESSAGES)


def answers(data: Path, deployed: Iterable[DeployedView]) -> Views:
    found: Views = {}
    with Catalog.open(data) as catalog:
        for one in deployed:
            build = catalog.require(one.entry.view_type)
            with open_store(build, deployed_by(build)) as store:
                found[one.entry.view_type] = view_of(store, one)
    return found


def test_the_decision_to_drop_in_a_data_folder(both, expected, tmp_path):
    fold_on(tmp_path, some(both["strict"]))
    with Catalog.open(tmp_path) as catalog:
        taken = [drop(catalog, one.entry.view_type, NORTH, 1, THING).taken for one in some(both["strict"])]
    assert [1] * len(taken) == taken
    assert of_some(expected) == answers(tmp_path, some(both["strict"]))


def test_a_decision_that_a_release_before_could_not_carry_out_is_carried_out_when_the_store_is_opened(
    both, expected, tmp_path
):
    """It had recorded the decision when it failed, and no start came past it."""
    fold_on(tmp_path, some(both["strict"]))
    with Catalog.open(tmp_path) as catalog:
        for one in some(both["strict"]):
            build = catalog.require(one.entry.view_type)
            catalog.record(build.decided(Drop(1, NORTH, THING)))
    assert of_some(expected) == answers(tmp_path, some(both["strict"]))


def test_an_adoption(both, expected, execution, tmp_path):
    fold_on(tmp_path, some(both["strict"]))
    with Catalog.open(tmp_path) as catalog:
        for one in run_by(execution, some(both["lax"])):
            assert 2 == adopt(catalog, one).taken
    assert of_some(expected) == answers(tmp_path, some(both["strict"]))


async def test_what_why_tells(both, expected, execution):
    found = {}
    for one in run_by(execution, both["lax"]):
        explained = await explain(FileLog(lambda: iter(LINES)), one, NORTH, THING)
        found[one.entry.view_type] = explained.view
    assert expected == found


async def test_what_diff_tells(both, expected, execution):
    pairs = [Pair(*sides) for sides in zip(*(run_by(execution, both[one]) for one in ("strict", "lax")), strict=True)]
    compared = await compare(FileLog(lambda: iter(LINES)), pairs, 10, lambda _doing, _sequence: None)
    assert expected == {one.pair.new.entry.view_type: one.views[0].new for one in compared}


def test_what_fuzz_folds(both, expected, execution, folder):
    found = {}
    for one in run_by(execution, both["lax"]):
        projection = Projection("things", [one], folder)
        subject = Subject(projection, one)
        given = given_events(LINES, folder, projection.aggregate_of, recorded=recorded_by(one.entry, one.tenancy))
        fold = Fold(subject)
        signs = [seen.sign.what for number, event in enumerate(given, 1) for seen in fold.take(number, event)]
        assert {"", "commits"} >= {sign for sign in signs if sign[:1] in ("R", "O", "D")}
        found[one.entry.view_type] = one.program.encode_view(fold.views[NORTH, ID])
    assert expected == found


class _History:
    """Stands for the files that `trace` is given."""

    def __init__(self, deployed: DeployedView) -> None:
        self.deployed = deployed
        self.given = EVENTS

    def event(self, number: int):
        return EventReader(self.deployed.entry.subject_template, TENANCY).read(MESSAGES[number - 1])

    def store_before(self, number: int) -> MemoryLaneStore:
        return feed(Lane(self.deployed, MemoryLaneStore()), MESSAGES[: number - 1]).store

    def view(self, store: ViewReader, tenant_id: TenantId, view_id: str) -> bytes | None:
        return store.get_view(ViewKey(tenant_id, self.deployed.entry.view_type, ViewId(view_id)))


def test_what_trace_shows(both):
    for deployed in both["lax"]:
        tracing = _Tracing(_History(deployed), 2)
        lines = list(tracing.lines())
        assert not tracing.has_failed
        assert f"view {ID} is changed" in lines


def test_what_the_repl_computes():
    read = EventReader(TEMPLATE, TENANCY).read(MESSAGES[1])
    meta = with_message(read, MessageParts(("x",), subject=True, stored_at=True)).meta
    session = Session(Source("", NO_PROGRAM))
    session.look_at(THING, None)
    session.stand_at(None, meta)
    for text in expressions():
        assert encode(session.evaluate(text).value)
    assert str is type(session.evaluate("id").value)


def test_view_types_and_ids_of_a_kind_of_their_own_are_texts_for_programs():
    """The ids themselves: equal to texts, and none."""
    assert str is not type(ViewType("things"))
    with pytest.raises(TypeError):
        encode(THING)
