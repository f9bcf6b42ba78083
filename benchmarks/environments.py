"""One LMDB environment for each lane, or one for all lanes of a feed? What docs/decisions/0014 rests on.

`python -m benchmarks.environments` prints its tables. A lane's commit puts some views of 200 bytes among the 20,000
that it has, and five small records beside them. Apart, each lane commits a transaction of its own, in threads; shared,
each lane has a database in one environment, and one transaction writes them all.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Protocol

import lmdb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LANES = (1, 4, 16, 64)
BATCHES = (20, 5_000)  # changed views of each lane in a commit
VIEWS = 20_000  # of each lane
VIEW = b"v" * 200
RECORDS = [(b"lane:%d" % number, b"r" * 100) for number in range(5)]
MAP_SIZE = 64 << 30  # each, as the store has it
FLUSH_S = 0.002  # of a modelled disk; a commit waits for two flushes, that of its pages and that of its meta page
ROUNDS = 25
ROUNDS_OF_MANY = 5  # where all lanes together write more than 100,000 views
UPKEEP_LANES = 16
_dice = random.Random(1)

_Changes = list[tuple[bytes, bytes]]


class Layout(Protocol):
    """Where the lanes of a feed are kept."""

    def commit(self, changes: Sequence[_Changes]) -> None:
        """Write what each lane changed; all of it is on the disk on return."""

    def commit_one(self, lane: int, changes: _Changes) -> None:
        """Write what one lane changed."""

    def environment_of(self, lane: int) -> lmdb.Environment: ...
    def delete_one(self, lane: int) -> None: ...
    def close(self) -> None: ...


class Apart:
    """An environment for each lane. One thread puts at a time, as in the node; they wait for the disk together."""

    def __init__(self, folder: Path, lanes: int, *, threads: int | None = None, flush_s: float | None = None) -> None:
        self._flush_s = flush_s
        self._threads = ThreadPoolExecutor(threads or lanes)
        self._turn = threading.Lock()
        self._folders = [folder / str(lane) for lane in range(lanes)]
        self._environments = [_open(one, sync=flush_s is None) for one in self._folders]

    def commit(self, changes: Sequence[_Changes]) -> None:
        list(self._threads.map(self.commit_one, range(len(changes)), changes))

    def commit_one(self, lane: int, changes: _Changes) -> None:
        with self._turn:
            transaction = self._environments[lane].begin(write=True)
            _put(transaction, changes)
        transaction.commit()
        _flush(self._flush_s)

    def environment_of(self, lane: int) -> lmdb.Environment:
        return self._environments[lane]

    def delete_one(self, lane: int) -> None:
        self._environments[lane].close()
        shutil.rmtree(self._folders[lane])

    def close(self) -> None:
        self._threads.shutdown()
        for one in self._environments:
            one.close()


class Shared:
    """One environment, with a database for each lane."""

    def __init__(self, folder: Path, lanes: int, *, flush_s: float | None = None) -> None:
        self._flush_s = flush_s
        self._environment = _open(folder, sync=flush_s is None, max_dbs=lanes)
        self._lanes = [self._environment.open_db(b"%d" % lane) for lane in range(lanes)]

    def commit(self, changes: Sequence[_Changes]) -> None:
        with self._environment.begin(write=True) as transaction:
            for lane, changed in zip(self._lanes, changes, strict=True):
                _put(transaction, changed, lane)
        _flush(self._flush_s)

    def commit_one(self, lane: int, changes: _Changes) -> None:
        with self._environment.begin(write=True) as transaction:
            _put(transaction, changes, self._lanes[lane])
        _flush(self._flush_s)

    def environment_of(self, lane: int) -> lmdb.Environment:  # noqa: ARG002 - all lanes are in it
        return self._environment

    def delete_one(self, lane: int) -> None:
        with self._environment.begin(write=True) as transaction:
            transaction.drop(self._lanes[lane])

    def close(self) -> None:
        self._environment.close()


def _open(folder: Path, *, sync: bool, max_dbs: int = 0) -> lmdb.Environment:
    folder.mkdir(parents=True, exist_ok=True)
    return lmdb.open(str(folder), map_size=MAP_SIZE, max_readers=1024, max_dbs=max_dbs, sync=sync)


def _put(transaction: lmdb.Transaction, changes: _Changes, lane: lmdb._Database | None = None) -> None:
    with transaction.cursor(lane) as cursor:
        cursor.putmulti(changes)
        cursor.putmulti(RECORDS)


def _flush(modelled_s: float | None) -> None:
    if modelled_s is not None:
        time.sleep(2 * modelled_s)


def _changes(count: int) -> _Changes:
    return [(b"view:north:some_view_type:%08d" % view, VIEW) for view in sorted(_dice.sample(range(VIEWS), count))]


def _fill(layout: Layout, lanes: int) -> None:
    for lane in range(lanes):
        layout.commit_one(lane, _changes(VIEWS))


def _milliseconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1e3


def commits(place: Path) -> None:
    """What a commit of all lanes takes: the least of some rounds of all layouts in turn, in milliseconds."""
    kinds: dict[str, Callable[[Path, int], Layout]] = {}
    for flush_s, named in ((None, ""), (FLUSH_S, f", a flush of {FLUSH_S * 1e3:.0f} ms")):
        kinds[f"apart, a thread a core{named}"] = partial(Apart, threads=os.cpu_count(), flush_s=flush_s)
        kinds[f"apart, a thread a lane{named}"] = partial(Apart, flush_s=flush_s)
        kinds[f"shared{named}"] = partial(Shared, flush_s=flush_s)
    print(f"| lanes | views a lane | {' | '.join(kinds)} |\n|---|---|{'---|' * len(kinds)}")
    for lanes in LANES:
        layouts = [make(place / name, lanes) for name, make in kinds.items()]
        for layout in layouts:
            _fill(layout, lanes)
        for batch in BATCHES:
            found: list[list[float]] = [[] for _ in layouts]
            for _ in range(ROUNDS if batch * lanes < 100_000 else ROUNDS_OF_MANY):
                changes = [_changes(batch) for _ in range(lanes)]
                for layout, taken in zip(layouts, found, strict=True):
                    taken.append(_milliseconds(partial(layout.commit, changes)))
            print(f"| {lanes} | {batch:,} | {' | '.join(f'{min(one):.1f}' for one in found)} |", flush=True)
        for layout in layouts:
            layout.close()
        for name in kinds:
            shutil.rmtree(place / name)


def upkeep(place: Path) -> None:
    """What else the choice changes, each figure for both layouts."""
    columns = [_kept_up(make, place / make.__name__) for make in (Apart, Shared)]
    print(f"\n| {UPKEEP_LANES} lanes | apart | shared |\n|---|---|---|")
    for (name, apart), (_, shared) in zip(*columns, strict=True):
        print(f"| {name} | {apart} | {shared} |")


def _kept_up(make: Callable[[Path, int], Layout], place: Path) -> list[tuple[str, str]]:
    layout = make(place, UPKEEP_LANES)
    _fill(layout, UPKEEP_LANES)
    layout.close()
    descriptors, space = _descriptors(), _address_space()
    begin = time.perf_counter()
    layout = make(place, UPKEEP_LANES)
    opening = (time.perf_counter() - begin) * 1e3
    descriptors, space = _descriptors() - descriptors, _address_space() - space
    size = _size(place)
    with layout.environment_of(0).begin() as scan:
        scan.get(b"anything")
        for _ in range(100):
            layout.commit([_changes(20)] * UPKEEP_LANES)
    copy = place / "copy"
    copy.mkdir()
    rows = [
        ("opening all of them, ms", f"{opening:.1f}"),
        ("file descriptors", str(descriptors)),
        ("address space, GiB", f"{space / 2**30:,.0f}"),
        ("growth while a scan of one lane is open for 100 commits, MiB", f"{(_size(place) - size) / 2**20:.0f}"),
        ("a commit of 20 views while another lane writes 20,000 at a time, p50 and p99 in ms", _beside_another(layout)),
        (
            "a compacted copy that holds one lane, ms",
            f"{_milliseconds(partial(layout.environment_of(0).copy, str(copy), compact=True)):.1f}",
        ),
        ("its size, MiB", f"{_size(copy) / 2**20:.0f}"),
        ("deleting one lane, ms", f"{_milliseconds(partial(layout.delete_one, 1)):.1f}"),
        ("given back to the disk by that, MiB", f"{_given_back(place, layout) / 2**20:.0f}"),
    ]
    layout.close()
    return rows


def _given_back(place: Path, layout: Layout) -> int:
    """Bytes of the files, when one more lane is deleted."""
    before = _size(place)
    layout.delete_one(2)
    return before - _size(place)


def _beside_another(layout: Layout) -> str:
    ended = threading.Event()
    large, small = [_changes(VIEWS) for _ in range(10)], [_changes(20) for _ in range(100)]

    def write() -> None:
        number = 0
        while not ended.is_set():
            layout.commit_one(1, large[number % len(large)])
            number += 1

    other = threading.Thread(target=write)
    other.start()
    taken = [_milliseconds(partial(layout.commit_one, 0, changes)) for changes in small]
    ended.set()
    other.join()
    return f"{median(taken):.1f}, {quantiles(taken, n=100)[98]:.1f}"


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("data.mdb"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder_:
        commits(Path(folder_))
        upkeep(Path(folder_))
