"""The catalog numbers builds and never twice, knows what serves, and has its data folder to itself."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from projection.errors import ConfigurationError, StorageError
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.parked import Drop
from projection.store import folder_lock
from projection.store.build import Build, Lineage
from projection.store.catalog import Catalog, CatalogReader
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


def made(catalog: Catalog, view_type: ViewType, base_identity: str = "f0", *, serves: bool = True) -> Build:
    build = Build(catalog.data, view_type, catalog.reserve(view_type), base_identity, "{}")
    catalog.record(build, serves=serves)
    return build


def test_each_build_of_a_view_type_has_a_number_of_its_own(data: Path) -> None:
    with Catalog.open(data) as catalog:
        assert [1, 2, 1] == [made(catalog, view_type).number for view_type in (ORDERS, ORDERS, FINES)]
        assert [build.number for build in catalog.builds(ORDERS)] == [1, 2]
        assert catalog.view_types() == [FINES, ORDERS]


def test_builds_are_in_the_order_of_their_numbers(data: Path) -> None:
    """Also beyond nine; and a view type whose name begins with another's has its own."""
    with Catalog.open(data) as catalog:
        made(catalog, ViewType("orders_2"))
        numbers = [made(catalog, ORDERS, f"f{number}").number for number in range(12)]
        assert list(range(1, 13)) == numbers
        assert numbers == [build.number for build in catalog.builds(ORDERS)]


def test_the_number_that_queries_ask_for_is_that_of_the_serving_build_after_every_switch(data: Path) -> None:
    """For whoever has the folder, who answers from memory, and for readers, who look."""
    with Catalog.open(data) as catalog:
        assert catalog.serving_number(ORDERS) is None
        first, second = made(catalog, ORDERS), made(catalog, ORDERS, "f1", serves=False)
        assert catalog.serving_number(ORDERS) == 1
        for build in (second, first, second):
            catalog.serve(build)
            assert (build.number, build) == (catalog.serving_number(ORDERS), catalog.serving(ORDERS))
        third = made(catalog, ORDERS, "f2")
        assert (third.number, None) == (catalog.serving_number(ORDERS), catalog.serving_number(FINES))
    with CatalogReader.open(data) as reader:
        assert reader.serving_number(ORDERS) == third.number
        assert reader.build(ORDERS, 2) == second
        with pytest.raises(StorageError, match="build 9 of orders is missing"):
            reader.build(ORDERS, 9)


def test_a_build_serves_from_when_that_is_said(data: Path) -> None:
    """Not when it is made; and a former one serves again when that is said."""
    with Catalog.open(data) as catalog:
        assert catalog.serving(ORDERS) is None
        first = made(catalog, ORDERS)
        second = made(catalog, ORDERS, "f1", serves=False)
        for build in (first, second, first):
            catalog.serve(build)
            assert build == catalog.serving(ORDERS)


def test_the_catalog_is_there_when_it_is_opened_again(data: Path) -> None:
    """With all that a build is, whatever the ids look like."""
    drops = (Drop(3, TenantId("a:💥"), ViewId('%."')), Drop(4, TenantId(""), None))
    with Catalog.open(data) as catalog:
        build = Build(data, ORDERS, catalog.reserve(ORDERS), "f0", '{"é": "\n"}', drops, Lineage("f1", 17))
        catalog.record(build, serves=True)
        node_id = catalog.node_id
    with Catalog.open(data) as catalog:
        assert build == catalog.serving(ORDERS)
        assert [build] == catalog.builds(ORDERS)
        assert node_id == catalog.node_id


def test_a_number_is_not_used_again_when_its_build_is_gone(data: Path) -> None:
    """An old handle must never be answered from a new build; nor when no build ever came of it."""
    with Catalog.open(data) as catalog:
        assert [made(catalog, ORDERS).number for _ in range(2)] == [1, 2]
    with lmdb.open(str(data / "catalog")) as environment, environment.begin(write=True) as transaction:
        assert transaction.delete(b"build:orders:0000000002")
    with Catalog.open(data) as catalog:
        assert catalog.reserve(ORDERS) == 3
        assert made(catalog, ORDERS).number == 4


