"""Which streams count as the log that a position was taken from."""

from __future__ import annotations

import pytest

from projection.errors import StreamIdentityError
from projection.model.checkpoint import LanePosition, StreamIdentity
from projection.stream.identity import check_identity
from projection.stream.jetstream import StreamInfo, StreamState, nanoseconds

READ = LanePosition(scanned=12, applied=10, applied_time="111", stream=StreamIdentity("S", "monday"))


def info(first: int = 1, last: int = 20, created: str = "monday") -> StreamInfo:
    return StreamInfo(created, StreamState(first, last, last - first + 1))


async def identity_of(info: StreamInfo, position: LanePosition, time: str | None, name: str = "S") -> StreamIdentity:
    async def time_of(sequence: int) -> str | None:
        assert position.applied == sequence
        return time

    return await check_identity(name, info, position, time_of)


@pytest.mark.parametrize(
    ("info", "position", "time"),
    [
        (info(), READ, "111"),
        (info(last=12), READ, "111"),
        (info(first=13), READ, None),  # the applied message expired: `created` decides
        (info(created="tuesday"), READ, "111"),  # `created` drifted: the message decides
        (info(first=0, last=0), LanePosition(), None),  # a log that is still empty
        (info(first=21, last=20), LanePosition(scanned=20, stream=READ.stream), None),  # read whole, then purged
        (info(), LanePosition(scanned=4), None),  # a new build that starts at sequence 5
        (info(), LanePosition(scanned=4, stream=READ.stream), None),
        (info(), LanePosition(scanned=12, applied=10, applied_time="111"), "111"),
    ],
)
async def test_the_same_log_is_recognised(info: StreamInfo, position: LanePosition, time: str | None) -> None:
    assert StreamIdentity("S", info.created) == await identity_of(info, position, time)


@pytest.mark.parametrize(
    ("info", "position", "time", "reason"),
    [
        (info(last=11), READ, "111", "ends at 11, but it was read up to 12"),
        (info(first=0, last=0), READ, None, "ends at 0"),
        (info(), READ, "222", "not the log"),
        (info(created="tuesday"), READ, None, "not the log"),
        (info(created="tuesday"), LanePosition(scanned=4, stream=READ.stream), None, "not the log"),
        (info(), LanePosition(scanned=12, applied=10), None, "not the log"),  # neither is usable
        (info(first=14), READ, None, "the messages 13 to 13"),
        (info(first=2), LanePosition(), None, "the messages 1 to 1"),
        (info(last=3), LanePosition(scanned=4), None, "ends at 3"),  # a start behind the end would wait in silence
    ],
)
async def test_another_log_is_refused_with_a_way_out(
    info: StreamInfo, position: LanePosition, time: str | None, reason: str
) -> None:
    with pytest.raises(StreamIdentityError, match=reason) as refused:
        await identity_of(info, position, time)
    assert refused.value.hint


async def test_a_position_of_a_stream_of_another_name_is_refused() -> None:
    with pytest.raises(StreamIdentityError, match="folded from stream 'S' and not from 'T'"):
        await identity_of(info(), READ, "111", "T")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-23T11:31:16.978863476Z", 1795433476978863476),
        ("2026-11-23T11:31:16.9788Z", 1795433476978800000),
    ],
)
def test_the_servers_times_are_read_to_the_nanosecond(text: str, expected: int) -> None:
    assert expected == nanoseconds(text)
