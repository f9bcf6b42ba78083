"""An exception that no code foresaw, at every place of a node: one view type halts, and everything else goes on."""

from __future__ import annotations

import asyncio
import gc
import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from node_in_memory import Folder, MemoryFeed, MemoryStart, a_log, two_view_types
from patience import WITHIN_S

from projection.engine import committers, readiness
from projection.engine.committer import Committer
from projection.engine.cutover import Cutover
from projection.engine.event import EventReader
from projection.engine.fault_log import log_lost_fault
from projection.engine.lane import Lane
from projection.engine.node import Node
from projection.engine.parking import Parking
from projection.engine.reading import Reading
from projection.engine.view_cache import ViewCache
from projection.engine.watchdog import Watchdog
from projection.errors import StorageError
from projection.lang.program import Program
from projection.lang.reaction import Reaction
from projection.model.manifest import Policy
from projection.query.watching import LaneWatch
from projection.store.memory import MemoryLaneStore

if TYPE_CHECKING:
    from collections.abc import Callable

ONCE, ALWAYS = 1, 10**9
HALTS, GOES_ON = True, False


class Place(NamedTuple):
    """Where to raise, and for whom: `concerns` takes the folder and what the place is called with."""

    owner: Any  # or a function that gives it
    name: str
    concerns: Callable[..., bool]
    at_once: bool = HALTS  # what the view type does where it is raised once

    def __str__(self) -> str:
        owner = self.owner if isinstance(self.owner, type) else committers
        return f"{owner.__name__.rpartition('.')[2]}.{self.name}"


def of_lane(_folder, lane, *_):
    return lane.view_type == "tallies"


def of_program(_folder, program, *_, **__):
    return program.name == "tallies"


def of_reaction(_folder, reaction, *_):
    return reaction._program.name == "tallies"


def of_parking(_folder, parking, *_, **__):
    return parking._deployed.entry.view_type == "tallies"


def of_cache(folder, cache, *_):
    return folder.lanes["tallies"]._cache is cache


def of_store(folder, store, *_):
    return folder.stores["tallies"] is store


def of_member(_folder, member, *_, **__):
    return member.lane.view_type == "tallies"


def of_message(_folder, _reader, message, *_):
    return ".tally." in message.subject


def of_reading(_folder, reading, *_, **__):
    return any(member.lane.view_type == "tallies" for member in reading.members)


def of_feed(_folder, feed, *_):
    return any(".tally." in subject for subject in feed.subjects)


def of_start(_folder, _start, lane):
    return lane.view_type == "tallies"


def of_no_view_type(*_, **__):
    return True


PLACES = [
    # decoding, folding
    Place(EventReader, "read", of_message, GOES_ON),
    Place(Lane, "reaction", of_lane, GOES_ON),
    Place(Program, "_react", of_program, GOES_ON),
    Place(Lane, "take", of_lane),
    Place(Lane, "_fold", of_lane),
    Place(Reaction, "take", of_reaction),
    Place(Lane, "_touch", of_lane),
    Place(Lane, "_load", of_lane),
    Place(Program, "apply", of_program),
    Place(Parking, "receive", of_parking),
    Place(Parking, "_add", of_parking),
    Place(ViewCache, "change", of_cache),
    Place(Lane, "move_to", of_lane, GOES_ON),
    # the beginning
    Place(MemoryStart, "move", of_start),
    # committing
    Place(Committer, "begin", of_member, GOES_ON),
    Place(Committer, "_write", of_member),
    Place(Committer, "settle", of_member),
    Place(Lane, "seal", of_lane),
    Place(ViewCache, "seal", of_cache),
    Place(Parking, "seal", of_parking),
    Place(Lane, "write", of_lane),
    Place(MemoryLaneStore, "commit", of_store),
    Place(Lane, "committed", of_lane),
    # building indexes
    Place(committers, "build_indexes", of_member),
    Place(MemoryLaneStore, "build_indexes", of_store),
    # reading
    *(
        Place(Reading, name, of_reading, GOES_ON)
        for name in (
            "_let_guests_in", "_is_one_log", "_fold", "_find_takers", "_move_to", "_note_halts", "_spare_the_others",
            "_commit", "acknowledge",
        )
    ),
    Place(MemoryFeed, "next_batch", of_feed, GOES_ON),
    Place(MemoryFeed, "acknowledge", of_feed, GOES_ON),
]  # fmt: skip
SUPERVISION = [
    Place(Node, "_tend", of_no_view_type),
    Place(Node, "_tell", of_no_view_type),
    Place(Node, "_cut_over", of_no_view_type),
    Place(Node, "_progress", of_no_view_type),
]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory):
    return two_view_types(tmp_path_factory.mktemp("faults"))


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch):
    monkeypatch.setattr(readiness, "_END_EVERY_S", 0.01)


