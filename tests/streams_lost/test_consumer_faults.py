"""Whatever others do to the node's consumer: the chain of its sequences breaks, it is made anew, and no event is lost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from lost_support import (
    Commits,
    at,
    call,
    consumers,
    held,
    our_consumer,
    recorded,
    recorders,
    records,
    running,
    some,
)
from nats.aio.client import Client
from patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from node_support import Site

    from projection.engine.node import Node

COUNT = 3_000
SMALL = {"batch": 50, "linger_ms": 1}


@pytest.fixture
async def stranger(site: Site) -> AsyncIterator[Client]:
    """Somebody else on the server."""
    client = Client()
    await client.connect(site.url)
    yield client
    await client.close()


async def made_anew(site: Site, node: Node, before: dict[str, Any]) -> None:
    """The node reads by another consumer, and has folded all that the log holds, in order."""
    last = (await site.jetstream.stream_info(site.stream)).state.last_seq
    await eventually(lambda: node.lanes[0].position.scanned >= last)
    await eventually(partial(is_another, site, before))
    assert recorded(await held(site)) == records(node.lanes[0])


async def is_another(site: Site, before: dict[str, Any]) -> bool:
    """Whether the node's consumer is there, and not the one that it was."""
    return before["name"] not in [one["name"] for one in await consumers(site)] != []


async def test_a_consumer_that_is_deleted_again_and_again_in_mid_read(site: Site) -> None:
    await site.publish(some(COUNT))
    async with site.node(recorders(site), back_pressure=SMALL) as node, running(node) as reading:
        for mark in range(0, COUNT, COUNT // 5):
            await at(node, mark + 1, reading)
            consumer = await our_consumer(site)
            await call(site, f"CONSUMER.DELETE {consumer['name']}")
            await eventually(partial(is_another, site, consumer), reading)
        await made_anew(site, node, consumer)


async def test_somebody_else_who_pulls_from_the_consumer(site: Site, stranger: Client) -> None:
    """The server gives each message to one of them: the node finds holes in the chain."""
    await site.publish(some(10))
    async with site.node(recorders(site), back_pressure=SMALL) as node, running(node) as reading:
        await at(node, 10, reading)
        consumer = await our_consumer(site)
        pull = f"$JS.API.CONSUMER.MSG.NEXT.{site.stream}.{consumer['name']}"
        stolen = await stranger.subscribe("stolen.*")
        for number in range(50):  # waiting requests are served in turn
            await stranger.publish(pull, b'{"batch":1,"expires":5000000000}', reply=f"stolen.{number}")
        await stranger.flush()
        await site.publish(some(COUNT, first=10))
        await made_anew(site, node, consumer)
        assert 0 < stolen.pending_msgs


@pytest.mark.parametrize("verdict", [b"+ACK", b"-NAK", b"+TERM", b"+NXT"])
async def test_somebody_else_who_answers_for_the_node(site: Site, stranger: Client, verdict: bytes) -> None:
    """Acknowledgements decide nothing here; what the server delivers again because of them breaks the chain."""
    await site.publish(some(10))
    async with site.node(recorders(site), back_pressure=SMALL) as node, running(node) as reading:
        await at(node, 10, reading)
        consumer = await our_consumer(site)
        reply = f"$JS.ACK.{site.stream}.{consumer['name']}.1.{{0}}.{{0}}.1700000000000000000.0"
        for number in range(11, 211):  # of messages to come, as they will be delivered
            await stranger.publish(reply.format(number), verdict)
        await site.publish(some(200, first=10))
        for number in range(11, 211):
            await stranger.publish(reply.format(number), verdict)
        await stranger.flush()
        last = await site.publish(some(100, first=210))
        await at(node, last, reading)
        assert recorded(await held(site)) == records(node.lanes[0])


async def test_messages_delivered_again_after_a_short_ack_wait_are_folded_once(site: Site) -> None:
    await site.publish(some(10))
    async with site.node(recorders(site), back_pressure=SMALL) as node, running(node) as reading:
        await at(node, 10, reading)
        consumer = await our_consumer(site)
        await edit(site, consumer, ack_wait=100_000_000)
        commits = Commits(node.lanes[0])
        commits.may_go.clear()
        await site.publish(some(200, first=10))  # fewer than were asked for, so that pulls wait
        await eventually(partial(has_delivered_again, site, consumer), reading)
        commits.may_go.set()
        await made_anew(site, node, consumer)


async def has_delivered_again(site: Site, consumer: dict[str, Any]) -> bool:
    """Whether messages came twice, or had come twice before the consumer was made anew."""
    return any(one["name"] != consumer["name"] or one["num_redelivered"] > 0 for one in await consumers(site))


async def edit(site: Site, consumer: dict[str, Any], **change: object) -> None:
    """Change the consumer's configuration as an operator may."""
    config = {**consumer["config"], **change}
    await call(site, f"CONSUMER.CREATE {consumer['name']}", stream_name=site.stream, action="update", config=config)


@pytest.mark.parametrize(
    "change", [{"max_ack_pending": 10}, {"max_deliver": 1}, {"ack_wait": 1_000_000_000}, {"inactive_threshold": 10**9}]
)
async def test_an_edited_consumer(site: Site, change: dict[str, object]) -> None:
    await site.publish(some(10))
    async with site.node(recorders(site), back_pressure=SMALL) as node, running(node) as reading:
        await at(node, 10, reading)
        await edit(site, await our_consumer(site), **change)
        last = await site.publish(some(COUNT, first=10))
        await at(node, last, reading)
        assert recorded(await held(site)) == records(node.lanes[0])


async def test_a_consumer_that_is_paused_is_made_anew(site: Site) -> None:
    await site.publish(some(10))
    async with site.node(recorders(site), back_pressure=SMALL) as node, running(node) as reading:
        await at(node, 10, reading)
        consumer = await our_consumer(site)
        await call(site, f"CONSUMER.PAUSE {consumer['name']}", pause_until="2999-01-01T00:00:00Z")
        await site.publish(some(100, first=10))
        await made_anew(site, node, consumer)


async def test_a_consumer_edited_to_see_less_is_made_anew(site: Site) -> None:
    await site.publish(some(10))
    async with site.node(recorders(site), back_pressure=SMALL) as node, running(node) as reading:
        await at(node, 10, reading)
        consumer = await our_consumer(site)
        await edit(site, consumer, filter_subjects=[f"{site.stream}.a.aggregate.*.*"])
        await site.publish(some(100, first=10))
        await made_anew(site, node, consumer)
