"""Servers of a cluster of three that are lost in every way, while a node folds what comes: seconds without progress.

One cluster, and one node and one stream for all that have as many copies; after each fault the cluster is mended, and
the node must have every event that the stream holds, once, and be ready. The cluster is the tests' own.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.watched import Watched, ports_connected_to, until, watching
from projection.errors import StreamError
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from cluster import SIZE, Cluster, called, form

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

_WATCHED_S = 12.0  # from the fault on: an election takes up to nine
_WATCHED_LONGER_S = 20.0  # where what the server says is believed for five more
# Servers that have come back are whole members again: an election right after that may take two rounds.
_SETTLED_S = 6.0
_AWAY_S = 3.0  # that a server is down whose stream is nowhere else
_DOWN = ("kill", "stop", "lame_duck", "pause", "isolate")


class Loss(NamedTuple):
    """What is done to which server: `role` says what it has of the node's, `copies` how many the stream has."""

    how: str
    role: str
    copies: int = SIZE


LOSSES = (
    *(Loss(how, role) for role in ("leader", "consumer", "connection") for how in _DOWN),
    Loss("step_down", "leader"),
    *(Loss(how, "another", 1) for how in ("kill", "pause")),
    Loss("kill and start", "leader", 1),
)


def measured() -> Iterator[tuple[Loss, float]]:
    """The longest time without progress of each, in seconds."""
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as place, Cluster(Path(place, "cluster")) as cluster:
        form(cluster)
        for copies in (SIZE, 1):
            losses = [one for one in LOSSES if one.copies == copies]
            yield from asyncio.run(_measured(cluster, Path(place, str(copies)), losses))


async def _measured(cluster: Cluster, place: Path, losses: Sequence[Loss]) -> list[tuple[Loss, float]]:
    (copies,) = {one.copies for one in losses}
    stream = f"beats{copies}"
    async with _jetstream(cluster) as jetstream:
        config = {"name": stream, "subjects": [f"{stream}.>"], "num_replicas": copies}
        answer = await called(jetstream, f"STREAM.CREATE.{stream}", **config)
        if "error" in answer:
            raise AssertionError(answer)
    site, found = Watched(place, cluster.url, stream), []
    site.start()
    async with watching(site, [server.url for server in cluster.servers]):
        await until(lambda: site.position, site.log)
        for loss in losses:
            await site.goes_on(_SETTLED_S)
            found.append((loss, await _one(cluster, site, loss)))
            print(f"faults, {loss}: {found[-1][1]:.2f} s", file=sys.stderr)
    return found


async def _one(cluster: Cluster, site: Watched, loss: Loss) -> float:
    async with _jetstream(cluster) as jetstream:
        number = await _number(cluster, site, jetstream, loss)
        site.begin()
        if loss.how == "step_down":
            await cluster.step_down(jetstream, site.stream)
    if loss.how == "kill and start":
        await asyncio.to_thread(cluster.kill, number)
        await asyncio.sleep(_AWAY_S)
        await asyncio.to_thread(cluster.restart, number)
        site.begin()  # nothing can be read before
    elif loss.how != "step_down":
        await asyncio.to_thread(getattr(cluster, loss.how), number)
    await site.goes_on(_WATCHED_LONGER_S if loss.how == "isolate" else _WATCHED_S)
    longest = site.longest_s
    for one in range(SIZE):
        await asyncio.to_thread(cluster.restart, one)
    async with _jetstream(cluster) as jetstream:
        await cluster.mend(jetstream)
        last = await _last_sequence(jetstream, site.stream)
    await until(lambda: site.position >= last, site.log)
    await until(site.is_ready, site.log)
    site.check()
    return longest


async def _number(cluster: Cluster, site: Watched, jetstream: JetStream, loss: Loss) -> int:
    """The server that a fault is for."""
    found: int | None = None
    end = perf_counter() + 60.0
    while found is None:  # a cluster that was mended just now may not know yet
        if perf_counter() > end:
            raise AssertionError(f"no server is known for {loss}")
        with suppress(StreamError, TimeoutError, StopIteration):
            match loss.role:
                case "leader":
                    found = await cluster.leader(jetstream, site.stream)
                case "another":
                    leader = await cluster.leader(jetstream, site.stream)
                    found = None if leader is None else (leader + 1) % SIZE
                case "consumer":
                    listed = await jetstream.nats.request(f"$JS.API.CONSUMER.LIST.{site.stream}")
                    found = next(
                        cluster.number_of(one["cluster"]["leader"])
                        for one in json.loads(listed)["consumers"]
                        if "projection_node" in one["config"].get("metadata", {}) and one["num_waiting"]
                    )
                case _:
                    ports = ports_connected_to(site.pid)
                    urls = [server.url for server in cluster.servers]
                    found = next(n for n, url in enumerate(urls) if int(url.rpartition(":")[2]) in ports)
    return found


async def _last_sequence(jetstream: JetStream, stream: str) -> int:
    end = perf_counter() + 60.0
    while True:
        try:
            return (await jetstream.stream_info(stream)).state.last_seq
        except StreamError:  # a cluster that was mended just now may not know yet
            if perf_counter() > end:
                raise
            await asyncio.sleep(0.1)


@asynccontextmanager
async def _jetstream(cluster: Cluster) -> AsyncIterator[JetStream]:
    async with await Nats.connect(cluster.connection()) as nats:
        yield JetStream(nats)
