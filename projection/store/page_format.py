"""How LMDB's file is laid out, as far as it is read here: version 1 of its data. It is never written here.

Pages of equal size, of which the first two are *meta* pages. The one with the higher transaction id names the roots of
two trees, of free pages and of the data. A page's header says its number, kind, and where its nodes lie.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from projection.errors import StorageDamagedError

if TYPE_CHECKING:
    import mmap
    from pathlib import Path

PAGE = Struct("<QHHHH")  # number, pad, flags, lower, upper; of an overflow page, lower and upper are a count
META = Struct("<IIQQ48s48sQQ")  # magic, version, address, map size, two trees, last page, transaction id
TREE = Struct("<IHHQQQQQ")  # pad, flags, depth, branch pages, leaf pages, overflow pages, entries, root
NODE = Struct("<HHHH")  # low and high half of a size or of a page's number, flags or its last part, size of the key
COUNT = Struct("<I")
BRANCH, LEAF, OVERFLOW, META_FLAG = 1, 2, 4, 8
BIG = 1  # flag of a node: its value is on pages of its own
MAGIC, VERSION = 0xBEEFC0DE, 1
NO_PAGE = (1 << 64) - 1
HEADER, FIRST = 16, 2  # bytes of a page's header; the first page that is no meta page
PAGE_SIZES = [1 << bits for bits in range(9, 17)]
_MAX_MAP = 1 << 47  # bytes of addresses that a process has


class Tree(NamedTuple):
    """One of the two trees."""

    depth: int
    entries: int
    root: int


class Meta(NamedTuple):
    """What a meta page says: the state that one transaction left."""

    page_size: int
    map_size: int
    trees: tuple[Tree, Tree]  # of free pages, of data
    last_page: int
    transaction: int


class Damage(Exception):  # noqa: N818 - says what is wrong, and who reads the file tells where
    """The file is not as LMDB writes it."""


def damaged(path: Path, damage: Damage) -> StorageDamagedError:
    """The error for what is wrong with a data file."""
    return StorageDamagedError(
        f"{path} is not a store, or it is damaged: {damage}",
        hint="bring back a copy of the store's folder, or move it away and let the views be folded anew",
    )


def metas_of(data: bytes | mmap.mmap) -> list[Meta]:
    """Both meta pages of a file.

    Raises:
        Damage: they are none.
    """
    first = _meta(data, 0)
    second = _meta(data, first.page_size)
    if second.page_size != first.page_size:
        raise Damage("its two heads tell of pages of different sizes")
    return [first, second]


def _meta(data: bytes | mmap.mmap, at: int) -> Meta:
    if len(data) < at + HEADER + META.size:
        raise Damage("it ends within its head")
    number, _, flags, _, _ = PAGE.unpack_from(data, at)
    magic, version, _, map_size, free, main, last_page, transaction = META.unpack_from(data, at + HEADER)
    page_size = TREE.unpack(free)[0]
    if not flags & META_FLAG or magic != MAGIC or version != VERSION or page_size not in PAGE_SIZES:
        raise Damage("its head is none of a store")
    if number * page_size != at:  # one of them over the other takes the last transaction away
        raise Damage("its two heads are one and the same")
    if not (last_page + 1) * page_size <= map_size <= _MAX_MAP:
        raise Damage("its head tells of a size that no store has")
    trees = [Tree(depth, entries, root) for _, _, depth, _, _, _, entries, root in map(TREE.unpack, (free, main))]
    return Meta(page_size, map_size, (trees[0], trees[1]), last_page, transaction)
