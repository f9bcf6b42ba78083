"""Indexes of a lane: its commits keep them, what is declared later is built in the background, and no kill breaks them."""

from __future__ import annotations

import asyncio
import errno
import os
from itertools import count
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from build_support import TALLY, answering, fold_on
from engine_support import TALLIES, TOO_MUCH, Log, added, broken, deploy, envelope, erased, feed
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import WITHIN_S, eventually

from projection.engine import indexing
from projection.engine.adoption import adopt
from projection.engine.builds import open_store, plan_builds
from projection.engine.committer import Committer, Workshop
from projection.engine.indexing import build_indexes
from projection.engine.lane import Lane
from projection.engine.verification import verify
from projection.errors import StaleCommitError, StorageDamagedError, StorageError
from projection.model.ids import TenantId
from projection.store import index_building
from projection.store.catalog import Catalog
from projection.store.indexes import ENTRIES, described, index_range
from projection.store.lmdb_opening import open_to_write
from projection.store.memory import MemoryLaneStore
from projection.store.ranges import after

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from node_support import Site

    from projection.engine.deployment import DeployedView
    from projection.store.port import LaneStore

BY_TOTAL, BY_EVENTS, BY_TEXT = "total desc", "events, total", "texts"


def tallies(*indexes: str, program: str = TALLIES) -> str:
    return program + "".join(f"\nindex by {keys}" for keys in indexes)


def events(views: int) -> list[bytes]:
    """Something for so many views, of two tenants."""
    return [added(f"v{number:04}", number % 7, tenant="ab" if number % 3 else "a") for number in range(views)]


def problems(data: Path) -> list[str]:
    (found,) = verify(data)
    return found.problems


def indexes(store: LaneStore) -> dict[str, tuple[int, bool]]:
    """Number and whether it is built, by what stands behind `index by`."""
    with store.snapshot() as snapshot:
        return {described(index.keys): (index.number, index.built) for index in snapshot.indexes}


def entries(store: LaneStore) -> list[tuple[bytes, bytes]]:
    with store.snapshot() as snapshot:
        return list(snapshot.entries(ENTRIES, after(ENTRIES)))


def ids_by(store: LaneStore, keys: str, tenant: str = "a") -> list[str]:
    """The views of a tenant in the order of an index."""
    with store.snapshot() as snapshot:
        (index,) = (one for one in snapshot.indexes if described(one.keys) == keys)
        return [value.decode() for _, value in snapshot.entries(*index_range(TenantId(tenant), index))]


def built_anew(deployed: DeployedView, log: Log) -> list[tuple[bytes, bytes]]:
    """The entries that a fold of the whole log comes to, without the numbers of the indexes."""
    return sorted(without_number(feed(Lane(deployed, MemoryLaneStore()), log.messages).store))


def without_number(store: LaneStore) -> list[tuple[bytes, bytes]]:
    """Entries by what is indexed, whatever the index's number."""
    with store.snapshot() as snapshot:
        names = {b"%d" % index.number: described(index.keys).encode() for index in snapshot.indexes}
    found = ((key.split(b":", 2), value) for key, value in entries(store))
    return sorted((names[number] + b":" + rest, value) for (_, number, rest), value in found)


# --- commits ----------------------------------------------------------------------------------------------------------


def test_a_commit_brings_the_entries_of_what_it_changes(tmp_path: Path) -> None:
    """What was before goes, what is after comes; an erased view has none; all in the views' own transaction."""
    deployed = deploy(tmp_path, tallies(BY_TOTAL))
    log = Log(added("x", 1), added("y", 5), added("z", 3), added("x", 9), erased("y"))
    lane = feed(Lane(deployed[0], MemoryLaneStore()), log.messages[:3])
    assert ["y", "z", "x"] == ids_by(lane.store, BY_TOTAL)
    feed(lane, log.messages[3:], commit_every=1)
    assert ["x", "z"] == ids_by(lane.store, BY_TOTAL)
    assert 2 == len(entries(lane.store))


