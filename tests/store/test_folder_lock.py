"""One node has a data folder, and only processes that know each other by number read beside it."""

import json
import os
from pathlib import Path

import pytest
from namespaces import run_apart

from projection.errors import StorageError
from projection.store import folder_lock, host
from projection.store.catalog import Catalog
from projection.store.folder_lock import NAME, FolderLock, require_same_host
from projection.store.host import boot_id, pid_namespace


def test_the_file_says_who_has_the_folder(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("what somebody wrote into it before, and longer than what will be there\n" * 9)
    FolderLock(tmp_path).close()
    said = json.loads((tmp_path / NAME).read_text())
    assert said == {"pid": os.getpid(), "pid_namespace": pid_namespace(), "boot_id": boot_id()}


def test_a_second_node_is_refused_and_told_who_has_the_folder(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(
        StorageError,
        match=f"is in use by another node or command: process {os.getpid()}; wait until that process has ended",
    ):
        FolderLock(tmp_path)
    lock.close()
    lock.close()
    FolderLock(tmp_path).close()


class TestAnotherContainer:
    """A process in a pid namespace of its own, on the same folder."""

    def test_beside_a_running_node_it_may_neither_read_nor_be_a_node(self, tmp_path: Path) -> None:
        node = Catalog.open(tmp_path)
        who = f"process {os.getpid()} of another container"
        (refused,) = run_apart("disk_child.py", "reader", tmp_path, own_pids=True)
        assert refused.startswith(f"the node that has {tmp_path} is {who}, and a store is for processes of one pid ")
        (refused,) = run_apart("disk_child.py", "node", tmp_path, own_pids=True)
        assert refused.startswith(f"{tmp_path} is in use by another node or command: {who}; ")
        require_same_host(tmp_path)
        node.close()

    def test_it_may_do_both_once_the_node_has_ended(self, tmp_path: Path) -> None:
        """A restarted container has a new namespace each time."""
        Catalog.open(tmp_path).close()
        assert run_apart("disk_child.py", "reader", tmp_path, own_pids=True) == ["may read"]
        assert run_apart("disk_child.py", "node", tmp_path, own_pids=True) == ["taken"]
        require_same_host(tmp_path)


class TestAReadOnlyMount:
    """LMDB would read there without a word to the writer, who would write over what is read."""

    def test_beside_a_running_node_nothing_is_read(self, tmp_path: Path) -> None:
        node = Catalog.open(tmp_path)
        (refused,) = run_apart("disk_child.py", "read-only-reader", tmp_path)
        assert refused.startswith(f"{tmp_path} is read-only here, and a node is writing it")
        node.close()

    def test_a_folder_that_nobody_writes_is_read(self, tmp_path: Path) -> None:
        Catalog.open(tmp_path).close()
        assert run_apart("disk_child.py", "read-only-reader", tmp_path) == ["may read"]


def test_what_was_written_before_the_machine_was_restarted_is_of_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of another machine, too: its namespaces are not ours."""
    lock = FolderLock(tmp_path)
    monkeypatch.setattr(folder_lock, "boot_id", lambda: "another boot")
    monkeypatch.setattr(folder_lock, "pid_namespace", lambda: "pid:[1]")
    require_same_host(tmp_path)
    lock.close()


@pytest.mark.parametrize("said", [b"", b"4711\n", b"{", b"[]", b"{}", b"\xff", b'{"pid": 1}'])
def test_a_file_that_says_nothing_refuses_nobody(tmp_path: Path, said: bytes) -> None:
    lock = FolderLock(tmp_path)
    (tmp_path / NAME).write_bytes(said)
    require_same_host(tmp_path)
    with pytest.raises(StorageError, match="is in use by another node or command: an unknown process"):
        FolderLock(tmp_path)
    lock.close()


def test_a_folder_that_no_node_had_may_be_read(tmp_path: Path) -> None:
    require_same_host(tmp_path)
    require_same_host(tmp_path / "not there")


def test_where_the_machine_tells_nothing_nobody_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_PROC", tmp_path / "none")
    lock = FolderLock(tmp_path)
    require_same_host(tmp_path)
    lock.close()
