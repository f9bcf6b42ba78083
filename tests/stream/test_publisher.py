"""Publishing keeps the order and the count, whatever happens to the server meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from stream_support import Log, read

from projection.errors import StreamError
from projection.stream import publisher as publisher_module
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.publisher import Outgoing, Published, publish_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from projection.stream.embedded import EmbeddedServer


def numbered(log: Log, count: int) -> Iterator[Outgoing]:
    return (Outgoing(f"{log.name}.ours.x", b"%d" % number) for number in range(count))


async def stored(log: Log, count: int, **more: object) -> list[int]:
    feed = log.feed(**more)
    await feed.open()
    numbers = [int(message.data) for message in await read(feed, count)]
    await feed.close()
    return numbers


async def test_messages_are_stored_in_order_and_counted(log: Log) -> None:
    shown: list[int] = []
    published = await publish_all(log.nats, log.name, numbered(log, 5_000), progress=shown.append)
    assert Published(5_000, 1, 5_000) == published
    assert list(range(1, 5_001)) == shown
    assert list(range(5_000)) == await stored(log, 5_000)


async def test_an_asynchronous_source_will_do_and_so_will_an_empty_one(log: Log) -> None:
    async def source() -> AsyncIterator[Outgoing]:
        for message in numbered(log, 10):
            await asyncio.sleep(0)
            yield message

    assert Published(10, 1, 10) == await publish_all(log.nats, log.name, source())
    assert Published(0, 0, 0) == await publish_all(log.nats, log.name, [])


async def test_headers_travel_with_the_message(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.01)
    await publish_all(log.nats, log.name, [Outgoing(f"{log.name}.ours.x", b"1", {"Nats-Msg-Id": "a"})])
    with pytest.raises(StreamError, match="out of order"):  # a duplicate is answered with the first one's sequence
        await publish_all(log.nats, log.name, [Outgoing(f"{log.name}.ours.x", b"1", {"Nats-Msg-Id": "a"})] * 2)


@pytest.mark.parametrize("window", [1, 3, 2_048])
async def test_the_order_survives_a_server_that_is_killed(
    own_server: EmbeddedServer, own_log: Log, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.05)
    count = 6_000
    killed: list[int] = []

    def kill(number: int) -> None:
        if number in (1_000, 2_500) and number not in killed:
            killed.append(number)
            own_server.kill()
            own_server.start()

    published = await publish_all(own_log.nats, own_log.name, numbered(own_log, count), window=window, progress=kill)
    assert Published(count, 1, count) == published
    assert killed == [1_000, 2_500]
    assert list(range(count)) == await stored(own_log, count)


async def test_a_lost_connection_neither_reorders_nor_repeats(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.05)
    count = 10_000

    def cut(number: int) -> None:
        if number % 2_000 == 0 and number < count:
            log.nats._client._transport.close()

    assert count == (await publish_all(log.nats, log.name, numbered(log, count), progress=cut)).count
    assert list(range(count)) == await stored(log, count)


async def test_a_server_that_stays_away_ends_it_with_the_count(
    own_server: EmbeddedServer, own_log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.01)
    with pytest.raises(StreamError, match=r"is lost.* the first 1500 messages are stored in order"):
        await publish_all(
            own_log.nats,
            own_log.name,
            numbered(own_log, 3_000),
            window=1,
            progress=lambda number: own_server.kill() if number == 1_500 else None,
        )


async def test_a_full_stream_ends_it_with_the_count(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.01)
    full = Log(log.jetstream, f"{log.name}F")
    await full.create(max_msgs=100, discard="new")
    with pytest.raises(StreamError, match=r"maximum messages exceeded; the first 100 messages .* up to sequence 100"):
        await publish_all(full.nats, full.name, numbered(full, 300))


async def test_a_subject_that_the_stream_does_not_take_is_named(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.01)
    with pytest.raises(StreamError, match=r"subject 'elsewhere\.x' goes to no stream; the first 0 messages"):
        await publish_all(log.nats, log.name, [Outgoing("elsewhere.x", b"1")])


async def test_somebody_elses_message_in_the_gap_ends_it(
    log: Log, nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.2)
    meddling: list[asyncio.Task[bytes]] = []
    async with await Nats.connect(NatsConnection(nats_server.url)) as other:

        def cut(number: int) -> None:
            if number == 500:
                log.nats._client._transport.close()
                meddling.append(asyncio.create_task(other.request(f"{log.name}.theirs.0", b"not ours")))

        with pytest.raises(StreamError, match=r"holds another message at .* than the one to come"):
            await publish_all(log.nats, log.name, numbered(log, 5_000), progress=cut)
        await asyncio.gather(*meddling)


async def test_a_message_too_large_for_the_server_is_said_so(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.01)
    with pytest.raises(StreamError, match=r"8388609 bytes .* larger than the 8388608 bytes"):
        await publish_all(log.nats, log.name, [Outgoing(f"{log.name}.ours.x", bytes(8 * 1024 * 1024 + 1))])


async def test_a_stream_that_stores_under_other_subjects_mends_itself_as_any(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.05)
    name, count = f"{log.name}T", 3_000
    transform = {"src": f"{name}.*.*", "dest": f"{name}.{{{{partition(4,2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}"}
    moved = await Log(log.jetstream, name).create(subject_transform=transform)

    def cut(number: int) -> None:
        if number in (500, 1_500):
            moved.nats._client._transport.close()

    assert count == (await publish_all(moved.nats, name, numbered(moved, count), progress=cut)).count
    assert list(range(count)) == await stored(moved, count, subjects=[f"{name}.>"])


def losing(log: Log, monkeypatch: pytest.MonkeyPatch, lost: range) -> None:
    """A leader loses some messages on their way, and the next one takes later ones, as it was seen in a cluster."""
    publish, seen = log.nats.publish, iter(range(10**6))

    async def lossy(subject: str, data: bytes, **more: object) -> None:
        if next(seen) not in lost:
            await publish(subject, data, **more)

    monkeypatch.setattr(log.nats, "publish", lossy)


async def test_what_a_cluster_loses_on_its_way_leaves_no_gap_where_nobody_else_publishes(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.01)
    losing(log, monkeypatch, range(52, 92))
    assert Published(300, 1, 300) == await publish_all(log.nats, log.name, numbered(log, 300), alone=True)
    assert list(range(300)) == await stored(log, 300)


async def test_beside_others_a_gap_is_told(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "_RETRY_PAUSE_S", 0.01)
    losing(log, monkeypatch, range(52, 92))
    with pytest.raises(StreamError, match=r"holds another message at 53 .* the first 52 messages are stored in order"):
        await publish_all(log.nats, log.name, numbered(log, 300))
