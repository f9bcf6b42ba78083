"""What the tests run in another process, and kill there: a writer, a reader, a node that holds its data folder.

Started as `python lane_child.py COMMAND PATH`; talks in lines, and ends with its standard input.
"""

import sys
from functools import partial
from itertools import count
from pathlib import Path

from projection.model.ids import ViewId
from projection.model.keys import ViewKey
from projection.store.catalog import Catalog
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.lmdb_store import LmdbLaneStore
from projection.testing.store_owner import ACME, ORDERS, Owner

KEYS = [ViewKey(ACME, ORDERS, ViewId(str(number))) for number in range(200)]


def say(*words: object) -> None:
    print(*words, flush=True)


def write_for_ever(path: Path, durability: str = "sync", *, loads: bool = False) -> None:
    """Each commit gives all views the number of the position."""
    owner = Owner(LmdbLaneStore.open(path, "f0", durability=durability, loads=loads))
    for _ in count():
        number = owner.store.position().scanned + 1
        owner.write(dict.fromkeys(KEYS, b"%d" % number * 50))
        say(number)


def read_as_told(path: Path) -> None:
    """`scan`: how many views there are and how many different ones; `hold`: begin a scan; `rest`: end the last begun."""
    reader = LmdbViewReader.open(path)
    held = []
    say("ready")
    for line in sys.stdin:
        if line == "scan\n":
            views = [view for _, view in reader.scan(None, ORDERS)]
            say(len(views), len({*views}), reader.position().scanned)
        elif line == "hold\n":
            held.append(reader.scan(None, ORDERS))
            next(held[-1])
            say("held")
        elif line == "rest\n":
            say(len({view for _, view in held.pop()}))


def hold_data_folder(data: Path) -> None:
    with Catalog.open(data) as catalog:
        say(catalog.node_id)
        sys.stdin.read()


if __name__ == "__main__":
    commands = {
        "write": write_for_ever,
        "write-unsynced": partial(write_for_ever, durability="process"),
        "load": partial(write_for_ever, loads=True),
        "read": read_as_told,
        "node": hold_data_folder,
    }
    commands[sys.argv[1]](Path(sys.argv[2]))
