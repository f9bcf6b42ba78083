"""A reading by itself, with feeds and stores in memory: who may join it, and what becomes of a store that does not read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from engine_support import Log, added, deploy, totals
from patience import WITHIN_MS, WITHIN_S

from projection.engine import breaker as breaker_module
from projection.engine import reading as reading_module
from projection.engine import sharing as sharing_module
from projection.engine.committer import Committer, Workshop
from projection.engine.lane import Lane
from projection.engine.reading import Reading
from projection.engine.tracing import UNTRACED
from projection.engine.unhandled import Unhandled
from projection.errors import StorageError, StreamError, StreamIdentityError
from projection.model.settings import BackPressure
from projection.store.memory import MemoryLaneStore
from projection.stream.port import Batch

if TYPE_CHECKING:
    from projection.model.checkpoint import LanePosition

EVENTS = 20


class OneByOne:
    """A feed that hands over the messages of a log behind a sequence, each in a batch of its own."""

    identity = trouble = left = None
    openings = 1

    def __init__(self, log: Log, scanned: int) -> None:
        self._left = log.messages[scanned:]

    async def check(self, position: object) -> None:
        pass

    async def next_batch(self) -> Batch | None:
        await asyncio.sleep(0)
        if not self._left:
            return None
        message = self._left.pop(0)
        return Batch([message], message.sequence, message.time)

    async def acknowledge(self, sequence: int) -> None:
        pass


class ForgetfulStore(MemoryLaneStore):
    """Cannot be read so many times, and then again."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def get(self, encoded: bytes) -> bytes | None:
        if self.failures:
            self.failures -= 1
            raise StorageError("the disk does not read", code="storage.io")
        return super().get(encoded)


class TheHost:
    """A node that notes what its reading tells it."""

    def __init__(self, **back_pressure: int) -> None:
        self.workshop = Workshop(3, 1.0)
        self.back_pressure = BackPressure(**back_pressure)
        self.stopping = asyncio.Event()
        self.wants_ends = False
        self.unhandled = Unhandled(list)
        self.tracing = UNTRACED
        self.detached: list[Committer] = []
        self.halted: list[Lane] = []
        self.reading: Reading | None = None
        self.troubles: list[str | None] = []

    def detach(self, member: Committer, reason: str, told: dict[str, Any] | None = None) -> None:
        self.detached.append(member)

    def halt(self, lane: Lane, error: Exception, doing: str, told: dict[str, Any] | None = None) -> None:
        self.halted.append(lane)

    def changed(self) -> None:
        if self.reading is None:
            return
        trouble = self.reading.trouble
        if self.troubles[-1:] != [trouble and trouble.message]:
            self.troubles.append(trouble and trouble.message)
        if self.reading.position == EVENTS:
            self.stopping.set()

    async def run(self, log: Log, *stores: MemoryLaneStore, deployed) -> list[Lane]:
        lanes = [Lane(deployed[0], store) for store in stores]
        members = [Committer(lane, self.workshop) for lane in lanes]
        self.reading = Reading(OneByOne(log, 0), members, self)
        await asyncio.wait_for(self.reading.run(), WITHIN_S)
        for member in members:
            await member.settle()
            member.lane.commit(None)
        self.workshop.close()
        return lanes


