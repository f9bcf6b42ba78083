"""Events that commands fold again: of a file, or of a stream; and what comes of the first of them, in memory."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.event import Event
    from projection.history.logs import Log
    from projection.model.ids import TenantId
    from projection.model.settings import Settings
    from projection.store.port import LaneStore
    from projection.testing.given import GivenEvent


class History:
    """The events that a program is given, in their order."""

    def __init__(self, program: Path, events: Path | None) -> None:
        """Read both.

        Raises:
            ConfigurationError: a file cannot be read, or the manifest names several programs.
            ProgramInvalidError: the program does not check.
        """
        from projection.testing.folding import Projection
        from projection.testing.given import given_events, recorded_by

        projection = Projection.load(program)
        if len(projection.deployed) != 1:
            raise ConfigurationError(f"{program} names {len(projection.deployed)} programs", hint="name one of them")
        self.deployed: DeployedView = projection.deployed[0]
        self.given: list[GivenEvent] = []
        if events is not None:
            self.given += given_events(
                events,
                Path(),
                projection.aggregate_of,
                recorded=recorded_by(self.deployed.entry, self.deployed.tenancy),
            )

    def store_before(self, number: int) -> LaneStore:
        """What the events before this one, from 1, come to."""
        from projection.engine.replay import Replay
        from projection.model.envelope import Tenancy

        replay = Replay([self.deployed], Tenancy())
        replay.run(one.line for one in self.given[: number - 1])
        return replay.lanes[0].store

    def event(self, number: int) -> Event:
        """One event, from 1, as the engine reads it.

        Raises:
            ConfigurationError: there is none of this number.
        """
        from projection.engine.replay import FileEvents
        from projection.model.envelope import Tenancy

        if not 1 <= number <= len(self.given):
            raise ConfigurationError(f"there is no event {number}", hint=f"there are {len(self.given)}")
        return FileEvents(self.deployed.entry, Tenancy()).event(number, self.given[number - 1].line)

    def view(self, store: LaneStore, tenant_id: TenantId, view_id: str) -> bytes | None:
        """A view's JSON; None where there is none."""
        from projection.model.ids import ViewId
        from projection.model.keys import ViewKey

        return store.get_view(ViewKey(tenant_id, self.deployed.entry.view_type, ViewId(view_id)))


@asynccontextmanager
async def opened_log(
    events: Path | None, deployed: Sequence[DeployedView], settings: Settings, purpose: str
) -> AsyncIterator[Log]:
    """The events of a file, or, without one, of the stream that the settings name.

    Args:
        events: the file.
        deployed: whose events they are: it is needed for their short form.
        settings: where the stream is.
        purpose: a word for the name of the consumer.

    Raises:
        StreamError: the server cannot be reached.
    """
    from projection.history.logs import FileLog, StreamLog

    if events is not None:
        yield FileLog(partial(_envelopes, events, deployed))
        return
    from projection.cli.connection import nats_connection
    from projection.stream.connection import Nats

    async with await Nats.connect(nats_connection(settings.nats)) as nats:
        yield StreamLog(nats, settings.stream, purpose)


def _envelopes(path: Path, deployed: Sequence[DeployedView]) -> Iterator[bytes]:
    """The envelopes of a log as they stand there; of a file in the short form, those that it stands for."""
    from projection.stream.file_feed import read_lines
    from projection.stream.recorded import is_recorded
    from projection.testing.folding import Projection
    from projection.testing.given import given_events, recorded_by

    if path.suffix != ".json" and is_recorded(next((line.data for line in read_lines(path)), b"")):
        yield from (line.data for line in read_lines(path))
        return
    first = b"[" if path.suffix == ".json" else next((line.data for line in read_lines(path)), b'"event_type"')
    if b'"event_type"' in first:
        yield from (line.data for line in read_lines(path))
        return
    aggregate_of = Projection(path.name, deployed, Path()).aggregate_of
    events = given_events(path, Path(), aggregate_of, recorded=recorded_by(deployed[0].entry, deployed[0].tenancy))
    yield from (event.line for event in events)
