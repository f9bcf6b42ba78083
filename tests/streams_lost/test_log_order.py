"""Each lane folds in the log's order, whatever goes on beside it.

A view of each tenant takes all of that tenant's events, and records their sequences as they are folded.
"""

from __future__ import annotations

import asyncio
import os
import random
from secrets import randbits
from typing import TYPE_CHECKING

import nats
import pytest
from lost_support import (
    Commits,
    at,
    consumers,
    held,
    noted_at,
    recorded,
    recorders,
    records,
    running,
)
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node_support import Site


TENANTS = ("a", "b", "c", "ab")
TINY = {"batch": 7, "linger_ms": 1}


def spread(dice: random.Random, count: int) -> list[bytes]:
    """Events of all tenants, each for the view of all and for two others."""
    return [
        noted_at("all", f"v{dice.randrange(5)}", f"w{dice.randrange(40)}", tenant=dice.choice(TENANTS))
        for _ in range(count)
    ]


def seeded() -> random.Random:
    seed = int(os.environ.get("ORDER_SEED") or randbits(32))
    print(f"ORDER_SEED={seed}")
    return random.Random(seed)


async def publish_at_once(site: Site, dice: random.Random, publishers: int, each: int) -> int:
    """Several clients, each with many messages under way; the end of the log."""

    async def publisher(events: Sequence[bytes]) -> None:
        async with await nats.connect(site.url) as client:
            jetstream = client.jetstream()
            for cut in range(0, len(events), 20):
                await asyncio.gather(
                    *(jetstream.publish(site.subject_of(event), event) for event in events[cut : cut + 20])
                )

    await asyncio.gather(*(publisher(spread(dice, each)) for _ in range(publishers)))
    return (await site.jetstream.stream_info(site.stream)).state.last_seq


@pytest.mark.parametrize("back_pressure", [TINY, {"batch": 200}, {}], ids=["tiny batches", "small ones", "large ones"])
async def test_publishers_lanes_tenants_and_batches_side_by_side(site: Site, back_pressure: dict[str, int]) -> None:
    dice = seeded()
    deployed = recorders(site, "one", "two", "three", "four")
    async with site.node(deployed, back_pressure=back_pressure) as node, running(node) as reading:
        commits = [Commits(lane) for lane in node.lanes]
        commits[1].seconds = 0.002
        last = await publish_at_once(site, dice, publishers=4, each=300)
        await at(node, last, reading)
        expected = recorded(await held(site))
        for lane in node.lanes:
            assert expected == records(lane)
        assert all(sequences == sorted(sequences) for sequences in expected.values())
        assert {(tenant, "all") for tenant in TENANTS} <= expected.keys()
        assert all(one.are_a_chain for one in commits)


async def test_a_lane_that_leaves_the_shared_reading_and_joins_it_again_while_more_comes(site: Site) -> None:
    dice, published = seeded(), asyncio.Event()
    deployed = recorders(site, "quick", "slow")

    async def publish_on() -> None:
        while not published.is_set():
            await site.publish(spread(dice, 5))

    patient = {"batch": 50, "linger_ms": 1, "patience_ms": 50}
    async with site.node(deployed, back_pressure=patient) as node, running(node) as reading:
        quick, slow = sorted(node.lanes, key=lambda lane: lane.view_type)
        commits = Commits(slow)
        publishing = asyncio.create_task(publish_on())
        for _ in range(3):
            commits.may_go.clear()
            await eventually(lambda: reads_by(site, 2), reading)
            held_at = slow.position.scanned
            await eventually(lambda held_at=held_at: quick.position.scanned > held_at + 100, reading)
            commits.may_go.set()
            await eventually(lambda: reads_by(site, 1), reading)
            together = slow.position.scanned
            await eventually(lambda together=together: slow.position.scanned > together + 100, reading)
        published.set()
        await publishing
        await at(node, (await site.jetstream.stream_info(site.stream)).state.last_seq, reading)
        assert recorded(await held(site)) == records(slow) == records(quick)
        assert commits.are_a_chain


async def reads_by(site: Site, count: int) -> bool:
    """Whether the node reads by so many consumers."""
    return count == len(await consumers(site))
