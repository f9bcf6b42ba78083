"""What the tests of a disk's refusals run in a process, and mostly in a mount namespace, of their own.

Started as `python disk_child.py COMMAND PATH …`; says what happened in lines.
"""

import resource
import subprocess
import sys
from pathlib import Path
from shutil import disk_usage, rmtree

from projection.errors import StorageError
from projection.model.ids import ViewId
from projection.model.keys import ViewKey
from projection.store.catalog import CatalogReader
from projection.store.folder_lock import FolderLock
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.lmdb_store import LmdbLaneStore
from projection.testing.store_owner import ACME, ORDERS, Owner, picture

KEYS = [ViewKey(ACME, ORDERS, ViewId(str(number))) for number in range(200)]


def say(*words: object) -> None:
    print(*words, flush=True)


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def refusal(action) -> str:
    """The code of the error that comes of it."""
    try:
        action()
    except StorageError as error:
        return error.code
    return "none"


def write_until_refused(owner: Owner, size: int) -> None:
    """Fill the disk with commits; then write the one that it refused again, and again when there is room."""
    views = {KEYS[0]: b"old"}
    for number in range(1000):
        commit = owner.prepare(views)
        if (code := refusal(lambda commit=commit: owner.store.commit(commit))) != "none":
            break
        views = dict.fromkeys(KEYS[number % 7 :: 7], b"%d" % number * size)
    before = picture(owner.store)
    say(code, refusal(lambda: owner.store.commit(commit)))
    say("unchanged", before == picture(owner.store), owner.store.audit().agrees)
    yield
    owner.store.commit(commit)
    say("written", commit.position == owner.store.position(), owner.store.audit().agrees)
    owner.write(dict.fromkeys(KEYS, b"later"))
    say("goes on", {view for _, view in owner.store.scan(None, ORDERS)})


def fill_disk(path: Path, durability: str) -> None:
    mount("-t", "tmpfs", "-o", "size=2m", "none", str(path))
    with LmdbLaneStore.open(path / "0", "f0", durability=durability) as store:
        for _ in write_until_refused(Owner(store), 2000):
            say("new store", refusal(lambda: LmdbLaneStore.open(path / "1", "f0")))
            say("copy", refusal(lambda: store.copy_to(path / "2")), *sorted(one.name for one in path.glob("2*")))
            mount("-o", "remount,size=64m", str(path))
    with LmdbLaneStore.open(path / "0", "f0") as store:
        say("opened again", store.count_views(), store.audit().agrees)


def make_with_little_room(path: Path) -> None:
    """A store that is made on a disk with so many pages left, for every number that is too small."""
    mount("-t", "tmpfs", "-o", "size=1m", "none", str(path))
    codes = []
    for pages in range(40):
        (path / "filler").write_bytes(bytes(disk_usage(path).free - 4096 * pages))
        codes.append(refusal(lambda pages=pages: LmdbLaneStore.open(path / str(pages), "f0").close()))
        (path / "filler").unlink()
        with LmdbLaneStore.open(path / str(pages), "f0") as store:
            Owner(store).write({KEYS[0]: b"{}"})
        rmtree(path / str(pages))
    say(*codes)


def limit_file(path: Path, more: str) -> None:
    """The kernel lets a file grow by that many bytes only; afterwards by any number."""
    with LmdbLaneStore.open(path / "0", "f0") as store:
        owner = Owner(store)
        owner.write({KEYS[0]: b"old"})
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        allowed = (path / "0" / "data.mdb").stat().st_size + int(more)
        resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, hard))
        for _ in write_until_refused(owner, 2000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def make_read_only(path: Path) -> None:
    mount("-t", "tmpfs", "none", str(path))
    with LmdbLaneStore.open(path / "0", "f0") as store:
        Owner(store).write(dict.fromkeys(KEYS, b"old"))
    mount("-o", "remount,ro", str(path))
    say("open", refusal(lambda: LmdbLaneStore.open(path / "0", "f0")))
    say("make", refusal(lambda: LmdbLaneStore.open(path / "1", "f0")))
    say("lock", refusal(lambda: FolderLock(path)))
    with LmdbViewReader.open(path / "0") as reader:
        say("read", reader.audit().agrees, reader.count_views())
        say("copy", refusal(lambda: reader.copy_to(path / "2")))
    mount("-o", "remount,rw", str(path))
    with LmdbLaneStore.open(path / "0", "f0") as store:
        Owner(store).write(dict.fromkeys(KEYS, b"new"))
        say("written", {view for _, view in store.scan(None, ORDERS)})


def read_beside_node(path: Path) -> None:
    """As a container does that the data folder is mounted into."""
    try:
        CatalogReader.open(path).close()
    except StorageError as error:
        say(error)
    else:
        say("may read")


def read_only_beside_node(path: Path) -> None:
    mount("--bind", str(path), str(path))
    mount("-o", "remount,bind,ro", str(path))
    read_beside_node(path)


def take_folder(path: Path) -> None:
    try:
        FolderLock(path).close()
    except StorageError as error:
        say(error)
    else:
        say("taken")


if __name__ == "__main__":
    commands = {
        "fill": fill_disk,
        "little-room": make_with_little_room,
        "limit": limit_file,
        "read-only": make_read_only,
        "reader": read_beside_node,
        "read-only-reader": read_only_beside_node,
        "node": take_folder,
    }
    commands[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
