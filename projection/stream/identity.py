"""Whether a stream is still the log that a position was taken from; going on with another would be silently wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.errors import StreamIdentityError
from projection.model.checkpoint import StreamIdentity
from projection.stream.losses import losses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from projection.model.checkpoint import LanePosition
    from projection.stream.jetstream import StreamInfo

_REBUILD = "restore the stream, or rebuild the views in an empty data folder"


async def check_identity(
    stream: str, info: StreamInfo, position: LanePosition, time_of: Callable[[int], Awaitable[str | None]]
) -> StreamIdentity:
    """The identity of the stream as it is now, if reading may go on behind the position.

    Args:
        stream: its name.
        info: what its leader says of it.
        position: how far the reading has come, and of which log.
        time_of: when the log stored the message of a sequence, in nanoseconds; None where it holds it no longer.

    Raises:
        StreamIdentityError: the stream is another log, is shorter than what was read, or lost what is still to read.
    """
    known = position.stream
    if known is not None and known.name != stream:
        raise StreamIdentityError(
            f"the data was folded from stream {known.name!r} and not from {stream!r}",
            hint="name that stream in the settings, or use another data folder",
        )
    state = info.state
    if state.last_seq < position.scanned:
        raise StreamIdentityError(
            f"stream {stream!r} ends at {state.last_seq}, but it was read up to {position.scanned}: it is another "
            "stream, or its end was lost",
            hint=_REBUILD,
        )
    if not await _same_log(info, position, time_of):
        raise StreamIdentityError(
            f"stream {stream!r} (created {info.created}) is not the log that was read up to {position.scanned}: "
            "it was created again or restored",
            hint=_REBUILD,
        )
    require_history(stream, info, position.scanned + 1)
    return StreamIdentity(stream, info.created)


def require_history(stream: str, info: StreamInfo, needed: int) -> None:
    """Make sure that a stream still holds what is to be read.

    Args:
        stream: its name.
        info: what its leader says of it.
        needed: the first sequence that is still to be read.

    Raises:
        StreamIdentityError: it begins behind that.
    """
    first, mirror = info.state.first_seq, info.config.mirror
    if first <= needed:
        return
    if mirror is None or not mirror.is_partial:
        raise StreamIdentityError(
            f"stream {stream!r} begins at {first}: the messages {needed} to {first - 1}, which are still to be read, "
            "are gone",
            hint=f"restore them, or rebuild from sequence {first} on",
        )
    if any(losses(info.config)):  # else what is missing was left out
        raise StreamIdentityError(
            f"stream {stream!r} copies a part of {mirror.name!r} under its sequences and begins at {first}: it cannot "
            f"be known whether the messages {needed} to {first - 1} were left out of it or lost",
            hint="make the mirror one that loses nothing, with `--deny-delete --deny-purge` and no limits; or read a "
            f"stream that has {mirror.name!r} as its source, with the same filter: its sequences start at 1",
        )


async def _same_log(info: StreamInfo, position: LanePosition, time_of: Callable[[int], Awaitable[str | None]]) -> bool:
    """By the times of the messages that were read last, which survive what changes `created`; else by `created`.

    Servers have been seen to change `created` of a stream that was not made anew (nats-server #8449), so a matching
    message outweighs it.
    """
    for sequence, time in ((position.scanned, position.scanned_time), (position.applied, position.applied_time)):
        if sequence and time is not None and (stored := await time_of(sequence)) is not None:
            return stored == time
    if position.stream is not None:
        return position.stream.created == info.created
    return not position.applied  # nothing was read yet: any log will do
