"""The two ways in which a shared or a reopened consumer loses events, and that no event is lost here.

Each test first lets stock nats-py lose them on the same server. Should a server come that does not, the test says so.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import nats
import pytest
from lost_support import (
    Commits,
    at,
    consumers,
    elsewhere,
    everything,
    held,
    recorded,
    recorders,
    records,
    records_in,
    running,
    some,
)
from nats.js.api import AckPolicy, ConsumerConfig
from patience import WITHIN_S, eventually

from projection.errors import ProjectionError, StreamError
from projection.model.ids import ViewType
from projection.query.reading import serving_reader
from projection.stream import node_name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from lost_support import Records
    from nats.aio.msg import Msg
    from nats.js.client import JetStreamContext
    from node_support import Site
    from structlog.typing import EventDict

    from projection.engine.deployment import DeployedView
    from projection.engine.node import Node

COUNT = 60
BACKLOG = 3_000
STEP = 1_000  # events by which a log grows
MANY = 12  # view types
DUE_AGAIN_S = 0.5  # after it was delivered and not acknowledged, once what must come first has come first


class Naive:
    """A view kept as everybody does at first: what is at or below the checkpoint was folded, so it is skipped."""

    def __init__(self) -> None:
        self.folded: list[int] = []
        self.checkpoint = 0

    async def commit(self, messages: list[Msg]) -> None:
        """Fold, save the checkpoint, acknowledge."""
        for message in messages:
            sequence = message.metadata.sequence.stream
            if sequence > self.checkpoint:
                self.folded.append(sequence)
                self.checkpoint = sequence
            await message.ack()

    @property
    def lost(self) -> list[int]:
        return sorted(set(range(1, COUNT + 1)) - set(self.folded))


async def durable(jetstream: JetStreamContext, site: Site, policy: AckPolicy) -> JetStreamContext.PullSubscription:
    config = ConsumerConfig(ack_policy=policy, ack_wait=WITHIN_S)
    return await jetstream.pull_subscribe(f"{site.stream}.>", "naive", stream=site.stream, config=config)


async def fetched_until_nothing_is_due(
    naive: Naive, reading: JetStreamContext.PullSubscription, jetstream: JetStreamContext, site: Site
) -> None:
    """Commit all that comes, what the server delivers anew as well."""
    config = (await jetstream.consumer_info(site.stream, "naive")).config
    config.ack_wait = DUE_AGAIN_S
    await jetstream.add_consumer(site.stream, config)
    async with asyncio.timeout(WITHIN_S):
        while True:
            info = await jetstream.consumer_info(site.stream, "naive")
            if info.num_pending == info.num_ack_pending == 0:
                return
            try:
                await naive.commit(await reading.fetch(10, timeout=DUE_AGAIN_S / 5))
            except TimeoutError:  # nothing came
                continue


async def test_two_replicas_on_one_consumer_lose_events_and_two_nodes_do_not(site: Site) -> None:
    events = some(COUNT)
    await site.publish(events)

    naive = Naive()  # both replicas write this one store
    async with await nats.connect(site.url) as client_a, await nats.connect(site.url) as client_b:
        a, b = client_a.jetstream(), client_b.jetstream()
        reading_a, reading_b = await durable(a, site, AckPolicy.ALL), await durable(b, site, AckPolicy.ALL)
        of_a, of_b = await reading_a.fetch(10), await reading_b.fetch(10)
        await naive.commit(of_b)
        await naive.commit(of_a)
        await fetched_until_nothing_is_due(naive, reading_a, a, site)
        await a.delete_consumer(site.stream, "naive")
    assert list(range(1, 11)) == naive.lost, "the naive way no longer loses what this test is about"

    deployed = recorders(site, "records", "again")
    async with site.node(deployed) as one, elsewhere(site, "b").node(deployed) as two:
        async with running(one) as reading_one, running(two) as reading_two:
            await at(one, COUNT, reading_one)
            await at(two, COUNT, reading_two)
        assert everything(one) == everything(two)
        assert recorded(await held(site)) == records(one.lanes[0])
        assert [COUNT, COUNT] == [consumer["ack_floor"]["stream_seq"] for consumer in await consumers(site)]


async def test_a_restart_within_the_ack_wait_loses_events_and_a_killed_node_does_not(site: Site) -> None:
    await site.publish(some(COUNT))

    naive = Naive()
    async with await nats.connect(site.url) as client:
        jetstream = client.jetstream()
        reading = await durable(jetstream, site, AckPolicy.EXPLICIT)
        delivered = await reading.fetch(20)
        await naive.commit(delivered[:10])
    async with await nats.connect(site.url) as client:  # the same process, started again
        jetstream = client.jetstream()
        reading = await durable(jetstream, site, AckPolicy.EXPLICIT)
        await fetched_until_nothing_is_due(naive, reading, jetstream, site)
        await jetstream.delete_consumer(site.stream, "naive")
    assert list(range(11, 21)) == naive.lost, "the naive way no longer loses what this test is about"

    recorders(site)
    seen: set[str] = set()  # names of consumers: each node has others
    consumer = {"num_ack_pending": 0, "name": ""}
    while not consumer["num_ack_pending"]:  # it was through before it could be killed
        await site.publish(some(BACKLOG))
        killed = started(site)
        try:
            await eventually(partial(has_more_than_is_acknowledged, site, seen))
        finally:
            killed.kill()
            killed.communicate()
        (consumer,) = (one for one in await consumers(site) if one["name"] not in seen)
        seen.add(consumer["name"])
    with serving_reader(site.data, ViewType("records")) as reader:
        assert reader.position().scanned < consumer["delivered"]["stream_seq"]
    again = started(site, "--until-caught-up")
    assert 0 == await asyncio.to_thread(again.wait, WITHIN_S), again.communicate()
    again.communicate()
    assert consumer["name"] in seen < {one["name"] for one in await consumers(site)}
    with serving_reader(site.data, ViewType("records")) as reader:
        assert recorded(await held(site)) == records_in(reader)


def started(site: Site, *options: str, **settings: str) -> subprocess.Popen[bytes]:
    """A node in a process of its own."""
    command = [sys.executable, "-m", "projection", "run", "--manifest", site.folder / "deployed" / "manifest.json"]
    command += ["--stream", site.stream, "--url", site.url, "--storage", site.data, *options]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")}
    return subprocess.Popen(
        command,
        cwd=site.folder,
        env={**own, "PROJECTION_BACK_PRESSURE__BATCH": "20", "PROJECTION_HTTP__LISTEN": "127.0.0.1:0", **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


async def has_more_than_is_acknowledged(site: Site, seen: set[str]) -> bool:
    """Whether the server has delivered what is not acknowledged, and something is acknowledged, by a new consumer."""
    new = [one for one in await consumers(site) if one["name"] not in seen]
    return any(one["num_ack_pending"] and one["ack_floor"]["consumer_seq"] for one in new)


# --- one name for two nodes ------------------------------------------------------------------------------------------


async def test_a_second_node_of_the_same_name_ends_with_a_clear_error_and_the_first_goes_on(site: Site) -> None:
    await site.publish(some(COUNT))
    deployed, replica = recorders(site), elsewhere(site, "b")
    async with site.node(deployed, node="twin") as first:
        async with running(first) as reading:
            await at(first, COUNT, reading)
            async with replica.node(deployed, node="twin") as second:
                with pytest.raises(StreamError) as told:
                    await asyncio.wait_for(second.run(), WITHIN_S)
                assert [0] == [lane.store.position().scanned for lane in second.lanes]
            assert "another node reads stream" in told.value.message
            assert "give each node its own node id" == told.value.hint
            last = await site.publish(some(10))
            await at(first, last, reading)
        assert recorded(await held(site)) == records(first.lanes[0])
        async with replica.node(deployed, node="own-name") as second:  # what the error says to do
            await asyncio.wait_for(second.run(until_caught_up=True), WITHIN_S)
            assert everything(first) == everything(second)


@pytest.fixture
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second node waits for less long until it knows that the first one lives."""
    monkeypatch.setattr(node_name, "EXPIRES_S", 1.0)


