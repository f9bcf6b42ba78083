"""The disk refuses, is full or is slow: nothing is lost, nothing is acknowledged too early, and the node goes on by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from errno import EIO, ENOSPC
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest
from crash_site import PATIENCE_S
from node_faults import FailingCommits, Point, SlowDisk, Struck
from pathlib import Path

if TYPE_CHECKING:
    from crash_site import CrashSite


@pytest.mark.parametrize("stored", [False, True], ids=["nothing stored", "stored all the same"])
@pytest.mark.parametrize("errno", [ENOSPC, EIO], ids=["full", "broken"])
def test_commits_that_fail_are_written_again_until_they_are_stored(site: CrashSite, errno: int, stored: bool) -> None:
    site.publish()
    with site.start(FailingCommits(errno, first=3, times=20, stored=stored)) as node:
        while node.runs:
            site.check_acknowledged()
        assert node.wait() == 0, site.node_log()
    assert os.strerror(errno) in site.node_log()
    site.check_all()


def test_a_node_killed_between_two_tries_leaves_the_fold_so_far(site: CrashSite) -> None:
    site.publish()
    with site.start(FailingCommits(ENOSPC, first=8, times=100), until_caught_up=False) as node:
        site.wait_until_told(os.strerror(ENOSPC), node)
        node.kill()
    site.check()
    site.run_to_the_end()
    site.check_all()


def test_a_slow_disk_delays_and_changes_nothing(site: CrashSite) -> None:
    site.publish(500)
    with site.start(SlowDisk(0.1), Struck(Point.STORED, 16)) as node:
        assert node.wait() < 0, site.node_log()
    site.check()
    site.publish()
    site.run_to_the_end(SlowDisk(0.05))
    site.check_all()
