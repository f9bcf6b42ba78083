"""Schedules of faults in a cluster of three servers, drawn by a seed: what they are, and how they are carried out."""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from cluster_faults import KINDS, RENEWAL, Fault
from cluster_site import ClusterSite
from crash_log import LATE, make_log
from node_faults import FailingCommits, SlowDisk, UnwritableLog
from patience import wait_until
from unwritable import Unwritable

if TYPE_CHECKING:
    from pathlib import Path

    from cluster import Cluster
    from crash_site import NodeProcess
    from loader import Loader
    from node_faults import Inside

_EVENTS = (1_000, 3_000)
_MOST_FAULTS = 5
_SECONDS_A_FAULT = 3.0  # of publishing
_STALL_S = (
    60.0  # the bound, and for each event that is left as much as batches of ten on the slowest disk drawn here take
)
_STALL_S_AN_EVENT = 0.02
_SLOWER = 3  # than the machines for which the bound is stated is any that tests run on


class Stall(NamedTuple):
    """What came behind the last fault."""

    seconds: float  # until all was published and folded
    left: int  # events to fold when the last fault was over
    skipped: int  # sequences of the stream, up to its last message, that hold none

    def check(self) -> None:
        """No stall is longer than what is stated, but on slower machines."""
        assert self.seconds < _SLOWER * (_STALL_S + self.left * _STALL_S_AN_EVENT), self


@dataclass(frozen=True, slots=True)
class ClusterSchedule:
    """A log, and what goes wrong while it is published and folded."""

    seed: int
    tls: bool  # whether clients show certificates, which are renewed
    events: int
    published: int  # before the first node starts; the others meanwhile
    batch: int
    lives: tuple[tuple[Inside, ...], ...]  # of the nodes, one after another: what their disk and their log are like
    faults: tuple[Fault, ...]

    @classmethod
    def draw(cls, seed: int) -> ClusterSchedule:
        """The schedule of a seed."""
        dice = random.Random(seed)
        tls = dice.random() < 0.3
        kinds = [dice.choice(KINDS) for _ in range(dice.randrange(1, _MOST_FAULTS + 1))]
        if tls:
            kinds.insert(dice.randrange(len(kinds) + 1), RENEWAL)
        events = dice.randrange(*_EVENTS)
        return cls(
            seed,
            tls,
            events,
            published=dice.randrange(LATE, events),
            batch=dice.choice((10, 50, 200)),
            lives=tuple((*_disk(dice), *_log(dice)) for _ in range(1 + kinds.count("node killed"))),
            faults=tuple(Fault.draw(dice, kind) for kind in kinds),
        )

    def carry_out(self, cluster: Cluster, folder: Path) -> Stall:
        """All faults one after another, a check after each death of a node, and one at the end."""
        site = ClusterSite(cluster, folder, make_log(random.Random(self.seed), self.events), batch=self.batch)
        try:
            site.publish(self.published)
            with site.loading(over_s=_SECONDS_A_FAULT * len(self.faults)) as loader:
                node = self._strike(site, loader)
                over, position = monotonic(), min(site.committed().values())
                with node:
                    loader.hurry()
                    wait_until(lambda: _runs(node, site) and loader.is_done, loader.log)
                    sequences = site.sequences()
                    assert self.events == len(sequences)
                    wait_until(lambda: _runs(node, site) and site.has_committed(sequences[-1]), site.node_log)
                    left = sum(one > position for one in sequences)
                    stall = Stall(monotonic() - over, left, sequences[-1] - self.events)
            stall.check()
            site.check_all()
            site.mend()
            site.check_stream()
        finally:
            site.mend()
            site.clear()
        return stall

    def _strike(self, site: ClusterSite, loader: Loader) -> NodeProcess:
        lives = iter(self.lives)
        node = site.start(*next(lives), until_caught_up=False)
        try:
            for number, fault in enumerate(self.faults):
                if number:
                    site.mend()
                fault.strike(site, node, loader)
                if fault.kind == "node killed":
                    site.check()
                    node = site.start(*next(lives), until_caught_up=False)
                assert node.runs, site.node_log()
        except BaseException:
            node.kill()
            raise
        return node


def _runs(node: NodeProcess, site: ClusterSite) -> bool:
    assert node.runs, site.node_log()
    return True


def _disk(dice: random.Random) -> tuple[Inside, ...]:
    full = FailingCommits(errno.ENOSPC, dice.randrange(1, 10), dice.randrange(1, 8), stored=False)
    return dice.choice(((), (), (SlowDisk(dice.uniform(0.0, 0.1)),), (full,)))


def _log(dice: random.Random) -> tuple[Inside, ...]:
    return dice.choice(((), (UnwritableLog(dice.choice(list(Unwritable))),)))