class TestTheIdentityOfABuild:
    DROP, OTHER = Drop(3, TenantId("a"), ViewId("x")), Drop(3, TenantId("a"), None)

    def build(self, *drops: Drop, lineage: Lineage | None = None) -> Build:
        return Build(Path("data"), ORDERS, 1, "f0", "{}", drops, lineage)

    def test_is_what_program_manifest_and_tenancy_give_where_nothing_was_decided(self) -> None:
        assert self.build().fold_identity == "f0"
        assert self.build().earlier_identities == set()

    def test_is_another_with_every_decision_and_every_lineage(self) -> None:
        builds = [self.build(), self.build(self.DROP), self.build(self.OTHER), self.build(self.DROP, self.OTHER)]
        builds += [self.build(lineage=Lineage(identity, scanned)) for identity in ("f1", "f2") for scanned in (1, 2)]
        assert len({build.fold_identity for build in builds}) == len(builds)

    def test_depends_on_neither_number_nor_place_nor_recipe(self) -> None:
        here, there = self.build(self.DROP), Build(Path("other"), ORDERS, 7, "f0", '{"a": 1}', (self.DROP,))
        assert here.fold_identity == there.fold_identity

    def test_does_not_depend_on_the_order_of_decisions(self) -> None:
        one, other = self.build().decided(self.DROP), self.build().decided(self.OTHER)
        assert one.decided(self.OTHER) == other.decided(self.DROP)
        assert one.decided(self.DROP) == one

    def test_before_the_last_decision_is_among_the_earlier_ones(self) -> None:
        both = self.build(lineage=Lineage("f1", 3)).decided(self.DROP).decided(self.OTHER)
        expected = {self.build(drop, lineage=Lineage("f1", 3)).fold_identity for drop in (self.DROP, self.OTHER)}
        assert expected == both.earlier_identities


def test_lanes_live_below_their_view_type_build_and_partition(data: Path) -> None:
    build = Build(data, ORDERS, 3, "f0", "{}")
    assert data / "orders" / "3" / "0" == build.lane_path()
    assert data / "orders" / "3" / "7" == build.lane_path(7)


def test_a_view_type_may_be_called_as_the_catalog_is(data: Path) -> None:
    """Its builds lie in the same directory and nothing meets."""
    called = ViewType("catalog")
    with Catalog.open(data) as catalog:
        build = made(catalog, called)
        with LmdbLaneStore.open(build.lane_path(), build.fold_identity) as store:
            assert store.claim() == 1
    with Catalog.open(data) as catalog:
        assert build == catalog.serving(called)


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
        with pytest.raises(
            StorageError,
            match=rf"in use by another node or command: process {node.pid}; wait until that process has ended",
        ):
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
            assert made(catalog, ORDERS).number == 1

    def test_the_folder_is_free_after_a_failed_opening(self, data: Path) -> None:
        LmdbLaneStore.open(data / "catalog", "f0").close()
        for _ in range(2):
            with pytest.raises(StorageError, match="is the lane of a projection node, not a catalog"):
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
            build = made(catalog, ORDERS)
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

    def test_a_process_of_another_container_is_refused_while_a_node_has_the_folder(self, data, monkeypatch) -> None:
        """A container as it looks from here: one that calls its processes by numbers of its own."""
        with Catalog.open(data):
            monkeypatch.setattr(folder_lock, "pid_namespace", lambda: "pid:[1]")
            with pytest.raises(StorageError, match="is for processes of one pid namespace; read it in the node's"):
                CatalogReader.open(data)
        CatalogReader.open(data).close()

    def test_an_unknown_view_type_is_answered_with_the_known_ones(self, data: Path) -> None:
        with Catalog.open(data) as catalog:
            made(catalog, FINES)
            made(catalog, ORDERS)
        unknown = "has no view type 'order'; it has: fines, orders"
        with CatalogReader.open(data) as reader, pytest.raises(ConfigurationError, match=unknown):
            reader.require(ViewType("order"))

    @pytest.mark.parametrize("open_catalog", [Catalog.open, CatalogReader.open])
    def test_a_catalog_of_another_format_version_is_refused(self, data: Path, open_catalog) -> None:
        Catalog.open(data).close()
        with lmdb.open(str(data / "catalog")) as environment, environment.begin(write=True) as transaction:
            transaction.put(b"format", b'{"kind": "catalog", "version": 0}')
        with pytest.raises(StorageError, match="catalog was written in store format 0, and this program"):
            open_catalog(data)

    @pytest.mark.parametrize("key", [b"build:orders:0000000001", b"serving:orders"])
    def test_a_damaged_catalog_is_a_storage_error_that_says_where(self, data: Path, key: bytes) -> None:
        with Catalog.open(data) as catalog:
            made(catalog, ORDERS)
        for damage in (b"{", b"{}", None):
            with lmdb.open(str(data / "catalog")) as environment, environment.begin(write=True) as transaction:
                transaction.put(key, damage) if damage else transaction.delete(b"build:orders:0000000001")
            with CatalogReader.open(data) as reader, pytest.raises(StorageError, match="cannot be read"):
                reader.require(ORDERS)
