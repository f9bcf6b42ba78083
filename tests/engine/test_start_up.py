"""A node that starts while something is wrong with the server or the stream: it serves what is stored, says why, and
reads as soon as it can."""

from __future__ import annotations

import asyncio
import re

import pytest
from broken_wire import NOWHERE, BrokenWire, Fault
from engine_support import added, deploy, totals
from node_support import WITHIN_S

from projection.errors import StreamError
from projection.model.ids import ViewType

POINTS = (
    "CONNECT ",
    "STREAM.INFO",
    "STREAM.MSG.GET",
    "CONSUMER.INFO",
    "CONSUMER.DELETE",
    "CONSUMER.CREATE",
    "MSG.NEXT",
)


async def until(condition, running) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            assert not running.done(), running.result()
            await asyncio.sleep(0.005)


async def reads_in_the_end(site, deployed, last, seen=lambda node: True):
    """Run a node until it is ready; what `seen` says must have been true of it before."""
    async with site.node(deployed) as node:
        assert not node.is_ready
        running = asyncio.create_task(node.run())
        await until(lambda: seen(node), running)
        await until(lambda: node.is_ready, running)
        assert last == node.lanes[0].position.scanned
        node.stop()
        await asyncio.wait_for(running, WITHIN_S)
        return totals(node.lanes[0].store)


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.NOBODY])
@pytest.mark.parametrize("point", POINTS)
async def test_whatever_request_is_lost_the_node_starts_and_reads(site, nats_server, point, fault):
    if (point, fault) == ("CONNECT ", Fault.NOBODY):
        fault = Fault.UNAUTHORIZED
    await site.publish([added("x")] * 10)
    deployed = deploy(site.folder, template=site.template)
    await site.catch_up(deployed)  # so that there is a consumer to delete, and a message to compare
    last = await site.publish([added("x")] * 10)
    times = 1 if point == "CONSUMER.INFO" else 2  # the name is claimed: while that is not answered, the node goes on
    async with BrokenWire(nats_server.url, point, fault, times) as wire:
        site.url = wire.url
        assert {("a", "x"): 20} == await reads_in_the_end(site, deployed, last)
        assert wire.has_struck


async def test_a_request_that_is_never_answered_delays_the_start_and_no_more(site, nats_server):
    last = await site.publish([added("x")] * 10)

    async def say_nothing(_delivery):
        pass

    await site.nats.subscribe(f"{NOWHERE.decode()}>", say_nothing)
    async with BrokenWire(nats_server.url, "STREAM.INFO", Fault.NOBODY) as wire:
        site.url = wire.url
        deployed = deploy(site.folder, template=site.template)
        assert {("a", "x"): 10} == await reads_in_the_end(
            site, deployed, last, lambda node: "does not answer" in node.health.troubles().get("stream", "")
        )


@pytest.mark.parametrize(
    ("point", "fault", "said"),
    [
        ("CONNECT ", Fault.UNAUTHORIZED, "no connection to a NATS server at .*: it refuses these credentials"),
        ("STREAM.INFO", Fault.FORBIDDEN, "Permissions Violation for Publish to .*STREAM.INFO"),
        ("CONSUMER.CREATE", Fault.FORBIDDEN, "Permissions Violation for Publish to .*CONSUMER.CREATE"),
        ("MSG.NEXT", Fault.FORBIDDEN, "was interrupted: Permissions Violation for Publish to .*MSG.NEXT"),
    ],
)
async def test_a_refusal_is_told_and_tried_again_for_it_may_be_taken_back(
    site, nats_server, point, fault, said, logged
):
    last = await site.publish([added("x")] * 10)
    async with BrokenWire(nats_server.url, point, fault, times=3) as wire:
        site.url = wire.url
        deployed = deploy(site.folder, template=site.template)
        assert {("a", "x"): 10} == await reads_in_the_end(site, deployed, last)
        assert wire.has_struck
    reasons = [one["reason"] for one in logged if one["event"] == "trouble" and one["at"] == "stream"]
    assert any(re.search(said, one, re.IGNORECASE) for one in reasons), reasons


async def test_a_stream_that_is_missing_is_waited_for(site):
    await site.jetstream._call(f"STREAM.DELETE.{site.stream}", {}, object)
    deployed = deploy(site.folder, template=site.template, start={"sequence": 2})
    async with site.node(deployed) as node:
        running = asyncio.create_task(node.run())
        await until(lambda: "there is no stream" in node.health.unready().get("stream", ""), running)
        assert "the stream has not been checked yet" == node.health.unready()["view type tallies"]
        await site.create()
        await site.publish([added("x")] * 3)
        await until(lambda: node.is_ready or node.lanes[0].halted, running)
        if node.lanes[0].halted is None:  # else the stream was seen while it was still empty
            assert {("a", "x"): 2} == totals(node.lanes[0].store)
        node.stop()
        await asyncio.wait_for(running, WITHIN_S)


async def test_what_is_stored_can_be_read_while_there_is_no_server(site):
    await site.publish([added("x")] * 10)
    deployed = deploy(site.folder, template=site.template)
    await site.catch_up(deployed)
    site.url = "nats://127.0.0.1:1"
    async with site.node(deployed) as node:
        running = asyncio.create_task(node.run())
        await until(lambda: "nothing listens there" in node.health.troubles().get("stream", ""), running)
        reader = node.reader_of(site.catalog.serving(ViewType("tallies")))
        assert {("a", "x"): 10} == totals(reader)
        assert not node.is_ready
        node.stop()
        await asyncio.wait_for(running, WITHIN_S)


async def test_with_until_caught_up_the_first_trouble_ends_it(site):
    deployed = deploy(site.folder, template=site.template)
    site.url = "nats://127.0.0.1:1"
    with pytest.raises(StreamError, match=r"no connection to a NATS server at nats://127\.0\.0\.1:1: nothing listens"):
        await site.catch_up(deployed)


async def test_a_node_that_is_stopped_while_it_waits_for_the_server_ends_at_once(site):
    deployed = deploy(site.folder, template=site.template)
    site.url = "nats://127.0.0.1:1"
    async with site.node(deployed) as node:
        running = asyncio.create_task(node.run())
        await until(node.health.troubles, running)
        node.stop()
        summary = await asyncio.wait_for(running, WITHIN_S)
    assert (0, False) == (summary.events, node.abandoned)
