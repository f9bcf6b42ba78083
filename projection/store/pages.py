"""Whether the pages of an LMDB file hang together: LMDB trusts them, and a damaged one ends who follows it.

LMDB's format, version 1 of its data: pages of equal size, of which the first two are *meta* pages. The one with the
higher transaction id names the roots of two trees, of free pages and of the data. A page's header says its number,
kind, and where its nodes lie. What the keys and values say is not looked at: `projection verify` does that.
"""

from __future__ import annotations

import mmap
import os
from struct import Struct, unpack_from
from typing import TYPE_CHECKING, NamedTuple

from projection.errors import StorageDamagedError

if TYPE_CHECKING:
    from pathlib import Path

_PAGE = Struct("<QHHHH")  # number, pad, flags, lower, upper; of an overflow page, lower and upper are a count
_META = Struct("<IIQQ48s48sQQ")  # magic, version, address, map size, two trees, last page, transaction id
_TREE = Struct("<IHHQQQQQ")  # pad, flags, depth, branch pages, leaf pages, overflow pages, entries, root
_NODE = Struct("<HHHH")  # low and high half of a size or of a page's number, flags or its last part, size of the key
_COUNT = Struct("<I")
_BRANCH, _LEAF, _OVERFLOW, _META_FLAG = 1, 2, 4, 8
_BIG = 1  # flag of a node: its value is on pages of its own
_MAGIC, _VERSION = 0xBEEFC0DE, 1
_NO_PAGE = (1 << 64) - 1
_HEADER, _FIRST = 16, 2  # bytes of a page's header; the first page that is no meta page
_PAGE_SIZES = [1 << bits for bits in range(9, 17)]
_MAX_MAP = 1 << 47  # bytes of addresses that a process has
_MOST_KEY = 511
_DEEPEST = 32


class _Tree(NamedTuple):
    depth: int
    entries: int
    root: int


class _Meta(NamedTuple):
    page_size: int
    map_size: int
    trees: tuple[_Tree, _Tree]  # of free pages, of data
    last_page: int
    transaction: int


class _Damage(Exception):  # noqa: N818 - says what is wrong, to `require_sound` alone
    pass


def require_sound_head(path: Path) -> None:
    """Make sure that LMDB may open a file: that both of its meta pages are what they should be.

    Raises:
        OSError: the file cannot be read.
        StorageDamagedError: they are not.
    """
    with path.open("rb") as file:
        head = file.read(_FIRST * _PAGE_SIZES[-1])
    if head:  # an empty file becomes a store
        try:
            _metas(head)
        except _Damage as damage:
            raise _damaged(path, damage) from None


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
                metas = _metas(data)
                meta = next((one for one in metas if one.transaction == transaction_id), max(metas, key=_age))
                _Walk(data, size, meta).check()
            except _Damage as damage:
                raise _damaged(path, damage) from None


def _age(meta: _Meta) -> int:
    return meta.transaction


def _damaged(path: Path, damage: _Damage) -> StorageDamagedError:
    return StorageDamagedError(
        f"{path} is not a store, or it is damaged: {damage}",
        hint="bring back a copy of the store's folder, or move it away and let the views be folded anew",
    )


def _metas(data: bytes | mmap.mmap) -> list[_Meta]:
    first = _meta(data, 0)
    second = _meta(data, first.page_size)
    if second.page_size != first.page_size:
        raise _Damage("its two heads tell of pages of different sizes")
    return [first, second]


def _meta(data: bytes | mmap.mmap, at: int) -> _Meta:
    if len(data) < at + _HEADER + _META.size:
        raise _Damage("it ends within its head")
    _, _, flags, _, _ = _PAGE.unpack_from(data, at)
    magic, version, _, map_size, free, main, last_page, transaction = _META.unpack_from(data, at + _HEADER)
    page_size = _TREE.unpack(free)[0]
    if not flags & _META_FLAG or magic != _MAGIC or version != _VERSION or page_size not in _PAGE_SIZES:
        raise _Damage("its head is none of a store")
    if not (last_page + 1) * page_size <= map_size <= _MAX_MAP:
        raise _Damage("its head tells of a size that no store has")
    trees = [_Tree(depth, entries, root) for _, _, depth, _, _, _, entries, root in map(_TREE.unpack, (free, main))]
    return _Meta(page_size, map_size, (trees[0], trees[1]), last_page, transaction)