def test_a_change_that_leaves_an_index_alone_writes_nothing_to_it(tmp_path: Path) -> None:
    """An entry is written where a key has changed, and not because the view has."""
    (deployed,) = deploy(tmp_path, tallies(BY_TOTAL))
    lane = feed(Lane(deployed, MemoryLaneStore()), Log(added("x", 1)).messages)
    feed_more = Log(added("x", 1), added("x", 0)).messages[1:]
    made = []
    commit = lane.store.commit
    lane.store.commit = lambda one, on_written=None: made.append(one) or commit(one, on_written)
    feed(lane, feed_more)
    assert [1] == [len(one.views) for one in made]
    assert [{}] == [one.entries for one in made]


def test_a_view_that_a_lane_refuses_leaves_its_entries_as_they_were(tmp_path: Path) -> None:
    """A parked event changes no view, and no entry."""
    (deployed,) = deploy(tmp_path, tallies(BY_TOTAL))
    log = Log(added("x", 1), added("y", 2), broken("x", "y"), added("y", TOO_MUCH))
    lane = feed(Lane(deployed, MemoryLaneStore()), log.messages)
    assert ["y", "x"] == ids_by(lane.store, BY_TOTAL)


# --- in the background ------------------------------------------------------------------------------------------------


def test_the_indexes_of_a_new_store_are_built_at_once(tmp_path: Path) -> None:
    """There is nothing that could be missing."""
    deployed = deploy(tmp_path / "p", tallies(BY_TOTAL, BY_EVENTS))
    fold_on(tmp_path / "data", deployed, Log(*events(20)).messages)
    with answering(tmp_path / "data") as (_, store):
        assert {BY_TOTAL: (1, True), BY_EVENTS: (2, True)} == indexes(store)
    assert [] == problems(tmp_path / "data")


async def built(deployed: DeployedView, store: LaneStore) -> Lane:
    """What a node does in the background, until it is done."""
    lane = Lane(deployed, store)
    workshop = Workshop(1, patience_s=WITHIN_S)
    try:
        await build_indexes(Committer(lane, workshop))
    finally:
        workshop.close()
    return lane


@pytest.mark.parametrize("views", [0, 1, 16, 500])
async def test_an_index_that_is_declared_later_is_built_from_the_views(tmp_path: Path, views: int) -> None:
    """Adding one makes no new build: what is folded is the same."""
    data, log = tmp_path / "data", Log(*events(views))
    fold_on(data, deploy(tmp_path / "p", tallies(BY_TOTAL)), log.messages)
    (deployed,) = deploy(tmp_path / "p", tallies(BY_EVENTS, BY_TOTAL))
    with Catalog.open(data) as catalog:
        (one,) = plan_builds(catalog, [deployed])
        with open_store(one.build, one.deployed) as store:
            await built(one.deployed, store)
            assert {BY_TOTAL: (1, True), BY_EVENTS: (2, True)} == indexes(store)
            assert built_anew(deployed, log) == without_number(store)
    assert 1 == one.build.number
    assert [] == problems(data)


async def test_the_entries_of_an_index_that_is_no_longer_declared_are_deleted(tmp_path: Path) -> None:
    """All of them, and no others; declared again, it is another index."""
    data, log = tmp_path / "data", Log(*events(300))
    for keys, expected in (([BY_TOTAL, BY_EVENTS], 600), ([BY_EVENTS], 300), ([], 0), ([BY_TOTAL], 300)):
        (deployed,) = deploy(tmp_path / "p", tallies(*keys))
        fold_on(data, [deployed], log.messages)
        with answering(data) as (_, store):
            await built(deployed, store)
            assert expected == len(entries(store))
    with answering(data) as (_, store):
        assert {BY_TOTAL: (3, True)} == indexes(store)
    assert [] == problems(data)


