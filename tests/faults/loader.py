"""Somebody who publishes a log over a time, in a process that may be killed; there is another one until all is stored."""

from __future__ import annotations

import asyncio
import signal
import sys
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

from crash_log import STREAM, subject_of
from crash_site import forks
from node_faults import LIFETIME_S
from patience import WITHIN_S

from projection.errors import StreamError
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from multiprocessing.synchronize import Event as SharedEvent
    from pathlib import Path

    from projection.stream.address import NatsConnection

_AT_ONCE = 40  # events, with a pause after each
_AGAIN_S = 0.2  # after the end of a process


def message(number: int, event: bytes) -> Outgoing:
    """An event of a log, under its number as id: what a process that was killed sent may arrive late."""
    return Outgoing(subject_of(event), event, {"Nats-Msg-Id": str(number)})


class Loader:
    """A process that publishes, and its successors; each goes on behind what the stream holds."""

    def __init__(
        self, connection: NatsConnection, events: Sequence[bytes], before: int, over_s: float, folder: Path
    ) -> None:
        """A loader that is not started yet.

        Args:
            connection: how it reaches the servers.
            events: what to publish.
            before: how many messages the stream holds already; nobody else publishes.
            over_s: in which time.
            folder: for its log.
        """
        self._hurry = forks.Event()
        self._args = (connection, events, before, over_s * _AT_ONCE / max(1, len(events)), self._hurry)
        self._log = folder / "loader.log"
        self._process = self._started()
        self._is_over = Event()
        self._thread = Thread(target=self._follow, name="loader")
        self.processes = 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self.hurry()
            self._thread.join(WITHIN_S)
        done = self.is_done
        self._is_over.set()
        self._process.kill()
        self._thread.join()
        assert error is not None or done, f"it does not end: {self.log()}"

    def kill(self) -> None:
        """SIGKILL, wherever it is."""
        self._process.kill()

    def hurry(self) -> None:
        """Have it publish what is left without pauses."""
        self._hurry.set()

    def log(self) -> str:
        """The end of its log."""
        return self._log.read_text()[-2_000:]

    @property
    def is_done(self) -> bool:
        """Whether all is stored."""
        return not self._thread.is_alive()

    def _follow(self) -> None:
        while True:
            self._process.join()
            if self._process.exitcode == 0 or self._is_over.wait(_AGAIN_S):
                return
            self._process = self._started()
            self.processes += 1

    def _started(self):
        process = forks.Process(target=_load, args=(self._log, *self._args))
        process.start()
        return process


def _load(
    log: Path, connection: NatsConnection, events: Sequence[bytes], before: int, pause_s: float, hurry: SharedEvent
) -> None:
    signal.alarm(LIFETIME_S)
    with log.open("a") as file:
        sys.stderr = file
        try:
            asyncio.run(_publish(connection, events, before, pause_s, hurry))
        except StreamError as error:
            print(error, file=file)
            sys.exit(1)


async def _publish(
    connection: NatsConnection, events: Sequence[bytes], before: int, pause_s: float, hurry: SharedEvent
) -> None:
    async with await Nats.connect(connection) as nats:
        stored = (await JetStream(nats).stream_info(STREAM)).state.messages - before

        async def left() -> AsyncIterator[Outgoing]:
            for number, event in enumerate(events[stored:], before + stored + 1):
                yield message(number, event)
                if number % _AT_ONCE == 0 and not hurry.is_set():
                    await asyncio.sleep(pause_s)

        await publish_all(nats, STREAM, left(), alone=True)
