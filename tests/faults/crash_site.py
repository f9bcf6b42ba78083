"""A stream, a data folder, and nodes that come and go on them as processes; what they leave is held against replays."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import forkserver
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec
import pytest
from crash_log import STREAM, Told, as_stored, deploy_all, replayed, subject_of, told
from node_faults import ACKNOWLEDGED_TOO_EARLY, run_node
from patience import WITHIN_S, wait_until
from processor_time import beside

from projection.engine.verification import verify
from projection.errors import ProjectionError
from projection.query.reading import serving_reader
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from node_faults import Inside

    from projection.model.ids import ViewType
    from projection.store.port import ViewReader
    from projection.stream.embedded import EmbeddedServer

T = TypeVar("T")
_PUBLISHED_AT_ONCE = 40  # of what is published meanwhile, with a pause after each


# Forked from a process that has everything imported, a node starts in a few milliseconds.
forks = multiprocessing.get_context("forkserver")
forks.set_forkserver_preload(["pytest", "warm_node"])


@contextmanager
def warm_forks() -> Iterator[None]:
    """With the process that nodes are forked from."""
    with pytest.MonkeyPatch.context() as patch:  # it does not take the path from us, as what is forked from it does
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    server = forkserver._forkserver
    beside.add(pid := server._forkserver_pid)
    yield
    beside.discard(pid)
    server._stop()  # and wait for it, so that its processor time is counted


class NodeProcess:
    """`projection run` in a process of its own."""

    def __init__(self, site: CrashSite, faults: Sequence[Inside], options: Sequence[str]) -> None:
        arguments = ["--manifest", "manifest.json", "--stream", STREAM, *options]
        environment = {
            "PROJECTION_BACK_PRESSURE__BATCH": str(site.batch),
            "PROJECTION_BACK_PRESSURE__LINGER_MS": "5",
            **site.node_settings,
        }
        self._site = site
        self._reading = forks.Event()
        self._process = forks.Process(
            target=run_node, args=(site.folder, arguments, environment, faults, self._reading)
        )
        self._process.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def runs(self) -> bool:
        return self._process.is_alive()

    def wait_until_it_reads(self) -> None:
        self._until(self._reading.is_set)

    def wait_until_it_is_frozen(self) -> None:
        """By a fault that sends it SIGSTOP."""
        stat = Path(f"/proc/{self._process.pid}/stat")
        self._until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")

    def wait_until_told(self, text: str) -> None:
        """Wait until the log of the site's nodes, of which this one runs, holds a text."""
        self._until(lambda: text in self._site.whole_node_log())

    def _until(self, condition: Callable[[], bool]) -> None:
        def holds() -> bool:
            assert self.runs, self._site.node_log()
            return condition()

        wait_until(holds, self._site.node_log)

    def send(self, signum: signal.Signals) -> None:
        """Nothing happens if it has ended, which may be between any two lines of a test."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signum)

    def kill(self) -> None:
        """SIGKILL, wherever it is; idempotent."""
        self._process.kill()
        self._process.join()
        assert self._process.exitcode != ACKNOWLEDGED_TOO_EARLY

    def wait(self) -> int:
        """Its exit status; minus the signal that killed it."""
        self._process.join(WITHIN_S)
        status = self._process.exitcode
        if status is None:
            self.send(signal.SIGABRT)  # it tells where it is
            self._process.join()
            raise AssertionError(f"the node neither ended nor was killed: {self._site.node_log()}")
        return status


class CrashSite:
    """The log is published to the stream bit by bit; nodes fold it into the data folder."""

    def __init__(
        self, server: EmbeddedServer, folder: Path, log: Sequence[bytes], *, batch: int = 200, halting: bool = False
    ) -> None:
        """A site with an empty stream.

        Args:
            server: on which nothing else runs.
            folder: for manifest, data and the nodes' log.
            log: what is to be published.
            batch: events in one commit.
            halting: whether there is a view type that halts where others park.
        """
        self.server = server
        self.folder = folder
        self.data = folder / "data"
        self.batch = batch
        self.deployed = deploy_all(folder, halting=halting)
        self.log = log
        self._view_types = [one.entry.view_type for one in self.deployed]
        self.published = 0
        self._seen: dict[ViewType, int] = {}
        self._ask(self._make_stream)

    @property
    def connection(self) -> NatsConnection:
        """How whoever publishes and asks reaches the server."""
        return NatsConnection(self.server.url)

    @property
    def node_settings(self) -> dict[str, str]:
        """How nodes reach the server, as variables of the environment."""
        return {"PROJECTION_NATS__URL": self.server.url}

    # the stream

    async def _make_stream(self, jetstream: JetStream) -> None:
        await jetstream.ensure_stream(STREAM, [f"{STREAM}.>"])

    def publish(self, count: int | None = None) -> None:
        """Publish the next events of the log, or all that are left."""
        end = len(self.log) if count is None else self.published + count
        asyncio.run(self._publish(self.log[self.published : end]))

    @contextmanager
    def publishing(self, over_s: float) -> Iterator[None]:
        """What is left of the log is published meanwhile, over so many seconds, and is there at the end."""
        events = self.log[self.published :]
        pause_s = over_s * _PUBLISHED_AT_ONCE / max(1, len(events))
        with ThreadPoolExecutor(1) as threads:
            published = threads.submit(asyncio.run, self._publish(events, pause_s))
            yield
            published.result()

    async def _publish(self, events: Sequence[bytes], pause_s: float = 0.0) -> None:
        async def outgoing() -> AsyncIterator[Outgoing]:
            for number, event in enumerate(events, 1):
                yield self._message(self.published + number, event)
                if pause_s and number % _PUBLISHED_AT_ONCE == 0:
                    await asyncio.sleep(pause_s)

        async with await Nats.connect(self.connection) as nats:
            await publish_all(nats, STREAM, outgoing())
        self.published += len(events)

    def _message(self, _number: int, event: bytes) -> Outgoing:
        return Outgoing(subject_of(event), event)

    def delete_consumers(self) -> None:
        async def delete(jetstream: JetStream) -> None:
            for name in await _consumers(jetstream):
                await jetstream.delete_consumer(STREAM, name)

        self._ask(delete)

    def _ask(self, question: Callable[[JetStream], Awaitable[T]]) -> T:
        async def ask() -> T:
            async with await Nats.connect(self.connection) as nats:
                return await question(JetStream(nats))

        return asyncio.run(ask())

    # the nodes

    def start(self, *faults: Inside, until_caught_up: bool = True) -> NodeProcess:
        return NodeProcess(self, faults, ["--until-caught-up"] if until_caught_up else [])

    def run_to_the_end(self, *faults: Inside) -> None:
        """A node folds all that is there, and ends well."""
        with self.start(*faults) as node:
            status = node.wait()
        assert status == 0, self.node_log()

    def node_log(self) -> str:
        """Its end, for whoever reads why a test failed."""
        return self.whole_node_log()[-3_000:]

    def whole_node_log(self) -> str:
        path = self.folder / "node.log"
        return path.read_text() if path.exists() else "no node was started"

    def forget_node_log(self) -> None:
        os.truncate(self.folder / "node.log", 0)

    # what they leave

    def committed(self) -> dict[ViewType, int]:
        """The committed position of each view type; 0 where there is none yet."""
        return dict.fromkeys(self._view_types, 0) | {
            view_type: reader.position().scanned for view_type, reader in self._stores()
        }

    def _stores(self) -> Iterator[tuple[ViewType, ViewReader]]:
        """Those that are there; one that was there once must be readable."""
        for view_type in self._view_types:
            with ExitStack() as opened:
                try:
                    reader = opened.enter_context(serving_reader(self.data, view_type))
                except ProjectionError:  # no node has come so far
                    assert view_type not in self._seen
                else:
                    yield view_type, reader

    def is_committed(self) -> bool:
        """Whether all that was published is folded and stored."""
        return self.has_committed(self.published)

    def has_committed(self, sequence: int) -> bool:
        """Whether each view type has committed the log up to a sequence."""
        return min(self.committed().values()) >= sequence

    def sequences(self, position: int = 0) -> Sequence[int]:
        """The sequences of the log's events in the stream, in order: of all that there are, and at least up to a position."""
        return range(1, max(position, self.published) + 1)

    def check(self) -> None:
        """While no node runs: each store holds the fold of the log up to its position, and nothing went backwards."""
        stores = {view_type: told(reader, view_type) for view_type, reader in self._stores()}
        sequences = self.sequences(max((found.scanned for found in stores.values()), default=0))
        for scanned in {found.scanned for found in stores.values()} - {0}:
            here = [view_type for view_type, found in stores.items() if found.scanned == scanned]
            deployed = [one for one in self.deployed if one.entry.view_type in here]
            log = as_stored(self.log, sequences[: bisect_right(sequences, scanned)])
            for view_type, expected in replayed(deployed, log).items():
                wants = expected._replace(scanned=scanned)  # behind the last message, a stream may go on without one
                for field, wanted, found in zip(Told._fields, wants, stores[view_type], strict=True):
                    assert wanted == found, f"{view_type}: {field}"
        for view_type, found in stores.items():
            assert found.scanned >= self._seen.get(view_type, 0), view_type
            self._seen[view_type] = found.scanned
            assert [] == [problem for one in verify(self.data, [view_type]) for problem in one.problems]

    def check_all(self) -> None:
        """While no node runs: every store holds the fold of all that was published."""
        self.check()
        assert self.is_committed()

    def check_acknowledged(self) -> None:
        """The server was told of nothing that no store holds; each node checks exactly what it tells."""

        async def floors(jetstream: JetStream) -> list[int]:
            infos = [await jetstream.consumer_info(STREAM, name) for name in await _consumers(jetstream)]
            # Before anything is acknowledged, the server shows where the consumer began.
            return [one.ack_floor.stream_seq for one in infos if one is not None and one.ack_floor.consumer_seq]

        acknowledged = max(self._ask(floors), default=0)
        assert acknowledged <= max(self.committed().values())  # asked later, so that it may only be more


class _Names(msgspec.Struct):
    consumers: list[str] | None = None


async def _consumers(jetstream: JetStream) -> list[str]:
    return (await jetstream._call(f"CONSUMER.NAMES.{STREAM}", {}, _Names)).consumers or []
