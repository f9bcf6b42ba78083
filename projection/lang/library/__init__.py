"""The library: every operator and builtin of edition 1, and the forms that the checker inserts, one record each.

Builtins are named alike: a type's name converts to it and fails where it cannot (`int(x)`, `date(2024, 2, 29)`),
`parse_…` reads a text and yields none where it is none of that kind, `add_…` moves dates by the calendar. What texts
and lists have in common has one name for both.
"""

from __future__ import annotations

from projection.lang.library import (  # noqa: F401 - each adds its operations; the first that takes the operands is meant
    binary,
    calendar,
    control,
    forms,
    lists,
    maps_and_sets,
    numeric,
    operators,
    text,
)
from projection.lang.library.registry import BUILTINS, FORMS, OPERATORS
from projection.lang.library.text import key_part, text_of

__all__ = ["BUILTINS", "FORMS", "OPERATORS", "key_part", "text_of"]
