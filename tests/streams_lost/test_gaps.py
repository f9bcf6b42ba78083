"""A stream some of whose sequences hold no message, at its start, in its middle and at its end: a node is as on any other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from engine_support import TENANCY, deploy
from lost_support import (
    RECORDS,
    at,
    call,
    caught_up,
    held,
    open_stream,
    recorded,
    recorders,
    records,
    running,
    some,
)
from patience import WITHIN_S, eventually

from projection.cli.inspect import _inspected
from projection.engine.replay import Replay
from projection.history.logs import StreamLog
from projection.model.ids import ViewType
from projection.stream.recorded import recorded_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from node_support import Site

COUNT = 60
GAPS = {
    "start": range(1, 11),
    "middle": range(20, 41),
    "end": range(51, COUNT + 1),
    "last": [COUNT],
    "everywhere": [1, 2, 5, *range(20, 31), 45, COUNT - 1, COUNT],
    "all": range(1, COUNT + 1),
}


async def stream_with_gaps(site: Site, gone: Iterable[int]) -> int:
    """A stream from which messages were deleted; where to begin to read it."""
    await open_stream(site)
    await site.publish(some(COUNT))
    for sequence in gone:
        await call(site, "STREAM.MSG.DELETE", seq=sequence)
    return (await site.jetstream.stream_info(site.stream)).state.first_seq


@pytest.mark.parametrize("where", GAPS)
async def test_a_node_folds_what_is_there_and_is_ready_at_the_end(site: Site, where: str) -> None:
    first = await stream_with_gaps(site, GAPS[where])
    deployed = recorders(site, start={"sequence": first})
    async with site.node(deployed) as node, running(node) as reading:
        await at(node, COUNT, reading)
        assert recorded(await held(site)) == records(node.lanes[0])
        await eventually(lambda: node.is_ready, reading)
        assert node.health.events_to_go is None
        last = await site.publish(some(5))
        await at(node, last, reading)
    for _ in range(2):
        assert recorded(await held(site)) == await caught_up(site, deployed)


@pytest.mark.parametrize("where", GAPS)
async def test_a_new_build_serves_once_it_has_seen_as_many_messages(site: Site, where: str) -> None:
    first = await stream_with_gaps(site, GAPS[where])
    await caught_up(site, recorders(site, start={"sequence": first}))
    second = deploy(
        site.folder / "2",
        {"records": RECORDS.replace("10000", "9000")},
        template=site.template,
        start={"sequence": first},
    )
    async with site.node(second, new_build=True) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        assert ([], 2) == (node.health.refused, site.catalog.serving(ViewType("records")).number)
        assert recorded(await held(site)) == records(node.lanes[0])
        assert len(await held(site)) == node.lanes[0].position.messages


@pytest.mark.parametrize("where", GAPS)
async def test_what_is_dumped_folds_to_the_same_digest(site: Site, where: str) -> None:
    first = await stream_with_gaps(site, GAPS[where])
    deployed = recorders(site, start={"sequence": first})
    log = StreamLog(site.nats, site.stream, "dump")
    lines = [recorded_line(one) async for batch in log.messages([">"], first - 1) for one in batch]
    replay = Replay(deployed, TENANCY)
    replay.run(lines)
    assert len(await held(site)) == len(lines)
    async with site.node(deployed) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        assert replay.digests() == {lane.view_type: str(lane.store.digest()) for lane in node.lanes}


@pytest.mark.parametrize("sample", [1, 20, 100])
@pytest.mark.parametrize("where", GAPS)
async def test_an_inspection_looks_at_each_message_once(site: Site, where: str, sample: int) -> None:
    await stream_with_gaps(site, GAPS[where])
    there = [sequence for sequence, _ in await held(site)]
    _, inspection = await _inspected(site.settings(), sample)
    looked_at = [message.sequence for message, _ in inspection.samples]
    assert looked_at == sorted(set(looked_at) & set(there))
    assert min(sample, len(there)) >= len(looked_at) >= min(sample // 2, len(there))
