"""`kill -9`, and a loss of power, while a build is folded that does not wait for the disk."""

from __future__ import annotations

import os
import random
from secrets import randbits
from typing import TYPE_CHECKING

import pytest
from crash_log import make_log, replayed, told
from crash_site import CrashSite
from node_faults import EndlessLoading
from patience import wait_until
from sampling import sampled

from projection.cli.door import door_to
from projection.engine.orders import Order
from projection.engine.recipes import deployed_by
from projection.engine.verification import verify
from projection.errors import ProjectionError
from projection.model.ids import ViewType
from projection.query.reading import serving_reader
from projection.store.catalog import CatalogReader
from projection.store.dirty_mark import DirtyMark
from projection.store.lmdb_reader import LmdbViewReader

if TYPE_CHECKING:
    from pathlib import Path

    from projection.store.build import Build
    from projection.stream.embedded import EmbeddedServer

TALLIES = ViewType("tallies")
EVENTS = 400
GOES_ON = "a build is folded without waiting for the disk until it has caught up"
FOLDED_ANEW = "a store that was not on the disk when the machine went down is folded anew"


@pytest.mark.parametrize("power", sampled(("stays", "goes", "goes and half of the file with it"), 1))
def test_a_rebuild_that_is_killed_goes_on_or_begins_anew_and_never_answers_by_half(
    server: EmbeddedServer, tmp_path: Path, power: str
) -> None:
    print("seed", seed := int(os.environ.get("CRASH_SEED") or randbits(32)))
    dice = random.Random(seed)
    site = CrashSite(server, tmp_path, make_log(dice, EVENTS), batch=dice.choice((10, 50)))
    site.publish(EVENTS // 2)
    site.run_to_the_end()
    before = at_rest(site)
    with site.start(EndlessLoading(), until_caught_up=False) as node:
        node.wait_until_it_reads()
        with door_to(site.data) as door:
            door.rebuild(Order(view_type=str(TALLIES), by="the test"))
        wanted = dice.randrange(1, site.published + 1)
        wait_until(lambda: scanned(rebuilt(site)) >= wanted, site.node_log)
        node.kill()
    former, new = builds(site)
    assert (True, False) == tuple(DirtyMark(one.lane_path()).is_set() for one in (new, former))
    assert (1, before) == (former.number, at_rest(site)), "the build that answers is untouched"
    if power != "stays":
        (new.lane_path() / "unsynced").write_text("another boot")
    if power == "goes and half of the file with it":
        data = new.lane_path() / "data.mdb"
        os.truncate(data, data.stat().st_size // 2)
    site.publish()
    site.forget_node_log()
    with site.start(EndlessLoading(), until_caught_up=False) as node:
        node.wait_until_it_reads()
        wait_until(site.is_committed, site.node_log)
        wait_until(lambda: scanned(new) >= site.published, site.node_log)
        assert serving(site) == 1, "it has caught up, and is not on the disk yet"
        node.kill()
    assert GOES_ON in site.whole_node_log()
    assert (power != "stays") == (FOLDED_ANEW in site.whole_node_log())
    site.run_to_the_end()
    assert (2, False) == (serving(site), DirtyMark(new.lane_path()).is_set())
    site.check_all()
    (expected,) = replayed([deployed_by(new)], site.log).values()
    with serving_reader(site.data, TALLIES) as reader:
        assert expected == told(reader, TALLIES)
    assert [] == [problem for one in verify(site.data) for problem in one.problems]


def builds(site: CrashSite) -> list[Build]:
    with CatalogReader.open(site.data) as catalog:
        return catalog.builds(TALLIES)


def rebuilt(site: CrashSite) -> Build:
    return builds(site)[-1]


def serving(site: CrashSite) -> int | None:
    with CatalogReader.open(site.data) as catalog:
        return catalog.serving_number(TALLIES)


def scanned(build: Build) -> int:
    try:
        with LmdbViewReader.open(build.lane_path()) as reader:
            return reader.position().scanned
    except ProjectionError:  # it is being made
        return 0


def at_rest(site: CrashSite) -> object:
    with serving_reader(site.data, TALLIES) as reader:
        return told(reader, TALLIES)