class _Walk:
    """Goes through the two trees, each page once."""

    def __init__(self, data: mmap.mmap, size: int, meta: _Meta) -> None:
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

    def _tree(self, tree: _Tree, *, is_free: bool) -> None:
        if tree.root == _NO_PAGE:
            if tree.entries:
                raise _Damage("a tree without a root has entries")
            return
        if not 1 <= tree.depth <= _DEEPEST:
            raise _Damage(f"a tree is {tree.depth} pages deep")
        level, entries = [tree.root], 0
        for depth in range(1, tree.depth + 1):
            if depth < tree.depth:
                level = [child for page in level for child in self._branch(page)]
            else:
                entries = sum(self._leaf(page, is_free=is_free) for page in level)
        if entries != tree.entries:
            raise _Damage(f"it holds {entries:,} entries, and says that it holds {tree.entries:,}")

    def _take(self, page: int, flags: int, count: int = 1) -> tuple[int, int]:
        """Note that a page is used, and the ones behind it; where its nodes begin and end."""
        if page < _FIRST or page + count > self._end:
            raise _Damage(f"page {page} is not in the file")
        number, _, found, lower, upper = _PAGE.unpack_from(self._data, page * self._size)
        if number != page or found != flags:
            raise _Damage(f"page {page} is not the page that it should be")
        if any(self._seen[page : page + count]):
            raise _Damage(f"page {page} is used twice")
        self._seen[page : page + count] = b"\x01" * count
        return lower, upper

    def _nodes(self, page: int, flags: int, least: int) -> tuple[int, ...]:
        """Where a page's nodes begin, counted from the page's own begin."""
        lower, upper = self._take(page, flags)
        count, is_odd = divmod(lower - _HEADER, 2)
        if is_odd or count < least or not lower <= upper <= self._size:
            raise _Damage(f"page {page} has no nodes where it says")
        nodes = unpack_from(f"<{count}H", self._data, page * self._size + _HEADER)
        if min(nodes) < upper or max(nodes) > self._size - _NODE.size:
            raise _Damage(f"page {page} has no nodes where it says")
        return nodes

    def _branch(self, page: int) -> list[int]:
        at, end, children = page * self._size, self._size, []
        for node in self._nodes(page, _BRANCH, 2):
            low, high, last, key = _NODE.unpack_from(self._data, at + node)
            if key > _MOST_KEY or node + _NODE.size + key > end:
                raise _Damage(f"page {page} has a node that does not fit")
            children.append(low | high << 16 | last << 32)
        return children

    def _leaf(self, page: int, *, is_free: bool) -> int:
        at, end, data, unpack = page * self._size, self._size, self._data, _NODE.unpack_from
        nodes, before = self._nodes(page, _LEAF, 1), b""
        for node in nodes:
            low, high, flags, key_size = unpack(data, at + node)
            size = low | high << 16
            value = node + 8 + key_size
            key = data[at + node + 8 : at + value]
            if not 0 < key_size <= _MOST_KEY or flags > _BIG or value + (8 if flags else size) > end:
                raise _Damage(f"page {page} has a node that does not fit")
            if is_free:
                key = key[::-1]  # a number, and this machine's own way to write it
            if key <= before:
                raise _Damage(f"page {page} has keys that are not in order")
            before = key
            if flags:
                self._overflow(unpack_from("<Q", data, at + value)[0], size)
            if is_free:
                first = unpack_from("<Q", data, at + value)[0] if flags else 0
                self._free(first * self._size + _HEADER if flags else at + value, size)
        return len(nodes)

    def _overflow(self, page: int, size: int) -> None:
        """A value's own pages, which may be more than it needs: it was longer before."""
        if page >= self._end:
            raise _Damage(f"page {page} is not in the file")
        count = _COUNT.unpack_from(self._data, page * self._size + _HEADER - _COUNT.size)[0]
        if count < (_HEADER - 1 + size) // self._size + 1:
            raise _Damage(f"page {page} has another size than it should have")
        self._take(page, _OVERFLOW, count)

    def _free(self, at: int, size: int) -> None:
        """A list of free pages: none of them may be in use, or the next commit writes over it."""
        count = unpack_from("<Q", self._data, at)[0] if size >= 8 else 0
        if size % 8 or count != size // 8 - 1:
            raise _Damage("a list of free pages has another size than it should have")
        for page in unpack_from(f"<{count}Q", self._data, at + 8):
            if not _FIRST <= page <= self._meta.last_page:
                raise _Damage(f"page {page} is said to be free, and is not in the file")
            if page < self._end:
                if self._seen[page]:
                    raise _Damage(f"page {page} is said to be free, and is not")
                self._seen[page] = 1
