"""Whatever happens to consumer, connection or server: the feed goes on where it stood, or says why it must not."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from patience import WITHIN_S, eventually
from stream_support import Log, read, sequences

from projection.errors import StreamError, StreamIdentityError
from projection.model.checkpoint import LanePosition
from projection.stream import connection as connection_module
from projection.stream import feed as feed_module
from projection.stream import opening as opening_module
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.flow import Flow
from projection.stream.jetstream import JetStream, StreamConfig
from projection.stream.opening import FeedLimits, Opening, Reader

if TYPE_CHECKING:
    from projection.stream.feed import JetStreamFeed

SMALL = FeedLimits(batch=500)


async def test_a_deleted_consumer_is_made_anew_where_the_feed_stood(log: Log) -> None:
    await log.publish(3_000)
    feed = log.feed(limits=SMALL)
    await feed.open()
    seen = await read(feed, 3_000, batches=2)
    await log.delete_consumer(feed)
    seen += await read(feed, 3_000)
    assert log.ours == sequences(seen)
    await log.delete_consumer(feed)
    await log.publish(10)
    assert log.ours[3_000:] == sequences(await read(feed, 3_010))
    await feed.close()


async def test_what_an_earlier_consumer_delivered_is_not_acknowledged_to_the_present_one(log: Log) -> None:
    await log.publish(1_000)
    feed = log.feed(limits=SMALL)
    await feed.open()
    assert await feed.next_batch()
    await log.delete_consumer(feed)

    async def heard() -> bool:
        return feed._opening.broken is not None

    await eventually(heard)
    while (batch := await feed.next_batch()) is None:
        pass
    assert batch.scanned == 1_000
    await feed.acknowledge(500)
    await log.nats.request("$JS.API.INFO")  # the acknowledgement, if any, is there before this
    assert (await log.consumer(feed)).ack_floor.consumer_seq == 0
    await feed.acknowledge(1_000)

    async def shown() -> bool:
        return (await log.consumer(feed)).ack_floor.stream_seq == 1_000

    await eventually(shown)
    await feed.close()


async def test_a_killed_server_interrupts_and_loses_nothing(own_server: EmbeddedServer, own_log: Log) -> None:
    await own_log.publish(3_000)
    feed = own_log.feed(limits=SMALL)
    await feed.open()
    seen = await read(feed, 3_000, batches=2)
    own_server.kill()

    async def noticed() -> bool:
        batch = await feed.next_batch()
        seen.extend(batch.messages if batch else ())
        return feed.trouble is not None and "nothing listens there" in str(feed.trouble)

    await eventually(noticed)
    assert not await feed.caught_up()
    own_server.start()
    seen += await read(feed, 3_000)
    assert feed.trouble is None
    await own_log.publish(10)
    seen += await read(feed, 3_010)
    assert own_log.ours == sequences(seen)
    await feed.close()


async def test_a_frozen_server_is_noticed_by_its_silence(
    own_server: EmbeddedServer, own_log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening_module, "SILENCE_S", 1.0)
    monkeypatch.setattr(feed_module, "_LOOK_S", 1e9)  # a look would notice it too
    await own_log.publish(3_000)
    feed = own_log.feed(limits=SMALL)
    await feed.open()
    seen = await read(feed, 3_000, batches=2)
    own_server.pause()

    async def noticed() -> bool:  # what was already on the way arrives; then nothing does
        batch = await feed.next_batch()
        seen.extend(batch.messages if batch else ())
        return feed.trouble is not None and "nothing was heard" in str(feed.trouble)

    try:
        await eventually(noticed)
    finally:
        own_server.resume()
    await own_log.publish(10)
    seen += await read(feed, 3_010)
    assert own_log.ours == sequences(seen)
    await feed.close()


async def test_a_short_freeze_goes_unnoticed(
    own_server: EmbeddedServer, own_log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening_module, "SILENCE_S", WITHIN_S)
    await own_log.publish(3_000)
    feed = own_log.feed(limits=SMALL)
    await feed.open()
    seen = await read(feed, 3_000, batches=1)
    first = feed._opening
    own_server.pause()
    asyncio.get_running_loop().call_later(0.3, own_server.resume)
    await own_log.publish(10)
    seen += await read(feed, 3_010)
    assert own_log.ours == sequences(seen)
    assert feed._opening is first
    await feed.close()


async def test_time_that_the_caller_spends_is_no_silence(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening_module, "SILENCE_S", WITHIN_S)
    await log.publish(10)
    feed = log.feed()
    await feed.open()
    await read(feed, 10)
    first = feed._opening
    for clock_jump in (5 * WITHIN_S, 7 * WITHIN_S):
        real = feed_module.monotonic
        ahead = clock_jump

        def later(real=real, ahead=ahead) -> float:
            return real() + ahead

        monkeypatch.setattr(feed_module, "monotonic", later)
        monkeypatch.setattr(opening_module, "monotonic", later)
        await feed.next_batch()
    assert feed._opening is first
    await feed.close()


async def test_a_stream_made_anew_is_refused(log: Log) -> None:
    await log.publish(30)
    feed = log.feed()
    await feed.open()
    await read(feed, 30)
    await log.call("STREAM.DELETE")
    await log.create()
    await log.publish(60)
    with pytest.raises(StreamIdentityError, match="is not the log that was read up to 30"):
        await read(feed, 60)
    await feed.close()


async def test_a_stream_made_anew_and_shorter_is_refused(log: Log) -> None:
    await log.publish(30)
    feed = log.feed()
    await feed.open()
    await read(feed, 30)
    await log.call("STREAM.DELETE")
    await log.create()
    await log.publish(10)
    with pytest.raises(StreamIdentityError, match="ends at 10, but it was read up to 30"):
        await read(feed, 40)
    await feed.close()


async def test_a_stream_made_anew_while_the_feed_opens_is_refused(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log was checked, and the consumer is made in another one: it would wait there until that one is as long."""
    await log.publish(30)
    feed = log.feed()
    await feed.open()
    await read(feed, 30)
    await feed.close()
    make = feed._jetstream.create_consumer

    async def be_overtaken_and_make(stream: str, name: str, config: dict[str, object]) -> object:
        await log.call("STREAM.DELETE")
        await log.create()
        return await make(stream, name, config)

    monkeypatch.setattr(feed._jetstream, "create_consumer", be_overtaken_and_make)
    with pytest.raises(StreamIdentityError, match="ends at 0, but it was read up to 30"):
        await feed.next_batch()
    await feed.close()


