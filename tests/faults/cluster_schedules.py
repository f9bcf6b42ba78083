"""Schedules of faults in a cluster of three servers, drawn by a seed: what they are, and how they are carried out."""

from __future__ import annotations

import errno
import random
import signal
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING

from cluster import SIZE, called
from crash_log import LATE, STREAM, make_log
from crash_site import CrashSite
from node_faults import FailingCommits, SlowDisk, UnwritableLog
from patience import wait_until
from unwritable import Unwritable

if TYPE_CHECKING:
    from pathlib import Path

    from cluster import Cluster
    from crash_site import NodeProcess
    from node_faults import Inside

    from projection.stream.jetstream import JetStream

_EVENTS = (1_000, 3_000)
_MOST_FAULTS = 4
_SECONDS_A_FAULT = 2.0  # of publishing
_DOWN = ("kill", "stop", "lame_duck", "pause")  # what takes a server away; `Cluster` has a method for each
_OTHERS = ("step_down", "consumers", "node killed", "node frozen")


class ClusterSite(CrashSite):
    """A crash site whose stream has a copy on each server of a cluster."""

    server: Cluster  # type: ignore[assignment] - it has an address as well

    async def _make_stream(self, jetstream: JetStream) -> None:
        config = {"name": STREAM, "subjects": [f"{STREAM}.>"], "num_replicas": SIZE}
        answer = await called(jetstream, f"STREAM.CREATE.{STREAM}", **config)
        assert "error" not in answer, answer

    def leader(self) -> int | None:
        """The server that has the stream in its charge; None while none is known to."""
        return self._ask(lambda jetstream: self.server.leader(jetstream, STREAM))

    def step_down(self) -> None:
        """Have another server take charge of the stream."""
        self._ask(lambda jetstream: self.server.step_down(jetstream, STREAM))

    def mend(self) -> None:
        """Have all servers run, with level copies."""
        for number in range(
            SIZE
        ):  # before any of them is asked: a connection to a frozen one waits, in a test for minutes
            self.server.restart(number)
        self._ask(self.server.mend)

    def clear(self) -> None:
        """Leave nothing behind for the next schedule on these servers."""
        self._ask(lambda jetstream: called(jetstream, f"STREAM.DELETE.{STREAM}"))


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, to whom, when and for how long."""

    kind: str
    number: int | None  # of the server; None: the one that has the stream in its charge
    after_s: float
    for_s: float

    def strike(self, site: ClusterSite, node: NodeProcess) -> None:
        """Returns once it is over, but for a node that was killed."""
        node.wait_until_it_reads()
        sleep(self.after_s)
        match self.kind:
            case "step_down":
                site.step_down()
            case "consumers":
                site.delete_consumers()
            case "node killed":
                node.kill()
            case "node frozen":
                node.send(signal.SIGSTOP)
                sleep(self.for_s)
                node.send(signal.SIGCONT)
            case down:
                number = self.number if self.number is not None else site.leader()
                getattr(site.server, down)(number or 0)
                sleep(self.for_s)
                site.mend()


@dataclass(frozen=True, slots=True)
class ClusterSchedule:
    """A log, and what goes wrong while it is published and folded."""

    seed: int
    events: int
    published: int  # before the first node starts; the others meanwhile
    batch: int
    lives: tuple[tuple[Inside, ...], ...]  # of the nodes, one after another: what their disk and their log are like
    faults: tuple[Fault, ...]

    @classmethod
    def draw(cls, seed: int) -> ClusterSchedule:
        """The schedule of a seed."""
        dice = random.Random(seed)
        events = dice.randrange(*_EVENTS)
        faults = tuple(_fault(dice) for _ in range(dice.randrange(1, _MOST_FAULTS + 1)))
        killed = sum(fault.kind == "node killed" for fault in faults)
        return cls(
            seed,
            events,
            published=dice.randrange(LATE, events),
            batch=dice.choice((10, 50, 200)),
            lives=tuple((*_disk(dice), *_log(dice)) for _ in range(1 + killed)),
            faults=faults,
        )

    def carry_out(self, cluster: Cluster, folder: Path) -> float:
        """All faults one after another, a check after each death of a node, and one at the end.

        Returns how long it took, from the last fault on, until all was folded, in seconds.
        """
        site = ClusterSite(cluster, folder, make_log(random.Random(self.seed), self.events), batch=self.batch)
        try:
            site.publish(self.published)
            with site.publishing(over_s=_SECONDS_A_FAULT * len(self.faults)):
                node = self._strike(site)
            began = monotonic()
            with node:
                wait_until(lambda: self._goes_on(site, node), site.node_log)
                taken = monotonic() - began
            site.check_all()
        finally:
            site.mend()
            site.clear()
        return taken

    def _strike(self, site: ClusterSite) -> NodeProcess:
        lives = iter(self.lives)
        node = site.start(*next(lives), until_caught_up=False)
        try:
            for fault in self.faults:
                fault.strike(site, node)
                if fault.kind == "node killed":
                    site.check()
                    node = site.start(*next(lives), until_caught_up=False)
                assert node.runs, site.node_log()
        except BaseException:
            node.kill()
            raise
        return node

    def _goes_on(self, site: ClusterSite, node: NodeProcess) -> bool:
        assert node.runs, site.node_log()
        return site.is_committed()


def _fault(dice: random.Random) -> Fault:
    kind = dice.choice(_DOWN + _OTHERS)
    return Fault(kind, dice.choice((None, *range(SIZE))), dice.uniform(0.0, 1.0), dice.uniform(0.5, 8.0))


def _disk(dice: random.Random) -> tuple[Inside, ...]:
    full = FailingCommits(errno.ENOSPC, dice.randrange(1, 10), dice.randrange(1, 8), stored=False)
    return dice.choice(((), (), (SlowDisk(dice.uniform(0.0, 0.1)),), (full,)))


def _log(dice: random.Random) -> tuple[Inside, ...]:
    return dice.choice(((), (UnwritableLog(dice.choice(list(Unwritable))),)))
