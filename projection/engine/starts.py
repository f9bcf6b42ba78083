"""Where a view type begins to read, as the last sequence before it: in a stream, and in a file of events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from projection.engine.parking import LaneHaltedError
from projection.errors import ConfigurationError
from projection.stream.losses import losses

if TYPE_CHECKING:
    from projection.engine.deployment import DeployedView
    from projection.stream.jetstream import JetStream, StreamConfig

log = structlog.get_logger()


async def before_start_in_stream(deployed: DeployedView, jetstream: JetStream, stream: str) -> int:
    """The last sequence that a new build does not read.

    Raises:
        ConfigurationError: the stream does not reach to the start yet.
        StreamError: the server cannot be asked.
    """
    start, view_type = deployed.entry.start, deployed.entry.view_type
    if start.time is not None:
        if datetime.fromisoformat(start.time) > datetime.now(UTC):
            # Nothing tells yet which sequence that will be.
            raise ConfigurationError(f"view type {view_type} starts at {start.time}, which is in the future")
        return await jetstream.last_sequence_before(stream, start.time)
    before = (start.sequence or 1) - 1
    # Behind its end, a stream could not be told from one that lost its end.
    if before and (end := (await jetstream.stream_info(stream)).state.last_seq) < before:
        raise ConfigurationError(f"view type {view_type} starts at {start}, but stream {stream!r} ends at {end}")
    return before


def warn_of_losses(config: StreamConfig, stream: str) -> None:
    """Tell by which of its settings a stream loses messages: what is lost, no fold from the start gives back."""
    for setting, cost in losses(config):
        log.warning("the stream may lose events", stream=stream, setting=setting, cost=cost)


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
