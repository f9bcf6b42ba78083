"""A lane that read by itself joins others only where it stands no lower than they do."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from engine_support import Log, added, deploy, totals

from projection.engine.committer import Committer, Workshop
from projection.engine.lane import Lane
from projection.engine.reading import Reading
from projection.model.settings import BackPressure
from projection.store.memory import MemoryLaneStore
from projection.stream.port import Batch

WITHIN_S = 30


class OneByOne:
    """A feed that hands over the messages of a log behind a sequence, each in a batch of its own."""

    identity = trouble = None
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


@pytest.mark.parametrize("behind", [1, 4, 10])
async def test_a_guest_comes_to_where_the_others_stand_before_it_is_let_in(tmp_path, behind):
    deployed = deploy(tmp_path)
    log = Log(*(added("x") for _ in range(20)))
    workshop = Workshop(2, 1.0)
    host = SimpleNamespace(
        workshop=workshop,
        back_pressure=BackPressure(patience_ms=WITHIN_S * 1_000),
        stopping=asyncio.Event(),
        wants_ends=False,
        changed=lambda: None,
    )

    def reading(scanned: int) -> Reading:
        lane = Lane(deployed[0], MemoryLaneStore())
        for message in log.messages[:scanned]:
            lane.move_to(message.sequence, message.time)
        return Reading(OneByOne(log, scanned), [Committer(lane, workshop)], host)

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
    workshop.close()
