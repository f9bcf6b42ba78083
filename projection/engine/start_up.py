"""Start-up: the stream is asked until it can be used, while stores are served already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.engine.breaker import CircuitBreaker
from projection.engine.fault_log import log_fault
from projection.errors import StreamError, StreamIdentityError
from projection.faults import contained

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from projection.engine.lane import Lane
    from projection.engine.starts import StreamStart
    from projection.errors import ProjectionError
    from projection.stream.port import Feed

_DOING = "beginning to read"


class StartUp:
    """Begins to read as soon as the stream can be used."""

    def __init__(self, start: StreamStart, on_change: Callable[[], None]) -> None:
        """A start-up that has not been tried yet.

        Args:
            start: what is asked of the stream.
            on_change: called when `trouble` changes.
        """
        self.is_over = False  # whether it went well: the node reads
        self._start = start
        self._backoff = CircuitBreaker(on_change)

    @property
    def trouble(self) -> ProjectionError | None:
        """Why the stream cannot be used yet."""
        return self._backoff.trouble

    async def run(self, begin: Callable[[], Awaitable[None]], *, once: bool) -> None:
        """Try to begin reading until that succeeds, with a pause that grows.

        Args:
            begin: begins to read, or raises and has no effect.
            once: whether to try once and no more.

        Raises:
            StreamError: the stream cannot be used, and was tried once.
        """
        while not self.is_over:
            await self._backoff.admit()
            try:
                await begin()
            except Exception as error:
                if once:
                    raise
                log_fault(error, _DOING)
                self._backoff.failed(contained(error, _DOING))
            else:
                self.is_over = True
                self._backoff.succeeded()

    async def look(self, lanes: Sequence[Lane], feed: Feed, halt: Callable[[Lane, Exception, str], None]) -> None:
        """Move lanes to where they start, and halt those that cannot follow this stream.

        Args:
            lanes: of the node.
            feed: one that all lanes can share; closed.
            halt: halts a lane, for an error, while something was being done.

        Raises:
            StreamError: the server cannot be asked.
        """
        await self._start.look()
        for lane in lanes:
            if lane.halted is not None:
                continue
            try:
                await self._start.move(lane)
                await feed.check(lane.here(lane.position.stream))
            except StreamIdentityError as error:
                halt(lane, error, "reading")
            except StreamError:
                raise
            except Exception as error:  # noqa: BLE001 - it is this lane's, and the others are read
                halt(lane, error, _DOING)
