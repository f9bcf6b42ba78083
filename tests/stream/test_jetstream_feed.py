"""The feed reads the whole log in order and says exactly how far it has looked: by frames, and one message at a time."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
from patience import eventually
from stream_support import Log, read, sequences

from projection.errors import StreamError, StreamIdentityError
from projection.model.checkpoint import LanePosition
from projection.stream import connection as connection_module
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.frames import FrameParser
from projection.stream.opening import FeedLimits

if TYPE_CHECKING:
    from projection.stream.embedded import EmbeddedServer


@pytest.fixture(autouse=True, params=["frames", "callbacks"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the connections of a test read."""
    if request.param == "callbacks":
        monkeypatch.setattr(connection_module, "read_frames", lambda client: None)
    return request.param


async def test_a_feed_reads_by_frames_where_the_library_is_known(log: Log, way: str) -> None:
    assert isinstance(log.nats._client._ps, FrameParser) == (way == "frames")


async def test_the_whole_log_comes_once_and_in_order(log: Log) -> None:
    await log.publish(12_000)
    feed = log.feed()
    await feed.open()
    assert log.ours == sequences(await read(feed, 12_000))
    assert await feed.caught_up()
    await feed.close()


async def test_a_message_carries_subject_data_and_the_logs_own_time(log: Log) -> None:
    await log.publish(1, data=b'{"a": 1}')
    feed = log.feed()
    await feed.open()
    [message] = await read(feed, 1)
    assert (1, f"{log.name}.ours.0", b'{"a": 1}') == (message.sequence, message.subject, message.data)
    assert await log.jetstream.message_time(log.name, 1) == message.time
    await feed.close()


async def test_reading_begins_right_behind_the_position(log: Log) -> None:
    await log.publish(10)
    feed = log.feed(LanePosition(scanned=4))
    await feed.open()
    assert sequences(await read(feed, 10)) == [5, 6, 7, 8, 9, 10]
    await feed.close()


async def test_batches_keep_to_their_limits(log: Log) -> None:
    await log.publish(50, data=b"x" * 100)
    for limits, most in ((FeedLimits(batch=7), 7), (FeedLimits(batch_bytes=350), 3), (FeedLimits(batch_bytes=1), 1)):
        feed = log.feed(limits=limits)
        await feed.open()
        seen: list[int] = []
        while len(seen) < 50:
            batch = await feed.next_batch()
            if batch is not None:
                assert len(batch.messages) <= most
                seen.extend(sequences(batch.messages))
        assert log.ours == seen
        await feed.close()


async def test_what_waits_in_the_client_is_bounded_however_far_behind_the_caller_is(log: Log) -> None:
    await log.publish(3_000, data=b"x" * 1_000)
    feed = log.feed(limits=FeedLimits(batch=10, batch_bytes=80_000, in_flight=2))
    await feed.open()

    async def stalled() -> bool:
        held = feed._opening.size
        await asyncio.sleep(0.1)
        return held > 0 and held == feed._opening.size

    await eventually(stalled)
    # 4 requests of batch_bytes / (8 * 2) = 5,000 bytes each, and one batch.
    assert feed._opening.size <= 80_000 + 4 * 5_000
    assert log.ours == sequences(await read(feed, 3_000))
    await feed.close()


async def test_a_whole_batch_gathers_while_the_caller_is_busy_elsewhere(log: Log) -> None:
    """More than the first requests bring: the next ones go out as messages come, whether or not anybody waits."""
    await log.publish(11_000)
    feed = log.feed()
    await feed.open()

    async def gathered() -> bool:
        return len(feed._opening.messages) == 11_000

    await eventually(gathered)
    await feed.close()


async def test_messages_larger_than_a_request_allows_come_too(log: Log) -> None:
    await log.publish(3)
    await log.publish(4, data=b"x" * 6_000_000)
    await log.publish(3)
    feed = log.feed()
    await feed.open()
    messages = await read(feed, 10)
    assert log.ours == sequences(messages)
    assert [len(message.data) for message in messages] == [2, 2, 2] + [6_000_000] * 4 + [2, 2, 2]
    await feed.close()


async def test_messages_of_others_move_scanned_while_nothing_comes(log: Log) -> None:
    await log.publish(5)
    await log.publish(20, "theirs")
    feed = log.feed()
    await feed.open()
    assert sequences(await read(feed, 25)) == [1, 2, 3, 4, 5]
    assert await feed.caught_up()
    await feed.close()


async def test_scanned_never_passes_a_message_that_is_stored_and_not_yet_delivered(log: Log) -> None:
    """The consumer is paused, so the server delivers nothing; only the log knows of the message."""
    feed = log.feed()
    await feed.open()
    await log.publish(1, "theirs")
    assert await read(feed, 1) == []
    await log.jetstream._call(
        f"CONSUMER.PAUSE.{log.name}.{feed.consumer}", {"pause_until": "2999-01-01T00:00:00Z"}, object
    )
    await log.publish(20)
    await log.publish(20, "theirs")
    assert not await feed.caught_up()
    for _ in range(50):
        assert await feed.next_batch() is None
    await log.jetstream._call(f"CONSUMER.PAUSE.{log.name}.{feed.consumer}", {}, object)
    assert log.ours == sequences(await read(feed, 41))
    await feed.close()


async def test_scanned_never_passes_a_message_that_waits_in_the_client(log: Log) -> None:
    feed = log.feed()
    await feed.open()
    await log.publish(20)
    await log.publish(1, "theirs")

    async def delivered() -> bool:
        return len(feed._opening.messages) == 20

    await eventually(delivered)
    assert not await feed.caught_up()
    assert await feed._looked(await feed._log_end.look(feed._position.scanned)) is None
    assert log.ours == sequences(await read(feed, 21))
    await feed.close()


