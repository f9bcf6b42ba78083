"""What a disk refuses is an error with a code, changes nothing, and is over once the disk takes it: on real disks."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest
from disk_child import KEYS
from namespaces import run_apart
from patience import WITHIN_S

from projection.errors import StorageDamagedError, StorageError
from projection.store import lmdb_env, lmdb_errors
from projection.store.disk import disk_error
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.lmdb_store import LmdbLaneStore
from projection.testing.store_owner import ORDERS, Owner, parked_event, picture

WRITTEN_WHEN_THERE_IS_ROOM = ["unchanged True True", "written True True", "goes on {b'later'}"]


@pytest.mark.parametrize("durability", ["sync", "process"])
def test_a_full_disk_refuses_a_commit_and_takes_it_when_there_is_room(tmp_path: Path, durability: str) -> None:
    """Nothing crashes on it: LMDB maps its lock file, and a page of it that finds no room would kill the process."""
    first, unchanged, *rest = run_apart("disk_child.py", "fill", tmp_path, durability)
    assert first == "storage.full storage.full"
    assert ["new store storage.full", "copy storage.full"] == rest[:2]
    assert [unchanged, *rest[2:4]] == WRITTEN_WHEN_THERE_IS_ROOM
    assert rest[4:] == [f"opened again {len(KEYS)} True"]


def test_a_store_that_found_no_room_is_made_when_there_is_some(tmp_path: Path) -> None:
    """Wherever the room ended: half a store would be taken for a damaged one."""
    (codes,) = run_apart("disk_child.py", "little-room", tmp_path)
    refused = codes.count("storage.full")
    assert codes.split() == ["storage.full"] * refused + ["none"] * (40 - refused)
    assert 0 < refused < 40


@pytest.mark.parametrize(("more", "codes"), [(0, {"storage.full"}), (99_999, {"storage.full", "storage.io"})])
def test_a_file_that_may_not_grow_refuses_a_commit_and_takes_it_when_it_may(
    tmp_path: Path, more: int, codes: set[str]
) -> None:
    """LMDB calls a write of which a part found room an I/O error, and the disk itself is not full here."""
    child = [sys.executable, str(Path(__file__).with_name("disk_child.py")), "limit", str(tmp_path), str(more)]
    done = subprocess.run(child, capture_output=True, text=True, timeout=WITHIN_S, check=True)
    refused, *rest = done.stdout.splitlines()
    assert {*refused.split()} <= codes
    assert rest == WRITTEN_WHEN_THERE_IS_ROOM


def test_a_disk_that_is_read_only_can_be_read_and_refuses_the_rest(tmp_path: Path) -> None:
    assert run_apart("disk_child.py", "read-only", tmp_path) == [
        "open storage.read_only",
        "make storage.read_only",
        "lock storage.read_only",
        f"read True {len(KEYS)}",
        "copy storage.read_only",
        "written {b'new'}",
    ]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "storage.full"),
        (errno.EDQUOT, "storage.full"),
        (errno.EFBIG, "storage.full"),
        (errno.EROFS, "storage.read_only"),
        (errno.EACCES, "storage.read_only"),
        (errno.EPERM, "storage.read_only"),
        (errno.EIO, "storage.io"),
        (errno.ENXIO, "storage.io"),
    ],
)
def test_what_the_system_says_decides_the_code(number: int, code: str) -> None:
    error = disk_error("the store cannot be used", number)
    assert (code, StorageError) == (error.code, type(error))


class TestTheLastWriteOfACommitFails:
    """The pages are on the disk, and the page that would make them valid is not: LMDB gives up until opened anew."""

    def test_it_changes_nothing_and_the_same_commit_succeeds_later(self, path: Path) -> None:
        with LmdbLaneStore.open(path, "f0") as store:
            owner = Owner(store)
            owner.write(dict.fromkeys(KEYS, b"old"), parked=[parked_event(1)])
            before = picture(store)
            commit = owner.prepare(dict.fromkeys(KEYS, b"new"), parked=[parked_event(2)])
            self._break(path)
            with pytest.raises(StorageError) as refused:
                store.commit(commit)
            assert refused.value.code == "storage.io"
            assert before == picture(store)
            store.commit(commit)
            assert commit.position == store.position()
            assert {b"new"} == {view for _, view in store.scan(None, ORDERS)}
            assert store.audit().agrees

    def test_the_disk_may_refuse_as_well_that_the_store_is_opened_anew(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lmdb_env, "READER_CHECK_INTERVAL", 0)  # so that this comes upon it first
        with LmdbLaneStore.open(path, "f0") as store:
            owner = Owner(store)
            owner.write(dict.fromkeys(KEYS, b"old"))
            commit = owner.prepare(dict.fromkeys(KEYS, b"new"))
            self._break(path)
            with pytest.raises(StorageError):
                store.commit(commit)
            path.rename(path.with_name("away"))
            for use in (lambda: store.commit(commit), store.position, lambda: store.copy_to(path.with_name("copy"))):
                with pytest.raises(StorageError) as refused:
                    use()
                assert refused.value.code == "storage.io"
            path.with_name("away").rename(path)
            store.commit(commit)
            assert {b"new"} == {view for _, view in store.scan(None, ORDERS)}

    def test_it_can_be_closed(self, path: Path) -> None:
        with LmdbLaneStore.open(path, "f0") as store:
            owner = Owner(store)
            self._break(path)
            with pytest.raises(StorageError):
                owner.write(dict.fromkeys(KEYS, b"old"))
            path.rename(path.with_name("away"))
            with pytest.raises(StorageError):
                owner.write()
        path.with_name("away").rename(path)
        with LmdbLaneStore.open(path, "f0") as store:
            assert owner.epoch + 1 == store.claim()

    def _break(self, path: Path) -> None:
        """From here on LMDB cannot write the pages that make commits valid."""
        with Path(os.devnull).open("rb") as unwritable:
            os.dup2(unwritable.fileno(), _meta_page_file(path))


def _meta_page_file(path: Path) -> int:
    """The descriptor through which LMDB writes the pages that make a commit valid: the synchronous one."""
    for link in Path("/proc/self/fd").iterdir():
        try:
            target, details = link.readlink(), Path(f"/proc/self/fdinfo/{link.name}").read_text()
        except OSError:
            continue  # the descriptor that lists the directory is gone by now
        if target == path / "data.mdb" and int(details.split()[3], 8) & os.O_DSYNC:
            return int(link.name)
    raise AssertionError("LMDB has no synchronous descriptor of its data file")


class TestDamage:
    def test_a_page_that_is_no_page_is_damage(self, path: Path) -> None:
        with LmdbLaneStore.open(path, "f0") as store:
            Owner(store).write(dict.fromkeys(KEYS, b"x" * 1000))
        with (path / "data.mdb").open("r+b") as file:
            # Where the newer of the two first pages says that the tree begins, by LMDB's layout of 64 bits.
            heads = [file.read(4096), file.read(4096)]
            _, root = max((int.from_bytes(head[144:152], "little"), head[128:136]) for head in heads)
            file.seek(int.from_bytes(root, "little") * 4096 + 10)
            file.write(b"\xff\xff")  # the page's flags: of no kind of page
        for opened in (lambda: LmdbLaneStore.open(path, "f0"), lambda: LmdbViewReader.open(path)):
            with pytest.raises(StorageDamagedError) as damaged:
                opened()
            assert damaged.value.code == "storage.damaged"

    def test_the_damage_codes_of_lmdb_are_known(self) -> None:
        assert {lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.VersionMismatchError} <= {
            *lmdb_errors.DAMAGE
        }
