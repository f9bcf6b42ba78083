"""What a running node knows of how fresh its views are, and whose stores it lends to queries."""

from __future__ import annotations

import asyncio
from time import time

from engine_support import added, deploy
from node_support import PATIENT_QUERIES
from patience import WITHIN_MS, WITHIN_S, eventually

from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.query_limits import QueryLimits
from projection.query.freshness import Wanted
from projection.query.service import Queries
from projection.query.serving import Serving

TALLIES = ViewType("tallies")
TENANT = TenantId("a")


async def test_an_idle_node_is_level_up_to_its_last_look_at_the_log(site):
    last = await site.publish([added("x"), added("x")])
    began = time()
    async with site.node(deploy(site.folder, template=site.template)) as node:
        (lane,) = node.lanes
        assert (1, None) == (lane.build, node.level_at(TALLIES, lane.build))
        running = asyncio.create_task(node.run())
        await eventually(lambda: (node.level_at(TALLIES, lane.build) or (0, 0))[0] == last, running)
        sequence, first = node.level_at(TALLIES, lane.build)
        assert (last, True) == (sequence, began <= first <= time())
        await eventually(lambda: node.level_at(TALLIES, lane.build)[1] > first, running)  # it looks again and again
        assert node.level_at(TALLIES, lane.build + 1) is None
        node.stop()
        await asyncio.wait_for(running, WITHIN_S)


async def test_reading_your_own_write_waits_until_it_is_committed_and_no_longer(site):
    deployed = deploy(site.folder, template=site.template)
    async with site.node(deployed) as node:
        queries = Queries(Serving(site.catalog, node.reader_of), QueryLimits(**PATIENT_QUERIES), node)
        running = asyncio.create_task(node.run())
        for number in range(1, 20):
            sequence = await site.publish([added("x", number)])
            answer = await queries.view(TENANT, TALLIES, ViewId("x"), Wanted(sequence, WITHIN_MS, None))
            assert answer.scanned >= sequence
            assert b'"events":%d' % number in bytes(answer.view)
        await eventually(lambda: (node.level_at(TALLIES, 1) or (0, 0))[0] == sequence, running)
        fresh = await queries.view(TENANT, TALLIES, ViewId("x"), Wanted(max_lag_s=WITHIN_S))
        assert fresh.lag_s is not None
        assert fresh.as_of is not None
        queries.close()
        assert node.lanes[0].store.position().scanned == sequence, "the node's store is the node's to close"
        node.stop()
        await asyncio.wait_for(running, WITHIN_S)
