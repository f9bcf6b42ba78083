"""How many connections there may be, and which of them make room for others.

A connection with a request under way is left alone. Of the others, the one that has been without for longest ends when
room is needed: so nobody shuts everyone out by being connected. Where all have a request under way, a few connections
more are taken, and only probes are answered there.

Answers that nobody takes are bounded in their sum: beyond it, the connection ends that has taken least.
"""

from __future__ import annotations

from typing import Protocol

from projection.ops.http.admission import PROBES

SPARE = 32  # connections beyond the limit
MAX_UNSENT_BYTES = 64 * 1024**2  # of answers that are not taken; one answer alone may be more
_PROBES = frozenset(path.encode() for path in PROBES)


class Connection(Protocol):
    """What can be asked to make room."""

    def make_room(self) -> None:
        """End at once."""


class Stalled(Connection, Protocol):
    """What may have to take a part of its answer yet."""

    def unsent(self) -> int:
        """How many bytes it has still to take."""


class Connections:
    """The connections of one server; see the module."""

    def __init__(self, limit: int) -> None:
        """At most so many that have a request under way."""
        self._limit = limit
        self._open: set[Connection] = set()
        self._idle: dict[Connection, None] = {}  # no request under way; the one that has been so for longest first
        self._stalled: dict[Stalled, int] = {}  # with what was unsent when the answer began to stall; the longest first

    def add(self, one: Connection) -> bool:
        """Take one more; False where there is no room."""
        if len(self._open) >= self._limit + SPARE and not self._make_room():
            return False
        self._open.add(one)
        self._idle[one] = None
        return True

    def remove(self, one: Connection) -> None:
        """It has ended; idempotent."""
        self._open.discard(one)
        self._idle.pop(one, None)
        self._stalled.pop(one, None)  # type: ignore[call-overload]

    def begin(self, one: Connection, target: bytes) -> bool:
        """A request has come whole, with this address; False where there is no room for it."""
        self._idle.pop(one, None)
        return len(self._open) <= self._limit or self._make_room() or target.partition(b"?")[0] in _PROBES

    def rest(self, one: Connection) -> None:
        """No request is under way any more."""
        if one in self._open:
            self._idle[one] = None

    def stalls(self, one: Stalled) -> None:
        """It does not keep up with its answer."""
        self._stalled.setdefault(one, one.unsent())
        while len(self._stalled) > 1 and sum(other.unsent() for other in self._stalled) > MAX_UNSENT_BYTES:
            others = [other for other in self._stalled if other is not one]
            least = min(others, key=lambda other: self._stalled[other] - other.unsent())
            self.remove(least)
            least.make_room()

    def flows(self, one: Stalled) -> None:
        """It has taken its answer."""
        self._stalled.pop(one, None)

    def _make_room(self) -> bool:
        for one in self._idle:
            self.remove(one)
            one.make_room()
            return True
        return False