SOME_EVENTS = st.lists(
    st.one_of(
        st.builds(added, st.sampled_from("abcdefgh"), st.integers(-3, 3), st.sampled_from(["", "t", "t:", "tt"])),
        st.builds(erased, st.sampled_from("abcdefgh"), tenant=st.sampled_from(["", "t", "t:", "tt"])),
        st.builds(
            lambda view_id, texts: envelope("Grown", {"id": view_id, "texts": texts}, "t"),
            st.sampled_from("abcdefgh"),
            st.lists(st.text("ab\0é", max_size=3), max_size=3),
        ),
    ),
    max_size=12,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fold"), SOME_EVENTS),
        st.tuples(st.just("build"), st.integers(1, 5)),
        st.tuples(st.just("declare"), st.lists(st.sampled_from([BY_TOTAL, BY_EVENTS, BY_TEXT]), unique=True)),
        st.just(("kill", None)),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(STEPS, st.sampled_from([1, 4, 1_000]), st.sampled_from([0, 2, 1_000]))
def test_whatever_comes_between_two_pieces_the_entries_are_those_of_the_views(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object]], in_a_round: int, remembered: int
) -> None:
    """Events before and behind the place that a build has come to, restarts, other declarations; few or many rounds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_building, "MOST_ENTRIES", in_a_round)
        patch.setattr(index_building, "_MOST_CHANGED", remembered)
        _take_steps(tmp_path_factory, steps)


def _take_steps(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object]]) -> None:
    folder = tmp_path_factory.mktemp("steps")
    data, log = folder / "data", Log()
    deployed = deploy(folder / "p", tallies(BY_TOTAL))
    with Catalog.open(data) as catalog:
        store, lane = _opened(catalog, deployed)
        try:
            for step, what in steps:
                if step == "fold":
                    feed(lane, log.add(*what).messages[lane.scanned :], commit_every=3)
                elif step == "build":
                    store.build_indexes(lane.epoch, lane.entries_of, what)
                else:
                    store.close()
                    if step == "declare":
                        deployed = deploy(folder / "p", tallies(*what))
                    store, lane = _opened(catalog, deployed)
            while store.build_indexes(lane.epoch, lane.entries_of, 3):
                pass
            assert all(is_built for _, is_built in indexes(store).values())
            assert built_anew(deployed[0], log) == without_number(store)
        finally:
            store.close()
    assert [] == problems(data)


@pytest.mark.parametrize(("in_a_round", "remembered"), [(3, 1_000), (1_000, 1_000), (1_000, 1)])
def test_views_that_change_while_an_index_is_built_have_the_entries_of_what_they_are_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_a_round: int, remembered: int
) -> None:
    """What was collected of a view may be old when it is written: some of it is right still, and some is not."""
    monkeypatch.setattr(index_building, "MOST_ENTRIES", in_a_round)
    monkeypatch.setattr(index_building, "_MOST_CHANGED", remembered)
    seed = Random().randrange(2**32)
    print("seed", seed)
    dice = Random(seed)
    for schedule in range(12):
        data, log = tmp_path / f"data{schedule}", Log(*events(12))
        fold_on(data, deploy(tmp_path / "p", TALLIES), log.messages)
        (deployed,) = deploy(tmp_path / "p", tallies(BY_TOTAL, BY_EVENTS))
        with answering(data) as (_, store):
            lane = Lane(deployed, store)
            while store.build_indexes(lane.epoch, lane.entries_of, dice.randint(1, 6)):
                view_id, tenant = f"v{dice.randrange(14):04}", dice.choice(["a", "ab"])
                changed = (
                    erased(view_id, tenant=tenant)
                    if dice.random() < 0.2
                    else added(view_id, dice.randrange(2), tenant=tenant)
                )
                feed(lane, log.add(*[changed] * dice.randrange(3)).messages[lane.scanned :])
            assert built_anew(deployed, log) == without_number(store)
        assert [] == problems(data)


def test_a_disk_that_refuses_what_is_collected_for_an_index_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may refuse to keep it, and to give it back: nothing of it is left out."""
    seed = Random().randrange(2**32)
    print("seed", seed)
    dice, codes = Random(seed), set()

    def refusing(call: Callable[..., object], number: int) -> Callable[..., object]:
        def refuse_or_call(*args: object) -> object:
            if dice.random() < 0.4:
                raise OSError(number, os.strerror(number))
            return call(*args)

        return refuse_or_call

    monkeypatch.setattr(index_building, "MOST_ENTRIES", 5)
    calls = SimpleNamespace(pwrite=refusing(os.pwrite, errno.ENOSPC), pread=refusing(os.pread, errno.EIO))
    monkeypatch.setattr(index_building, "os", calls)
    data, log = tmp_path / "data", Log(*events(60))
    fold_on(data, deploy(tmp_path / "p", TALLIES), log.messages)
    (deployed,) = deploy(tmp_path / "p", tallies(BY_TOTAL, BY_EVENTS))
    with answering(data) as (_, store):
        lane, is_more = Lane(deployed, store), True
        while is_more:
            try:
                is_more = store.build_indexes(lane.epoch, lane.entries_of, 2)
            except StorageError as error:
                codes.add(error.code)
        assert built_anew(deployed, log) == without_number(store)
    assert {"storage.full", "storage.io"} == codes
    assert [] == problems(data)


