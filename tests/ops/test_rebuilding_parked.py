"""View types folded anew under live events, where the old build parks events, or the new one does, or both."""

from __future__ import annotations

import asyncio

import pytest
from ops_support import PROGRAM, fine, served
from patience import eventually
from test_live_operations import FINES, ordered, read_all_along, serving
from test_promotion import deployed_with, is_a_replay, waits

LENIENT = PROGRAM.replace("when e.n < 0 =>", "when e.n < -100 =>")
STRICT = PROGRAM.replace("when e.n < 0 =>", "when e.n < 0 or e.n == 5 =>")
OTHERS = PROGRAM.replace("when e.n < 0 =>", "when e.n == 5 =>")
EVENTS = [
    fine("b", 3),
    fine("a", 1),
    fine("a", -1),
    fine("a", 2),
    fine("c", 5),
    fine("d", -7),
    fine("d", 5),
    fine(7, 1),
]
LIVE = [fine("e", -2), fine("e", 4), fine("f", 5), fine("a", 6), fine("c", -3), fine(8, 1), fine("g", 1)]
CASES = {  # what folds the old build and the new one, and what is parked in each at last
    "in neither": (LENIENT, LENIENT, 2, 2),
    "in the old": (PROGRAM, LENIENT, 10, 2),
    "in the new": (LENIENT, PROGRAM, 2, 10),
    "in both, the same": (PROGRAM, PROGRAM, 10, 10),
    "in both, and more in the new": (PROGRAM, STRICT, 10, 12),
    "in both, other ones": (PROGRAM, OTHERS, 10, 6),
}


async def parked_in(one):
    """How many events are parked in each build, once all that was published is folded."""
    last = max(lane.position.scanned for lane in one.node.lanes)
    await eventually(lambda: {last} == {lane.position.scanned for lane in one.node.lanes})
    return {lane.build: lane.parked for lane in one.node.lanes}


@pytest.mark.parametrize("case", CASES)
async def test_what_is_parked_in_the_old_the_new_or_both_is_parked_as_by_a_replay(
    case, nats_server, stream_name, tmp_path
):
    old, new, in_old, in_new = CASES[case]
    builds = {"retire_after_h": 24}
    async with served(nats_server.url, stream_name, tmp_path, EVENTS, programs={"fines": old}, builds=builds) as one:
        async with read_all_along(one):
            publishing = asyncio.create_task(one.site.publish(LIVE))
            if new == old:
                await ordered(one, "rebuild")
            else:
                await deployed_with(one, tmp_path, new)
            last = await publishing
            await eventually(lambda: all(lane.position.scanned >= last for lane in one.node.lanes))
            if in_new > in_old or case == "in both, other ones":
                held = await waits(one, "parked")
                assert "it parks what build 1 does not" in held.why
                assert 1 == serving(one)
                assert "--although-parked" in (await ordered(one, "promote", 409))["hint"]
                await ordered(one, "promote", although_parked=True)
            await eventually(lambda: serving(one) == 2)
        assert {1: in_old, 2: in_new} == await parked_in(one)
        is_a_replay(one, [*EVENTS, *LIVE])
        waiting = {each.view_id for each in one.node.roster.lane_of(FINES, 2).store.parked()}
        for view_id in "abcdefg":
            answer = await one.get(f"/v1/views/fines/{view_id}")
            is_degraded = (
                answer.status_code == 404 or answer.json()["degraded"]
            )  # there is none yet, or it lacks events
            assert (view_id in waiting) == is_degraded, view_id
        await ordered(one, "rollback")
        assert 1 == serving(one)
        await one.publish([fine("g", 2)])
        await parked_in(one)  # both have folded it
        is_a_replay(one, [*EVENTS, *LIVE, fine("g", 2)])
