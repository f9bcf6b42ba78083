"""The node's process stands still, is taken for dead, or loses its sense of time."""

from __future__ import annotations

import signal
from time import sleep
from typing import TYPE_CHECKING

import pytest
from node_faults import JumpingClock, Point, Stalled, Struck

if TYPE_CHECKING:
    from crash_site import CrashSite

LONG_S = 1.5  # longer than anything in the node waits for its own threads


@pytest.mark.parametrize(
    "fault",
    [Struck(Point.SEALING, 10, signal.SIGSTOP), Struck(Point.PUT, 60, signal.SIGSTOP)],
    ids=["while it makes a commit", "while it writes one"],
)
def test_a_node_that_stood_still_goes_on_as_if_nothing_had_been(site: CrashSite, fault: Struck) -> None:
    """It is killed later on, so that what it holds in memory does not mend what it has stored."""
    site.publish()
    with site.start(fault, Struck(Point.ACKNOWLEDGED, 5)) as node:
        node.wait_until_it_is_frozen()
        sleep(LONG_S)
        node.send(signal.SIGCONT)
        assert node.wait() in (-signal.SIGKILL, 0), site.node_log()
    site.check()
    site.run_to_the_end()
    site.check_all()


@pytest.mark.parametrize(
    "fault",
    [Stalled(Point.SEALING, 10, LONG_S), Stalled(Point.PUT, 60, LONG_S)],
    ids=["while it makes a commit", "while it writes one"],
)
def test_a_thread_that_stood_still_while_others_went_on_has_changed_nothing(site: CrashSite, fault: Stalled) -> None:
    site.publish()
    with site.start(fault, Struck(Point.STORED, 20)) as node:
        assert node.wait() == -signal.SIGKILL, site.node_log()
    site.check()
    site.run_to_the_end()
    site.check_all()


def test_a_node_that_was_taken_for_dead_commits_nothing_after_it_has_been_replaced(site: CrashSite) -> None:
    """Somebody removed its lock. The heir has claimed the lanes and committed nothing: only the epoch is another."""
    site.publish()
    with site.start(Struck(Point.RECEIVED, 1, signal.SIGSTOP)) as zombie:
        zombie.wait_until_it_is_frozen()
        (site.data / "node.lock").unlink()
        with site.start(Struck(Point.RECEIVED, 1)) as heir:
            assert heir.wait() == -signal.SIGKILL, site.node_log()
        before = site.committed()
        zombie.send(signal.SIGCONT)
        assert zombie.wait() == 1, site.node_log()
    assert before == site.committed()
    assert "new owner" in site.whole_node_log()
    site.check()
    site.run_to_the_end()
    site.check_all()


def test_a_wall_clock_that_jumps_by_years_changes_nothing(site: CrashSite) -> None:
    site.publish(500)
    with site.start(JumpingClock(1), Struck(Point.WRITTEN, 9)) as node:
        assert node.wait() == -signal.SIGKILL, site.node_log()
    site.check()
    site.publish()
    site.run_to_the_end(JumpingClock(2))
    site.check_all()
