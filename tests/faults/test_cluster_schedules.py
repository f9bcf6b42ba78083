"""Random schedules of faults in a cluster: whatever happens to one server at a time, the views are those of a replay.

Each schedule is drawn by a seed, which is printed; with CRASH_SEED in the environment that one comes again, as far as a
machine's speed allows.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from secrets import randbits
from statistics import median
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from cluster import Cluster, form
from cluster_faults import KINDS
from cluster_schedules import ClusterSchedule
from cluster_site import ClusterSite
from crash_log import make_log

from projection.stream import publisher

if TYPE_CHECKING:
    from pathlib import Path

    from cluster_schedules import Stall

MANY = 50
AT_A_TIME = 2  # they wait more than they work
TIME_BOX_S = 10 * 60.0
ACKNOWLEDGED_WITHIN_S = 5.0  # as in the product: a server that is gone acknowledges nothing


class Clusters(ExitStack):
    """A cluster with TLS and one without, each started when it is needed first."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._found: dict[bool, Cluster] = {}

    def carry_out(self, schedule: ClusterSchedule, folder: Path) -> Stall:
        print(schedule)
        folder.mkdir()
        try:
            stall = schedule.carry_out(self._given(schedule.tls), folder)
        except BaseException as error:
            error.add_note(f"again with CRASH_SEED={schedule.seed}; what is left lies in {folder}")
            raise
        shutil.rmtree(folder)
        print(
            f"seed {schedule.seed}: {stall.seconds:.1f} s from the last fault's end, {stall.left} events to fold, "
            f"{stall.skipped} sequences skipped"
        )
        return stall

    def _given(self, tls: bool) -> Cluster:
        if tls not in self._found:
            self._found[tls] = self.enter_context(Cluster(self._folder / f"tls-{tls}", tls=tls))
            form(self._found[tls])
        return self._found[tls]


@pytest.fixture(autouse=True)
def _impatient_publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "_ACKNOWLEDGED_WITHIN_S", ACKNOWLEDGED_WITHIN_S)


@pytest.mark.long
def test_a_schedule_in_a_cluster_ends_with_the_views_of_a_replay(tmp_path: Path) -> None:
    seed = int(os.environ.get("CRASH_SEED") or randbits(32))
    with Clusters(tmp_path) as clusters:
        clusters.carry_out(ClusterSchedule.draw(seed), tmp_path / str(seed))


@pytest.mark.long
def test_many_schedules_in_a_cluster_end_with_the_views_of_a_replay(tmp_path: Path) -> None:
    first, until = randbits(32), monotonic() + TIME_BOX_S
    numbers, failed = count(), Event()
    stalls: list[Stall] = []
    kinds: Counter[str] = Counter()

    def one_after_another(worker: int) -> None:
        folder = tmp_path / f"worker-{worker}"
        folder.mkdir()
        with Clusters(folder) as clusters:
            while (number := next(numbers)) < MANY or monotonic() < until:
                if failed.is_set():
                    return
                schedule = ClusterSchedule.draw(first + number)
                try:
                    stalls.append(clusters.carry_out(schedule, folder / str(number)))
                except BaseException:
                    failed.set()
                    raise
                kinds.update(fault.kind for fault in schedule.faults)

    with ThreadPoolExecutor(AT_A_TIME) as threads:
        for each in [threads.submit(one_after_another, worker) for worker in range(AT_A_TIME)]:
            each.result()
    longest = max(stall.seconds for stall in stalls)
    usual = median(stall.seconds for stall in stalls)
    print(f"{len(stalls)} schedules, seeds from {first} on: {dict(kinds)}")
    print(f"{usual:.1f} s from the end of the last fault until all was folded, and at most {longest:.1f} s")
    assert len(stalls) >= MANY
    assert len(kinds) > len(KINDS) * 3 // 4  # each is likely to come, and none is sure to


@pytest.mark.long
def test_a_site_reckons_with_sequences_that_hold_no_message(tmp_path: Path) -> None:
    """In the middle and behind the last message; a node is held against a replay before it and behind it."""
    with Cluster(tmp_path / "cluster") as cluster:
        form(cluster)
        site = ClusterSite(cluster, tmp_path, make_log(random.Random(1), 400), batch=50)
        for held in (150, 10, 240):
            site.publish(held)
            site.skip(13)
            site.run_to_the_end()
            site.check_all()
        assert [*range(1, 151), *range(164, 174), *range(187, 427)] == site.sequences()
        site.check_stream()
