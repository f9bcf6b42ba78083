"""`kill -9` of the node at every step boundary: what it leaves is the fold of the log so far, and the next goes on."""

from __future__ import annotations

import random
import signal
from itertools import count
from typing import TYPE_CHECKING

import pytest
from crash_log import HALTING, LATE, make_log
from crash_site import CrashSite
from engine_support import added, broken
from node_faults import Point, Struck
from sampling import sampled

from projection.errors import EXIT_FAILED, EXIT_OK
from projection.model.ids import ViewType

if TYPE_CHECKING:
    from pathlib import Path

    from projection.stream.embedded import EmbeddedServer

# How often a point is passed before it strikes, in one node and in the next: early or late among the seven lanes, in a
# transaction and in the log.
PASSINGS = {
    Point.OPENED: (2, 9),
    Point.FOLDED: (1, 137),
    Point.PUT: (45, 230),
    Point.STORED: (3, 4, 5, 12),  # one of them is between two transactions of one commit, if it had two
    Point.RECEIVED: (1, 3),
    Point.ACKNOWLEDGING: (1, 3),
    Point.ACKNOWLEDGED: (1, 3),
}
OTHER_PASSINGS = (5, 12)
SAMPLE = 3  # points, in a run that is not long
EVERY_NTH = {Point.FOLDED: 23, Point.PUT: 13}  # in the long form; of the others, every one


@pytest.mark.parametrize("point", sampled(Point, SAMPLE), ids=lambda point: point.name.lower())
def test_a_node_killed_at_a_step_leaves_the_fold_so_far_and_the_next_one_goes_on(site: CrashSite, point: Point) -> None:
    for passing in PASSINGS.get(point, OTHER_PASSINGS):
        site.publish(400)
        with site.start(Struck(point, passing), until_caught_up=False) as node:
            assert node.wait() == -signal.SIGKILL, site.node_log()
        site.check()
    site.publish()
    site.run_to_the_end()
    site.check_all()


def test_a_lane_that_halts_stays_where_it_is_through_all_crashes_and_the_others_go_on(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    log = [*(added("x") for _ in range(250)), broken("x"), *make_log(random.Random(2), 700)]
    site = CrashSite(server, tmp_path, log, batch=100, halting=True)
    for fault in (Struck(Point.STORED, 3), Struck(Point.WRITTEN, 12), Struck(Point.SEALED, 9)):
        site.publish(300)
        with site.start(fault) as node:
            assert node.wait() in (-signal.SIGKILL, EXIT_FAILED), site.node_log()
        site.check()
    site.publish()
    with site.start() as node:
        assert node.wait() == EXIT_FAILED, site.node_log()
    site.check()
    assert f"view type {HALTING}, sequence 251: R710" in site.whole_node_log()
    committed = site.committed()
    assert committed.pop(ViewType(HALTING)) == 250
    assert set(committed.values()) == {len(log)}


@pytest.mark.long
@pytest.mark.parametrize("point", list(Point), ids=lambda point: point.name.lower())
def test_whenever_a_step_is_passed_in_a_run_a_kill_there_changes_nothing(
    server: EmbeddedServer, tmp_path: Path, point: Point
) -> None:
    """One folder all the time: each node has some more events, and is killed one passing later than the last."""
    site = CrashSite(server, tmp_path, make_log(random.Random(3), 5_000), batch=10)
    site.publish(LATE)
    for passing in count(1, EVERY_NTH.get(point, 1)):
        with site.start(Struck(point, passing)) as node:
            status = node.wait()
        assert status in (-signal.SIGKILL, EXIT_OK), site.node_log()
        site.check()
        if status == EXIT_OK:  # it was through before it came so far
            break
        site.publish(min(60, len(site.log) - site.published))
    site.publish()
    site.run_to_the_end()
    site.check_all()
    print(f"{point.name}: killed at each passing up to {passing}")