async def test_history_lost_before_it_was_read_is_refused(log: Log) -> None:
    await log.publish(30)
    await log.call("STREAM.PURGE", seq=21)
    feed = log.feed(LanePosition(scanned=10))
    with pytest.raises(StreamIdentityError, match=r"begins at 21: the messages 11 to 20.*rebuild from sequence 21"):
        await feed.open()
    feed = log.feed(LanePosition(scanned=20))
    await feed.open()
    assert list(range(21, 31)) == sequences(await read(feed, 30))
    await feed.close()


async def test_history_lost_under_an_open_feed_is_refused(log: Log) -> None:
    await log.publish(30)
    feed = log.feed(limits=FeedLimits(batch=10))
    await feed.open()
    await read(feed, 10)
    await log.delete_consumer(feed)
    await log.call("STREAM.PURGE", seq=21)
    with pytest.raises(StreamIdentityError, match="the messages 11 to 20"):
        await read(feed, 30)
    await feed.close()


async def test_a_message_that_is_stored_and_never_comes_makes_a_new_opening(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "SILENCE_S", 0.3)
    feed = log.feed()
    await feed.open()
    await log.jetstream._call(
        f"CONSUMER.PAUSE.{log.name}.{feed.consumer}", {"pause_until": "2999-01-01T00:00:00Z"}, object
    )
    await log.publish(5)
    assert sequences(await read(feed, 5)) == [1, 2, 3, 4, 5]
    await feed.close()