def _opened(catalog: Catalog, deployed: tuple[DeployedView, ...]) -> tuple[LaneStore, Lane]:
    (one,) = plan_builds(catalog, deployed)
    store = open_store(one.build, one.deployed)
    return store, Lane(one.deployed, store)


def test_who_no_longer_owns_the_store_builds_nothing(tmp_path: Path) -> None:
    """As with commits."""
    (deployed,) = deploy(tmp_path, tallies(BY_TOTAL))
    lane = feed(Lane(deployed, MemoryLaneStore()), Log(added("x")).messages)
    Lane(deployed, lane.store)
    with pytest.raises(StaleCommitError):
        lane.store.build_indexes(lane.epoch, lane.entries_of, 10)


class Refusing(MemoryLaneStore):
    """The disk refuses some pieces."""

    refusals = 2

    def build_indexes(self, *arguments, **more) -> bool:
        if self.refusals:
            self.refusals -= 1
            raise StorageError("the disk is full")
        return super().build_indexes(*arguments, **more)


async def test_a_piece_that_the_disk_refuses_is_tried_again(tmp_path: Path) -> None:
    """It changed nothing; building goes on by itself."""
    (plain,), (deployed,) = deploy(tmp_path / "a", TALLIES), deploy(tmp_path / "b", tallies(BY_TOTAL))
    store = Refusing()
    feed(Lane(plain, store), Log(*events(5)).messages)
    await asyncio.wait_for(built(deployed, store), WITHIN_S)
    assert 0 == store.refusals
    assert {BY_TOTAL: (1, True)} == indexes(store)


@pytest.mark.parametrize("disk_s", [0.0, 0.012, 0.2])
async def test_pieces_are_as_large_as_their_work_allows_however_long_the_disk_takes(disk_s, monkeypatch):
    """A transaction takes the disk as long for few views as for many: small ones would make a slow disk the measure."""
    now, left, sizes, waits = [0.0], [20_000], [], []

    def build(size, on_written):
        sizes.append(size)
        now[0] += size * 12e-6
        on_written()
        now[0] += disk_s
        left[0] -= size
        return left[0] > 0

    class Member:
        lane = SimpleNamespace(view_type="things")

        async def between_commits(self, piece):
            piece(lambda: None)

    async def sleep(seconds):
        waits.append(seconds)

    monkeypatch.setattr(indexing, "perf_counter", lambda: now[0])
    monkeypatch.setattr(indexing.asyncio, "sleep", sleep)
    await indexing._in_pieces(Member(), "indexes", build)
    assert max(sizes) == 512, "of 12 µs each"
    assert len(sizes) < 20_000 / 512 + 10
    assert sum(waits) == pytest.approx(now[0] - disk_s * len(sizes)), "no more than half of the time that it works"


async def test_a_view_that_cannot_be_read_ends_the_building_with_a_clear_error(tmp_path: Path) -> None:
    """No trying mends it, and no index that lacks it is taken for built."""
    data = tmp_path / "data"
    fold_on(data, deploy(tmp_path / "p", TALLIES), Log(*events(3)).messages)
    put(data, b"view:a:tallies:v0000", b'{"total":"many"}')
    (deployed,) = deploy(tmp_path / "p", tallies(BY_TOTAL))
    with answering(data) as (_, store):
        with pytest.raises(StorageDamagedError, match="view view:a:tallies:v0000 is damaged"):
            await built(deployed, store)
        assert {BY_TOTAL: (1, False)} == indexes(store)


