"""The disk refuses, is full or is slow: nothing is lost, nothing is acknowledged too early, and the node goes on by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from errno import EIO, ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crash_log import STREAM
from engine_support import envelope
from node_faults import FailingCommits, Point, SlowDisk, Struck
from patience import WITHIN_S, wait_until

from projection.cli.door import door_to
from projection.engine.orders import DeployOrder
from projection.engine.recipes import recipe_of
from projection.errors import StorageError
from projection.model.ids import ViewType
from projection.store.catalog import CatalogReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crash_site import CrashSite

DISK = "6m"
ROOM = 400 * 1024  # bytes: enough to begin a build, and not for its one large view
TALLIES = "tallies"


@pytest.mark.parametrize(("errno", "stored"), [(ENOSPC, False), (EIO, True)], ids=["full", "broken after the write"])
def test_commits_that_fail_are_written_again_until_they_are_stored(site: CrashSite, errno: int, stored: bool) -> None:
    site.publish()
    with site.start(FailingCommits(errno, first=3, times=20, stored=stored)) as node:
        assert node.wait() == 0, site.node_log()
    assert os.strerror(errno) in site.whole_node_log()
    site.check_all()


def test_a_node_killed_between_two_tries_leaves_the_fold_so_far(site: CrashSite) -> None:
    site.publish()
    with site.start(FailingCommits(ENOSPC, first=8, times=100), until_caught_up=False) as node:
        node.wait_until_told(os.strerror(ENOSPC))
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


def test_a_node_on_a_full_disk_waits_and_goes_on_by_itself_when_there_is_room(site: CrashSite) -> None:
    site.publish(300)
    with node_on_small_disk(site) as node:
        await_that(site.is_committed, node, site)
        for events in (300, 400):
            site.forget_node_log()
            ballast = fill(site.data / "ballast")
            site.publish(events)
            await_that(lambda: os.strerror(ENOSPC) in site.whole_node_log(), node, site)
            assert not site.is_committed()
            ballast.unlink()
            await_that(site.is_committed, node, site)
            site.check()
        node.send_signal(signal.SIGTERM)
        assert node.wait(WITHIN_S) == 0, site.node_log()


@pytest.mark.parametrize("durability", ["sync", "process"])
def test_a_node_that_starts_on_a_full_disk_waits_until_there_is_room(
    site: CrashSite, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROJECTION_DURABILITY", durability)
    site.publish(300)
    with node_on_small_disk(site, "cat /dev/zero > data/ballast; ") as node:
        await_that(lambda: "the node waits for room on the disk" in site.whole_node_log(), node, site)
        (site.data / "ballast").unlink()
        await_that(site.is_committed, node, site)
        site.check()
        node.send_signal(signal.SIGTERM)
        assert node.wait(WITHIN_S) == 0, site.node_log()


def test_a_node_that_waits_for_room_ends_with_0_when_it_is_told_to(site: CrashSite) -> None:
    with node_on_small_disk(site, "cat /dev/zero > data/ballast; ") as node:
        await_that(lambda: "the node waits for room on the disk" in site.whole_node_log(), node, site)
        node.send_signal(signal.SIGTERM)
        assert node.wait(WITHIN_S) == 0, site.node_log()


def test_a_deployment_that_meets_a_full_disk_is_never_promoted_and_says_so(site: CrashSite) -> None:
    site.log = [envelope("Grown", {"id": "large", "texts": 10 * [60_000 * "x"]}), *site.log]
    site.publish(300)
    (tallies,) = (one for one in site.deployed if one.entry.view_type == TALLIES)
    recipe = recipe_of(tallies)
    doubled = replace(recipe.program, text=recipe.program.text.replace("+= e.n", "+= 2 * e.n"))
    assert doubled != recipe.program
    recipes = [recipe_of(one).encode() for one in site.deployed if one is not tallies]
    order = DeployOrder(recipes=[replace(recipe, program=doubled).encode(), *recipes], by="alice", although_parked=True)
    with node_on_small_disk(site, size="16m") as node:
        await_that(site.is_committed, node, site)
        ballast = fill(site.data / "ballast")
        with door_to(site.data) as door, pytest.raises(StorageError, match="make room on that disk"):
            door.deploy(order)
        assert 1 == answering(site)
        os.truncate(ballast, ballast.stat().st_size - ROOM)
        site.forget_node_log()
        with door_to(site.data) as door:
            steps = {one.view_type: one for one in door.deploy(order).steps}
        assert steps[TALLIES].build is not None
        await_that(lambda: os.strerror(ENOSPC) in site.whole_node_log(), node, site)
        assert 1 == answering(site)
        ballast.unlink()
        await_that(lambda: answering(site) == steps[TALLIES].build, node, site)


def answering(site: CrashSite) -> int:
    """The build that answers for the view type that is deployed."""
    with CatalogReader.open(site.data) as catalog:
        return catalog.require(ViewType(TALLIES)).number


@contextmanager
def node_on_small_disk(site: CrashSite, first: str = "", size: str = DISK) -> Iterator[subprocess.Popen[bytes]]:
    """A node with a file system of its own for its data, of which the test sees as much as the node.

    Args:
        site: where it is.
        first: what a shell does before the node starts.
        size: of the file system.
    """
    space = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*space, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a user namespace, and so no small disk")
    site.data.mkdir()
    mount = f'mount -t tmpfs -o size={size} none data && {{ {first}exec "$@"; }}'
    command = [sys.executable, "-m", "projection", "run", "--manifest", "manifest.json", "--stream", STREAM]
    with (site.folder / "node.log").open("ab") as log:
        node = subprocess.Popen(
            [*space, "sh", "-c", mount, "sh", *command, "--url", site.server.url],
            cwd=site.folder,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    site.data = Path(f"/proc/{node.pid}/root{site.data}")
    try:
        yield node
    finally:
        node.kill()
        node.wait()


def fill(ballast: Path) -> Path:
    """A file that takes all the room there is."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return ballast


def await_that(condition: Callable[[], bool], node: subprocess.Popen[bytes], site: CrashSite) -> None:
    def holds() -> bool:
        assert node.poll() is None, site.node_log()
        return condition()

    wait_until(holds, lambda: f"{site.committed()}: {site.node_log()}")
