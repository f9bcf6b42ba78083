"""A store that is loaded does not wait for the disk until it has all of it; the mark tells, and never too early."""

import os
from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path
from random import Random

import pytest
from lane_child import KEYS
from store_processes import Start
from unsyncable import unsyncable

from projection.errors import StorageDamagedError, StorageError
from projection.store import dirty_mark
from projection.store.dirty_mark import MARKS, DirtyMark, LoadingMark
from projection.store.lmdb_env import Environment
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.lmdb_store import LmdbLaneStore
from projection.testing.store_owner import ORDERS, Owner, picture

BOTH = pytest.mark.parametrize("durability", ["sync", "process"])
_PAGE = 4096


def loaded(path: Path, **options: object) -> LmdbLaneStore:
    return LmdbLaneStore.open(path, "f0", loads=True, **options)


def waits(store: LmdbLaneStore) -> bool:
    """Whether LMDB waits for the disk, by its own word."""
    return store._environment._lmdb.flags()["sync"]


def marks(path: Path) -> set[str]:
    return {name for name in MARKS if (path / name).exists()}


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The marks that were there when a store had been brought to the disk, each time."""
    found = []
    sync = Environment._sync

    def told(environment: Environment) -> None:
        sync(environment)
        found.append(marks(environment.path))

    monkeypatch.setattr(Environment, "_sync", told)
    return found


def test_it_waits_for_nothing_until_it_is_loaded_and_then_for_each_commit(path: Path, syncs: list[set[str]]) -> None:
    """The mark is there until the disk has everything, and gone from then on."""
    with loaded(path) as store:
        owner = Owner(store)
        owner.write(dict.fromkeys(KEYS, b"{}"))
        assert (True, False, {"unsynced", "loading"}) == (store.is_loading, waits(store), marks(path))
        assert [] == syncs
        store.end_loading()
        assert {"unsynced", "loading"} in syncs
        assert (False, True, set()) == (store.is_loading, waits(store), marks(path))
        owner.write({KEYS[0]: b"[]"})
        before = picture(store)
        store.end_loading()
        assert before == picture(store)
    with loaded(path) as store:  # once it was on the disk for good, it is never put at risk again
        assert (False, True, set(), before) == (store.is_loading, waits(store), marks(path), picture(store))


def test_what_is_written_while_the_disk_is_busy_is_there_before_the_mark_is_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, happened = loaded(path), []
    sync, clear = Environment._sync, DirtyMark.clear

    def synced(environment: Environment) -> None:
        sync(environment)
        happened.append("on the disk")
        if "written" not in happened:
            owner.write({KEYS[0]: b"{}"})
            happened.append("written")

    def cleared(mark: DirtyMark) -> None:
        happened.append("gone")
        clear(mark)

    with store:
        owner = Owner(store)
        monkeypatch.setattr(Environment, "_sync", synced)
        monkeypatch.setattr(DirtyMark, "clear", cleared)
        store.end_loading()
    assert ["on the disk", "written", "on the disk", "gone"] == happened


def test_with_durability_process_it_goes_on_without_waiting(path: Path, syncs: list[set[str]]) -> None:
    with loaded(path, durability="process") as store:
        Owner(store).write({KEYS[0]: b"[]"})
        store.end_loading()
        assert (False, False, {"unsynced"}, []) == (store.is_loading, waits(store), marks(path), syncs)


def test_closed_in_between_it_is_on_the_disk_and_goes_on_loading(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with loaded(path) as store:
        Owner(store).write(dict.fromkeys(KEYS, b"{}"))
        before = picture(store)
    assert {"loading"} == marks(path)
    monkeypatch.setattr(dirty_mark, "boot_id", lambda: "another boot")
    with loaded(path) as store:
        assert (False, True, False, before) == (store.discarded, store.is_loading, waits(store), picture(store))


@BOTH
def test_a_store_that_was_never_loaded_does_not_begin_to_be(path: Path, durability: str) -> None:
    LmdbLaneStore.open(path, "f0", durability=durability).close()
    with loaded(path, durability=durability) as store:
        assert (False, durability == "sync") == (store.is_loading, waits(store))


def test_opened_by_whoever_does_not_load_it_is_on_the_disk_first(path: Path, start: Start) -> None:
    child = start("load")
    last = int(child.stdout.readline())
    child.kill()
    child.wait()
    assert {"unsynced", "loading"} == marks(path)
    with LmdbLaneStore.open(path, "f0") as store:
        assert (False, True, set()) == (store.is_loading, waits(store), marks(path))
        assert store.position().scanned >= last


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_it_goes_on_where_it_was(path: Path, start: Start, seed: int) -> None:
    print("seed", seed)
    random, last = Random(seed), 0
    for _ in range(2):
        child = start("load")
        for _ in range(random.randrange(1, 40)):
            last = int(child.stdout.readline())
        child.kill()
        child.wait()
        with loaded(path) as store:
            assert (True, False, False) == (store.is_loading, waits(store), store.discarded)
            assert last <= store.position().scanned
            assert store.audit().agrees


def _cut(data: Path) -> None:
    """What the disk had of the file was older."""
    os.truncate(data, data.stat().st_size // 2)


def _zero_pages(data: Path) -> None:
    """The disk had some pages, and not others."""
    with data.open("r+b") as file:
        for page in range(3, data.stat().st_size // _PAGE, 2):
            file.seek(page * _PAGE)
            file.write(bytes(_PAGE))


def _nothing(_data: Path) -> None:
    """What is there looks whole; nothing but the mark tells."""


@pytest.mark.parametrize("harm", [_cut, _zero_pages, _nothing])
def test_after_a_loss_of_power_it_is_loaded_anew(
    path: Path, start: Start, harm: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start("load")
    child.stdout.readline()
    child.kill()
    child.wait()
    harm(path / "data.mdb")
    monkeypatch.setattr(dirty_mark, "boot_id", lambda: "another boot")
    with pytest.raises(StorageDamagedError, match="the machine went down"):
        LmdbViewReader.open(path)
    with loaded(path) as store:
        assert (True, True, False) == (store.discarded, store.is_loading, waits(store))
        assert (0, []) == (store.position().scanned, list(store.scan(None, ORDERS)))


class KilledError(BaseException):
    """In the place of a kill."""


@pytest.mark.parametrize("mark", [DirtyMark, LoadingMark])
def test_killed_while_it_ends_it_has_everything_and_ends_again(
    path: Path, mark: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: object) -> None:
        raise KilledError

    store = loaded(path)
    Owner(store).write(dict.fromkeys(KEYS, b"{}"))
    before = picture(store)
    with monkeypatch.context() as patched:
        patched.setattr(mark, "clear", killed)
        with pytest.raises(KilledError):
            store.end_loading()
    store._environment._lmdb.close()
    with loaded(path) as again:
        assert (before, True) == (picture(again), again.is_loading)
        again.end_loading()
        assert (set(), True) == (marks(path), waits(again))


def test_what_the_disk_refused_is_never_said_to_be_there(path: Path) -> None:
    """To ask once more would succeed: the kernel has given the pages up, and tells so once."""
    store = loaded(path)
    Owner(store).write(dict.fromkeys(KEYS, b"{}"))
    with unsyncable(path), pytest.raises(StorageDamagedError, match="the disk refused what was written"):
        store.end_loading()
    store.close()  # the disk is well again
    assert "unsynced" in marks(path)
    with loaded(path) as store:
        assert (True, True) == (store.discarded, store.is_loading)


def test_while_this_process_reads_it_goes_on_loading_and_ends_afterwards(path: Path) -> None:
    with loaded(path) as store:
        Owner(store).write(dict.fromkeys(KEYS, b"{}"))
        scan = store.scan(None, ORDERS)
        next(scan)
        with pytest.raises(StorageError, match="cannot begin to wait for the disk while this process reads from it"):
            store.end_loading()
        assert (True, {"unsynced", "loading"}) == (store.is_loading, marks(path))
        assert len(KEYS) - 1 == len(list(scan))
        store.end_loading()
        assert set() == marks(path)


def test_where_the_mark_finds_no_room_or_no_boot_it_waits_for_the_disk_meanwhile(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(dirty_mark, "write_durably", no_room)
        with loaded(path) as store:
            assert (True, True) == (store.is_loading, waits(store))
            store.end_loading()
            assert set() == marks(path)
    monkeypatch.setattr(dirty_mark, "boot_id", lambda: None)
    with loaded(path.with_name("1")) as store:
        assert (True, True) == (store.is_loading, waits(store))
