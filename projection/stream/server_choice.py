"""Which server of a cluster is asked: another one, where the one that is connected gives no answers for a while."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from projection.errors import StreamError

if TYPE_CHECKING:
    from projection.stream.connection import Nats

_PATIENCE_S = 5.0  # of failures only; a cluster that has lost a leader has another one by then, mostly
_UNAVAILABLE = f"{StreamError.default_code}.10008"  # as a server says that has no leader to ask


class ServerChoice:
    """Leaves a server that is connected and of no use: it may be cut off from the others, which go on without it."""

    def __init__(self, nats: Nats) -> None:
        self._nats = nats
        self._unanswered: tuple[int, float] | None = None  # by which of the connections, and since when

    def answered(self) -> None:
        """Note that the server is of use."""
        self._unanswered = None

    def failed(self, error: StreamError) -> None:
        """Note that a question had no answer, and leave the server if that has been so for a while."""
        if error.code not in (StreamError.default_code, _UNAVAILABLE):
            return  # an answer
        losses, now = self._nats.losses, monotonic()
        if self._unanswered is None or self._unanswered[0] != losses:
            self._unanswered = losses, now
        elif now - self._unanswered[1] >= _PATIENCE_S:
            self._unanswered = None
            self._nats.go_elsewhere()
