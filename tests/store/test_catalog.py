"""The catalogue numbers builds and never twice, knows what serves, and has its data folder to itself."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from projection.errors import ConfigurationError, StorageError
from projection.model.ids import ViewType
from projection.store.catalog import Build, Catalog, CatalogReader
from projection.store.lmdb_store import LmdbLaneStore

FINES = ViewType("fines")
ORDERS = ViewType("orders")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def node(data: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the data folder; it has it when its node id was read."""
    arguments = [sys.executable, str(Path(__file__).with_name("lane_child.py")), "node", str(data)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield child
        child.kill()


def test_each_fold_identity_of_a_view_type_has_a_build_of_its_own_number(data: Path) -> None:
    with Catalog.open(data) as catalog:
        first = catalog.build_for(ORDERS, "f0")
        assert Build(data, ORDERS, 1, "f0") == first
        assert Build(data, ORDERS, 2, "f1") == catalog.build_for(ORDERS, "f1")
        assert Build(data, FINES, 1, "f0") == catalog.build_for(FINES, "f0")
        assert first == catalog.build_for(ORDERS, "f0")
        assert [build.number for build in catalog.builds(ORDERS)] == [1, 2]
        assert catalog.view_types() == [FINES, ORDERS]


def test_builds_are_in_the_order_of_their_numbers(data: Path) -> None:
    """Also beyond nine; and a view type whose name begins with another's has its own."""
    with Catalog.open(data) as catalog:
        catalog.build_for(ViewType("orders_2"), "f0")
        numbers = [catalog.build_for(ORDERS, f"f{number}").number for number in range(12)]
        assert list(range(1, 13)) == numbers
        assert numbers == [build.number for build in catalog.builds(ORDERS)]


def test_the_build_that_was_asked_for_last_serves(data: Path) -> None:
    """Also when it is an older one: who goes back to the former program is answered from its build."""
    with Catalog.open(data) as catalog:
        assert catalog.serving(ORDERS) is None
        for fold_identity in ("f0", "f1", "f0"):
            build = catalog.build_for(ORDERS, fold_identity)
            assert build == catalog.serving(ORDERS)


def test_the_catalogue_is_there_when_it_is_opened_again(data: Path) -> None:
    with Catalog.open(data) as catalog:
        build, node_id = catalog.build_for(ORDERS, "f0"), catalog.node_id
    with Catalog.open(data) as catalog:
        assert build == catalog.serving(ORDERS)
        assert node_id == catalog.node_id


def test_a_number_is_not_used_again_when_its_build_is_gone(data: Path) -> None:
    """An old handle must never be answered from a new build."""
    with Catalog.open(data) as catalog:
        assert catalog.build_for(ORDERS, "f0").number == 1
        assert catalog.build_for(ORDERS, "f1").number == 2
    with lmdb.open(str(data / "catalog")) as environment, environment.begin(write=True) as transaction:
        assert transaction.delete(b"build:orders:0000000002")
    with Catalog.open(data) as catalog:
        assert catalog.build_for(ORDERS, "f1").number == 3


def test_lanes_live_below_their_view_type_build_and_partition(data: Path) -> None:
    build = Build(data, ORDERS, 3, "f0")
    assert data / "orders" / "3" / "0" == build.lane_path()
    assert data / "orders" / "3" / "7" == build.lane_path(7)


def test_a_view_type_may_be_called_as_the_catalogue_is(data: Path) -> None:
    """Its builds lie in the same directory and nothing meets."""
    catalogue = ViewType("catalog")
    with Catalog.open(data) as catalog:
        build = catalog.build_for(catalogue, "f0")
        with LmdbLaneStore.open(build.lane_path(), build.fold_identity) as store:
            assert store.claim() == 1
    with Catalog.open(data) as catalog:
        assert build == catalog.serving(catalogue)


def test_a_node_id_is_made_once_or_given(tmp_path: Path) -> None:
    with Catalog.open(tmp_path / "a") as a, Catalog.open(tmp_path / "b") as b:
        assert a.node_id != b.node_id
    with Catalog.open(tmp_path / "a", "berlin-1") as a:
        assert a.node_id == "berlin-1"
    with Catalog.open(tmp_path / "a") as a:
        assert a.node_id == "berlin-1"


@pytest.mark.parametrize("node_id", ["", "a.b", "a b", "*", "a\n", "é", "x" * 65])
def test_a_node_id_that_no_consumer_name_can_hold_is_refused(data: Path, node_id: str) -> None:
    with pytest.raises(ConfigurationError, match="is not 1 to 64 ASCII letters"):
        Catalog.open(data, node_id)
    assert not data.exists()


class TestOneNodePerDataFolder:
    def test_a_second_process_is_told_which_one_has_the_folder(self, data: Path, node: subprocess.Popen[str]) -> None:
        node.stdout.readline()
        with pytest.raises(StorageError, match=rf"in use by another node: process {node.pid}; stop that process"):
            Catalog.open(data)

    def test_a_killed_process_gives_the_folder_back(self, data: Path, node: subprocess.Popen[str]) -> None:
        node_id = node.stdout.readline().strip()
        node.kill()
        node.wait()
        with Catalog.open(data) as catalog:
            assert node_id == catalog.node_id

    def test_the_same_process_cannot_take_the_folder_twice(self, data: Path) -> None:
        with Catalog.open(data) as catalog:
            with pytest.raises(StorageError, match=rf"process {os.getpid()}"):
                Catalog.open(data)
            assert catalog.build_for(ORDERS, "f0").number == 1

    def test_the_folder_is_free_after_a_failed_opening(self, data: Path) -> None:
        LmdbLaneStore.open(data / "catalog", "f0").close()
        for _ in range(2):
            with pytest.raises(StorageError, match="is the lane of a projection node, not a catalogue"):
                Catalog.open(data)

    def test_closing_twice_is_closing_once(self, data: Path) -> None:
        catalog = Catalog.open(data)
        catalog.close()
        with Catalog.open(data):
            catalog.close()
            with pytest.raises(StorageError, match="in use"):
                Catalog.open(data)

    def test_a_folder_that_cannot_be_made_is_a_storage_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match="cannot be made"):
            Catalog.open(tmp_path / "file" / "data")


