"""What the machine says of itself: where a folder really is, and what it is refused for."""

from pathlib import Path

import pytest

from projection.errors import StorageError
from projection.store import host
from projection.store.folder_lock import FolderLock
from projection.store.host import boot_id, file_system, pid_namespace, require_local
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.lmdb_store import LmdbLaneStore

MOUNTS = r"""proc /proc proc rw,relatime 0 0
/dev/vda1 / ext4 rw,relatime 0 0
server:/export /data nfs4 rw,vers=4.2 0 0
/dev/vdb1 /data/local xfs rw 0 0
tmpfs /mnt/with\040blank\134 tmpfs rw 0 0
overlay /twice overlay rw 0 0
sshfs /twice fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "ext4"),
        ("/home/me", "ext4"),
        ("/data", "nfs4"),
        ("/data/views", "nfs4"),
        ("/database", "ext4"),
        ("/data/local/views", "xfs"),
        ("/mnt/with blank\\/views", "tmpfs"),
        ("/twice/views", "fuse.sshfs"),
    ],
)
def test_the_file_system_is_that_of_the_longest_mount_and_of_the_last_there(path: str, expected: str) -> None:
    assert expected == file_system(Path(path), MOUNTS)


def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> Path:
    """A folder that this machine would say is of that kind of file system."""
    proc, folder = tmp_path / "proc", tmp_path / "data"
    (proc / "self").mkdir(parents=True)
    folder.mkdir()
    (proc / "self" / "mounts").write_text(f"/dev/vda / ext4 rw 0 0\nsomething {folder.resolve()} {kind} rw 0 0\n")
    monkeypatch.setattr(host, "_PROC", proc)
    return folder


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse", "fuseblk", "fuse.sshfs"])
def test_a_store_on_a_file_system_of_others_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Before anything is made there, a lock or a store."""
    folder = _machine(tmp_path, monkeypatch, kind)
    for use in (FolderLock, lambda path: LmdbLaneStore.open(path, "f0")):
        with pytest.raises(StorageError, match=f"is on a file system of type {kind}, and a store needs a local one"):
            use(folder)
    assert not list(folder.iterdir())


def test_a_store_that_came_to_lie_on_a_network_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LmdbLaneStore.open(tmp_path / "data" / "0", "f0").close()
    (tmp_path / "data").rename(tmp_path / "before")
    folder = _machine(tmp_path, monkeypatch, "nfs4")
    (tmp_path / "before" / "0").rename(folder / "0")
    with pytest.raises(StorageError, match="nfs4"):
        LmdbViewReader.open(folder / "0")


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs", "overlay", "btrfs", "zfs"])
def test_a_store_on_a_disk_of_this_machine_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    LmdbLaneStore.open(_machine(tmp_path, monkeypatch, kind) / "0", "f0").close()


def test_where_the_machine_tells_nothing_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_PROC", tmp_path / "none")
    assert (boot_id(), pid_namespace()) == (None, None)
    require_local(tmp_path)
