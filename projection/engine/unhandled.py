"""Events of types that no program handles: counted, and told once for each type, as a typo looks the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang.handled import MAX_SHOWN, HandledTypes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from projection.lang.program import Program

MAX_TYPES = 100  # that are told: types come from outside, and may be as many as somebody likes


class Unhandled:
    """What was read and concerns no program."""

    def __init__(
        self,
        programs: Callable[[], Iterable[Program]],
        tell: Callable[[str, str, str | None], None] | None = None,
    ) -> None:
        """Nothing yet.

        Args:
            programs: all that might handle an event, as they are now.
            tell: called once for each type, up to `MAX_TYPES`, with aggregate type, event type, and a guess which one
                may have been meant.
        """
        self.count = 0  # of events
        self.types: dict[tuple[str, str], str | None] = {}  # that were told, each with its guess
        self._programs = programs
        self._tell = tell

    def is_unhandled(self, aggregate_type: str, event_type: str) -> bool:
        """Whether no program handles events of this type; that is told."""
        programs = list(self._programs())
        if any(one.reaction(aggregate_type, event_type) is not None for one in programs):
            return False
        key = aggregate_type[:MAX_SHOWN], event_type[:MAX_SHOWN]
        if key not in self.types and len(self.types) < MAX_TYPES:
            guess = HandledTypes.of(one.checked for one in programs).guess(aggregate_type, event_type)
            self.types[key] = guess
            if self._tell is not None:
                self._tell(*key, guess)
        return True