# --- the chain ------------------------------------------------------------------------------------------------------
def delivery(reply: str = "", headers: dict[str, str] | None = None, subject: str = "S.ours.0") -> SimpleNamespace:
    return SimpleNamespace(subject=subject, reply=reply, data=b"{}", headers=headers)


@pytest.fixture
async def opening(log: Log):
    made = Opening(log.jetstream, Reader(log.name, "node", [f"{log.name}.ours.>"]), FeedLimits(), Flow(2**24, 8))
    await made.start(1, StreamConfig())
    yield made
    await made.end()


@pytest.mark.parametrize(
    "form",
    ["$JS.ACK.S.C.{d}.{s}.{c}.77.0", "$JS.ACK.hub.acc.S.C.{d}.{s}.{c}.77.0", "$JS.ACK._.acc.S.C.{d}.{s}.{c}.77.0.rnd"],
)
async def test_both_forms_of_the_reply_subject_are_read(opening: Opening, form: str) -> None:
    for sequence, number in ((3, 1), (9, 2)):
        opening.receive(delivery(form.format(d=1, s=sequence, c=number)))
    assert [(message.sequence, message.time) for message in opening.messages] == [(3, "77"), (9, "77")]
    assert opening.broken is None
    assert opening.pending == 0
    opening.receive(delivery(form.format(d=1, s=10, c=4)))
    assert opening.broken is not None


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.S.C.1.5.2.77.0",  # the consumer's first is missing
        "$JS.ACK.S.C.2.5.1.77.0",  # delivered before
        "$JS.ACK.S.C.1.0.1.77.0",  # not behind the last one
        "$JS.ACK.S.C.1.x.1.77.0",
        "_INBOX.1",
    ],
)
async def test_a_break_in_the_chain_ends_the_opening(opening: Opening, reply: str) -> None:
    opening.receive(delivery(reply))
    assert opening.broken is not None
    opening.receive(delivery("$JS.ACK.S.C.1.1.1.77.0"))
    assert opening.messages == []


@pytest.mark.parametrize(
    ("status", "description", "ends"),
    [
        ("100", "Idle Heartbeat", False),
        ("404", "No Messages", False),
        ("408", "Request Timeout", False),
        ("409", "Batch Completed", False),
        ("409", "Message Size Exceeds MaxBytes", False),
        ("409", "Consumer Deleted", True),
        ("409", "Leadership Change", True),
        ("409", "Exceeded MaxWaiting", True),
        ("503", "", True),
        ("400", "Bad Request", True),
    ],
)
async def test_only_the_statuses_of_a_pull_that_went_well_leave_the_opening_alone(
    opening: Opening, status: str, description: str, ends: bool
) -> None:
    opening.receive(delivery("", {"Status": "100", "Description": "Idle Heartbeat"}))
    inbox = next(iter(opening._requests))
    opening.receive(delivery("", {"Status": status, "Description": description}, inbox))
    assert ends == (opening.broken is not None)


async def test_a_new_consumer_that_the_server_does_not_know_yet_is_asked_again(log: Log, monkeypatch) -> None:
    async def unsent(*_: object) -> None:
        """So that no answer comes but those of this test."""

    monkeypatch.setattr(Opening, "_pull", unsent)
    made = Opening(log.jetstream, Reader(log.name, "node", [f"{log.name}.ours.>"]), FeedLimits(), Flow(2**24, 8))
    await made.start(1, StreamConfig())
    nobody = {"Status": "503", "Description": ""}
    for _ in range(3):
        asked = list(made._requests)
        assert asked
        for inbox in asked:
            made.receive(delivery("", nobody, inbox))
        assert (None, False, {}) == (made.broken, made.is_heard, made._requests)
        await made.ask()
    made._made -= opening_module.SILENCE_S
    made.receive(delivery("", nobody, next(iter(made._requests))))
    assert made.broken is not None
    await made.end()


