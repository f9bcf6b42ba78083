"""Schedules of faults, drawn by a seed: what they are, and how they are carried out."""

from __future__ import annotations

import errno
import random
import signal
from dataclasses import dataclass
from time import sleep
from typing import TYPE_CHECKING, TypeAlias

from crash_log import LATE, make_log
from crash_site import CrashSite
from node_faults import FailingCommits, Inside, JumpingClock, Point, SlowDisk, Stalled, Struck, UnwritableLog
from unwritable import Unwritable

from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
    from pathlib import Path

    from crash_site import NodeProcess

_MOST_FAULTS = 6
_SECONDS_A_FAULT = 0.5  # of publishing
_PASSINGS = {Point.FOLDED: 1_500, Point.PUT: 600, Point.RECEIVED: 5, Point.ACKNOWLEDGING: 4, Point.ACKNOWLEDGED: 4}
_OTHER_PASSINGS = 20  # by all lanes together


@dataclass(frozen=True, slots=True)
class NodeKilled:
    """SIGKILL, wherever the node is; it may not even read yet."""

    after_s: float

    def strike(self, site: CrashSite, node: NodeProcess) -> None:
        sleep(self.after_s)
        node.kill()


@dataclass(frozen=True, slots=True)
class NodeFrozen:
    """The node's machine sleeps for a while."""

    after_s: float
    for_s: float

    def strike(self, site: CrashSite, node: NodeProcess) -> None:
        sleep(self.after_s)
        node.send(signal.SIGSTOP)
        sleep(self.for_s)
        node.send(signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class ServerKilled:
    """SIGKILL while the node reads; the server comes back with what it had."""

    after_s: float
    for_s: float

    def strike(self, site: CrashSite, node: NodeProcess) -> None:
        node.wait_until_it_reads()
        sleep(self.after_s)
        site.server.kill()
        sleep(self.for_s)
        site.server.start()


@dataclass(frozen=True, slots=True)
class ServerFrozen:
    """The server says nothing for a while, while the node reads."""

    after_s: float
    for_s: float

    def strike(self, site: CrashSite, node: NodeProcess) -> None:
        node.wait_until_it_reads()
        sleep(self.after_s)
        site.server.pause()
        sleep(self.for_s)
        site.server.resume()


@dataclass(frozen=True, slots=True)
class ConsumerDeleted:
    """Somebody deletes the consumer under the node's hands."""

    after_s: float

    def strike(self, site: CrashSite, node: NodeProcess) -> None:
        node.wait_until_it_reads()
        sleep(self.after_s)
        site.delete_consumers()


Lasting: TypeAlias = Stalled | FailingCommits | SlowDisk | JumpingClock | UnwritableLog
Outside: TypeAlias = NodeKilled | NodeFrozen | ServerKilled | ServerFrozen | ConsumerDeleted


@dataclass(frozen=True, slots=True)
class Schedule:
    """A log, how it is published and folded, and what goes wrong meanwhile."""

    seed: int
    events: int
    published: int  # before the first node starts; the others while nodes come and go
    batch: int
    faults: tuple[Inside | Outside, ...]

    @classmethod
    def draw(cls, seed: int) -> Schedule:
        dice = random.Random(seed)
        events = dice.randrange(1_000, 4_000)
        return cls(
            seed,
            events,
            published=dice.randrange(LATE, events),
            batch=dice.choice((10, 50, 200, 1_000)),
            faults=tuple(_fault(dice) for _ in range(dice.randrange(1, _MOST_FAULTS + 1))),
        )

    def carry_out(self, folder: Path) -> None:
        """All faults one after another, a check after each death of a node, and one at the end."""
        log = make_log(random.Random(self.seed), self.events)
        with EmbeddedServer(folder / "nats") as server:
            site = CrashSite(server, folder, log, batch=self.batch)
            site.publish(self.published)
            with site.publishing(over_s=_SECONDS_A_FAULT * len(self.faults)):
                lasting = self._strike(site)
            site.run_to_the_end(*lasting)
            site.check_all()

    def _strike(self, site: CrashSite) -> list[Lasting]:
        """Those that last begin with the next node; what is returned are those that no node has had yet."""
        lasting: list[Lasting] = []
        node: NodeProcess | None = None
        try:
            for fault in self.faults:
                if isinstance(fault, Lasting):
                    lasting.append(fault)
                    continue
                if node is not None and (lasting or isinstance(fault, Struck)):
                    node.kill()
                    site.check()
                    node = None
                if isinstance(fault, Struck):
                    with site.start(fault, *lasting) as struck:
                        assert struck.wait() in (-fault.signum, 0), site.node_log()  # 0: it ended before
                    site.check()
                    lasting = []
                    continue
                if node is None:
                    node, lasting = site.start(*lasting, until_caught_up=False), []
                fault.strike(site, node)
                if isinstance(fault, NodeKilled):
                    site.check()
                    node = None
                else:
                    assert node.runs, site.node_log()
        finally:
            if node is not None:
                node.kill()
        return lasting


def _fault(dice: random.Random) -> Inside | Outside:
    after_s = dice.uniform(0.0, 0.6)
    kinds = {
        "point": 30,
        "node killed": 12,
        "node frozen": 4,
        "server killed": 12,
        "server frozen": 8,
        "consumer": 8,
        "refused": 12,
        "stalled": 8,
        "slow": 6,
        "clock": 4,
        "log": 4,
    }
    point = dice.choice(list(Point))
    passing = dice.randrange(1, 1 + _PASSINGS.get(point, _OTHER_PASSINGS))
    match dice.choices(list(kinds), list(kinds.values()))[0]:
        case "point":
            return Struck(point, passing)
        case "node killed":
            return NodeKilled(after_s)
        case "node frozen":
            return NodeFrozen(after_s, dice.choice((0.1, 0.5, 1.5)))
        case "server killed":
            return ServerKilled(after_s, dice.uniform(0.0, 1.0))
        case "server frozen":
            return ServerFrozen(after_s, dice.choice((0.2, 1.0, 4.0)))
        case "consumer":
            return ConsumerDeleted(after_s)
        case "refused":
            error = dice.choice((errno.ENOSPC, errno.EIO))
            return FailingCommits(error, dice.randrange(1, 10), dice.randrange(1, 8), stored=dice.random() < 0.4)
        case "stalled":
            return Stalled(point, passing, dice.choice((0.1, 0.5, 1.5)))
        case "slow":
            return SlowDisk(dice.uniform(0.0, 0.1))
        case "log":
            return UnwritableLog(dice.choice(list(Unwritable)))
        case _:
            return JumpingClock(dice.randrange(1_000_000))