class TestReading:
    def test_another_process_reads_while_the_node_runs(self, data: Path, node: subprocess.Popen[str]) -> None:
        node.stdout.readline()
        with CatalogReader.open(data) as reader:
            assert reader.view_types() == []
            assert reader.serving(ORDERS) is None
        node.kill()
        node.wait()
        with Catalog.open(data) as catalog:
            build = catalog.build_for(ORDERS, "f0")
        with CatalogReader.open(data) as reader:
            assert build == reader.require(ORDERS)
            assert [build] == reader.builds(ORDERS)

    def test_without_a_data_folder_it_is_the_callers_mistake(self, data: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"no data folder of a node at .*; name the folder"):
            CatalogReader.open(data)
        assert not data.exists()

    def test_a_data_folder_that_the_system_refuses_is_the_callers_mistake(self, data: Path) -> None:
        data.mkdir()
        with pytest.raises(ConfigurationError, match="cannot be read: File name too long"):
            CatalogReader.open(data / ("x" * 300))

    def test_an_unknown_view_type_is_answered_with_the_known_ones(self, data: Path) -> None:
        with Catalog.open(data) as catalog:
            catalog.build_for(FINES, "f0")
            catalog.build_for(ORDERS, "f0")
        unknown = "has no view type 'order'; it has: fines, orders"
        with CatalogReader.open(data) as reader, pytest.raises(ConfigurationError, match=unknown):
            reader.require(ViewType("order"))

    @pytest.mark.parametrize("open_catalogue", [Catalog.open, CatalogReader.open])
    def test_a_catalogue_of_another_format_version_is_refused(self, data: Path, open_catalogue) -> None:
        Catalog.open(data).close()
        with lmdb.open(str(data / "catalog")) as environment, environment.begin(write=True) as transaction:
            transaction.put(b"format", b'{"kind": "catalogue", "version": 0}')
        with pytest.raises(StorageError, match="catalog was written in store format 0, and this program"):
            open_catalogue(data)

    @pytest.mark.parametrize("key", [b"build:orders:0000000001", b"serving:orders"])
    def test_a_damaged_catalogue_is_a_storage_error_that_says_where(self, data: Path, key: bytes) -> None:
        with Catalog.open(data) as catalog:
            catalog.build_for(ORDERS, "f0")
        for damage in (b"{", b"{}", None):
            with lmdb.open(str(data / "catalog")) as environment, environment.begin(write=True) as transaction:
                transaction.put(key, damage) if damage else transaction.delete(b"build:orders:0000000001")
            with CatalogReader.open(data) as reader, pytest.raises(StorageError, match="cannot be read"):
                reader.require(ORDERS)
