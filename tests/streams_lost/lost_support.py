"""What these tests share: a program whose views hold the sequences they were made of, and what is done to a stream."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from engine_support import deploy, envelope
from node_support import Site
from patience import WITHIN_S, eventually

from projection.errors import ProjectionError, StreamError
from projection.stream.jetstream import StreamInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.engine.lane import Lane
    from projection.engine.node import Node
    from projection.store.port import ViewReader
    from projection.stream.embedded import EmbeddedServer

RECORDS = """\
proj 1
projection records

event Noted { id: string }
event NotedAt { ids: list<string>(50) }

view Record { sequences: list<int>(10000) = [] }

on Noted as e to e.id =>
  let record = view ?? {};
  record with { sequences: [...record.sequences, meta.sequence] }

on NotedAt as e for one in e.ids to one =>
  let record = view ?? {};
  record with { sequences: [...record.sequences, meta.sequence] }
"""
Records = dict[tuple[str, str], list[int]]  # by tenant and view id: the sequences of its events, as they were folded


def recorders(site: Site, *view_types: str, folder: str = "deployed", **entry: Any) -> tuple[DeployedView, ...]:
    """View types that all run the same program."""
    programs = {
        name: RECORDS.replace("projection records", f"projection {name}") for name in view_types or ("records",)
    }
    return deploy(site.folder / folder, programs, template=site.template, **entry)


def noted(view_id: str = "x", tenant: str = "a", **more: Any) -> bytes:
    """An event of one view; `more` goes into the payload, where the program does not look."""
    return envelope("Noted", {"id": view_id, **more}, tenant)


def noted_at(*view_ids: str, tenant: str = "a") -> bytes:
    return envelope("NotedAt", {"ids": view_ids}, tenant)


def some(count: int, views: int = 3, first: int = 0) -> list[bytes]:
    """So many events of so many views, in turn."""
    return [noted(f"v{number % views}", "ab"[number % 2]) for number in range(first, first + count)]


def records(lane: Lane) -> Records:
    """What a lane's views recorded, as its store holds them."""
    return records_in(lane.store, lane.view_type)


def records_in(reader: ViewReader, view_type: str = "records") -> Records:
    """The same, from a store that another process may be writing."""
    found = reader.scan(None, view_type)
    return {(str(key.tenant_id), str(key.view_id)): json.loads(view)["sequences"] for key, view in found}


def recorded(log: Iterable[tuple[int, bytes]]) -> Records:
    """The same fold again, in plain Python."""
    made: Records = {}
    for sequence, data in log:
        event = json.loads(data)
        payload = event["payload"]
        for view_id in payload["ids"] if "ids" in payload else [payload["id"]]:
            made.setdefault((event["tenant_id"], view_id), []).append(sequence)
    return made


# --- the node --------------------------------------------------------------------------------------------------------


async def caught_up(site: Site, deployed: tuple[DeployedView, ...], **more: Any) -> Records:
    """Run a node until it has caught up; what its first view type recorded."""
    async with site.node(deployed, **more) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        (lane, *_) = node.lanes
        assert lane.halted is None, lane.halted
        return records(lane)


async def refused(site: Site, deployed: tuple[DeployedView, ...], **more: Any) -> ProjectionError:
    """Why a node does not go on; its stores are as they were."""
    async with site.node(deployed, **more) as node:
        before = everything(node)
        error = await halted(node, node.run(until_caught_up=True))
        assert before == everything(node)
        return error


async def halted(node: Node, running: Any) -> ProjectionError:
    """Why every lane of a running node has halted; the node is stopped then."""
    task = asyncio.ensure_future(running)
    await eventually(lambda: task.done() or None not in [lane.halted for lane in node.lanes])
    node.stop()
    await asyncio.wait_for(task, WITHIN_S)
    reasons = [lane.halted for lane in node.lanes]
    assert None not in reasons
    return reasons[0]


