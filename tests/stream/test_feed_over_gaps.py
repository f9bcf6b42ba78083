"""Reading a stream some of whose sequences hold no message, and one whose end goes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from patience import eventually
from stream_support import Log, read, sequences

from projection.errors import StreamIdentityError
from projection.model.checkpoint import LanePosition
from projection.stream.jetstream import JetStream, StreamInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.stream.embedded import EmbeddedServer
    from projection.stream.port import Batch


async def delete(log: Log, gone: Iterable[int]) -> None:
    for sequence in gone:
        await log.call("STREAM.MSG.DELETE", seq=sequence)


@pytest.mark.parametrize(
    "gone",
    [range(40, 61), range(81, 101), [100], [2, 3, 50, 99], [*range(2, 100, 2)], range(2, 101)],
    ids=["the middle", "the end", "the last", "a few", "every other", "all but the first"],
)
async def test_what_is_there_comes_once_and_the_end_is_reached(log: Log, gone: Iterable[int]) -> None:
    await log.publish(100)
    await delete(log, gone)
    feed = log.feed()
    await feed.open()
    assert [one for one in range(1, 101) if one not in gone] == sequences(await read(feed, 100))
    assert (0, True) == (feed.left, await feed.caught_up())
    await log.publish(5)
    assert list(range(101, 106)) == sequences(await read(feed, 105))
    await feed.close()


async def test_an_end_that_holds_no_message_has_no_time_of_its_own(own_server: EmbeddedServer, own_log: Log) -> None:
    """A server that was killed no longer knows when it stored a message that was deleted: it says the year 1."""
    await own_log.publish(10)
    await delete(own_log, (9, 10))
    own_server.kill()
    own_server.start()
    await eventually(own_log.reachable)
    feed = own_log.feed()
    await feed.open()
    batches: list[Batch] = []
    while not batches or batches[-1].scanned < 10:
        batch = await feed.next_batch()
        batches += [] if batch is None else [batch]
    last = batches[0].messages[-1]
    assert (8, 10, last.time) == (last.sequence, batches[-1].scanned, batches[-1].scanned_time)
    position = LanePosition(stream=feed.identity, scanned=10, scanned_time=last.time, applied=8, applied_time=last.time)
    await feed.close()
    again = own_log.feed(position)
    await again.open()
    await own_log.publish(3)
    assert [11, 12, 13] == sequences(await read(again, 13))
    await again.close()


async def test_a_message_at_a_sequence_that_was_passed_over_ends_the_reading(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leader says that the log goes on without a message, and the next one stores messages there."""
    await log.publish(10)
    feed = log.feed()
    await feed.open()
    await read(feed, 10)
    stream_info = JetStream.stream_info

    async def with_a_later_end(self, stream: str) -> StreamInfo:
        info = await stream_info(self, stream)
        return msgspec.structs.replace(info, state=msgspec.structs.replace(info.state, last_seq=23))

    with monkeypatch.context() as patch:
        patch.setattr(JetStream, "stream_info", with_a_later_end)
        assert [] == await read(feed, 23)
    await log.publish(3)
    with pytest.raises(StreamIdentityError, match="ends at 13, but it was read up to 23"):
        await read(feed, 26)
    await feed.close()
