"""Random schedules of faults in a cluster: whatever happens to one server at a time, the views are those of a replay.

Each schedule is drawn by a seed, which is printed; with CRASH_SEED in the environment that one comes again, as far as a
machine's speed allows.
"""

from __future__ import annotations

import os
from itertools import count
from secrets import randbits
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from cluster import Cluster, form
from cluster_schedules import ClusterSchedule

from projection.stream import publisher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = 50
TIME_BOX_S = 15 * 60.0
ACKNOWLEDGED_WITHIN_S = 5.0  # as in the product: a server that is gone acknowledges nothing


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "cluster") as servers:
        form(servers)
        yield servers


@pytest.fixture(autouse=True)
def _impatient_publisher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "_ACKNOWLEDGED_WITHIN_S", ACKNOWLEDGED_WITHIN_S)


def carry_out(cluster: Cluster, seed: int, folder: Path) -> float:
    schedule = ClusterSchedule.draw(seed)
    print(schedule)
    folder.mkdir()
    return schedule.carry_out(cluster, folder)


@pytest.mark.long
def test_a_schedule_in_a_cluster_ends_with_the_views_of_a_replay(cluster: Cluster, tmp_path: Path) -> None:
    seed = int(os.environ.get("CRASH_SEED") or randbits(32))
    carry_out(cluster, seed, tmp_path / str(seed))


@pytest.mark.long
def test_many_schedules_in_a_cluster_end_with_the_views_of_a_replay(cluster: Cluster, tmp_path: Path) -> None:
    first, until, longest = randbits(32), monotonic() + TIME_BOX_S, 0.0
    for number in count():
        if monotonic() > until and number >= MANY:
            break
        longest = max(longest, carry_out(cluster, first + number, tmp_path / str(number)))
    print(
        f"{number} schedules, seeds from {first} on; at most {longest:.1f} s from the last fault until all was folded"
    )
