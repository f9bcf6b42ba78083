"""The free pages of an LMDB file, as its tree of free pages lists them: a list for each transaction that freed some."""

from __future__ import annotations

import mmap
import os
from struct import unpack_from
from typing import TYPE_CHECKING, NamedTuple

from projection.store.page_format import (
    BIG,
    BRANCH,
    FIRST,
    HEADER,
    LEAF,
    NO_PAGE,
    NODE,
    PAGE,
    Damage,
    damaged,
    metas_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from projection.store.page_format import Meta

_AT_ONCE = 1024  # page numbers


class FreeRange(NamedTuple):
    """Free pages that lie behind one another; `place` orders them as they are listed."""

    place: tuple[int, int]  # the transaction that freed them; downwards from 0, minus the number of the first page
    start: int  # byte in the file
    length: int  # bytes, all of them within the file


BEGIN = (0, 0)  # a place before all others


def free_ranges(path: Path, file: int, transaction: int, *, after: tuple[int, int], oldest: int) -> Iterator[FreeRange]:
    """The pages that LMDB's next commit may write over, in the order in which they are listed.

    Nobody may write to the file meanwhile.

    Args:
        path: of the data file, for errors.
        file: its descriptor.
        transaction: the last one that was committed.
        after: the place behind which to begin.
        oldest: the oldest transaction whose state somebody may still be reading; the last one, if nobody does. As LMDB
            does, what this one has freed is left alone: the state before it must be whole as well.

    Raises:
        StorageDamagedError: the file is not as LMDB writes it.
        OSError: it cannot be read.
    """
    size = os.fstat(file).st_size
    with mmap.mmap(file, size, access=mmap.ACCESS_READ) as data:
        try:
            meta = _left_by(transaction, data)
            for freed_by, at, count in _lists(data, meta):
                if after[0] <= freed_by < oldest:
                    for first, pages in _runs(data, at, count, meta):
                        place, start = (freed_by, -first), first * meta.page_size
                        if place > after and start < size:
                            yield FreeRange(place, start, min(pages * meta.page_size, size - start))
        except Damage as damage:
            raise damaged(path, damage) from None


def _left_by(transaction: int, data: mmap.mmap) -> Meta:
    for meta in metas_of(data):
        if meta.transaction == transaction:
            return meta
    raise Damage("its heads tell of other transactions than its lock")


def _lists(data: mmap.mmap, meta: Meta) -> Iterator[tuple[int, int, int]]:
    """The transaction that freed some pages, where in the file their numbers are, and how many; the oldest first."""
    tree = meta.trees[0]
    waiting = [] if tree.root == NO_PAGE else [(tree.root, tree.depth)]
    while waiting:
        page, depth = waiting.pop()
        base = _base(meta, page)
        _, _, flags, lower, _ = PAGE.unpack_from(data, base)
        if depth < 1 or flags != (LEAF if depth == 1 else BRANCH):
            raise Damage(f"page {page} is not the page that it should be")
        nodes = unpack_from(f"<{(lower - HEADER) // 2}H", data, base + HEADER)
        if depth > 1:
            children = [NODE.unpack_from(data, base + node)[:3] for node in reversed(nodes)]
            waiting += [(low | high << 16 | last << 32, depth - 1) for low, high, last in children]
            continue
        for node in nodes:
            low, high, flags, key_size = NODE.unpack_from(data, base + node)
            value = base + node + NODE.size + key_size
            (freed_by,) = unpack_from("<Q", data, base + node + NODE.size)
            if flags & BIG:
                value = _base(meta, unpack_from("<Q", data, value)[0]) + HEADER
            (count,) = unpack_from("<Q", data, value)
            if key_size != 8 or (low | high << 16) != 8 * (count + 1):
                raise Damage("a list of free pages has another size than it should have")
            yield freed_by, value + 8, count


def _base(meta: Meta, page: int) -> int:
    if not FIRST <= page <= meta.last_page:
        raise Damage(f"page {page} is not in the file")
    return page * meta.page_size


def _runs(data: mmap.mmap, at: int, count: int, meta: Meta) -> Iterator[tuple[int, int]]:
    """The first of some free pages that lie behind one another, and how many these are; the last in the file first."""
    first = pages = 0
    for begin in range(0, count, _AT_ONCE):
        for page in unpack_from(f"<{min(_AT_ONCE, count - begin)}Q", data, at + 8 * begin):
            _base(meta, page)
            if page == first - 1:
                first, pages = page, pages + 1
                continue
            if pages:
                yield first, pages
            first, pages = page, 1
    if pages:
        yield first, pages
