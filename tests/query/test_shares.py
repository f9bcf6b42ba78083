"""Places for what is under way: no tenant takes all, and none is lost."""

from __future__ import annotations

import asyncio
import os
import random

import pytest
from sampling import SEED

from projection.model.ids import TenantId
from projection.query.errors import QueryBusyError
from projection.query.shares import Shares

NORTH, SOUTH = TenantId("north"), TenantId("south")


def taken_by(shares, tenant_id):
    """How many places a tenant gets that takes all it can."""
    count = 0
    while True:
        try:
            shares.take(tenant_id)
        except QueryBusyError:
            return count
        count += 1


@pytest.mark.parametrize("places", [1, 2, 3, 64, 256])
def test_a_tenant_that_takes_all_it_can_leaves_places_to_others(places):
    shares = Shares(places, "queries under way")
    assert (places + 1) // 2 >= taken_by(shares, NORTH) > 0
    assert places < 2 or taken_by(shares, SOUTH) > 0


def test_what_is_refused_says_whose_places_are_taken():
    shares = Shares(4, "queries under way")
    taken_by(shares, NORTH)
    with pytest.raises(QueryBusyError, match="2 of 2 queries under way are of this tenant; it may have as many as"):
        shares.take(NORTH)
    for name in ("a", "b"):
        shares.take(TenantId(name))
    with pytest.raises(QueryBusyError, match="all 4 slots for queries under way are in use"):
        shares.take(NORTH)


@pytest.mark.parametrize("seed", [f"{os.environ[SEED]}-{number}" for number in range(5)])
async def test_whoever_comes_goes_waits_or_is_canceled_no_place_is_lost_and_nobody_free_waits(seed):
    chance = random.Random(seed)
    places, tenants = chance.randint(1, 8), [TenantId(str(n)) for n in range(chance.randint(1, 5))]
    shares, held, most = Shares(places, "queries under way"), set(), 0

    async def ask(tenant_id):
        nonlocal most
        await shares.take_within(chance.choice((0.0, 0.001, 60.0)), tenant_id)
        held.add(asyncio.current_task())
        most = max(most, len(held))
        try:
            for _ in range(chance.randint(0, 5)):
                await asyncio.sleep(0)
        finally:
            held.discard(asyncio.current_task())
            shares.give_back(tenant_id)

    tasks = []
    for _ in range(200):
        tasks.append(asyncio.create_task(ask(chance.choice(tenants))))
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
        for _ in range(chance.randint(0, 2)):
            await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {None} >= {one for one in results if not isinstance(one, (QueryBusyError, asyncio.CancelledError))}
    assert (0, True) == (shares.taken, most <= places), seed