@pytest.mark.parametrize("lanes", [1, 4])
async def test_a_batch_is_committed_after_so_much_work_of_its_own_for_each_of_its_lanes(tmp_path, monkeypatch, lanes):
    """Neither the lanes beside one nor the turns of others make commits smaller, of which each costs the same."""
    now, per_slice, count = 0.0, 5, 500
    commits: list[int] = []
    log, host = Log(*(added("x") for _ in range(count))), TheHost(work_ms=250, patience_ms=WITHIN_MS)

    async def all_at_once(feed: OneByOne) -> Batch | None:
        messages, feed._left = feed._left, []
        return Batch(messages, count, messages[-1].time) if messages else None

    class Turn:
        async def __aenter__(self) -> None:
            nonlocal now
            now += 10.0  # others have it meanwhile

        async def __aexit__(self, *_: object) -> None:
            pass

    def fold_some(reading: Reading, messages, start: int):
        nonlocal now
        now += 0.0625
        if start + per_slice >= count:
            host.stopping.set()
        return min(start + per_slice, count), None

    async def commit(reading: Reading, **_: object) -> None:
        commits.append(reading.position)

    monkeypatch.setattr(reading_module, "perf_counter", lambda: now)
    monkeypatch.setattr(OneByOne, "next_batch", all_at_once)
    monkeypatch.setattr(Reading, "_fold_some", fold_some)
    monkeypatch.setattr(Reading, "_commit", commit)
    monkeypatch.setattr(Reading, "_spare_the_others", lambda _: None)
    monkeypatch.setattr(host.workshop, "turn", Turn())
    await host.run(log, *(MemoryLaneStore() for _ in range(lanes)), deployed=deploy(tmp_path))
    after = per_slice * (5 if lanes == 1 else 17)  # the first slice beyond 250 ms for each lane
    assert [*range(after, count, after)] == commits[: (count - 1) // after]


@pytest.mark.parametrize("behind", [1, 4, 10])
async def test_a_guest_comes_to_where_the_others_stand_before_it_is_let_in(tmp_path, behind):
    deployed = deploy(tmp_path)
    log = Log(*(added("x") for _ in range(EVENTS)))
    host = TheHost(patience_ms=WITHIN_MS)

    def reading(scanned: int) -> Reading:
        lane = Lane(deployed[0], MemoryLaneStore())
        for message in log.messages[:scanned]:
            lane.move_to(message.sequence, message.time)
        return Reading(OneByOne(log, scanned), [Committer(lane, host.workshop)], host)

    shared, guest = reading(10), reading(10 - behind)
    running = asyncio.create_task(guest.run())
    shared.invite(guest)
    await asyncio.wait_for(shared._let_guests_in(), WITHIN_S)
    await asyncio.wait_for(running, WITHIN_S)
    first, joined = (member.lane for member in shared.members)
    assert [] == guest.members
    assert shared.position == first.scanned == 10 <= joined.scanned
    joined.commit(None)
    assert {("a", "x"): joined.scanned - (10 - behind)} == totals(joined.store)
    host.workshop.close()


async def test_a_lane_by_itself_takes_the_event_again_once_its_store_can_be_read_and_is_well_then(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(breaker_module, "FIRST_PAUSE_S", 0.001)
    log, host = Log(*(added(f"v{number}") for number in range(EVENTS))), TheHost()
    (lane,) = await host.run(log, ForgetfulStore(3), deployed=deploy(tmp_path))
    assert {("a", f"v{number}"): 1 for number in range(EVENTS)} == totals(lane.store)
    assert ["the disk does not read", None] == host.troubles
    assert [] == host.detached


async def test_among_others_a_lane_whose_store_cannot_be_read_parts_where_it_stands(tmp_path):
    log, host = Log(*(added(f"v{number}") for number in range(EVENTS))), TheHost()
    sound, detached = await host.run(log, MemoryLaneStore(), ForgetfulStore(1), deployed=deploy(tmp_path))
    assert [detached] == [member.lane for member in host.detached]
    assert (EVENTS, 0) == (sound.scanned, detached.scanned)
    assert {("a", f"v{number}"): 1 for number in range(EVENTS)} == totals(sound.store)


async def test_a_lane_that_parts_for_two_reasons_at_once_parts_once(tmp_path, monkeypatch):
    """Its program takes most of the time, and its store cannot be read."""
    monkeypatch.setattr(sharing_module, "_GAS_S", 1e9)  # whatever is used is more than there was time for
    log, host = Log(*(added(f"v{number}") for number in range(EVENTS))), TheHost(patience_ms=WITHIN_MS)
    light, heavy = MemoryLaneStore(), ForgetfulStore(0)
    deployed = deploy(tmp_path)
    get = heavy.get

    def fail_at_the_tenth(encoded: bytes) -> bytes | None:
        if encoded.endswith(b":v9"):
            host.reading._window = 0.0, {member.lane: member.lane.gas for member in host.reading.members}
            host.reading.members[1].lane.gas += 1_000
            raise StorageError("the disk does not read", code="storage.io")
        return get(encoded)

    monkeypatch.setattr(heavy, "get", fail_at_the_tenth)
    first, second = await host.run(log, light, heavy, deployed=deployed)
    assert [second] == [member.lane for member in host.detached]
    assert (EVENTS, 9) == (first.scanned, second.scanned)


async def test_a_lane_that_is_ahead_of_a_log_that_was_made_anew_halts_and_takes_nothing_of_it(tmp_path):
    """The feed was opened where the lowest lane stands, and that one's place is fine."""
    log, host, deployed = Log(*(added("x") for _ in range(EVENTS))), TheHost(), deploy(tmp_path)

    class MadeAnew(OneByOne):
        async def check(self, position: LanePosition) -> None:
            if position.scanned == 5:
                raise StreamIdentityError("it is not the log that was read")

    low, ahead = (Committer(Lane(deployed[0], MemoryLaneStore()), host.workshop) for _ in range(2))
    ahead.lane.move_to(5)
    host.reading = Reading(MadeAnew(log, 0), [low, ahead], host)
    await asyncio.wait_for(host.reading.run(), WITHIN_S)
    await low.settle()
    assert [ahead.lane] == host.halted
    assert (EVENTS, 5) == (low.lane.scanned, ahead.lane.scanned)
    assert ({("a", "x"): EVENTS}, {}) == (totals(low.lane.store), totals(ahead.lane.store))
    host.workshop.close()


async def test_a_log_that_cannot_be_held_against_the_lanes_is_a_trouble_until_it_can(tmp_path):
    """What was read waits for that answer: a node that said nothing would stand still and seem well."""
    log, host, deployed = Log(*(added("x") for _ in range(EVENTS))), TheHost(), deploy(tmp_path)

    class Silent(OneByOne):
        failures = 2

        async def check(self, position: LanePosition) -> None:
            if self.failures:
                self.failures -= 1
                raise StreamError("no answer")

    member = Committer(Lane(deployed[0], MemoryLaneStore()), host.workshop)
    host.reading = Reading(Silent(log, 0), [member], host)
    await asyncio.wait_for(host.reading.run(), WITHIN_S)
    await member.settle()
    assert ["no answer", None] == host.troubles[-2:]
    assert {("a", "x"): EVENTS} == totals(member.lane.store)
    host.workshop.close()