@pytest.mark.usefixtures("briefly")
async def test_a_second_node_of_the_same_name_ends_while_the_first_catches_up(site: Site) -> None:
    """The first is a process of its own, which is at the log without a pause until the second has ended."""
    log = LogAhead(site)
    await log.grow()
    deployed = recorders(site)
    first = started(site, PROJECTION_NODE="twin", PROJECTION_BACK_PRESSURE__PATIENCE_MS="0")
    try:
        await eventually(lambda: scanned_by(site) > 0, told=lambda: f"the first node ended with {first.poll()}")
        async with elsewhere(site, "b").node(deployed, node="twin") as second:
            with pytest.raises(StreamError, match="another node reads stream"):
                await log.while_growing(second.run(), lambda: scanned_by(site), lambda: first.poll() is None)
            assert [0] == [lane.store.position().scanned for lane in second.lanes]
        assert scanned_by(site) < log.last, "the first node had nothing to catch up with"
        await eventually(lambda: scanned_by(site) == log.last, told=lambda: f"the first node is at {scanned_by(site)}")
        assert first.poll() is None
        first.terminate()
        assert 0 == await asyncio.to_thread(first.wait, WITHIN_S)
    finally:
        first.kill()
        first.communicate()
    with serving_reader(site.data, ViewType("records")) as reader:
        assert recorded(await held(site)) == records_in(reader)


