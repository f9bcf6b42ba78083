"""A cluster that loses a server, in whatever way: the node goes on while that one is down, and no event is lost.

How soon is not asserted. That it is before the server is back is.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import product
from typing import TYPE_CHECKING

import pytest
from cluster import SIZE, Cluster, called, form, make_stream
from lost_support import at, held, recorded, recorders, records, running, some
from node_support import Site
from patience import eventually
from sampling import sampled

from projection.errors import StreamError
from projection.stream import connection as connection_module
from projection.stream.connection import Nats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

# The library forgets to close a connection on which a frozen server says nothing.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

HARMS = ("kill", "stop", "lame_duck", "pause", "isolate", "step_down")
ROLES = ("leader", "host", "connected")  # of the stream, of the consumer, of the node's connection
CASES = [*product(HARMS[:-1], ROLES), ("step_down", "leader")]  # only a leader can step down
BEFORE, MEANWHILE, AFTERWARDS = 300, 200, 100


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as formed:
        form(formed)
        yield formed


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen server is connected to, and says nothing: the next one is tried as soon as a node would."""
    monkeypatch.setattr(connection_module, "_CONNECT_S", 2.0)


@pytest.fixture
async def watcher(cluster: Cluster) -> AsyncIterator[Nats]:
    """Who publishes and asks, and mends what was harmed."""
    async with await Nats.connect(cluster.connection_by(cluster.to_loaders)) as nats:
        yield nats


@asynccontextmanager
async def made(cluster: Cluster, watcher: Nats, name: str, folder: Path, replicas: int) -> AsyncIterator[Site]:
    """A stream of so many copies; at the end it is gone, and the cluster whole."""
    site = Site(watcher, cluster.url, name, folder)
    await make_stream(site.jetstream, name, replicas)
    try:
        yield site
    finally:
        await cluster.mend(site.jetstream)
        await called(site.jetstream, f"STREAM.DELETE.{name}")


async def stored(site: Site, count: int) -> int:
    """Publish, whatever server is in charge by now; the log's end."""
    for event in some(count):
        await eventually(lambda event=event: published(site, event))
    return max(sequence for sequence, _ in await log_of(site))


async def published(site: Site, event: bytes) -> bool:
    """Whether an event is stored; it may be twice, where only the answer was lost."""
    try:
        await site.nats.request(site.subject_of(event), event, timeout_s=1)
    except StreamError:
        return False
    return True


async def log_of(site: Site) -> list[tuple[int, bytes]]:
    """What the log holds, as soon as the cluster says."""
    found: list[tuple[int, bytes]] = []

    async def is_told() -> bool:
        try:
            found[:] = await held(site)
        except StreamError:
            return False
        return True

    await eventually(is_told)
    return found


async def chosen(cluster: Cluster, site: Site, node, role: str) -> int:
    """The server with a role."""
    found: list[int | None] = []

    async def is_known() -> bool:
        (reading,) = node._subscriptions.readings
        match role:
            case "leader":
                found.append(await cluster.leader(site.jetstream, site.stream))
            case "host":
                found.append(await cluster.host(site.jetstream, site.stream, reading.feed.consumer))
            case "connected":
                url = reading.feed._jetstream.nats._client.connected_url.netloc
                found.append(next(number for number in range(SIZE) if cluster.servers[number].url.endswith(url)))
        return found[-1] is not None

    await eventually(is_known)
    return found[-1]


async def harmed(cluster: Cluster, site: Site, how: str, number: int) -> None:
    if how == "step_down":
        await cluster.step_down(site.jetstream, site.stream)
    else:
        getattr(cluster, how)(number)
    if how == "isolate":  # whoever publishes is on the side of the two others
        cluster.links.tell(cluster.to_loaders[number].refuse)


@pytest.mark.parametrize("harm", sampled(CASES, 3), ids=" the ".join)
async def test_a_node_goes_on_while_any_one_server_is_down(
    cluster: Cluster, watcher: Nats, stream_name: str, tmp_path: Path, harm: tuple[str, str]
) -> None:
    how, role = harm
    async with made(cluster, watcher, stream_name, tmp_path, SIZE) as site:
        end = await stored(site, BEFORE)
        async with site.node(recorders(site)) as node, running(node) as reading:
            await at(node, end, reading)
            await harmed(cluster, site, how, await chosen(cluster, site, node, role))
            end = await stored(site, MEANWHILE)
            await at(node, end, reading)
            await eventually(lambda: node.is_ready, reading, lambda: str(node.health.unready()))
            await cluster.mend(site.jetstream)
            end = await stored(site, AFTERWARDS)
            await at(node, end, reading)
            assert recorded(await log_of(site)) == records(node.lanes[0])


@pytest.mark.parametrize("how", sampled(["kill", "pause"], 1))
async def test_a_node_starts_while_a_server_is_down(
    cluster: Cluster, watcher: Nats, stream_name: str, tmp_path: Path, how: str
) -> None:
    """The one that served its consumer before: nothing that is asked of it is answered."""
    async with made(cluster, watcher, stream_name, tmp_path, SIZE) as site:
        deployed = recorders(site)
        end = await stored(site, BEFORE)
        async with site.node(deployed) as node, running(node) as reading:
            await at(node, end, reading)
            host = await chosen(cluster, site, node, "host")
        await harmed(cluster, site, how, host)
        end = await stored(site, MEANWHILE)
        async with site.node(deployed) as node, running(node) as reading:
            await at(node, end, reading)
            assert recorded(await log_of(site)) == records(node.lanes[0])


@pytest.mark.parametrize("case", sampled(product((1, 2), HARMS[:-1]), 1), ids="{0[0]} copies, {0[1]}".format)
async def test_a_stream_of_fewer_copies_is_read_on_without_the_servers_that_have_none(
    cluster: Cluster, watcher: Nats, stream_name: str, tmp_path: Path, case: tuple[int, str]
) -> None:
    """And with them: once they are back."""
    replicas, how = case
    async with made(cluster, watcher, stream_name, tmp_path, replicas) as site:
        found = (await called(site.jetstream, f"STREAM.INFO.{site.stream}"))["cluster"]
        holders = {cluster.number_of(one["name"]) for one in found.get("replicas", ())}
        holders.add(cluster.number_of(found["leader"]))
        (*_, bystander) = set(range(SIZE)) - holders
        end = await stored(site, BEFORE)
        async with site.node(recorders(site)) as node, running(node) as reading:
            await at(node, end, reading)
            await harmed(cluster, site, how, bystander)
            end = await stored(site, MEANWHILE)
            await at(node, end, reading)
            await cluster.mend(site.jetstream)
            await harmed(cluster, site, how, min(holders))
            await cluster.mend(site.jetstream)
            end = await stored(site, AFTERWARDS)
            await at(node, end, reading)
            assert recorded(await log_of(site)) == records(node.lanes[0])
