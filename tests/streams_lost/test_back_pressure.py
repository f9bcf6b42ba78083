"""However much the log holds, and however slow a store is: memory is bounded, and the others go on.

What a node holds is counted by the server: what it has delivered and the node has not committed is in the node, or on
its way there.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import pytest
from engine_support import deploy, envelope
from lost_support import RECORDS, Commits, at, consumers, held, noted, recorded, recorders, records, running
from patience import eventually

from projection.engine import reading as reading_module
from projection.engine import sharing as sharing_module

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from node_support import Site

    from projection.engine.node import Node

MIB = 1024 * 1024
PATIENCE_S = 0.2


class Held:
    """How many messages a node holds at most, looked at all the time while something runs."""

    def __init__(self, site: Site, node: Node) -> None:
        self.most = 0
        self._site = site
        self._node = node

    async def look(self) -> int:
        """Delivered by all consumers together, and not committed by the lane that is furthest behind."""
        delivered = [one["delivered"]["stream_seq"] for one in await consumers(self._site)]
        committed = min(lane.position.scanned for lane in self._node.lanes)  # asked last: it only grows
        now = max(delivered, default=0) - committed
        self.most = max(self.most, now)
        return now

    async def look_at_all(self) -> int:
        """Delivered to lanes that read by themselves, of which none commits."""
        shared_last = sorted(one["delivered"]["consumer_seq"] for one in await consumers(self._site))
        alone = shared_last[:-1]
        self.most = max(self.most, sum(alone))
        return sum(alone)

    async def until(self, condition: Callable[[], bool], task: asyncio.Task[object]) -> None:
        async def looked() -> bool:
            await self.look()
            return condition()

        await eventually(looked, task)


def texts(count: int, size: int, views: int = 3) -> list[bytes]:
    """Events of so many bytes."""
    bare = len(noted("v0", text=""))
    return [noted(f"v{number % views}", text="x" * (size - bare)) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "size", "batch_bytes"),
    [(8_000, 250, 65_536), (1_000, 10_000, 400_000), (24, MIB, 2 * MIB)],
    ids=["small messages", "middling ones", "of one MiB"],
)
async def test_a_backlog_much_larger_than_the_buffers(site: Site, count: int, size: int, batch_bytes: int) -> None:
    events = texts(count, size, views=200)
    await site.publish(events)
    back_pressure = {"batch_bytes": batch_bytes, "in_flight": 2}
    async with site.node(recorders(site), back_pressure=back_pressure) as node:
        commits = Commits(node.lanes[0])
        commits.may_go.clear()
        async with running(node) as reading:
            counted = Held(site, node)
            await still(counted.look)
            commits.may_go.set()
            await counted.until(lambda: node.lanes[0].position.scanned == count, reading)
        print(f"at most {counted.most} messages, {counted.most * size / batch_bytes:.1f} times the bytes of a batch")
        assert counted.most * size <= 4 * batch_bytes + 4 * size
        assert counted.most < count / 2
        assert recorded(enumerate(events, 1)) == records(node.lanes[0])


async def still(look: Callable[[], Awaitable[int]]) -> None:
    """Wait until the node takes no more, for its store does not."""
    before, since = 0, monotonic()

    async def is_still() -> bool:
        nonlocal before, since
        now = await look()
        if now != before:
            before, since = now, monotonic()
        return now > 0 and monotonic() - since > 0.5

    await eventually(is_still)


@pytest.mark.parametrize("phase", ["writing", "waiting for the disk"])
async def test_a_lane_whose_store_does_not_answer_does_not_hold_the_others_up_for_good(site: Site, phase: str) -> None:
    count = 3_000
    await site.publish(texts(count, 250, views=30))
    deployed = recorders(site, "quick", "stuck")
    back_pressure = {"batch": 100, "linger_ms": 1, "patience_ms": int(1000 * PATIENCE_S)}
    async with site.node(deployed, back_pressure=back_pressure) as node:
        quick, stuck = sorted(node.lanes, key=lambda lane: lane.view_type)
        held_up = Commits(stuck)
        held_up.before = phase == "writing"
        held_up.may_go.clear()
        async with running(node) as reading:
            counted = Held(site, node)
            await counted.until(lambda: quick.position.scanned == count, reading)
            assert stuck.position.scanned < count
            held_up.may_go.set()
            await at(node, count, reading)
        assert recorded(await held(site)) == records(quick) == records(stuck)


async def test_many_stuck_lanes_do_not_hold_up_the_one_that_is_well(site: Site) -> None:
    await site.publish(texts(500, 250))
    names = [f"stuck{number}" for number in range(6)]
    back_pressure = {"batch": 100, "linger_ms": 1, "patience_ms": int(1000 * PATIENCE_S)}
    async with site.node(recorders(site, "quick", *names), back_pressure=back_pressure) as node:
        quick, *stuck = sorted(node.lanes, key=lambda lane: lane.view_type)
        held_up = [Commits(lane) for lane in stuck]
        for one in held_up:
            one.may_go.clear()
        async with running(node) as reading:
            await eventually(lambda: quick.position.scanned == 500, reading)
            for one in held_up:
                one.may_go.set()
            await at(node, 500, reading)


async def test_lanes_that_read_by_themselves_hold_no_more_together_than_a_shared_reading(site: Site) -> None:
    size, batch_bytes, lanes = 10_000, 4 * MIB, 7
    await site.publish(texts(2_000, size, views=100))
    names = [f"stuck{number}" for number in range(lanes)]
    back_pressure = {"batch_bytes": batch_bytes, "linger_ms": 1, "patience_ms": 0}
    async with site.node(recorders(site, *names), back_pressure=back_pressure) as node:
        held_up = [Commits(lane) for lane in node.lanes]
        for one in held_up:
            one.may_go.clear()
        async with running(node) as reading:
            counted = Held(site, node)
            await still(counted.look_at_all)
            for one in held_up:
                one.may_go.set()
            await at(node, 2_000, reading)
    print(f"at most {counted.most} messages, {counted.most * size / batch_bytes:.1f} times the bytes of a batch")
    assert 0 < counted.most * size <= 4 * batch_bytes + 4 * lanes * size


HEAVY = """\
proj 1
projection heavy

event Noted { id: string, numbers: list<int>(200) }

view Heavy { events: int = 0, sum: int = 0 }

on Noted as e to e.id =>
  let heavy = view ?? {};
  heavy with { events += 1, sum: sum([count([b for b in e.numbers if b > a]) for a in e.numbers]) }
"""


async def test_a_lane_whose_program_works_long_does_not_hold_up_the_others_for_long(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on with the work alone: on a busy machine, the programs are not what takes the time."""
    count = 1_500
    numbers = list(range(200))
    await site.publish([envelope("Noted", {"id": "x", "numbers": numbers}) for _ in range(count)])
    programs = {"heavy": HEAVY, "quick": RECORDS.replace("projection records", "projection quick")}
    deployed = deploy(site.folder, programs, template=site.template, limits={"gas": 1_500_000})
    back_pressure = {"work_ms": 50, "linger_ms": 1, "patience_ms": int(1000 * PATIENCE_S)}
    async with site.node(deployed, back_pressure=back_pressure) as node, running(node) as reading:
        heavy, quick = sorted(node.lanes, key=lambda lane: lane.view_type)
        began, meanwhile = monotonic(), list[int]()
        monkeypatch.setattr(
            reading_module, "monotonic", lambda: began + (heavy.gas + quick.gas) * sharing_module._GAS_S
        )
        Commits(quick, lambda: meanwhile.append(heavy.position.scanned))
        await at(node, count, reading)
        assert meanwhile[-1] < count / 2
