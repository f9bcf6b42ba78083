"""What the tests of back-fills share: a loading in this process, and what the stream holds then."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from patience import WITHIN_S

from projection.backfill.loading import Columns, TableLoading
from projection.backfill.messages import RowTemplate
from projection.backfill.tables import Selection
from projection.model.event_format.headers import all_headers
from projection.sink.database import Address
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream

if TYPE_CHECKING:
    from collections.abc import Mapping


class Stored(NamedTuple):
    subject: str
    headers: Mapping[str, str | list[str]]
    data: bytes

    @property
    def key(self) -> str:
        key = self.headers["Projection-Key"]
        assert isinstance(key, str)
        return key


def loading(url: str, template: str, **options: Any) -> TableLoading:
    """A loading of table `events`, or of what `selection` says."""
    selection = options.pop("selection", Selection(table="events"))
    columns = Columns(RowTemplate.parse(template), options.pop("headers", {}), options.pop("body", None))
    tell = options.pop("tell", lambda _: None)
    return TableLoading(Address(url), selection, columns, tell, **options)


async def run(one: TableLoading, url: str, stream: str) -> None:
    with closing(one):
        await one.check()
        async with await Nats.connect(NatsConnection(url)) as nats:
            await one.run(nats, stream, create=True)


def loaded(database: str, nats_url: str, stream: str, template: str | None = None, **options: Any) -> TableLoading:
    async def load() -> TableLoading:
        one = loading(database, template or f"{stream}.rows", **options)
        await run(one, nats_url, stream)
        return one

    return asyncio.run(asyncio.wait_for(load(), WITHIN_S))


async def read(url: str, stream: str) -> list[Stored]:
    async with await Nats.connect(NatsConnection(url)) as nats:
        log = JetStream(nats)
        end = (await log.stream_info(stream)).state.last_seq
        found = [await log.message(stream, sequence) for sequence in range(1, end + 1)]
        return [Stored(one.subject, all_headers(one.hdrs), one.data) for one in found if one is not None]


def stored(url: str, stream: str) -> list[Stored]:
    """What the stream holds, in order."""
    return asyncio.run(read(url, stream))


def keys(url: str, stream: str) -> list[int]:
    return [int(one.key) for one in stored(url, stream)]
