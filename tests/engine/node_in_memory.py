"""A node without a server and without a disk: two view types, each with events of its own, and one log in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from engine_support import TALLIES, Log, added, broken, deploy, feed

from projection.engine.lane import Lane
from projection.engine.node import Node
from projection.lang.run.executors import Execution
from projection.model.settings import BackPressure
from projection.model.subjects import matcher
from projection.store.memory import MemoryLaneStore
from projection.stream.port import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from projection.engine.cutover import Cutover
    from projection.engine.deployment import DeployedView
    from projection.stream.port import Message

KINDS = {"tallies": "tally", "others": "other"}  # the aggregates that each view type reads


def of(kind: str, data: bytes) -> bytes:
    return data.replace(b'"aggregate_type": "tally"', b'"aggregate_type": "%b"' % kind.encode())


def two_view_types(folder: Path) -> tuple[DeployedView, ...]:
    indexed = TALLIES.replace("on Added as e", "index by total\n\non Added as e")
    programs = {name: indexed.replace("projection tallies", f"projection {name}") for name in KINDS}
    entries = {name: {"subjects": [f"tenant.*.aggregate.{kind}.*"]} for name, kind in KINDS.items()}
    return deploy(folder, programs, entries=entries)


def a_log() -> Log:
    """Events of both, in turns: some are taken, some are parked."""
    log = Log()
    for number in range(12):
        for kind in KINDS.values():
            event = broken("x") if number == 5 else added("xyz"[number % 3], number)
            log.add(of(kind, event), subject=f"tenant.a.aggregate.{kind}.1")
    return log


class MemoryFeed:
    """Implements `Feed` on a log in memory, a few messages at a time."""

    trouble = level = None
    is_heard = True
    openings = 1
    identity = None

    def __init__(self, messages: Sequence[Message], subjects: Sequence[str], scanned: int) -> None:
        self.subjects = tuple(subjects)
        self._messages = messages
        self._reads = matcher(self.subjects)
        self._scanned = scanned

    async def open(self) -> None:
        pass

    async def check(self, position: object) -> None:
        pass

    async def next_batch(self) -> Batch | None:
        await asyncio.sleep(0)
        ahead = self._messages[self._scanned : self._scanned + 4]
        if not ahead:
            await asyncio.sleep(0.001)
            return None
        self._scanned = ahead[-1].sequence
        found = [message for message in ahead if self._reads(message.subject)]
        return Batch(found, self._scanned, ahead[-1].time)

    async def caught_up(self) -> bool:
        return self._scanned == len(self._messages)

    async def acknowledge(self, sequence: int) -> None:
        pass

    @property
    def left(self) -> int:
        return len(self._messages) - self._scanned

    async def last_sequence(self) -> int:
        return len(self._messages)

    async def close(self) -> None:
        pass

    async def forget(self) -> None:
        pass


class MemoryStart:
    """Stands for `StreamStart`: every view type begins with the first event."""

    async def look(self) -> None:
        pass

    async def move(self, lane: Lane) -> None:
        pass


class MemoryOpener:
    """Opens feeds of a log in memory."""

    execution = Execution.COMPILED

    def __init__(self, log: Log, lanes: Sequence[Lane]) -> None:
        self._log = log
        self._lanes = lanes

    def feed(self, members: Sequence[Lane], shared: bool) -> Any:
        own = [one.deployed.entry.subjects for one in (self._lanes if shared else members)]
        subjects = [subject for some in own for subject in some]
        return MemoryFeed(self._log.messages, subjects, min(lane.scanned for lane in members))

    def take(self, deployed: Any) -> bool:
        raise NotImplementedError

    def lane(self, one: Any) -> Lane:
        raise NotImplementedError

    def lane_on(self, store: Any, deployed: DeployedView, build: int) -> Lane:
        return Lane(deployed, store, build=build)


class Folder:
    """What outlives a node: a store for each view type."""

    def __init__(self, deployed: Sequence[DeployedView], log: Log) -> None:
        self.deployed = deployed
        self.log = log
        self.lanes: dict[str, Lane] = {}  # of the node that was made last
        self.stores = {one.entry.view_type: MemoryLaneStore(one.fold_identity) for one in deployed}

    def node(self, more: Sequence[Lane] = (), cutovers: Callable[[Lane], Sequence[Cutover]] = lambda _: ()) -> Node:
        """A node on these stores; with `more` lanes, some of which are to succeed that of the tallies."""
        lanes = [Lane(one, self.stores[one.entry.view_type]) for one in self.deployed]
        self.lanes = {lane.view_type: lane for lane in lanes}
        found = cutovers(self.lanes["tallies"])

        lanes += more
        return Node(lanes, MemoryOpener(self.log, lanes), BackPressure(), MemoryStart(), cutovers=found)

    @property
    def is_at_end(self) -> bool:
        """Whether the node has committed the whole log."""
        return all(store.position().scanned == self.log.last for store in self.stores.values())

    def is_a_prefix(self, view_type: str) -> bool:
        """Whether a store holds what the first events come to, up to where it says that it is."""
        store = self.stores[view_type]
        until = store.position().scanned
        return store.audit().agrees and self.expected(until)[view_type] == str(store.digest())

    def expected(self, until: int | None = None) -> dict[str, str]:
        """The digests that a fold of the log gives."""
        lanes = [Lane(one, MemoryLaneStore(one.fold_identity)) for one in self.deployed]
        return {lane.view_type: str(feed(lane, self.log.messages[:until]).store.digest()) for lane in lanes}

    def found(self) -> dict[str, str]:
        return {view_type: str(store.digest()) for view_type, store in self.stores.items()}
