"""Reading a stream some of whose sequences hold no message, and one whose end goes back."""

from __future__ import annotations

import random
from secrets import randbits
from time import monotonic
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

FEW, MANY = 8, 100
TIME_BOX_S = 30.0


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


async def read_while_others_delete(seed: int, log: Log) -> None:
    """Publish, delete and read in turn; each message that is not deleted before it is read comes once, in order."""
    dice = random.Random(seed)
    log = await Log(log.jetstream, f"{log.name}_{seed}").create()
    feed = log.feed()
    await feed.open()
    found, deleted, scanned = list[int](), set[int](), 0
    await log.publish(1)  # it stays: a stream that begins later has lost something
    for _ in range(dice.randrange(3, 12)):
        match dice.choice(("ours", "theirs", "delete", "read", "open anew")):
            case "ours":
                await log.publish(dice.randrange(1, 20))
            case "theirs":
                await log.publish(dice.randrange(1, 5), "theirs")
            case "delete" if there := sorted({*log.ours[1:]} - deleted):
                gone = dice.choice((dice.sample(there, dice.randrange(1, len(there) + 1)), there[-5:]))
                await delete(log, gone)
                deleted.update(gone)
            case "read":
                last = (await log.jetstream.stream_info(log.name)).state.last_seq
                if scanned < last:
                    found += sequences(await read(feed, last))
                    scanned = last
            case "open anew" if scanned:
                position = feed._position
                await feed.close()
                feed = log.feed(position)
                await feed.open()
    last = (await log.jetstream.stream_info(log.name)).state.last_seq
    found += sequences(await read(feed, last)) if scanned < last else []
    await feed.close()
    assert found == sorted(set(found))
    assert {*log.ours} - deleted <= set(found) <= {*log.ours}


async def test_whatever_others_delete_what_stays_comes_once_and_in_order(log: Log) -> None:
    first = randbits(32)
    print(f"{FEW} schedules, seeds from {first} on")
    for seed in range(first, first + FEW):
        await read_while_others_delete(seed, log)


@pytest.mark.long
async def test_in_many_schedules_what_stays_comes_once_and_in_order(log: Log) -> None:
    first, until, count = randbits(32), monotonic() + TIME_BOX_S, 0
    while count < MANY or monotonic() < until:
        await read_while_others_delete(first + count, log)
        count += 1
    print(f"{count} schedules, seeds from {first} on")
