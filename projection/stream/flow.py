"""How much a feed may have under way: about as many bytes as its link moved within the last second."""

from __future__ import annotations

from time import monotonic

_LEAST = 256 * 1024  # bytes that are asked for before anything is known of a link
_LEAST_CEILING = 16 * 1024
_WINDOW_S = 1.0  # so much later than all else an answer comes that has to wait behind what is under way
_KEPT_S = 60.0  # what was learned of a link and of messages


class Flow:
    """The bounds of one feed, which outlive its openings.

    What is under way grows as long as the link keeps up with it. A server sends a client away that leaves too much
    lying, so a connection that was lost with much under way is a reason to ask for less.
    """

    def __init__(self, most: int, requests: int) -> None:
        """Bounds of a link of which nothing is known.

        Args:
            most: bytes that may ever be under way.
            requests: that may be under way at once.
        """
        self._most = most
        self._requests = requests
        self._ceiling = most
        self._lowered_at = 0.0
        self._since = monotonic()
        self._moved = 0  # bytes in this window
        self._before = 0  # and in the one before
        self._needed = 0  # bytes of a request, by what did not fit into one lately
        self._needed_at = 0.0

    def moved(self, size: int) -> None:
        """Note that so many bytes of messages came."""
        self._turn()
        self._moved += size

    @property
    def allowed(self) -> int:
        """Bytes that may be under way now."""
        self._turn()
        return min(self._ceiling, max(_LEAST, self._moved, self._before))

    @property
    def request(self) -> int:
        """Bytes of one request."""
        return max(1, self.allowed // self._requests, self._needed)

    def may_ask(self, under_way: int) -> bool:
        """Whether one more request may be sent; the first always may, however large the next message is."""
        return not under_way or under_way + self.request <= self.allowed

    def did_not_fit(self, asked: int) -> None:
        """Note that the next message is larger than a request of so many bytes."""
        self._needed, self._needed_at = max(self._needed, 2 * asked), monotonic()

    def broke(self, under_way: int) -> None:
        """Note that a connection was lost with so many bytes under way."""
        if under_way:
            self._ceiling = max(_LEAST_CEILING, min(self._ceiling, under_way) // 2)
            self._lowered_at = monotonic()

    def _turn(self) -> None:
        now = monotonic()
        windows = (now - self._since) / _WINDOW_S
        if windows < 1:
            return
        self._before, self._moved = (self._moved if windows < 2 else 0), 0
        self._since = now
        if self._needed and now - self._needed_at > _KEPT_S:
            self._needed, self._needed_at = self._needed // 2, now
        if self._ceiling < self._most and now - self._lowered_at > _KEPT_S:
            self._ceiling, self._lowered_at = min(self._most, 2 * self._ceiling), now