# --- random schedules of faults ---------------------------------------------------------------------------------------
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ours"), st.integers(1, 400)),
        st.tuples(st.just("theirs"), st.integers(1, 50)),
        st.tuples(st.just("read"), st.integers(1, 4)),
        st.tuples(st.just("crash"), st.booleans()),
        st.tuples(st.sampled_from(["delete consumer", "kill server", "freeze server", "drop connection"]), st.none()),
    ),
    min_size=4,
    max_size=14,
)


async def opened(feed: JetStreamFeed) -> bool:
    try:
        await feed.open()
    except StreamIdentityError:
        raise
    except StreamError:
        return False
    return True


async def live_through(steps: list[tuple[str, object]], directory) -> None:
    with EmbeddedServer(directory) as server:
        async with await Nats.connect(NatsConnection(server.url)) as nats:
            log = await Log(JetStream(nats), "L").create()
            committed, folded = LanePosition(), []
            other = await Nats.connect(NatsConnection(server.url))

            def fresh() -> JetStreamFeed:
                return log.feed(committed, nats=other, limits=FeedLimits(batch=100, batch_bytes=20_000))

            async def commit(batch) -> None:
                nonlocal committed
                assert batch.scanned > committed.scanned
                assert all(message.sequence > committed.scanned for message in batch.messages)
                folded.extend(sequences(batch.messages))
                last = batch.messages[-1] if batch.messages else None
                update = {"applied": last.sequence, "applied_time": last.time} if last else {}
                committed = committed.model_copy(update={"scanned": batch.scanned, "stream": feed.identity, **update})
                await feed.acknowledge(batch.scanned)

            feed = fresh()
            await feed.open()
            end = 0
            for step, value in [*steps, ("read", 10**9)]:
                match step:
                    case "ours" | "theirs":
                        await log.publish(value, step, b"x" * 50)
                        end += value
                    case "read":
                        calls = 0
                        while calls < value and committed.scanned < end:
                            calls += 1
                            if (batch := await feed.next_batch()) is not None:
                                await commit(batch)
                    case "crash":  # with a batch that was returned and not committed, or without
                        if value:
                            await feed.next_batch()
                        await feed.close()
                        feed = fresh()
                        await eventually(lambda feed=feed: opened(feed))
                    case "delete consumer":
                        if feed.consumer is not None:
                            await feed._delete(feed.consumer)
                    case "kill server":
                        server.kill()
                        server.start()
                        await eventually(log.reachable)
                    case "freeze server":
                        server.pause()
                        await asyncio.sleep(0.02)
                        server.resume()
                    case "drop connection":
                        other._client._transport.close()
            assert log.ours == folded
            assert committed.scanned == end
            await feed.close()
            await other.close()


QUICK = {"deadline": None, "suppress_health_check": list(HealthCheck), "phases": [Phase.explicit, Phase.generate]}


def live_by(steps: list[tuple[str, object]], by_frames: bool, directory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not by_frames:
            patch.setattr(connection_module, "read_frames", lambda client: None)
        asyncio.run(asyncio.wait_for(live_through(steps, directory), WITHIN_S))


@settings(max_examples=6, **QUICK)  # shrinking would start a server for every try
@given(steps=STEPS, by_frames=st.booleans())
def test_any_schedule_of_faults_yields_every_message_once_in_order(tmp_path_factory, steps, by_frames) -> None:
    live_by(steps, by_frames, tmp_path_factory.mktemp("faults"))


@pytest.mark.long
@settings(max_examples=80, **QUICK)
@given(steps=STEPS, by_frames=st.booleans())
def test_many_schedules_of_faults_yield_every_message_once_in_order(tmp_path_factory, steps, by_frames) -> None:
    live_by(steps, by_frames, tmp_path_factory.mktemp("faults"))
