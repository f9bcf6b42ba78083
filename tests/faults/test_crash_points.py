"""`kill -9` of the node at every step boundary: what it leaves is the fold of the log so far, and the next goes on."""

from __future__ import annotations

import signal
from itertools import count
from typing import TYPE_CHECKING

import pytest
from node_faults import Point, Struck

if TYPE_CHECKING:
    from crash_site import CrashSite

# How often a point is passed before it strikes, in one node after another: in the first batch or one soon after, early
# or late among the seven lanes, early or late in a transaction.
PASSINGS = {
    Point.OPENED: (1, 9),
    Point.FOLDED: (1, 137),
    Point.PUT: (1, 45, 230),
}
FEW_OF_LANES = (1, 5, 12)
FEW_OF_BATCHES = (1, 3)
OF_BATCHES = (Point.RECEIVED, Point.ACKNOWLEDGING, Point.ACKNOWLEDGED)
EVERY_NTH = {Point.FOLDED: 23, Point.PUT: 7}  # in the long form; of the others, every one


@pytest.mark.parametrize("point", list(Point), ids=lambda point: point.name.lower())
def test_a_node_killed_at_a_step_leaves_the_fold_so_far_and_the_next_one_goes_on(site: CrashSite, point: Point) -> None:
    for passing in PASSINGS.get(point, FEW_OF_BATCHES if point in OF_BATCHES else FEW_OF_LANES):
        site.publish(300)
        with site.start(Struck(point, passing), until_caught_up=False) as node:
            assert node.wait() == -signal.SIGKILL, site.node_log()
        site.check()
    site.publish()
    site.run_to_the_end()
    site.check_all()


@pytest.mark.long
@pytest.mark.parametrize("point", list(Point), ids=lambda point: point.name.lower())
def test_whenever_a_step_is_passed_in_a_run_a_kill_there_changes_nothing(site: CrashSite, point: Point) -> None:
    """One folder all the time: each node has the next few events, and is killed one passing later than the last."""
    for passing in count(1, EVERY_NTH.get(point, 1)):
        if site.published == len(site.log):
            break
        site.publish(20)
        with site.start(Struck(point, passing)) as node:
            assert node.wait() in (-signal.SIGKILL, 0), site.node_log()
        site.check()
    site.run_to_the_end()
    site.check_all()
    print(f"{point.name}: killed at each passing up to {passing}")
