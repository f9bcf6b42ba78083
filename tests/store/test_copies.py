"""A copy of a store is whole or not there; an audit finds what is not as the commits left it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import lmdb
import pytest
from lane_child import KEYS
from patience import WITHIN_S

from projection.errors import StorageError
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.lmdb_store import LmdbLaneStore
from projection.testing.store_owner import ORDERS, Owner, parked_event, picture


def test_a_copy_holds_what_the_store_held_and_goes_its_own_way(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copies" / "1"
    with LmdbLaneStore.open(path, "f0") as store:
        owner = Owner(store)
        owner.write(dict.fromkeys(KEYS, b"old"), parked=[parked_event(1)])
        store.copy_to(copy)
        owner.write(dict.fromkeys(KEYS, b"new"))
    with LmdbLaneStore.open(copy, "f0") as copied:
        assert owner.epoch + 1 == copied.claim()
        assert {b"old"} == {view for _, view in copied.scan(None, ORDERS)}
        assert [parked_event(1)] == list(copied.parked())
        assert copied.audit().agrees
    assert [one.stat().st_mode & 0o777 for one in (copy, copy / "data.mdb")] == [0o700, 0o600]
    assert [one.name for one in copy.parent.iterdir()] == ["1"]


def test_a_copy_is_as_small_as_what_it_holds(path: Path, tmp_path: Path) -> None:
    with LmdbLaneStore.open(path, "f0") as store:
        owner = Owner(store)
        owner.write(dict.fromkeys(KEYS, b"x" * 3000))
        owner.write(dict.fromkeys(KEYS[1:]))
        store.copy_to(tmp_path / "copy")
        assert store.count_views() == 1
    assert 10 * (tmp_path / "copy" / "data.mdb").stat().st_size < (path / "data.mdb").stat().st_size


def test_a_reader_copies_what_another_is_writing(path: Path, tmp_path: Path, start) -> None:
    """Each copy is one commit, whole."""
    writer = start("write")
    writer.stdout.readline()
    with LmdbViewReader.open(path) as reader:
        for number in range(5):
            reader.copy_to(tmp_path / str(number))
    assert writer.poll() is None
    for number in range(5):
        with LmdbViewReader.open(tmp_path / str(number)) as copy:
            assert {b"%d" % copy.position().scanned * 50} == {view for _, view in copy.scan(None, ORDERS)}
            assert copy.audit().agrees


def test_a_copy_of_a_store_that_is_not_waited_for_is_on_the_disk(path: Path, tmp_path: Path) -> None:
    with LmdbLaneStore.open(path, "f0", durability="process") as store:
        Owner(store).write(dict.fromkeys(KEYS, b"{}"))
        store.copy_to(tmp_path / "copy")
        before = picture(store)
    assert [one.name for one in (tmp_path / "copy").iterdir()] == ["data.mdb"]
    with LmdbLaneStore.open(tmp_path / "copy", "f0") as copy:
        assert before == picture(copy)


def test_what_lies_at_the_place_of_a_copy_stays(path: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with LmdbLaneStore.open(path, "f0") as store:
        with pytest.raises(StorageError, match="copy exists already; name a directory that does not exist"):
            store.copy_to(tmp_path / "copy")
        with pytest.raises(StorageError, match="exists already"):
            store.copy_to(path)
        assert store.audit().agrees


def test_what_a_killed_copy_left_is_replaced(path: Path, tmp_path: Path) -> None:
    left = tmp_path / "copy.partial"
    left.mkdir()
    (left / "data.mdb").write_bytes(b"half")
    with LmdbLaneStore.open(path, "f0") as store:
        Owner(store).write(dict.fromkeys(KEYS, b"{}"))
        store.copy_to(tmp_path / "copy")
    assert not left.exists()
    with LmdbViewReader.open(tmp_path / "copy") as copy:
        assert len(KEYS) == copy.count_views()


def test_commits_go_on_while_a_store_is_copied(path: Path, tmp_path: Path) -> None:
    stop = Event()

    def write() -> int:
        commits = 0
        while not stop.is_set():
            owner.write(dict.fromkeys(KEYS[:9], b"%d" % commits))
            commits += 1
        return commits

    with LmdbLaneStore.open(path, "f0") as store, ThreadPoolExecutor(1) as pool:
        owner = Owner(store)
        owner.write(dict.fromkeys(KEYS[:9], b"0"))
        writing = pool.submit(write)
        for number in range(5):
            store.copy_to(tmp_path / str(number))
        stop.set()
        assert writing.result(timeout=WITHIN_S) > 0
    for number in range(5):
        with LmdbViewReader.open(tmp_path / str(number)) as copy:
            assert len({view for _, view in copy.scan(None, ORDERS)}) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (KEYS[3].encode(), b'{"total":2}'),  # another value
        (KEYS[3].encode(), None),  # a view that is gone
        (b"view:acme:orders:new", b"{}"),
        (b"parked:acme:=1\x0000000000000000000007", None),
        (b"lane:digest", b"0" * 64),
        (b"lane:view_count", b"7"),
    ],
)
def test_an_audit_finds_what_no_commit_wrote(path: Path, key: bytes, value: bytes | None) -> None:
    with LmdbLaneStore.open(path, "f0") as store:
        Owner(store).write(dict.fromkeys(KEYS, b'{"total":1}'), parked=[parked_event(7)])
        assert store.audit().agrees
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        assert transaction.delete(key) if value is None else transaction.put(key, value)
    with LmdbViewReader.open(path) as reader:
        assert not reader.audit().agrees
