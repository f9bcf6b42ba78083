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
        tell_marker: Callable[[str, str], None] | None = None,
    ) -> None:
        """Nothing yet.

        Args:
            programs: all that might handle an event, as they are now.
            tell: called once for each type, up to `MAX_TYPES`, with aggregate type, event type, and a guess which one
                may have been meant.
            tell_marker: called once for each kind of message that is no event, with the kind and a subject.
        """
        self.count = 0  # of messages, those that are no events among them
        self.markers: dict[str, int] = {}  # messages that are no events, by kind
        self.types: dict[tuple[str, str], str | None] = {}  # that were told, each with its guess
        self._programs = programs
        self._tell = tell
        self._tell_marker = tell_marker

    def passed_over(self, kind: str, subject: str) -> None:
        """Count a message that is no event; the first one of its kind is told."""
        self.count += 1
        self.markers[kind] = self.markers.get(kind, 0) + 1
        if self.markers[kind] == 1 and self._tell_marker is not None:
            self._tell_marker(kind, subject)

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
