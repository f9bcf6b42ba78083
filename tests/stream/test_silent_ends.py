"""A request that is used up to its last byte ends without a word of the server: reading goes on all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stream_support import read, sequences

from projection.stream import opening as opening_module
from projection.stream.opening import FeedLimits

if TYPE_CHECKING:
    from stream_support import Log


@pytest.mark.parametrize("rest", [0, 1])
async def test_requests_that_are_used_up_exactly_are_asked_anew(
    log: Log, monkeypatch: pytest.MonkeyPatch, rest: int
) -> None:
    """Of messages of one size, where requests are a multiple of it: the consumer's name and the numbers count, too."""
    monkeypatch.setattr(opening_module, "_UNLIKE", 1)  # or one request in many would be such a one
    await log.publish(40, data=b"x" * 100)
    probe = log.feed()
    await probe.open()
    reply = f"$JS.ACK.{log.name}.{probe.consumer}.1.10.10.{10**18}.10"  # numbers of two digits, all but the first ones
    await probe.close()
    size = len(f"{log.name}.ours.0") + len(reply) + 100
    monkeypatch.setattr(opening_module, "SILENCE_S", 60.0)
    feed = log.feed(limits=FeedLimits(batch_bytes=16 * size * 4 + 16 * rest, in_flight=2))
    await feed.open()
    assert log.ours == sequences(await read(feed, 40))
    assert 1 == feed.openings
    await feed.close()
