"""What a commit outlives: with `sync` the loss of power, with `process` the end of the process, and nobody is deceived."""

import time
from errno import EIO, ENOSPC
from pathlib import Path
from random import Random

import pytest
from lane_child import KEYS
from store_processes import Start
from unsyncable import unsyncable

from projection.errors import StorageDamagedError, StorageError
from projection.store import dirty_mark
from projection.store.dirty_mark import MARKS, DirtyMark
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.lmdb_store import LmdbLaneStore
from projection.testing.store_owner import ORDERS, Owner, picture

BOTH = pytest.mark.parametrize("durability", ["sync", "process"])


def _restart_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dirty_mark, "boot_id", lambda: "another boot")


def _left_open(path: Path, start: Start) -> int:
    """A store as a writer leaves it that does not wait for the disk and is killed; the last position that it told."""
    writer = start("write-unsynced")
    for _ in range(5):
        last = int(writer.stdout.readline())
    writer.kill()
    writer.wait()
    assert DirtyMark(path).is_set()
    return last


def test_only_sync_waits_for_the_disk(path: Path) -> None:
    for durability in ("sync", "process"):
        with LmdbLaneStore.open(path, "f0", durability=durability) as store:
            assert (durability == "sync") == store._environment._lmdb.flags()["sync"]
            assert (durability == "process") == DirtyMark(path).is_set()


def test_a_store_whose_mark_finds_no_room_waits_for_the_disk_until_it_is_opened_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LmdbLaneStore.open(path, "f0", durability="process") as store:
        owner = Owner(store)
        owner.write(dict.fromkeys(KEYS, b"{}"))

    def no_room(*_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(dirty_mark, "write_durably", no_room)
        with LmdbLaneStore.open(path, "f0", durability="process") as store:
            assert store.waits_for_disk
            assert not DirtyMark(path).is_set()
            Owner(store).write({KEYS[0]: b"[]"})
            before = picture(store)
    with LmdbLaneStore.open(path, "f0", durability="process") as store:
        assert before == picture(store)
        assert not store.waits_for_disk
        # As after a kill: the mark is there, and needs no room.
        monkeypatch.setattr(dirty_mark, "write_durably", no_room)
        assert DirtyMark(path).try_set(discarded=False)


@BOTH
def test_a_store_that_was_closed_outlives_everything(
    path: Path, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LmdbLaneStore.open(path, "f0", durability=durability) as store:
        Owner(store).write(dict.fromkeys(KEYS, b"{}"))
        before = picture(store)
    _restart_machine(monkeypatch)
    with LmdbViewReader.open(path) as reader:
        assert before == picture(reader)
    with LmdbLaneStore.open(path, "f0", durability=durability) as store:
        assert before == picture(store)
        assert not store.discarded


@pytest.mark.parametrize("seed", range(2))
@BOTH
def test_what_was_not_on_the_disk_outlives_the_process(path: Path, start: Start, durability: str, seed: int) -> None:
    """Killed at any moment, and opened again by either kind; as long as the machine runs, its memory has it all."""
    random = Random(seed)
    for _ in range(2):
        writer = start("write-unsynced")
        for _ in range(random.randrange(1, 40)):
            last = int(writer.stdout.readline())
        time.sleep(random.uniform(0, 0.005))  # waits for nothing: the moment of the kill falls anywhere in a commit
        writer.kill()
        committed = [last, *(int(line) for line in writer.stdout if line.endswith("\n"))][-1]
        with LmdbLaneStore.open(path, "f0", durability=durability) as store:
            assert not store.discarded
            assert committed <= store.position().scanned <= committed + 1
            assert {b"%d" % store.position().scanned * 50} == {view for _, view in store.scan(None, ORDERS)}
            assert store.audit().agrees
        assert not DirtyMark(path).is_set()


@BOTH
def test_what_was_not_on_the_disk_is_discarded_when_the_machine_went_down(
    path: Path, start: Start, durability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever of it is there looks like a store: nothing else would tell that it is damaged. It is told once."""
    _left_open(path, start)
    _restart_machine(monkeypatch)
    with pytest.raises(StorageDamagedError, match="the machine went down; start the node: it discards the store"):
        LmdbViewReader.open(path)
    for discarded in (True, False):
        with LmdbLaneStore.open(path, "f1", durability=durability) as store:
            assert discarded == store.discarded
            assert store.fold_identity() == "f1"
            if discarded:
                assert (0, 0) == (store.position().scanned, store.count_views())
                Owner(store).write(dict.fromkeys(KEYS, b"anew"))
            assert {b"anew"} == {view for _, view in store.scan(None, ORDERS)}


def test_a_discarding_that_was_interrupted_is_done_again(
    path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of the files the disk had forgotten by then."""
    for there in ((), ("data.mdb",), ("lock.mdb",)):
        _left_open(path, start)
        for name in {"data.mdb", "lock.mdb"} - {*there}:
            (path / name).unlink()
        with monkeypatch.context() as restarted:
            _restart_machine(restarted)
            with LmdbLaneStore.open(path, "f0") as store:
                assert store.discarded
                assert store.count_views() == 0


def test_a_process_that_dies_between_mark_and_store_is_in_nobodys_way(path: Path) -> None:
    path.mkdir(parents=True)
    DirtyMark(path).set()
    (path / MARKS[1]).touch()
    for durability in ("process", "sync"):
        with LmdbLaneStore.open(path, "f0", durability=durability) as store:
            assert not store.discarded


def test_the_mark_is_there_before_anything_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it there is no store that is not waited for; where the disk is only full, each commit is."""

    def refused(_path: Path, _text: str) -> None:
        raise OSError(EIO, "Input/output error")

    monkeypatch.setattr(dirty_mark, "write_durably", refused)
    with pytest.raises(StorageError, match="Input/output error"):
        LmdbLaneStore.open(path, "f0", durability="process")
    assert not list(path.iterdir())


def test_where_the_machine_tells_no_boot_process_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would tell whether what lies there is what was written."""
    monkeypatch.setattr(dirty_mark, "boot_id", lambda: None)
    with pytest.raises(StorageError, match=r"durability `process` needs to know .*; set durability to `sync`"):
        LmdbLaneStore.open(path, "f0", durability="process")
    assert not list(path.iterdir())
    LmdbLaneStore.open(path, "f0").close()


def test_a_store_whose_memory_the_disk_refused_is_discarded_though_the_machine_runs_on(path: Path) -> None:
    """The kernel gives a refused page up and says so once; what is read later may be what was there before."""
    store = LmdbLaneStore.open(path, "f0", durability="process")
    Owner(store).write(dict.fromkeys(KEYS, b"{}"))
    with unsyncable(path):
        store.close()
    with pytest.raises(StorageDamagedError):
        LmdbViewReader.open(path)
    with LmdbLaneStore.open(path, "f0") as store:
        assert store.discarded
