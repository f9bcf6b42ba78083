"""Random schedules of faults in a cluster: whatever happens to one server at a time, the views are those of a replay.

Each schedule is drawn by a seed, which is printed; with CRASH_SEED in the environment that one comes again, as far as a
machine's speed allows.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from contextlib import ExitStack
from itertools import count
from secrets import randbits
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from cluster import Cluster, form
from cluster_schedules import ClusterSchedule

from projection.stream import publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cluster_schedules import Stall

MANY = 50
TIME_BOX_S = 15 * 60.0
ACKNOWLEDGED_WITHIN_S = 5.0  # as in the product: a server that is gone acknowledges nothing


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Callable[[bool], Cluster]]:
    """A cluster with or without TLS, started when it is asked for."""
    found: dict[bool, Cluster] = {}
    with ExitStack() as entered:

        def give(tls: bool) -> Cluster:
            if tls not in found:
                found[tls] = entered.enter_context(Cluster(tmp_path / f"tls-{tls}", tls=tls))
                form(found[tls])
            return found[tls]

        yield give


@pytest.fixture(autouse=True)
def _impatient_publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "_ACKNOWLEDGED_WITHIN_S", ACKNOWLEDGED_WITHIN_S)


def carry_out(cluster: Callable[[bool], Cluster], schedule: ClusterSchedule, folder: Path) -> Stall:
    print(schedule)
    folder.mkdir()
    try:
        stall = schedule.carry_out(cluster(schedule.tls), folder)
    except BaseException as error:
        error.add_note(f"again with CRASH_SEED={schedule.seed}; what is left lies in {folder}")
        raise
    shutil.rmtree(folder)
    print(
        f"{stall.seconds:.1f} s from the end of the last fault until the {stall.left} events that were left are folded"
    )
    return stall


@pytest.mark.long
def test_a_schedule_in_a_cluster_ends_with_the_views_of_a_replay(
    cluster: Callable[[bool], Cluster], tmp_path: Path
) -> None:
    seed = int(os.environ.get("CRASH_SEED") or randbits(32))
    carry_out(cluster, ClusterSchedule.draw(seed), tmp_path / str(seed))


@pytest.mark.long
def test_many_schedules_in_a_cluster_end_with_the_views_of_a_replay(
    cluster: Callable[[bool], Cluster], tmp_path: Path
) -> None:
    first, until, longest = randbits(32), monotonic() + TIME_BOX_S, 0.0
    kinds: Counter[str] = Counter()
    for number in count():
        if monotonic() > until and number >= MANY:
            break
        schedule = ClusterSchedule.draw(first + number)
        longest = max(longest, carry_out(cluster, schedule, tmp_path / str(number)).seconds)
        kinds.update(fault.kind for fault in schedule.faults)
    print(f"{number} schedules, seeds from {first} on: {dict(kinds)}")
    print(f"at most {longest:.1f} s from the end of the last fault until all was folded")