async def test_a_node_builds_beside_the_log_and_a_stop_in_the_middle_is_made_up_for(site: Site, tmp_path: Path) -> None:
    """Started again and again while events come, it ends with all entries, and what answers stays the same build."""
    number = count()
    async with site.node(deploy(tmp_path / "p", TALLIES, template=site.template)) as node:
        await site.publish(events(3_000))
        await node.run(until_caught_up=True)
    deployed = deploy(tmp_path / "p", tallies(BY_TOTAL, BY_EVENTS), template=site.template)
    for _ in range(3):
        async with site.node(deployed) as node:
            await site.publish(added(f"v{next(number):04}", 100) for _ in range(50))
            running = asyncio.create_task(node.run())
            await eventually(lambda: entries(node.lanes[0].store), running)
            node.stop()
            await running
    async with site.node(deployed) as node:
        await node.run(until_caught_up=True)
        assert {BY_TOTAL: (1, True), BY_EVENTS: (2, True)} == indexes(node.lanes[0].store)
    assert [] == problems(site.data)


# --- adoption ---------------------------------------------------------------------------------------------------------


async def test_an_adopted_build_has_the_indexes_of_the_new_program(tmp_path: Path) -> None:
    """What both declare is taken over with its entries, what only one declares comes or goes; queues that run count."""
    data, log = tmp_path / "data", Log(*events(50), broken("v0001", tenant="ab"), added("v0001", 50, tenant="ab"))
    fold_on(data, deploy(tmp_path / "p", tallies(BY_TOTAL, BY_TEXT)), log.messages)
    corrected = TALLIES.replace('fail("BAD", "as asked")', "keep")
    (deployed,) = deploy(tmp_path / "p", tallies(BY_TOTAL, BY_EVENTS, program=corrected))
    with Catalog.open(data) as catalog:
        adopted = adopt(catalog, deployed)
        assert 2 == adopted.taken
        (one,) = plan_builds(catalog, [deployed])
        with open_store(one.build, one.deployed) as store:
            assert {BY_TOTAL: (1, True), BY_EVENTS: (3, False)} == indexes(store)
            assert "v0001" == ids_by(store, BY_TOTAL, "ab")[0]
            await built(one.deployed, store)
            assert {BY_TOTAL: (1, True), BY_EVENTS: (3, True)} == indexes(store)
    assert [] == problems(data)


# --- verifying --------------------------------------------------------------------------------------------------------


def put(data: Path, key: bytes, value: bytes | None) -> None:
    """What no commit does."""
    environment = open_to_write(data / TALLY / "1" / "0")
    environment.update(lambda transaction: transaction.put(key, value) if value else transaction.delete(key))
    environment.close()


@pytest.fixture
def sound(tmp_path: Path) -> tuple[Path, list[tuple[bytes, bytes]]]:
    """A data folder, and its entries."""
    fold_on(tmp_path / "data", deploy(tmp_path / "p", tallies(BY_TOTAL, BY_EVENTS)), Log(*events(4)).messages)
    with answering(tmp_path / "data") as (_, store):
        found = entries(store)
    assert [] == problems(tmp_path / "data")
    return tmp_path / "data", found


def test_an_entry_that_is_missing_is_found(sound: tuple[Path, list[tuple[bytes, bytes]]]) -> None:
    """And which index lacks it."""
    data, found = sound
    put(data, found[0][0], None)
    assert ["its index by total desc has 3 entries, which are not the 4 that its views give"] == problems(data)


def test_an_entry_that_leads_to_another_view_is_found(sound: tuple[Path, list[tuple[bytes, bytes]]]) -> None:
    """Though there are as many as there should be."""
    data, found = sound
    put(data, found[-1][0], b"v0009")
    assert ["its index by events, total has 4 entries, which are not the 4 that its views give"] == problems(data)


def test_an_index_that_is_not_built_yet_is_not_missed(tmp_path: Path) -> None:
    """It says itself that it is not whole."""
    fold_on(tmp_path / "data", deploy(tmp_path / "p", TALLIES), Log(*events(4)).messages)
    fold_on(tmp_path / "data", deploy(tmp_path / "p", tallies(BY_TOTAL)), Log(*events(4), added("x")).messages)
    with answering(tmp_path / "data") as (_, store):
        assert {BY_TOTAL: (1, False)} == indexes(store)
    assert [] == problems(tmp_path / "data")