@pytest.fixture
def folder(deployed) -> Folder:
    fresh = [replace(one, program=Program(one.program.checked, one.program.limits)) for one in deployed]
    return Folder(fresh, a_log())


def break_it(monkeypatch: pytest.MonkeyPatch, folder: Folder, place: Place, times: int, error: Exception) -> list[str]:
    """Have the place raise; what is given back has an entry for each time that it did."""
    original, raised = getattr(place.owner, place.name), list[str]()

    def fail(*args: Any, **named: Any) -> None:
        if len(raised) < times and place.concerns(folder, *args, **named):
            raised.append(place.name)
            raise type(error)(*error.args)

    def faulty(*args: Any, **named: Any) -> Any:
        fail(*args, **named)
        return original(*args, **named)

    async def faulty_coroutine(*args: Any, **named: Any) -> Any:
        fail(*args, **named)
        return await original(*args, **named)

    is_coroutine = inspect.iscoroutinefunction(original)
    monkeypatch.setattr(place.owner, place.name, faulty_coroutine if is_coroutine else faulty)
    return raised


async def run_until(node: Node, condition: Callable[[], bool]) -> None:
    """Run a node until then, and stop it."""
    running = asyncio.create_task(node.run(on_progress=lambda _: None))
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            assert not running.done(), running.result()
            await asyncio.sleep(0.002)
        node.stop()
        await running


@pytest.mark.parametrize("times", [ONCE, ALWAYS], ids=["once", "always"])
@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_wherever_it_is_raised_that_view_type_halts_at_most_and_all_others_go_on(
    folder, place, times, monkeypatch
):
    node = folder.node()
    tallies, others = folder.lanes["tallies"], folder.lanes["others"]
    halts = place.at_once or times == ALWAYS

    def is_done() -> bool:
        end = folder.log.last
        ended = tallies.halted is not None if halts else tallies.position.scanned == end
        return ended and others.position.scanned == end

    with monkeypatch.context() as faulty:
        raised = break_it(faulty, folder, place, times, RuntimeError("it breaks here"))
        await run_until(node, is_done)
        assert raised
        trouble = node.health.troubles().get("view type tallies")
    assert others.halted is None
    assert folder.expected()["others"] == folder.found()["others"]
    if halts:
        assert "internal" == tallies.halted.code
        assert "a fault of projection itself while " in trouble
        assert "RuntimeError: it breaks here, at projection/" in trouble
        assert "view type tallies" in trouble
        assert "please report it" in tallies.halted.hint
        assert not node.is_ready
    else:
        assert trouble is None
    assert folder.is_a_prefix("tallies")
    await run_until(folder.node(), lambda: folder.is_at_end)
    assert folder.expected() == folder.found()


@pytest.mark.parametrize("times", [ONCE, ALWAYS], ids=["once", "always"])
@pytest.mark.parametrize("place", SUPERVISION, ids=str)
async def test_a_fault_of_the_supervision_is_told_and_halts_no_view_type(folder, place, times, monkeypatch, logged):
    node = folder.node()
    with monkeypatch.context() as faulty:
        raised = break_it(faulty, folder, place, times, RuntimeError("it breaks here"))
        running = asyncio.create_task(node.run(on_progress=lambda _: None))
        async with asyncio.timeout(WITHIN_S):
            while not (folder.is_at_end and raised and (times == ONCE or "node" in node.health.troubles())):
                assert not running.done(), running.result()
                await asyncio.sleep(0.002)
            faulty.undo()
            while not node.is_ready:  # noqa: ASYNC110 - its next round
                await asyncio.sleep(0.002)
            node.stop()
            await running
    told = [line for line in logged if line["event"] == "a fault of projection itself"]
    assert 1 == len(told)
    assert "looking after the subscriptions" == told[0]["doing"]
    assert folder.expected() == folder.found()


