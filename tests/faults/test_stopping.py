"""A node that is to stop: what it folded is committed, or abandoned in time and folded again; the exit status says which."""

from __future__ import annotations

import signal
from errno import ENOSPC
from typing import TYPE_CHECKING

import pytest
from node_faults import FailingCommits, Point, SlowDisk, Stalled
from patience import WITHIN_S, wait_until

from projection.errors import EXIT_ABANDONED, EXIT_OK, EXIT_SIGNAL

if TYPE_CHECKING:
    from crash_site import CrashSite

FULL = "No space left on device"
FOR_EVER = FailingCommits(ENOSPC, first=8, times=10**6)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_batch_under_way_be_committed(site: CrashSite, signum: signal.Signals) -> None:
    site.publish()
    with site.start(SlowDisk(0.1), until_caught_up=False) as node:
        node.wait_until_it_reads()
        node.send(signum)
        assert node.wait() == EXIT_OK, site.node_log()
    site.check()
    site.check_acknowledged()
    site.run_to_the_end()
    site.check_all()


def test_a_batch_that_cannot_be_committed_in_time_is_abandoned_unacknowledged_and_folded_again(site: CrashSite) -> None:
    (site.folder / "projection.yaml").write_text("stop_timeout_s: 1\n")
    site.publish()
    with site.start(FOR_EVER, until_caught_up=False) as node:
        node.wait_until_told(FULL)
        node.send(signal.SIGTERM)
        assert node.wait() == EXIT_ABANDONED, site.node_log()
    assert "could not be committed in time" in site.whole_node_log()
    site.check()
    site.check_acknowledged()
    site.run_to_the_end()
    site.check_all()


def test_a_second_signal_ends_it_at_once_and_the_status_says_which(site: CrashSite) -> None:
    site.publish()
    with site.start(FOR_EVER, until_caught_up=False) as node:
        node.wait_until_told(FULL)
        node.send(signal.SIGTERM)
        node.wait_until_told("the node is stopping")
        node.send(signal.SIGINT)
        assert node.wait() == EXIT_SIGNAL + signal.SIGINT, site.node_log()
    site.check()
    site.run_to_the_end()
    site.check_all()


def test_a_node_whose_loop_hangs_is_ended_by_the_second_signal(site: CrashSite) -> None:
    site.publish()
    with site.start(Stalled(Point.FOLDED, 40, 2 * WITHIN_S), until_caught_up=False) as node:
        node.wait_until_told("event loop has not come round")
        node.send(signal.SIGTERM)

        def ends_at_another_signal() -> bool:  # the kernel may hand one of two to a thread that does not hang
            node.send(signal.SIGINT)
            return not node.runs

        wait_until(ends_at_another_signal)
        assert node.wait() in (EXIT_SIGNAL + signal.SIGINT, EXIT_SIGNAL + signal.SIGTERM), site.node_log()
    site.check()
    site.run_to_the_end()
    site.check_all()
