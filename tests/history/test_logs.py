"""Logs that are folded again: what is read of a stream, and that nothing is left behind there."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from history_support import deployed, log_of, moved, opened

from projection.errors import StreamError
from projection.history.logs import StreamLog
from projection.model.subjects import SubjectTemplate
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream
from projection.stream.log_end import LogEnd
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from projection.stream.embedded import EmbeddedServer


@pytest.fixture
async def nats(nats_server: EmbeddedServer) -> AsyncIterator[Nats]:
    async with await Nats.connect(NatsConnection(nats_server.url)) as connection:
        yield connection


async def published(nats: Nats, stream: str, accounts: list[str]) -> SubjectTemplate:
    template = SubjectTemplate.parse(f"{stream}.<tenant>.aggregate.<type>.<id>")
    await JetStream(nats).ensure_stream(stream, [f"{stream}.>"])
    events = (Outgoing(template.subject("", "account", one), opened(one)) for one in accounts)
    await publish_all(nats, stream, events)
    return template


async def sequences(log, one, subjects, after=0, until=None) -> list[int]:
    async with aclosing(log.read(one, subjects, after, until)) as batches:
        return [event.message.sequence async for batch in batches for event in batch]


async def consumers(nats: Nats, stream: str) -> bytes:
    return await nats.request(f"$JS.API.CONSUMER.NAMES.{stream}", b"")


async def test_of_a_stream_the_wanted_subjects_are_read_from_one_sequence_to_another(
    nats: Nats, stream_name: str
) -> None:
    template = await published(nats, stream_name, ["a", "b", "a", "c", "b", "a"])
    log, one = StreamLog(nats, stream_name, "test"), deployed(subject_template=template, subjects=(template.filter(),))
    own = (template.filter("", "account", "a"),)
    assert [1, 3, 6] == await sequences(log, one, own)
    assert 6 == log.end
    assert [3] == await sequences(log, one, own, after=1, until=5)
    assert [4, 5] == await sequences(log, one, [template.filter()], after=3, until=5)
    assert [] == await sequences(log, one, [template.filter("", "account", "none")])
    assert [] == await sequences(log, one, [])


async def test_no_consumer_is_left_behind_also_where_nobody_reads_to_the_end(nats: Nats, stream_name: str) -> None:
    template = await published(nats, stream_name, ["a"] * 5)
    one, before = deployed(subject_template=template, subjects=(template.filter(),)), await consumers(nats, stream_name)
    log = StreamLog(nats, stream_name, "test")
    async with aclosing(log.read(one, [template.filter()], 0)) as batches:
        async for _ in batches:
            assert b"test_" in await consumers(nats, stream_name)
            break
    assert before == await consumers(nats, stream_name)


async def test_what_is_stored_after_the_first_reading_began_is_not_read(nats: Nats, stream_name: str) -> None:
    template = await published(nats, stream_name, ["a", "a"])
    log, one = StreamLog(nats, stream_name, "test"), deployed(subject_template=template, subjects=(template.filter(),))
    assert [1, 2] == await sequences(log, one, [template.filter()])
    await published(nats, stream_name, ["a"])
    assert [1, 2] == await sequences(log, one, [template.filter()])


async def test_a_stream_that_is_not_there_is_an_error_that_says_so(nats: Nats, stream_name: str) -> None:
    with pytest.raises(StreamError, match=f"there is no stream '{stream_name}'"):
        await sequences(StreamLog(nats, stream_name, "test"), deployed(), ["tenant.*.aggregate.*.*"])


async def test_a_file_is_numbered_from_one_and_read_again_and_again() -> None:
    log, one = log_of([opened("a"), opened("b"), moved(1)]), deployed()
    assert [1, 3] == await sequences(log, one, ["tenant.*.aggregate.account.a"])
    assert [1, 3] == await sequences(log, one, ["tenant.*.aggregate.account.a"])
    assert 3 == log.end
    assert [2] == await sequences(log, one, ["tenant.*.aggregate.*.*"], after=1, until=2)


async def test_a_log_that_cannot_be_asked_for_its_end_for_a_moment_is_read_all_the_same(
    nats: Nats, stream_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = await published(nats, stream_name, ["a", "b", "a", "b"])
    unread, refused = LogEnd.unread, []

    async def refuses_at_first(self: LogEnd, after: int) -> object:
        if len(refused) < 3:
            refused.append(after)
            raise StreamError("no answer")
        return await unread(self, after)

    monkeypatch.setattr(LogEnd, "unread", refuses_at_first)
    one = deployed(subject_template=template, subjects=(template.filter(),))
    own = (template.filter("", "account", "a"),)
    assert [1, 3] == await sequences(StreamLog(nats, stream_name, "test"), one, own)
    assert [] == await sequences(StreamLog(nats, stream_name, "test"), one, own, after=3)
    assert refused