@pytest.mark.parametrize("name", ["look", "last_sequence"])
async def test_a_fault_of_the_first_look_at_the_stream_or_of_one_at_its_end_is_tried_again(
    folder, monkeypatch, logged, name
):
    node, owner = folder.node(), MemoryStart if name == "look" else MemoryFeed
    raised = break_it(monkeypatch, folder, Place(owner, name, of_no_view_type), 2, RuntimeError("it breaks here"))
    await run_until(node, lambda: len(raised) == 2 and folder.is_at_end and node.is_ready)
    assert 2 == len([line for line in logged if line["event"] == "a fault of projection itself"])


async def test_what_shows_progress_may_fail(folder):
    node = folder.node()

    def show(_):
        raise RuntimeError("no terminal")

    running = asyncio.create_task(node.run(until_caught_up=True, on_progress=show))
    await asyncio.wait_for(running, WITHIN_S)
    assert folder.expected() == folder.found()


async def test_no_memory_halts_the_view_type_and_is_told_as_such(folder, monkeypatch):
    node = folder.node()
    break_it(monkeypatch, folder, Place(Program, "apply", of_program), ONCE, MemoryError())
    tallies = folder.lanes["tallies"]
    await run_until(node, lambda: tallies.halted and folder.lanes["others"].position.scanned == folder.log.last)
    assert "memory" == tallies.halted.code
    assert tallies.halted.message.startswith("no memory was left while folding event ")
    assert folder.is_a_prefix("tallies")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_what_is_meant_to_end_the_process_is_not_contained(folder, monkeypatch, error):
    def take(*_):
        raise error

    monkeypatch.setattr(Lane, "take", take)
    node = folder.node()
    reading = Reading(MemoryFeed(folder.log.messages, ["tenant.>"], 0), list(node._committers.by_lane.values()), node)
    with pytest.raises(error):
        reading._fold_some(folder.log.messages, 0)


async def test_the_report_names_the_event_and_the_log_the_way_to_the_place(folder, monkeypatch, logged):
    node = folder.node()
    applied = Program.apply

    def apply(program, view_id, *args):
        if view_id == "z" and program.name == "tallies":
            raise ValueError("\x1b[31mno\n" + "x" * 1000)
        return applied(program, view_id, *args)

    monkeypatch.setattr(Program, "apply", apply)
    tallies = folder.lanes["tallies"]
    await run_until(node, lambda: tallies.halted and folder.lanes["others"].position.scanned == folder.log.last)
    (told,) = [line for line in logged if line["event"] == "a fault of projection itself"]
    assert ("folding event 5", "tallies", 0) == (told["doing"], told["view_type"], told["build"])
    assert 'raise ValueError("\\x1b[31mno\\n"' in told["at"]
    message = tallies.halted.message
    assert message.startswith(
        "a fault of projection itself while folding event 5 for view type tallies: ValueError: ?[31mno?xxx"
    )
    assert message.isprintable()
    assert len(message) < 400
    assert 4 == folder.stores["tallies"].position().scanned
    assert folder.is_a_prefix("tallies")


# what happens beside folding


@pytest.mark.parametrize(
    "place", [Place(MemoryFeed, "forget", of_feed), Place(Committer, "settle", of_member)], ids=str
)
async def test_what_nothing_depends_on_may_fail_in_the_background(folder, place, monkeypatch, logged):
    """Of a view type that halts by its policy: its last commit, and the subscription that it leaves."""
    halting = [one.entry.replaced(on_error=Policy.HALT) for one in folder.deployed]
    folder.deployed = [replace(one, entry=entry) for one, entry in zip(folder.deployed, halting, strict=True)]
    node = folder.node()
    tallies, others = folder.lanes["tallies"], folder.lanes["others"]
    breaks = list[list[str]]()

    def broken() -> None:
        breaks.append(break_it(monkeypatch, folder, place, ALWAYS, RuntimeError("it breaks here")))

    if place.name == "forget":  # which comes at once with the end of a lane; commits come before it as well
        broken()

    def halted() -> bool:
        if tallies.halted is not None and not breaks:
            broken()
        return tallies.halted is not None and others.halted is not None

    await run_until(node, halted)
    assert ["R710", "R710"] == [tallies.halted.code, others.halted.code]
    (raised,) = breaks
    assert raised, "the fault was met"


