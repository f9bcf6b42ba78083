"""The map grows when the data does, at any size, whoever is reading: in this process and in others."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lane_child import KEYS
from patience import WITHIN_S, wait_until
from store_processes import Start, ask

from projection.errors import StorageError
from projection.store import lmdb_env
from projection.store.lmdb_store import LmdbLaneStore
from projection.testing.store_owner import ACME, ORDERS, Owner, parked_event, picture

MIB = 1 << 20
BIG = dict.fromkeys(KEYS, b"x" * 20_000)  # about 4 MiB


def test_the_map_grows_when_the_data_does(path: Path) -> None:
    with LmdbLaneStore.open(path, "f0", map_size=MIB) as store:
        Owner(store).write(BIG)
        assert dict(store.scan(ACME, ORDERS)) == BIG
    with LmdbLaneStore.open(path, "f0", map_size=MIB) as store:
        assert dict(store.scan(ACME, ORDERS)) == BIG


def test_growing_waits_for_the_scans_of_other_threads(path: Path) -> None:
    """py-lmdb would crash: so the test ends here, or with the process."""
    with LmdbLaneStore.open(path, "f0", map_size=MIB) as store, ThreadPoolExecutor(1) as pool:
        owner = Owner(store)
        owner.write({KEYS[0]: b"old", KEYS[1]: b"old"})
        scan = store.scan(ACME, ORDERS)
        next(scan)
        writing = pool.submit(owner.write, BIG)
        wait_until(lambda: store._environment._gate._wanted)
        assert store.get_view(KEYS[0]) == b"old"  # who is inside already is not shut out
        assert not writing.done()
        assert [(KEYS[1], b"old")] == list(scan)
        writing.result(timeout=WITHIN_S)
        assert dict(store.scan(ACME, ORDERS)) == BIG


def test_growing_under_a_scan_of_the_same_thread_is_refused_at_once(path: Path) -> None:
    """Waiting for oneself would never end."""
    with LmdbLaneStore.open(path, "f0", map_size=MIB) as store:
        owner = Owner(store)
        owner.write({KEYS[0]: b"old"})
        before = picture(store)
        scan = store.scan(ACME, ORDERS)
        next(scan)
        with pytest.raises(StorageError, match="while this process reads from it; end the open scan"):
            owner.write(BIG)
        assert before == picture(store)
        scan.close()
        owner.write(BIG)
        assert dict(store.scan(ACME, ORDERS)) == BIG


def test_growing_gives_up_on_a_scan_that_does_not_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_env, "PATIENCE", 0.05)
    with LmdbLaneStore.open(path, "f0", map_size=MIB) as store, ThreadPoolExecutor(1) as pool:
        owner = Owner(store)
        owner.write({KEYS[0]: b"old"})
        scan = store.scan(ACME, ORDERS)
        next(scan)
        with pytest.raises(StorageError, match="while this process reads from it"):
            pool.submit(owner.write, BIG).result()
        assert store.get_view(KEYS[0]) == b"old"
        scan.close()
        owner.write(BIG)


def test_a_full_store_is_a_storage_error_changes_nothing_and_goes_on(path: Path) -> None:
    with LmdbLaneStore.open(path, "f0", map_size=MIB, max_map_size=2 * MIB) as store:
        owner = Owner(store)
        owner.write({KEYS[0]: b"old"}, parked=[parked_event(1)])
        before = picture(store)
        for _ in range(3):
            with pytest.raises(StorageError, match=r"is full: it has reached its limit of 2097152 bytes"):
                owner.write(BIG, parked=[parked_event(2)])
            assert before == picture(store)
        owner.write({KEYS[0]: b"new"})
        assert store.get_view(KEYS[0]) == b"new"


def test_readers_of_other_processes_keep_their_picture_and_follow(path: Path, start: Start) -> None:
    """One is half way through a scan, another between two, while the map is made larger again and again."""
    with LmdbLaneStore.open(path, "f0", map_size=64 << 10) as store:
        owner = Owner(store)
        owner.write(dict.fromkeys(KEYS, b"old"))
        half_way, between = start("read"), start("read")
        for reader in (half_way, between):
            assert reader.stdout.readline() == "ready\n"
        assert f"{len(KEYS)} 1 1" == ask(between, "scan")
        assert ask(half_way, "hold") == "held"
        for number in range(1, 8):
            owner.write(dict.fromkeys(KEYS, b"%d" % number * 200 * 2**number))
            assert f"{len(KEYS)} 1 {number + 1}" == ask(between, "scan")
        assert store._environment._lmdb.info()["map_size"] >= 16 * MIB
        assert ask(half_way, "rest") == "1"  # all old: what it had not come to has not changed under it
        assert f"{len(KEYS)} 1 8" == ask(half_way, "scan")


def test_threads_read_while_the_map_grows(path: Path) -> None:
    """Each reading sees a whole commit, whatever the map's size."""
    with LmdbLaneStore.open(path, "f0", map_size=64 << 10) as store, ThreadPoolExecutor(3) as pool:
        few = KEYS[:8]  # beside busy threads, each put waits for the interpreter
        owner = Owner(store)
        owner.write(dict.fromkeys(few, b"0"))
        stop = threading.Event()

        def read() -> int:
            readings = 0
            while not stop.is_set():
                assert store.audit().agrees
                assert len({view for _, view in store.scan(ACME, ORDERS)}) == 1
                assert store.get_view(few[7]) is not None
                readings += 1
            return readings

        readers = [pool.submit(read) for _ in range(3)]
        for number in range(1, 9):
            owner.write(dict.fromkeys(few, b"%d" % number * 2000 * 2**number))
        stop.set()
        assert all(reader.result(timeout=WITHIN_S) > 0 for reader in readers)
        assert store._environment._lmdb.info()["map_size"] >= 4 * MIB


@pytest.mark.parametrize("size", [600, 2000])
def test_what_is_told_when_a_commit_is_written_is_told_once_though_the_map_grew(path: Path, size: int) -> None:
    """The last page that finds no room may be one of LMDB's own, when all is written and told."""
    with LmdbLaneStore.open(path, "f0", map_size=64 << 10, durability="process") as store:
        owner = Owner(store)
        for number in range(1, 40):
            told: list[int] = []
            store.commit(
                owner.prepare(dict.fromkeys(KEYS[:number], b"x" * size)),
                lambda told=told: told.append(store.count_views()),
            )
            assert [number - 1] == told  # the commit is not valid yet
            assert number == store.count_views()
