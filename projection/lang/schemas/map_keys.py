"""Tell the fields of an object from the keys of a map, which are data: ids, addresses, dates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MANY_KEYS = 10  # objects with so many different keys, none of them in more than half, are maps
_NAME = re.compile(r"(?!.*[0-9]{4})[$@]?[A-Za-z_][\w $.:/-]{0,63}", re.ASCII)


def are_rare(counts: Mapping[str, int], objects: int) -> bool:
    """Whether there are many different keys, each of them in few of the objects."""
    return len(counts) >= _MANY_KEYS and max(counts.values()) * 2 <= objects


def are_names(keys: Mapping[str, object]) -> bool:
    """Whether all keys look like names that a programmer gave: no e-mail address, number, date or UUID does."""
    return all(map(_NAME.fullmatch, keys))
