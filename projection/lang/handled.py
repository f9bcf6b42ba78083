"""Which types of events some programs handle, and which of these somebody may have meant by another name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.lang.check.checker import CheckedProgram

MAX_SHOWN = 100  # characters of a name that comes from outside
_ALIKE = 0.8  # of 1, as difflib counts: a letter or two of a name


class HandledTypes(NamedTuple):
    """What some programs together handle."""

    types: frozenset[tuple[str | None, str]]  # an aggregate type, None: any; and an event type as it is published
    takes_all: bool  # by `on *`

    @classmethod
    def of(cls, programs: Iterable[CheckedProgram]) -> HandledTypes:
        """What these programs handle."""
        types: set[tuple[str | None, str]] = set()
        takes_all = False
        for program in programs:
            for handler in program.core.handlers:
                takes_all |= not handler.events
                for name in handler.events:
                    event = program.event_declarations[name]
                    types |= {(event.aggregate_type, wire) for wire in event.wires or (name,)}
        return cls(frozenset(types), takes_all)

    def takes(self, aggregate_type: str, event_type: str) -> bool:
        """Whether one of the programs has a handler for events of this type."""
        return self.takes_all or not self.types.isdisjoint({(aggregate_type, event_type), (None, event_type)})

    def guess(self, aggregate_type: str, event_type: str) -> str | None:
        """Which type somebody may have meant who published events of a type that no program handles."""
        if len(event_type) > MAX_SHOWN:
            return None
        from difflib import get_close_matches  # noqa: PLC0415 - where all types are known, nothing is guessed

        by_name: dict[str, list[tuple[str, str | None]]] = {}
        for of, name in sorted(self.types, key=lambda one: (one[1], one[0] or "")):
            by_name.setdefault(_bare(name), []).append((name, of))
        near = get_close_matches(_bare(event_type), by_name, n=1, cutoff=_ALIKE)
        if not near:
            return None
        # The very name first: then it is the aggregate type that differs.
        name, of = min(by_name[near[0]], key=lambda one: (one[0] != event_type, one[1] not in (None, aggregate_type)))
        return f"did you mean {name!r}" + ("?" if of in (None, aggregate_type) else f" of aggregate type {of!r}?")


def shown(text: str) -> str:
    """A name that comes from outside, for a message."""
    return repr(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…")


def _bare(name: str) -> str:
    """A name without what people vary: namespace, case, and how words are joined."""
    return re.sub(r"[_\-\s]", "", re.split(r"[./:\\+#]", name)[-1]).casefold()
