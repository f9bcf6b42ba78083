"""The LMDB back end holds the contract, and what only a store on a disk can break, within one process."""

import json
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import lmdb
import pytest

from projection.errors import StorageDamagedError, StorageError
from projection.model.checkpoint import Checkpoint
from projection.model.ids import TenantId, ViewId
from projection.model.keys import CheckpointKey, ViewKey
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.lmdb_store import LmdbLaneStore
from projection.testing.store_contract import LaneStoreContract
from projection.testing.store_owner import ACME, ORDERS, Owner, parked_event, picture

MIB = 1 << 20
KEYS = [ViewKey(ACME, ORDERS, ViewId(str(number))) for number in range(200)]
BIG = dict.fromkeys(KEYS, b"x" * 20_000)  # about 4 MiB


class TestLmdbLaneStore(LaneStoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def new_store(self) -> LmdbLaneStore:
        return LmdbLaneStore.open(Path(tempfile.mkdtemp(dir=self.folder)) / "0", "f0")


def test_everything_is_there_when_a_store_is_opened_again(path: Path) -> None:
    with LmdbLaneStore.open(path, "f0") as store:
        owner = Owner(store)
        owner.write(dict.fromkeys(KEYS, b"{}"), parked=[parked_event(1), parked_event(2, None)])
        before = picture(store, [ACME])
    with LmdbLaneStore.open(path, "f0") as store:
        assert before == picture(store, [ACME])
        assert owner.epoch + 1 == store.claim()
    with LmdbViewReader.open(path) as reader:
        assert before == picture(reader, [ACME])


def test_a_commit_is_one_transaction(path: Path) -> None:
    """Two would be written one after the other, and a crash between them would tear them apart."""
    with LmdbLaneStore.open(path, "f0") as store:
        owner = Owner(store)
        owner.write(parked=[parked_event(1)])
        before = store._environment._lmdb.info()["last_txnid"]
        checkpoints = {CheckpointKey(ACME, ORDERS): Checkpoint(sequence=2)}
        owner.write({KEYS[0]: b"{}", KEYS[1]: None}, checkpoints, [parked_event(2)], [(ACME, ViewId("1"))])
        assert before + 1 == store._environment._lmdb.info()["last_txnid"]


def test_a_commit_that_is_stored_waits_for_the_disk_all_the_same(path: Path) -> None:
    """It is written again because the disk failed: what can be read need not be on it."""
    with LmdbLaneStore.open(path, "f0") as store:
        commit = Owner(store).prepare({KEYS[0]: b"{}"})
        store.commit(commit)
        before = store._environment._lmdb.info()["last_txnid"]
        store.commit(commit)
        assert before + 1 == store._environment._lmdb.info()["last_txnid"]


def test_keys_are_readable_in_the_file(path: Path) -> None:
    """As the design gives them, for people and for other tools."""
    tenant = TenantId("a:b%")
    with LmdbLaneStore.open(path, "f0") as store:
        Owner(store).write(
            {ViewKey(tenant, ORDERS, ViewId("x\n😀")): b"{}"}, parked=[parked_event(7), parked_event(8, None)]
        )
        store.delete_prefix(ACME, ORDERS)
    with lmdb.open(str(path), readonly=True) as environment, environment.begin() as transaction:
        keys = [key.decode() for key, _ in transaction.cursor()]
    assert keys == [
        "format",
        "lane:digest",
        "lane:epoch",
        "lane:fold_identity",
        "lane:position",
        "lane:view_count",
        "parked:acme:-\x0000000000000000000008",
        "parked:acme:=1\x0000000000000000000007",
        "view:a%3Ab%25:orders:x\n😀",
    ]


def test_the_store_is_not_for_other_users_of_the_machine(path: Path) -> None:
    LmdbLaneStore.open(path, "f0").close()
    assert [p.stat().st_mode & 0o777 for p in (path, path / "data.mdb", path / "lock.mdb")] == [0o700, 0o600, 0o600]


def test_a_store_of_another_fold_identity_is_refused_and_left_as_it_is(path: Path) -> None:
    with LmdbLaneStore.open(path, "f0") as store:
        Owner(store).write(dict.fromkeys(KEYS, b"{}"))
    with pytest.raises(StorageError, match="was folded by f0, not by f1; a changed program makes a new build"):
        LmdbLaneStore.open(path, "f1")
    with LmdbLaneStore.open(path, "f0") as store:
        assert len(KEYS) == store.count_views()


def test_a_store_of_an_earlier_fold_identity_is_opened_where_that_is_said_and_keeps_it_until_a_commit(path) -> None:
    LmdbLaneStore.open(path, "f0").close()
    with LmdbLaneStore.open(path, "f2", earlier={"f0", "f1"}) as store:
        assert store.fold_identity() == "f0"
        store.commit(replace(Owner(store).prepare(), fold_identity="f2"))
    with LmdbLaneStore.open(path, "f2") as store:
        assert store.fold_identity() == "f2"


@pytest.mark.parametrize("opened", [lambda path: LmdbLaneStore.open(path, "f0"), LmdbViewReader.open])
class TestWhatIsNoStore:
    def test_another_format_version_is_named_with_ours_and_a_way_out(self, path, opened) -> None:
        LmdbLaneStore.open(path, "f0").close()
        with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
            transaction.put(b"format", json.dumps({"kind": "lane", "version": 7, "more": "to come"}).encode())
        with pytest.raises(StorageError, match=r"store format 7, and this program reads and writes 3; run the program"):
            opened(path)

    @pytest.mark.parametrize("stamp", [None, b"{", b"7", b"{}"])
    def test_a_foreign_lmdb_environment_is_refused(self, path, opened, stamp) -> None:
        path.mkdir(parents=True)
        with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
            transaction.put(b"format" if stamp else b"theirs", stamp or b"1")
        with pytest.raises(StorageError, match="is not a lane of a projection node: it carries no format stamp"):
            opened(path)

    def test_a_file_that_is_not_lmdbs_is_refused(self, path, opened) -> None:
        path.mkdir(parents=True)
        (path / "data.mdb").write_bytes(b"hello" * 5000)
        with pytest.raises(StorageError, match="not a store, or it is damaged"):
            opened(path)

    def test_a_refused_store_can_be_opened_once_it_is_mended(self, path, opened) -> None:
        """The refusal left nothing open, even while its traceback lives: LMDB opens an environment once in a process."""
        LmdbLaneStore.open(path, "f0").close()
        with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
            stamp = transaction.replace(b"format", b"7")
        with pytest.raises(StorageError) as refused:
            opened(path)
        with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
            transaction.put(b"format", stamp)
        opened(path).close()
        assert refused.traceback


def test_a_directory_with_other_files_is_not_made_a_store(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(StorageError, match="contains other files; name an empty directory"):
        LmdbLaneStore.open(tmp_path, "f0")
    assert [tmp_path / "thesis.txt"] == list(tmp_path.iterdir())


def test_a_file_in_the_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be made a store"):
        LmdbLaneStore.open(tmp_path / "file" / "0", "f0")


@pytest.mark.parametrize("left", [["lock.mdb"], ["lock.mdb", "data.mdb"]])
def test_a_store_whose_making_was_cut_off_is_made_anew(path: Path, left: list[str]) -> None:
    """A process killed at its first start leaves empty files; the next one must not stumble over them."""
    path.mkdir(parents=True)
    for name in left:
        (path / name).touch()
    with LmdbLaneStore.open(path, "f0") as store:
        assert store.claim() == 1


@pytest.mark.parametrize("opened", [lambda path: LmdbLaneStore.open(path, "f0"), LmdbViewReader.open])
def test_a_path_that_the_system_refuses_is_a_storage_error(tmp_path: Path, opened) -> None:
    with pytest.raises(StorageError, match="File name too long"):
        opened(tmp_path / ("x" * 300))


def test_reading_where_there_is_no_store_makes_none(path: Path) -> None:
    with pytest.raises(StorageError, match="there is no store at"):
        LmdbViewReader.open(path)
    assert not path.exists()


def test_opening_twice_in_one_process_is_refused(path: Path) -> None:
    with LmdbLaneStore.open(path, "f0"), pytest.raises(StorageError, match="already open in this process"):
        LmdbViewReader.open(path)


def test_a_damaged_record_is_a_storage_error_that_says_where(path: Path) -> None:
    with LmdbLaneStore.open(path, "f0") as store:
        Owner(store).write({KEYS[0]: b"{}"}, parked=[parked_event(1)])
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        for key in (
            b"lane:position",
            b"lane:epoch",
            b"parked:acme:=1\x0000000000000000000001",
            b"checkpoint:acme:orders",
        ):
            transaction.put(key, b"{}x")
        transaction.put(b"view:acme:orders", b"{}")  # a key without its last part
        transaction.put(b"view:acme:orders:\x01z", b"{}")
    with LmdbLaneStore.open(path, "f0") as store:
        for read in (
            store.position,
            store.claim,
            lambda: list(store.parked()),
            lambda: list(store.scan(None, ORDERS)),
            lambda: list(store.scan(ACME, ORDERS)),
            lambda: store.get_checkpoint(CheckpointKey(ACME, ORDERS)),
        ):
            with pytest.raises(StorageDamagedError, match=r"orders/1/0 holds a record that cannot be read"):
                read()


def test_a_closed_store_says_so(path: Path) -> None:
    store = LmdbLaneStore.open(path, "f0")
    owner = Owner(store)
    owner.write(dict.fromkeys(KEYS, b"{}"))
    commit = owner.prepare()
    scan = store.scan(ACME, ORDERS)
    next(scan)
    store.close()
    for use in (store.claim, store.position, lambda: store.commit(commit), lambda: store.get_view(KEYS[0])):
        with pytest.raises(StorageError, match="is closed"):
            use()
    with pytest.raises(StorageError):
        next(scan)


def test_threads_read_whole_commits_while_another_writes(path: Path) -> None:
    """As the event loop does while a worker commits."""
    stop = threading.Event()

    def read() -> int:
        reads = 0
        while not stop.is_set():
            views = [view for _, view in store.scan(ACME, ORDERS)]
            assert len({*views}) == 1
            assert len(KEYS) == len(views)
            assert int(store.get_view(KEYS[7])) >= int(views[0])
            reads += 1
        return reads

    with LmdbLaneStore.open(path, "f0") as store, ThreadPoolExecutor(3) as pool:
        owner = Owner(store)
        owner.write(dict.fromkeys(KEYS, b"0"))
        readers = [pool.submit(read) for _ in range(3)]
        for number in range(1, 60):
            owner.write(dict.fromkeys(KEYS, b"%d" % number))
        stop.set()
        assert all(reader.result() > 0 for reader in readers)


def test_closing_is_safe_while_other_threads_read_and_write(path: Path) -> None:
    """They end with an error that says so; the last commit is whole."""
    started = threading.Barrier(4)

    def use(step) -> str:
        step()
        started.wait()
        try:
            while True:
                step()
        except StorageError as refused:
            return str(refused)

    with ThreadPoolExecutor(3) as pool:
        store = LmdbLaneStore.open(path, "f0")
        owner = Owner(store)
        steps = [
            lambda: owner.write(dict.fromkeys(KEYS, b"%d" % store.position().scanned)),
            lambda: store.get_view(KEYS[0]),
            lambda: sum(1 for _ in store.scan(None, ORDERS)),
        ]
        users = [pool.submit(use, step) for step in steps]
        started.wait()
        store.close()
        assert {f"the store at {path} is closed"} == {user.result() for user in users}
    with LmdbLaneStore.open(path, "f0") as store:
        assert {b"%d" % (store.position().scanned - 1)} == {view for _, view in store.scan(ACME, ORDERS)}
