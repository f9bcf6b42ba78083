"""Whether the pages of an LMDB file hang together: LMDB trusts them, and a damaged one ends who follows it.

What the keys and values say is not looked at: `projection verify` does that.
"""

from __future__ import annotations

import mmap
import os
from struct import unpack_from
from typing import TYPE_CHECKING

from projection.store.page_format import (
    BIG,
    BRANCH,
    COUNT,
    FIRST,
    HEADER,
    LEAF,
    NO_PAGE,
    NODE,
    OVERFLOW,
    PAGE,
    PAGE_SIZES,
    Damage,
    damaged,
    metas_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from projection.store.page_format import Meta, Tree

_MOST_KEY = 511
_DEEPEST = 32


def require_sound_head(path: Path) -> None:
    """Make sure that LMDB may open a file: that both of its meta pages are what they should be.

    Raises:
        OSError: the file cannot be read.
        StorageDamagedError: they are not.
    """
    with path.open("rb") as file:
        head = file.read(FIRST * PAGE_SIZES[-1])
    if head:  # an empty file becomes a store
        try:
            metas_of(head)
        except Damage as damage:
            raise damaged(path, damage) from None


def require_sound(path: Path, transaction_id: int) -> None:
    """Make sure that all pages which a transaction can reach are what they should be.

    Takes about a microsecond for each entry. The pages must not be written meanwhile: the transaction is still open.

    Args:
        path: the data file.
        transaction_id: whose state to look at.

    Raises:
        OSError: the file cannot be read.
        StorageDamagedError: a page is not what it should be.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
            try:
                metas = metas_of(data)
                meta = next((one for one in metas if one.transaction == transaction_id), max(metas, key=_age))
                _Walk(data, size, meta).check()
            except Damage as damage:
                raise damaged(path, damage) from None


def _age(meta: Meta) -> int:
    return meta.transaction


class _Walk:
    """Goes through the two trees, each page once."""

    def __init__(self, data: mmap.mmap, size: int, meta: Meta) -> None:
        self._data = data
        self._size = meta.page_size
        self._meta = meta
        # A page that was never written may lie behind the end of the file, and then it is a free one.
        self._end = min(meta.last_page + 1, size // meta.page_size)
        self._seen = bytearray(self._end)

    def check(self) -> None:
        free, main = self._meta.trees
        self._tree(free, is_free=True)
        self._tree(main, is_free=False)

    def _tree(self, tree: Tree, *, is_free: bool) -> None:
        if tree.root == NO_PAGE:
            if tree.entries:
                raise Damage("a tree without a root has entries")
            return
        if not 1 <= tree.depth <= _DEEPEST:
            raise Damage(f"a tree is {tree.depth} pages deep")
        level, entries = [tree.root], 0
        for depth in range(1, tree.depth + 1):
            if depth < tree.depth:
                level = [child for page in level for child in self._branch(page)]
            else:
                entries = sum(self._leaf(page, is_free=is_free) for page in level)
        if entries != tree.entries:
            raise Damage(f"it holds {entries:,} entries, and says that it holds {tree.entries:,}")

    def _take(self, page: int, flags: int, count: int = 1) -> tuple[int, int]:
        """Note that a page is used, and the ones behind it; where its nodes begin and end."""
        if page < FIRST or page + count > self._end:
            raise Damage(f"page {page} is not in the file")
        number, _, found, lower, upper = PAGE.unpack_from(self._data, page * self._size)
        if number != page or found != flags:
            raise Damage(f"page {page} is not the page that it should be")
        if any(self._seen[page : page + count]):
            raise Damage(f"page {page} is used twice")
        self._seen[page : page + count] = b"\x01" * count
        return lower, upper

    def _nodes(self, page: int, flags: int, least: int) -> tuple[int, ...]:
        """Where a page's nodes begin, counted from the page's own begin."""
        lower, upper = self._take(page, flags)
        count, is_odd = divmod(lower - HEADER, 2)
        if is_odd or count < least or not lower <= upper <= self._size:
            raise Damage(f"page {page} has no nodes where it says")
        nodes = unpack_from(f"<{count}H", self._data, page * self._size + HEADER)
        if min(nodes) < upper or max(nodes) > self._size - NODE.size:
            raise Damage(f"page {page} has no nodes where it says")
        return nodes

    def _branch(self, page: int) -> list[int]:
        at, end, children = page * self._size, self._size, []
        for node in self._nodes(page, BRANCH, 2):
            low, high, last, key = NODE.unpack_from(self._data, at + node)
            if key > _MOST_KEY or node + NODE.size + key > end:
                raise Damage(f"page {page} has a node that does not fit")
            children.append(low | high << 16 | last << 32)
        return children

    def _leaf(self, page: int, *, is_free: bool) -> int:
        at, end, data, unpack = page * self._size, self._size, self._data, NODE.unpack_from
        nodes, before = self._nodes(page, LEAF, 1), b""
        for node in nodes:
            low, high, flags, key_size = unpack(data, at + node)
            size = low | high << 16
            value = node + 8 + key_size
            key = data[at + node + 8 : at + value]
            if not 0 < key_size <= _MOST_KEY or flags > BIG or value + (8 if flags else size) > end:
                raise Damage(f"page {page} has a node that does not fit")
            if is_free:
                key = key[::-1]  # a number, and this machine's own way to write it
            if key <= before:
                raise Damage(f"page {page} has keys that are not in order")
            before = key
            if flags:
                self._overflow(unpack_from("<Q", data, at + value)[0], size)
            if is_free:
                first = unpack_from("<Q", data, at + value)[0] if flags else 0
                self._free(first * self._size + HEADER if flags else at + value, size)
        return len(nodes)

    def _overflow(self, page: int, size: int) -> None:
        """A value's own pages, which may be more than it needs: it was longer before."""
        if page >= self._end:
            raise Damage(f"page {page} is not in the file")
        count = COUNT.unpack_from(self._data, page * self._size + HEADER - COUNT.size)[0]
        if count < (HEADER - 1 + size) // self._size + 1:
            raise Damage(f"page {page} has another size than it should have")
        self._take(page, OVERFLOW, count)

    def _free(self, at: int, size: int) -> None:
        """A list of free pages: none of them may be in use, or the next commit writes over it."""
        count = unpack_from("<Q", self._data, at)[0] if size >= 8 else 0
        if size % 8 or count != size // 8 - 1:
            raise Damage("a list of free pages has another size than it should have")
        for page in unpack_from(f"<{count}Q", self._data, at + 8):
            if not FIRST <= page <= self._meta.last_page:
                raise Damage(f"page {page} is said to be free, and is not in the file")
            if page < self._end:
                if self._seen[page]:
                    raise Damage(f"page {page} is said to be free, and is not")
                self._seen[page] = 1