async def test_scanned_never_passes_a_message_that_is_stored_while_the_log_is_asked(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored behind the question for the next message, and before the answer is used: the end was read before both."""
    feed = log.feed()
    await feed.open()
    await log.publish(1, "theirs")
    await log.jetstream._call(
        f"CONSUMER.PAUSE.{log.name}.{feed.consumer}", {"pause_until": "2999-01-01T00:00:00Z"}, object
    )
    ask = feed._jetstream.next_sequence

    async def ask_and_be_overtaken(stream: str, subject: str, start: int) -> int | None:
        found = await ask(stream, subject, start)
        await log.publish(1)
        return found

    monkeypatch.setattr(feed._jetstream, "next_sequence", ask_and_be_overtaken)
    batch = await feed._looked(await feed._log_end.look(feed._position.scanned))
    assert batch is not None
    assert (1, []) == (batch.scanned, list(batch.messages))
    monkeypatch.undo()
    await log.jetstream._call(f"CONSUMER.PAUSE.{log.name}.{feed.consumer}", {}, object)
    assert [2] == sequences(await read(feed, 2))
    await feed.close()


async def test_scanned_does_not_move_when_the_stream_is_made_anew_while_the_log_is_asked(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end was that of the old one, and the new one says of itself that nothing of ours is in it."""
    feed = log.feed()
    await feed.open()
    await log.publish(5, "theirs")
    ask = feed._jetstream.next_sequence

    async def be_overtaken_and_ask(stream: str, subject: str, start: int) -> int | None:
        await log.call("STREAM.DELETE")
        await log.create()
        return await ask(stream, subject, start)

    monkeypatch.setattr(feed._jetstream, "next_sequence", be_overtaken_and_ask)
    assert await feed._looked(await feed._log_end.look(feed._position.scanned)) is None
    monkeypatch.undo()
    with pytest.raises(StreamIdentityError, match="created again"):
        await read(feed, 5)
    await feed.close()


async def test_scanned_is_right_while_others_publish_without_pause(log: Log, nats_server: EmbeddedServer) -> None:
    """The consumer's own count of pending messages runs behind the stream on a busy server; the feed does not."""
    async with await Nats.connect(NatsConnection(nats_server.url)) as other:

        async def busy() -> None:
            for number in range(300):
                await other.request(f"{log.name}.theirs.0", b"")
                if number % 10 == 0:
                    await other.request(f"{log.name}.ours.0", b"")
            await other.request(f"{log.name}.ours.0", b"")

        feed = log.feed(limits=FeedLimits(linger_s=0.001))
        await feed.open()
        publishing = asyncio.create_task(busy())
        messages, scanned = [], 0
        while not publishing.done() or scanned < 331:
            feed._looked_at = 0.0  # look all the time
            batch = await feed.next_batch()
            if batch is not None:
                assert all(message.sequence > scanned for message in batch.messages)
                scanned = batch.scanned
                messages.extend(batch.messages)
        await publishing
        assert len(messages) == 31
        await feed.close()


async def test_acknowledging_shows_as_the_consumers_floor(log: Log) -> None:
    await log.publish(100)
    feed = log.feed(limits=FeedLimits(batch=30))
    await feed.open()
    ends = [0]  # of batches, which are smaller where the server is slow
    while ends[-1] < 100:
        if (batch := await feed.next_batch()) is not None:
            ends.append(batch.scanned)
    await feed.acknowledge(ends[1] - 1)  # the first batch is not committed whole
    await feed.acknowledge(75)

    async def shown() -> bool:
        return (await log.consumer(feed)).ack_floor.stream_seq == max(end for end in ends if end <= 75)

    await eventually(shown)
    await feed.close()


async def test_a_cancelled_wait_for_a_batch_loses_nothing(log: Log) -> None:
    feed = log.feed(limits=FeedLimits(linger_s=0.002))
    await feed.open()
    publishing = asyncio.create_task(log.publish(3_000))
    seen: list[int] = []
    for patience in itertools.cycle([0, 0.001, 0.002, 0.003, 0.004]):
        if len(seen) >= 3_000:
            break
        waiting = asyncio.create_task(feed.next_batch())
        _, pending = await asyncio.wait({waiting}, timeout=patience)
        if pending:
            waiting.cancel()
            await asyncio.wait({waiting})
        if not waiting.cancelled() and (batch := waiting.result()) is not None:
            seen.extend(sequences(batch.messages))
    await publishing
    assert log.ours == seen
    await feed.close()


async def test_left_counts_what_was_not_returned_yet_wherever_it_is(log: Log) -> None:
    await log.publish(10)
    feed = log.feed(limits=FeedLimits(batch=4))
    assert feed.left is None
    await feed.open()
    for left in (6, 2, 0):
        assert 10 - left == sequences(await read(feed, 1))[-1]
        assert left == feed.left
    assert feed.left == 0
    await feed.close()
    await feed.close()


async def test_several_subjects_are_read_as_one_log(log: Log) -> None:
    await log.publish(3)
    await log.publish(3, "theirs")
    await log.publish(3, "others")
    feed = log.feed(subjects=[f"{log.name}.ours.>", f"{log.name}.others.>"])
    await feed.open()
    assert sequences(await read(feed, 9)) == [1, 2, 3, 7, 8, 9]
    await feed.close()


async def test_a_missing_stream_is_named(log: Log) -> None:
    log.name = "NONE"
    with pytest.raises(StreamError, match="there is no stream 'NONE' at nats://"):
        await log.feed().open()
