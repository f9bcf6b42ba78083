"""Streams as teams run them: copies of others, with filters and transforms, encrypted, compressed, on a leaf node."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from configured_server import ConfiguredServer
from engine_support import deploy
from lost_support import (
    RECORDS,
    at,
    caught_up,
    elsewhere,
    held,
    noted,
    recorded,
    recorders,
    records,
    refused,
    running,
    some,
)
from node_support import Site
from patience import eventually

from projection.errors import StreamError
from projection.model.checkpoint import LanePosition
from projection.model.envelope import MAX_ENVELOPE_BYTES
from projection.model.event_format.headers import all_headers, headers_block
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.feed import JetStreamFeed
from projection.stream.jetstream import JetStream, StreamConfig
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from structlog.typing import EventDict

    from projection.stream.port import Message

KEEPS_ALL = {"deny_delete": True, "deny_purge": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConfiguredServer]:
    """One that encrypts what it stores, as a hub that leaf nodes connect to."""
    folder = tmp_path_factory.mktemp("hub")
    storage = {"store_dir": str(folder), "domain": "hub", "cipher": "aes", "key": "of the team"}
    with ConfiguredServer(folder, jetstream=storage, leafnodes={"host": "127.0.0.1", "port": -1}) as started:
        yield started


@pytest.fixture
async def site(server: ConfiguredServer, stream_name: str, tmp_path: Path) -> AsyncIterator[Site]:
    """A stream that compresses what it stores."""
    async with await Nats.connect(NatsConnection(server.url)) as nats:
        made = Site(nats, server.url, stream_name, tmp_path)
        config = {"name": stream_name, "subjects": [f"{stream_name}.>"], "compression": "s2"}
        await made.jetstream._call(f"STREAM.CREATE.{stream_name}", config, object)
        yield made


async def copy_of(site: Site, kind: str, jetstream: JetStream | None = None, **config: Any) -> Site:
    """A stream that copies the site's, once it holds what that one has for it; with a data folder of its own."""
    copy = elsewhere(site, kind)
    copy.stream = f"{site.stream}_{kind}"
    await (jetstream or site.jetstream)._call(f"STREAM.CREATE.{copy.stream}", {"name": copy.stream, **config}, object)
    return copy


async def holds(site: Site, count: int, jetstream: JetStream | None = None) -> None:
    async def arrived() -> bool:
        return (await (jetstream or site.jetstream).stream_info(site.stream)).state.messages == count

    await eventually(arrived)


async def messages(jetstream: JetStream, stream: str, *subjects: str) -> list[Message]:
    """All of a stream, by the feed."""
    feed = JetStreamFeed(
        jetstream.nats, stream=stream, consumer="t", subjects=subjects or (">",), position=LanePosition()
    )
    await feed.open()
    end, found, scanned = (await jetstream.stream_info(stream)).state.last_seq, [], 0

    async def read() -> bool:
        nonlocal scanned
        if (batch := await feed.next_batch()) is not None:
            found.extend(batch.messages)
            scanned = batch.scanned
        return scanned >= end

    await eventually(read, None, lambda: f"scanned {scanned} of {end}: {feed.trouble}")
    await feed.forget()
    return found


def kept(site: Site, name: str) -> str:
    """The subjects of one aggregate in the site's stream."""
    return f"{site.stream}.*.aggregate.*.{name}"


# --- mirrors and sources -----------------------------------------------------------------------------------------------


async def test_a_mirror_has_the_sequences_times_and_headers_of_what_it_copies(site: Site) -> None:
    sent = [Outgoing(site.subject_of(event), event, {"X": str(n)}) for n, event in enumerate(some(9))]
    await publish_all(site.nats, site.stream, sent)
    mirror = await copy_of(site, "mirror", mirror={"name": site.stream})
    await holds(mirror, 9)
    theirs = await messages(site.jetstream, site.stream)
    assert list(range(1, 10)) == [one.sequence for one in theirs]
    assert theirs == await messages(site.jetstream, mirror.stream)
    assert await caught_up(site, recorders(site)) == await caught_up(mirror, recorders(site, folder="again"))


