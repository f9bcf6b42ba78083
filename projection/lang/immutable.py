"""What trees, types and findings are made of: named fields that never change; equal where class and fields are."""

from __future__ import annotations

import msgspec


class Immutable(msgspec.Struct, frozen=True):
    """The base of all of them.

    A data class would say the same. A program's start makes about a hundred classes, though, and msgspec makes one in
    40 µs where a data class takes 600, and makes an instance in a fifth of the time.
    """
