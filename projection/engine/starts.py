"""Where a view type begins to read, as the last sequence before it: in a stream, and in a file of events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from projection.engine.parking import LaneHaltedError
from projection.errors import ConfigurationError
from projection.model.checkpoint import LanePosition
from projection.model.subjects import meet
from projection.stream.losses import losses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.lane import Lane
    from projection.stream.jetstream import JetStream

_SHOWN = 5  # subjects in a message


class StreamStart:
    """What has to be asked of the stream before the first lane reads it."""

    def __init__(self, jetstream: JetStream, stream: str, subjects: Sequence[str]) -> None:
        """A start that has not been made yet.

        Args:
            jetstream: the server; it may be out of reach for now.
            stream: the stream's name.
            subjects: what all lanes read together.
        """
        self._jetstream = jetstream
        self._stream = stream
        self._subjects = subjects
        self._is_looked_at = False

    async def look(self) -> None:
        """Warn, once, of what the stream's configuration gives reason to.

        Raises:
            StreamError: the server cannot be asked.
        """
        import structlog  # noqa: PLC0415 - 50 ms; where a file is read, this class is not used

        if self._is_looked_at:
            return
        log = structlog.get_logger(component="stream")
        config = (await self._jetstream.stream_info(self._stream)).config
        self._is_looked_at = True
        for setting, cost in losses(config):
            log.warning("the stream may lose events", stream=self._stream, setting=setting, cost=cost)
        stored = config.stored_subjects
        if stored and not any(meet(one, other) for one in stored for other in self._subjects):
            log.warning(
                "no event can come: the stream has other subjects than the manifest reads",
                stream=self._stream,
                has=_listed(stored),
                read=_listed(self._subjects),
                hint="compare the manifest's `subjects` and `subject_template` with the stream's subjects",
            )

    async def move(self, lane: Lane) -> None:
        """Have a lane that has folded nothing yet begin where the manifest says.

        Raises:
            ConfigurationError: the stream does not reach to the start yet.
            StreamError: the server cannot be asked.
        """
        if lane.position == LanePosition() and not lane.scanned:
            lane.move_to(await before_start_in_stream(lane.deployed, self._jetstream, self._stream))


def require_start_in_past(deployed: DeployedView) -> None:
    """Make sure that a view type does not start at a time that is still to come.

    Raises:
        ConfigurationError: it does: nothing tells yet which sequence that will be.
    """
    start = deployed.entry.start
    if start.time is not None and datetime.fromisoformat(start.time) > datetime.now(UTC):
        raise ConfigurationError(f"view type {deployed.entry.view_type} starts at {start.time}, which is in the future")


async def before_start_in_stream(deployed: DeployedView, jetstream: JetStream, stream: str) -> int:
    """The last sequence that a new build does not read.

    Raises:
        ConfigurationError: the stream does not reach to the start yet.
        StreamError: the server cannot be asked.
    """
    start, view_type = deployed.entry.start, deployed.entry.view_type
    if start.time is not None:
        require_start_in_past(deployed)
        return await jetstream.last_sequence_before(stream, start.time)
    before = (start.sequence or 1) - 1
    # Behind its end, a stream could not be told from one that lost its end.
    if before and (end := (await jetstream.stream_info(stream)).state.last_seq) < before:
        raise ConfigurationError(
            f"view type {view_type} starts at {start}, but stream {stream!r} ends at {end}",
            hint="correct the start in the manifest, or start the node again once the stream has come so far",
        )
    return before


def before_start_in_file(deployed: DeployedView) -> int:
    """The last event of a file that a view type does not read.

    Raises:
        LaneHaltedError: it starts at a time.
    """
    start = deployed.entry.start
    if start.time is not None:
        raise LaneHaltedError(
            f"view type {deployed.entry.view_type} starts at a time, and a file does not say when its events were "
            "stored",
            hint="give the manifest a start of `first` or a sequence to replay it",
        )
    return (start.sequence or 1) - 1


def _listed(subjects: Sequence[str]) -> str:
    more = f" and {len(subjects) - _SHOWN:,} more" if len(subjects) > _SHOWN else ""
    return ", ".join(subjects[:_SHOWN]) + more
