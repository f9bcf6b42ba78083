"""A log that has lost messages: told at the start, and no new build serves that has seen fewer than its former one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from engine_support import CORRECTED, added, broken, deploy, envelope, totals
from node_support import WITHIN_S

from projection.engine.cutover import Cutover, FewerMessagesError, fewer_messages
from projection.engine.inventory import build_states
from projection.model.checkpoint import LanePosition
from projection.model.ids import ViewType
from projection.stream.jetstream import StreamConfig
from projection.stream.losses import losses

TALLY = ViewType("tallies")
KEEPS_ALL = {"deny_delete": True, "deny_purge": True}


async def folded_with_holes(site: Any) -> None:
    """A build that has seen all of a log of which the stream keeps the last message of each aggregate."""
    await site.create_anew(max_msgs_per_subject=1, **KEEPS_ALL)
    first = deploy(site.folder / "1", template=site.template)
    await site.publish([envelope("Added", {"id": "z", "n": 1}, aggregate_id="another")])  # the log still has its start
    for number in range(5):  # one by one, for each removes the one before it
        await site.publish([added("xy"[number % 2])])
        await site.catch_up(first)


async def test_a_new_build_that_saw_fewer_messages_does_not_serve_unless_that_is_accepted(site, logged):
    await folded_with_holes(site)
    second = deploy(site.folder / "2", CORRECTED, template=site.template)
    async with site.node(second, new_build=True) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        (refused,) = node.health.refused
        assert 1 == site.catalog.serving(TALLY).number
    assert (
        "build 2 of view type tallies has seen 2 messages of the log, and the build that answers 6" in refused.message
    )
    assert refused.message in [line.get("reason") for line in logged]
    async with site.node(second) as node:  # nor the next time
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        assert (1, 1) == (len(node.health.refused), site.catalog.serving(TALLY).number)
        states = [(one.build.number, one.state, one.why) for one in build_states(site.catalog, TALLY)]
        assert [(1, "answers", None), (2, "waits", f"fewer_messages: {refused.message}")] == states
    async with site.node(second, accept_fewer_messages=True) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        assert ([], 2) == (node.health.refused, site.catalog.serving(TALLY).number)
        assert {("a", "x"): 1, ("a", "z"): 1} == totals(node.lanes[0].store)


async def test_a_new_build_that_saw_all_messages_serves_also_where_its_program_takes_fewer_of_them(site):
    await site.publish([added("x"), broken("x"), added("y")] * 20)
    await site.catch_up(deploy(site.folder / "1", template=site.template))
    fewer = CORRECTED.replace("event Added", "event Other").replace("on Added", "on Other")
    async with site.node(deploy(site.folder / "2", fewer, template=site.template), new_build=True) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        assert ([], 2) == (node.health.refused, site.catalog.serving(TALLY).number)
        assert [60] == [lane.position.messages for lane in node.lanes]


async def test_each_view_type_counts_the_messages_of_its_own_subjects_however_it_reads_them(site):
    """Through one shared reading, by itself, over restarts, and where its program takes none of them."""
    north = {"subjects": [f"{site.stream}.north.aggregate.*.*"]}
    events = [added("x", tenant="north"), added("y", tenant="south"), broken("z", tenant="south")]
    programs = {name: CORRECTED.replace("projection tallies", f"projection {name}") for name in ("tallies", "norths")}
    deployed = deploy(site.folder, programs, template=site.template, entries={"norths": north})
    for batch in (7, 100, 3):
        await site.publish(events * 10)
        async with site.node(deployed, back_pressure={"batch": batch}) as node:
            await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
            found = {lane.view_type: lane.position.messages for lane in node.lanes}
    assert {"norths": 30, "tallies": 90} == found


@pytest.mark.parametrize(
    ("new", "old", "refused"),
    [
        ((100, 50), (100, 50), False),
        ((100, 49), (100, 50), True),
        ((100, 51), (100, 50), False),
        ((110, 60), (100, 50), False),
        ((110, 55), (100, 50), None),  # the ten sequences that the new one is ahead hold five messages, or up to ten
        ((110, 49), (100, 50), True),
        ((100, None), (100, 50), False),
        ((100, 1), (100, None), False),
    ],
)
def test_builds_at_different_sequences_are_compared_once_that_is_certain(new, old, refused):
    lanes = [
        SimpleNamespace(
            position=LanePosition(scanned=scanned, messages=messages),
            scanned=scanned,
            messages=messages,
            halted=None,
            view_type=TALLY,
            build=2,
        )
        for scanned, messages in (new, old)
    ]
    found = fewer_messages(Cutover(*lanes, serve=lambda: None))
    assert refused == (True if isinstance(found, FewerMessagesError) else found)


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ({}, ["deny_delete=false", "deny_purge=false"]),
        (KEEPS_ALL, []),
        (KEEPS_ALL | {"max_msgs_per_subject": 1}, ["max_msgs_per_subject=1"]),
        (KEEPS_ALL | {"max_age": 3_600_000_000_000}, ["max_age=3600s"]),
        (KEEPS_ALL | {"max_msgs": 5, "max_bytes": 6}, ["max_msgs=5", "max_bytes=6"]),
        (KEEPS_ALL | {"max_msgs": 5, "max_bytes": 6, "discard": "new"}, []),
        (KEEPS_ALL | {"allow_msg_ttl": True}, ["allow_msg_ttl=true"]),
        (KEEPS_ALL | {"allow_rollup_hdrs": True, "deny_purge": False}, ["allow_rollup_hdrs=true", "deny_purge=false"]),
    ],
)
def test_each_setting_by_which_a_stream_loses_messages_is_named(config, settings):
    assert settings == [setting for setting, _ in losses(StreamConfig(**config))]


async def test_the_node_tells_at_its_start_what_the_server_says_of_the_stream(site, logged):
    await site.create_anew(max_msgs_per_subject=3, max_age=60_000_000_000, deny_delete=True)
    await site.catch_up(deploy(site.folder, template=site.template))
    told = [line["setting"] for line in logged if line["event"] == "the stream may lose events"]
    assert ["max_msgs_per_subject=3", "max_age=60s", "deny_purge=false"] == told