async def test_a_source_counts_anew_and_says_in_a_header_where_each_message_is_from(site: Site) -> None:
    await site.publish(some(9))
    source = {"name": site.stream, "filter_subject": f"{site.stream}.b.>"}
    copy = await copy_of(site, "source", sources=[source])
    await holds(copy, 4)
    found = await messages(site.jetstream, copy.stream)
    assert [1, 2, 3, 4] == [one.sequence for one in found]
    origins = [str(all_headers(one.headers)["Nats-Stream-Source"]).split()[:2] for one in found]
    assert [[site.stream, str(sequence)] for sequence in (2, 4, 6, 8)] == origins
    originals = {one.sequence: one for one in await messages(site.jetstream, site.stream)}
    assert all(int(one.time) >= int(originals[2 * one.sequence].time) for one in found)  # of the copying
    deployed = recorders(site)
    assert recorded(await held(copy)) == await caught_up(copy, deployed)


async def test_a_mirror_of_a_part_that_loses_nothing_is_read_wherever_it_begins(site: Site) -> None:
    """Its sequences are those of the other stream: 3, 6 …; a node that waits for the first message goes on, too."""
    mirror = await copy_of(
        site, "part", mirror={"name": site.stream, "filter_subject": f"{site.stream}.b.>"}, **KEEPS_ALL
    )
    async with mirror.node(recorders(site)) as node, running(node) as task:
        await eventually(lambda: node.is_ready, task)
        await site.publish([noted(tenant="b" if number % 3 == 0 else "a") for number in range(1, 20)])
        await at(node, 18, task)
        assert {("b", "x"): [3, 6, 9, 12, 15, 18]} == records(node.lanes[0])
    assert {("b", "x"): [3, 6, 9, 12, 15, 18]} == await caught_up(mirror, recorders(site, folder="again"))
    fresh = elsewhere(mirror, "fresh")
    fresh.stream = mirror.stream
    assert {("b", "x"): [3, 6, 9, 12, 15, 18]} == await caught_up(fresh, recorders(site, folder="fresh"))


async def test_a_mirror_of_a_part_that_may_lose_messages_is_refused_with_the_ways_out(site: Site) -> None:
    await site.publish(some(9))
    mirror = await copy_of(site, "part", mirror={"name": site.stream, "filter_subject": f"{site.stream}.b.>"})
    await holds(mirror, 4)
    error = await refused(mirror, recorders(site))
    assert f"copies a part of '{site.stream}' under its sequences and begins at 2" in str(error)
    assert "`--deny-delete --deny-purge` and no limits" in str(error)
    assert f"a stream that has '{site.stream}' as its source" in str(error)
    info = (await site.jetstream._call(f"STREAM.INFO.{mirror.stream}", {}, dict))["config"]
    await site.jetstream._call(f"STREAM.UPDATE.{mirror.stream}", {**info, **KEEPS_ALL}, object)
    assert recorded(await held(mirror)) == await caught_up(mirror, recorders(site, folder="again"))


# --- transforms --------------------------------------------------------------------------------------------------------


async def test_a_transform_stores_messages_under_the_subjects_that_are_read(
    site: Site, logged: list[EventDict]
) -> None:
    """Of the stream, and of a source; each is what the manifest reads, and the node takes neither for a mistake."""
    name = f"{site.stream}_t"
    transform = {"src": f"in_{name}.*.*", "dest": f"{name}.{{{{wildcard(1)}}}}.aggregate.test.{{{{wildcard(2)}}}}"}
    copy = await copy_of(site, "t", subjects=[f"in_{name}.>"], subject_transform=transform)
    copy.template = f"{name}.<tenant>.aggregate.<type>.<id>"
    sent = [Outgoing(f"in_{name}.a.1", noted("x", "a")), Outgoing(f"in_{name}.b.2", noted("y", "b"))]
    assert 2 == (await publish_all(site.nats, name, sent)).last
    deployed = deploy(site.folder / "transformed", {"records": RECORDS}, template=copy.template)
    assert {("a", "x"): [1], ("b", "y"): [2]} == await caught_up(copy, deployed)
    source = {"name": name, "subject_transforms": [{"src": f"{name}.>", "dest": "moved.>"}]}
    moved = await copy_of(site, "moved", sources=[source])
    await holds(moved, 2)
    found = await messages(site.jetstream, moved.stream, "moved.>")
    assert ["moved.a.aggregate.test.1", "moved.b.aggregate.test.2"] == [one.subject for one in found]
    assert not [one for one in logged if "no event can come" in one["event"]]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"subjects": ["a.>"]}, ("a.>",)),
        ({"subjects": ["a.>"], "subject_transform": {"src": "a.*", "dest": "b.{{wildcard(1)}}"}}, ("a.>", "b.*")),
        ({"subjects": ["a.>"], "subject_transform": {"src": "", "dest": "c.>"}}, ("a.>", "c.>")),
        ({"subjects": ["a.>"], "subject_transform": {"src": "a.*", "dest": "b.{{Split(1,-)}}"}}, ()),
        ({"subjects": ["a.>"], "sources": [{"name": "O"}]}, ()),
        ({"mirror": {"name": "O"}}, ()),
    ],
)
def test_the_subjects_of_what_a_stream_stores_are_known_or_not_guessed(config: Any, expected: tuple[str, ...]) -> None:
    assert expected == msgspec.convert(config, StreamConfig).stored_subjects


