"""What the system allows a process, used up by stores: the error says which limit that is."""

from __future__ import annotations

import os
import resource
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from projection.errors import StorageError
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.lmdb_store import LmdbLaneStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from projection.store.lmdb_store import _LmdbLane

OPENING: list[Callable[[Path], _LmdbLane]] = [
    lambda folder: LmdbLaneStore.open(folder / "there", "f0"),
    lambda folder: LmdbLaneStore.open(folder / "new", "f0"),
    lambda folder: LmdbViewReader.open(folder / "there"),
]


@contextmanager
def limited(which: int, most: int) -> Iterator[None]:
    before = resource.getrlimit(which)
    resource.setrlimit(which, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(which, before)


@contextmanager
def descriptors_left(count: int) -> Iterator[None]:
    """A process that can open so many files more."""
    highest = max(int(one.name) for one in Path("/proc/self/fd").iterdir())
    with limited(resource.RLIMIT_NOFILE, highest + 50), ExitStack() as stack:
        taken: list[int] = []
        with suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        for number in taken[count:]:
            stack.callback(os.close, number)
        for number in taken[:count]:
            os.close(number)
        yield


@pytest.mark.parametrize("opened", OPENING)
def test_a_store_for_which_no_file_can_be_opened_says_which_limit_is_in_the_way(tmp_path, opened):
    OPENING[0](tmp_path).close()
    hints = []
    for count in range(8):
        with descriptors_left(count):
            try:
                opened(tmp_path).close()
            except StorageError as error:
                hints.append(str(error.hint))
    assert 2 <= len(hints) < 8
    assert all("ulimit -n" in hint for hint in hints), hints


@pytest.mark.parametrize("opened", OPENING)
def test_a_store_for_whose_map_no_addresses_are_left_says_which_limit_is_in_the_way(tmp_path, opened):
    OPENING[0](tmp_path).close()
    addresses = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    with limited(resource.RLIMIT_AS, addresses + (1 << 30)), pytest.raises(StorageError) as caught:
        opened(tmp_path)
    assert "ulimit -v" in str(caught.value.hint)
    opened(tmp_path).close()