@asynccontextmanager
async def running(node: Node, **more: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """A node that runs meanwhile, and is stopped afterwards."""
    task = asyncio.create_task(node.run(**more))
    try:
        yield task
        node.stop()
        await asyncio.wait_for(task, WITHIN_S)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def at(node: Node, sequence: int, task: asyncio.Task[Any]) -> None:
    """Wait until every lane has committed so far."""
    await eventually(lambda: all(lane.position.scanned >= sequence for lane in node.lanes), task)


def everything(node: Node) -> list[tuple[Any, ...]]:
    """All that the stores of a node hold, byte for byte."""
    return [
        (
            lane.view_type,
            list(lane.store.scan(None, lane.view_type)),
            list(lane.store.parked()),
            lane.store.position(),
            lane.store.digest(),
        )
        for lane in node.lanes
    ]


class Commits:
    """The commits of a lane, which a test can hold up: while they are written, or while the disk is waited for."""

    def __init__(self, lane: Lane, then: Callable[[], None] = lambda: None) -> None:
        """Those of a lane; `then` is called behind each."""
        self._then = then
        self.positions: list[tuple[int, int]] = []  # where each began and ended
        self.seconds = 0.0  # that each takes
        self.before = False  # whether it takes that while it is written
        self.may_go = threading.Event()
        self.may_go.set()
        self._commit = lane.store.commit
        lane.store.commit = self

    def __call__(self, commit: Any, on_written: Callable[[], None] | None = None) -> None:
        if self.before:
            self._wait()
        self._commit(commit, on_written)
        if not self.before:
            self._wait()
        self.positions.append((commit.base.scanned, commit.position.scanned))
        self._then()

    def _wait(self) -> None:
        assert self.may_go.wait(WITHIN_S)
        threading.Event().wait(self.seconds)

    @property
    def are_a_chain(self) -> bool:
        """Whether each began where the one before ended."""
        starts, ends = zip(*self.positions, strict=True)
        return starts[1:] == ends[:-1] and all(start < end for start, end in self.positions)


# --- the stream ------------------------------------------------------------------------------------------------------


async def held(site: Site) -> list[tuple[int, bytes]]:
    """What the log holds now, asked for message by message."""
    state = (await site.jetstream.stream_info(site.stream)).state
    found = [
        await site.jetstream.message(site.stream, number)
        for number in range(max(1, state.first_seq), state.last_seq + 1)
    ]
    return [(one.seq, one.data) for one in found if one is not None]


async def call(site: Site, what: str, answer: Any = object, /, **body: object) -> Any:
    """One call of the server's API about the site's stream."""
    subject, _, rest = what.partition(" ")
    return await site.jetstream._call(f"{subject}.{site.stream}{rest and '.' + rest}", body, answer)


async def open_stream(site: Site, **config: object) -> StreamInfo:
    """Make the site's stream anew, as one from which messages can be taken."""
    with suppress(StreamError):
        await call(site, "STREAM.DELETE")
    return await call(site, "STREAM.CREATE", StreamInfo, **config_of(site, **config))


def config_of(site: Site, **config: object) -> dict[str, object]:
    return {"name": site.stream, "subjects": [f"{site.stream}.>"], **config}


async def all_consumers(site: Site) -> list[dict[str, Any]]:
    """The consumers of the site's stream, as the server tells of them."""
    return json.loads(await site.nats.request(f"$JS.API.CONSUMER.LIST.{site.stream}"))["consumers"]


async def consumers(site: Site) -> list[dict[str, Any]]:
    """Those of nodes that messages are read by."""
    return [one for one in await all_consumers(site) if "projection_node" in one["config"].get("metadata", {})]


async def our_consumer(site: Site) -> dict[str, Any]:
    """The one consumer by which the node of the site reads, once what it read by before is gone."""
    found: list[dict[str, Any]] = []

    async def is_one() -> bool:
        found[:] = await consumers(site)
        return len(found) == 1

    await eventually(is_one)
    return found[0]


class Backup:
    """A copy of a server's store, and the server put back to it: what a restore does, and what power loss may do."""

    def __init__(self, server: EmbeddedServer, folder: Path) -> None:
        self._server = server
        self._folder = folder

    def take(self) -> None:
        """Copy the stopped server's store."""
        self._server.stop()
        shutil.copytree(self._server.log.parent / "jetstream", self._folder)
        self._server.start()

    def put_back(self) -> None:
        """Kill the server, replace its store by the copy, start it."""
        self._server.kill()
        store = self._server.log.parent / "jetstream"
        shutil.rmtree(store)
        shutil.copytree(self._folder, store)
        self._server.start()


async def reachable(site: Site) -> bool:
    """Whether the server answers about the stream."""
    try:
        return bool(await site.jetstream.stream_info(site.stream))
    except StreamError:
        return False


def elsewhere(site: Site, folder: str) -> Site:
    """The same stream for another node, with a data folder of its own."""
    return Site(site.nats, site.url, site.stream, site.folder / folder)