# --- domains -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def leaf_of(server: ConfiguredServer, folder: Path) -> AsyncIterator[ConfiguredServer]:
    (port,) = re.findall(r"leafnode connections on \S+:(\d+)", server.log.read_text())
    remotes = {"remotes": [{"url": f"nats-leaf://127.0.0.1:{port}"}]}
    with ConfiguredServer(folder, jetstream={"store_dir": str(folder), "domain": "leaf"}, leafnodes=remotes) as leaf:
        yield leaf


async def test_a_stream_of_the_hub_is_read_from_a_leaf_node_and_copied_to_it(
    site: Site, server: ConfiguredServer, tmp_path: Path
) -> None:
    """By the hub's domain, and by a mirror and a source in the domain of the leaf node."""
    async with leaf_of(server, tmp_path / "leaf") as leaf:
        through = NatsConnection(leaf.url, api="$JS.hub.API")
        async with await Nats.connect(through) as nats, await Nats.connect(NatsConnection(leaf.url)) as local:

            async def reached() -> bool:
                try:
                    return bool(await JetStream(nats).stream_info(site.stream))
                except StreamError:
                    return False

            await eventually(reached)
            sent = [Outgoing(site.subject_of(event), event, {"X": "y"}) for event in some(9)]
            assert 9 == (await publish_all(nats, site.stream, sent)).last
            theirs = await messages(site.jetstream, site.stream)
            assert theirs == await messages(JetStream(nats), site.stream)
            external = {"name": site.stream, "external": {"api": "$JS.hub.API"}}
            here = JetStream(local)
            mirror = await copy_of(site, "mirror", here, mirror=external)
            source = await copy_of(site, "source", here, sources=[external])
            await holds(mirror, 9, here)
            await holds(source, 9, here)
            assert theirs == await messages(here, mirror.stream)
            copied = await messages(here, source.stream)
            assert [(one.sequence, one.subject, one.data) for one in theirs] == [
                (one.sequence, one.subject, one.data) for one in copied
            ]


# --- size --------------------------------------------------------------------------------------------------------------


async def test_bodies_as_large_as_the_server_takes_come_through(site: Site) -> None:
    """With headers and subject, 8 MiB are the most of a message."""
    block = {"A": "b" * 1_000}
    body = b"x" * (MAX_ENVELOPE_BYTES - len(headers_block(block)))
    subject = f"{site.stream}.big"
    await publish_all(site.nats, site.stream, [Outgoing(subject, body, block)] * 3)
    said = (
        r"a message of 8388609 bytes .* is larger than the 8388608 bytes .* first 1 messages are stored .* sequence 4"
    )
    with pytest.raises(StreamError, match=said):
        await publish_all(
            site.nats, site.stream, [Outgoing(subject, body[1:], block), Outgoing(subject, body + b"x", block)]
        )
    found = await messages(site.jetstream, site.stream)
    sizes = [len(body), len(body), len(body), len(body) - 1]
    assert list(enumerate(sizes, 1)) == [(one.sequence, len(one.data)) for one in found]
    assert json.loads(json.dumps(all_headers(found[0].headers))) == block