@pytest.mark.usefixtures("briefly")
async def test_a_second_node_of_the_same_name_ends_while_many_view_types_of_the_first_read_by_themselves(
    site: Site, logged: list[EventDict]
) -> None:
    """Without patience, each lane whose store is slow leaves the others, and comes back later: consumers come and go."""
    log = LogAhead(site)
    await log.grow()
    deployed = recorders(site, *(f"records_{number}" for number in range(MANY)))
    async with site.node(deployed, node="twin", back_pressure={"batch": 20, "patience_ms": 0}) as first:
        stores = [Commits(lane) for lane in first.lanes]
        for number, store in enumerate(stores):
            store.seconds = 0.2 * (number % 2)
        async with running(first) as reading:
            await at(first, 1, reading)
            async with elsewhere(site, "b").node(deployed, node="twin") as second:
                with pytest.raises(StreamError, match="another node reads stream"):
                    await log.while_growing(second.run(), lambda: lowest(first), lambda: not reading.done())
                assert [0] * MANY == [lane.store.position().scanned for lane in second.lanes]
            alone = [line["view_type"] for line in logged if line["event"] == "a view type goes on by itself"]
            assert MANY // 2 <= len(set(alone)), "no view type read by itself"
            assert lowest(first) < log.last, "the first node had nothing to catch up with"
            for store in stores:
                store.seconds = 0.0
            await at(first, log.last, reading)
        expected = recorded(await held(site))
        assert all(expected == records(lane) for lane in first.lanes)


class LogAhead:
    """A log that grows for as long as somebody must not come to its end."""

    def __init__(self, site: Site) -> None:
        self.last = 0
        self._site = site

    async def grow(self) -> None:
        self.last = await self._site.publish(some(STEP, views=50))

    async def while_growing(
        self, running: Coroutine[object, object, object], scanned: Callable[[], int], lives: Callable[[], bool]
    ) -> None:
        """Wait for one node to end, and keep the log ahead of where the other one is, which must live on."""
        task = asyncio.ensure_future(running)

        async def has_ended() -> bool:
            assert lives(), "the first node ended"
            if self.last - scanned() < STEP // 2:
                await self.grow()
            return task.done()

        try:
            await eventually(has_ended)
        except BaseException:
            task.cancel()
            raise
        await task


def lowest(node: Node) -> int:
    """How far the hindmost of a node's lanes has come."""
    return min(lane.scanned for lane in node.lanes)


def scanned_by(site: Site) -> int:
    """How far a node in another process has come; 0 where it has not begun."""
    try:
        with serving_reader(site.data, ViewType("records")) as reader:
            return reader.position().scanned
    except ProjectionError:
        return 0


async def test_two_nodes_of_one_name_lose_nothing_however_often_they_are_started_again(site: Site) -> None:
    last = await site.publish(some(10 * COUNT))
    deployed = recorders(site)
    fighters = (site, elsewhere(site, "b"))
    one, two = await asyncio.gather(*(started_again(fighter, deployed, last) for fighter in fighters))
    assert recorded(await held(site)) == one == two


async def started_again(site: Site, deployed: tuple[DeployedView, ...], last: int) -> Records:
    """What a node under a patient supervisor recorded."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            async with site.node(deployed, node="twin", back_pressure={"batch": 20}) as node:
                with suppress(StreamError):
                    await node.run(until_caught_up=True)
                if node.lanes[0].store.position().scanned == last:
                    return records(node.lanes[0])