class Successor:
    """A build of the tallies that will replace the serving one."""

    def __init__(self, folder: Folder, serve: Callable[[], None]) -> None:
        self.store = MemoryLaneStore()
        (deployed,) = (one for one in folder.deployed if one.entry.view_type == "tallies")
        self.lane = Lane(deployed, self.store, build=2)
        self.node = folder.node([self.lane], lambda old: [Cutover(self.lane, old, serve)])


async def test_a_build_that_cannot_be_made_to_serve_halts_and_the_former_one_goes_on(folder):
    def serve() -> None:
        raise RuntimeError("it breaks here")

    successor = Successor(folder, serve)
    await run_until(successor.node, lambda: successor.lane.halted and folder.is_at_end)
    assert successor.lane.halted.message.startswith(
        "a fault of projection itself while replacing the former build for view type tallies"
    )
    assert folder.lanes["tallies"].halted is None
    assert folder.expected() == folder.found()
    served = list[str]()
    after = Successor(folder, lambda: served.append("yes"))
    await run_until(after.node, lambda: bool(served))


async def test_a_build_that_halts_while_the_end_of_the_log_is_looked_at_does_not_serve(folder, monkeypatch):
    served = list[str]()
    successor = Successor(folder, lambda: served.append("yes"))
    former = folder.lanes["tallies"]
    former.halted = StorageError("it cannot be folded on")
    asked = MemoryFeed.caught_up

    async def caught_up(feed) -> bool:
        found = await asked(feed)
        if found and successor.lane.halted is None:
            successor.lane.halted = StorageError("it halts here")
        return found

    monkeypatch.setattr(MemoryFeed, "caught_up", caught_up)
    await run_until(successor.node, lambda: successor.lane.halted is not None)
    assert [] == served


async def test_a_catalog_that_cannot_be_written_delays_the_switch(folder, logged):
    tries = list[str]()

    def serve() -> None:
        tries.append("one more")
        if len(tries) < 3:
            raise StorageError("the disk is full", code="storage.full")

    successor = Successor(folder, serve)
    await run_until(successor.node, lambda: len(tries) == 3)
    told = [(line["at"], line["reason"]) for line in logged if line["event"] == "trouble"]
    assert [("new build of view type tallies", "the disk is full")] == told
    assert successor.lane.halted is None
    assert "new build of view type tallies" not in successor.node.health.troubles()


async def test_the_watchdog_outlives_its_own_faults(logged):
    def changed() -> None:
        raise RuntimeError("it breaks here")

    async with Watchdog(0.05, changed) as watchdog:
        for _ in range(2):
            watchdog.held_up = True
            async with asyncio.timeout(WITHIN_S):
                while watchdog.held_up:  # noqa: ASYNC110 - its next beat
                    await asyncio.sleep(0.01)
    told = [line for line in logged if line["event"] == "a fault of projection itself"]
    assert ["watching over the event loop"] * 2 == [line["doing"] for line in told]


async def test_those_who_wait_for_a_lane_are_told_whatever_it_fails_with():
    def scanned() -> int:
        looks.append(None)
        if len(looks) > 1:
            raise RuntimeError("it breaks here")
        return 0

    looks = list[None]()
    with pytest.raises(RuntimeError, match="it breaks here"):
        await LaneWatch(scanned, 0.001).beyond(1, WITHIN_S)


async def test_a_task_that_nobody_asks_for_its_end_is_logged_as_a_fault(logged):
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(log_lost_fault)
    try:
        task = loop.create_task(_fails())
        await asyncio.wait({task})
        del task
        gc.collect()
    finally:
        loop.set_exception_handler(before)
    (told,) = [line for line in logged if line["event"] == "a fault of projection itself"]
    assert "RuntimeError('it breaks here')" == told["error"]
    assert "in _fails" in told["at"]


async def _fails() -> None:
    raise RuntimeError("it breaks here")
