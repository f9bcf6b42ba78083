"""The kinds of streams on the page "Your own stream", as others publish them: read by a node, drafted by `inspect`."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
from base64 import b64decode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import msgspec
import nats
import pytest
import yaml
from docs_pages import CHECKOUT, blocks, cells, headings, section
from docs_shell import commands
from node_support import Site
from patience import WITHIN_MS, WITHIN_S
from warm_commands import warm_commands

from projection.engine.deployment import load_deployment
from projection.engine.event import DescribedReader
from projection.history.logs import StreamLog
from projection.model.envelope import Tenancy
from projection.model.manifest import Manifest
from projection.ops.http.server import Listener, serving
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

PAGE = CHECKOUT / "docs" / "your-own-stream.md"
MOST_LINES = 10
LACKING = {  # what the page says of a draft, and what that lacks
    "all of it": None,
    "as without": None,
    "nothing: it takes the descriptors of the messages": "descriptors",
}
EIGHT = {  # as issues and teams call them, and the sections that show them
    "CloudEvents, structured": ["CloudEvents, structured"],
    "CloudEvents, binary": ["CloudEvents, binary"],
    "bare JSON": ["bare JSON, the type in the subject"],
    "an envelope": ["an envelope like KurrentDB's", "an envelope like Marten's"],
    "versioned": ["versioned events with epoch milliseconds"],
    "msgpack": ["MessagePack"],
    "protobuf": ["Protocol Buffers"],
    "gzip": ["compressed with gzip"],
}


class Published(NamedTuple):
    """A message as somebody publishes it who knows nothing of a node."""

    subject: str
    headers: dict[str, str]
    data: bytes


class Kind(NamedTuple):
    """A row of the page's table, and what the section shows that it leads to."""

    lines: int
    drafted: str
    manifest: str
    messages: list[Published]
    views: list[dict[str, Any]]
    is_stored_time: bool  # whether it is the log that knows when things happened


def files_of(page: Path) -> dict[str, str]:
    """The files that the page shows, by their names."""
    return {block.attributes["file"]: block.text for block in blocks(page) if "file" in block}


def kinds_of(page: Path) -> dict[str, Kind]:
    files, found = files_of(page), {}
    rows = [cells(line) for line in page.read_text().splitlines() if line.startswith("| [")]
    for name, lines, drafted in rows:
        heading = name.partition("]")[0].removeprefix("[")
        (shown,) = (one for one in headings(page) if one.lower() == heading.lower())
        replayed = re.search(
            r"^\$ projection replay (\S+) --manifest (\S+)\n(?:note.*\n)?(.*?)^```",
            section(page, f"## {shown}"),
            re.MULTILINE | re.DOTALL,
        )
        assert replayed, f"{shown} ends with no view"
        messages = [msgspec.json.decode(line, type=dict[str, msgspec.Raw]) for line in files[replayed[1]].splitlines()]
        count = lines_of_events(files[replayed[2]])
        if lines != "as without":
            assert count == int(lines), f"the table says that {heading} takes {lines}"
        found[heading] = Kind(
            count,
            drafted,
            replayed[2],
            [published(one) for one in messages],
            [exact(line) for line in replayed[3].splitlines()],
            any("time" in one for one in messages),
        )
    return found


def published(line: dict[str, msgspec.Raw]) -> Published:
    """What a line of a file stands for; a body of JSON with the digits that are written there."""
    parts = {name: msgspec.json.decode(value) for name, value in line.items()}
    data = b64decode(parts["body_base64"]) if "body_base64" in parts else bytes(line["body"])
    return Published(parts["subject"], parts.get("headers", {}), data)


def exact(text: str) -> dict[str, Any]:
    """JSON with the digits of its numbers as texts."""
    found: dict[str, Any] = json.loads(text, parse_float=str)
    return found


def lines_of_events(manifest: str) -> int:
    (events,) = re.findall(r"^events:.*\n(?:[ #].*\n)*", manifest, re.MULTILINE)
    return len(events.splitlines())


KINDS = kinds_of(PAGE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One for these streams, whose subjects are those of the page and not of a test."""
    with EmbeddedServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """All files of the page."""
    for name, text in files_of(PAGE).items():
        (tmp_path / name).write_text(text)
    (written,) = (
        command for block in blocks(PAGE) for command, _ in commands(block) if command.startswith("base64 -d")
    )
    (tmp_path / "shop.binpb").write_bytes(b64decode("".join(written.splitlines()[1:-1])))
    return tmp_path


async def publish(url: str, stream: str, messages: list[Published]) -> None:
    """Make the stream and fill it, by the library that others have."""
    client = await nats.connect(url)
    try:
        jetstream = client.jetstream(timeout=WITHIN_S)
        await jetstream.add_stream(name=stream, subjects=[f"{messages[0].subject.partition('.')[0]}.>"])
        for one in messages:
            await jetstream.publish(one.subject, one.data, headers=one.headers or None)
    finally:
        await client.close()


async def remove(url: str, stream: str) -> None:
    client = await nats.connect(url)
    await client.jetstream(timeout=WITHIN_S).delete_stream(stream)
    await client.close()


def test_the_page_shows_each_of_the_eight_kinds() -> None:
    assert sorted(KINDS) == sorted(name for shown in EIGHT.values() for name in shown)
    assert all(kind.lines <= MOST_LINES for kind in KINDS.values())


@pytest.mark.parametrize("name", KINDS)
async def test_a_node_answers_queries_of_an_unprepared_stream(
    name: str, server: EmbeddedServer, stream_name: str, folder: Path
) -> None:
    kind = KINDS[name]
    today = datetime.now(UTC).date()
    await publish(server.url, stream_name, kind.messages)
    try:
        answered = await asked(server.url, stream_name, folder, kind)
    finally:
        await remove(server.url, stream_name)
    expected = [*kind.views]
    if kind.is_stored_time:
        days = {str(today), str(datetime.now(UTC).date())}
        assert all(one["view"].pop("placed_on") in days for one in answered)
        expected = [one | {"view": {k: v for k, v in one["view"].items() if k != "placed_on"}} for one in expected]
    assert expected == answered


async def asked(url: str, stream: str, folder: Path, kind: Kind) -> list[dict[str, Any]]:
    """The views that a node has over HTTP, of each tenant that the page shows, as the page shows them."""
    deployed = load_deployment(Manifest.load(folder / kind.manifest), Tenancy())
    async with await Nats.connect(NatsConnection(url)) as connected:
        site = Site(connected, url, stream, folder)
        more = {"http": {"listen": "127.0.0.1:0"}}
        settings, found = site.settings(**more), []
        with Listener.open(settings) as listener:
            async with site.node(deployed, **more) as node:
                assert site.catalog is not None
                async with (
                    httpx.AsyncClient(base_url=listener.url, timeout=WITHIN_S, trust_env=False) as client,
                    serving(listener, node, site.catalog, settings),
                ):
                    running = asyncio.create_task(node.run())
                    fresh = {"min_sequence": len(kind.messages), "wait_ms": WITHIN_MS}
                    for tenant in sorted({one["tenant_id"] for one in kind.views}):
                        query = {"view": "orders", **fresh}
                        answer = await client.post(
                            "/v1/query", json=query, headers={"x-tenant-id": tenant} if tenant else {}
                        )
                        assert 200 == answer.status_code, answer.text
                        body = exact(answer.text)
                        assert not body["incomplete"], answer.text
                        found += [
                            {"tenant_id": tenant, "view_type": "orders", "view_id": one["id"], "view": one["view"]}
                            for one in body["views"]
                        ]
                    node.stop()
                    await running
    return found


# --- drafts -----------------------------------------------------------------------------------------------------------


TENANTS = ("north", "south")


def many(messages: list[Published]) -> list[Published]:
    """Thirty of the same form, of several orders and two tenants, each with an id of its own."""
    return [varied(one, number) for number in range(30) for one in [messages[number % len(messages)]]]


def varied(message: Published, number: int) -> Published:
    subject = re.sub(r"Order-7", f"Order-{number % 7}", of_order(message.subject, number))
    headers = {
        name: f"e{number}" if name == "ce-id" else of_order(value, number) for name, value in message.headers.items()
    }
    if "Content-Encoding" in headers:
        data = gzip.compress(json_of_order(gzip.decompress(message.data), number), mtime=0)
    elif message.data[:1] == b"{":
        data = json_of_order(message.data, number)
    else:
        unpacked = json.dumps(msgspec.msgpack.decode(message.data)).encode()
        data = msgspec.msgpack.encode(json.loads(json_of_order(unpacked, number)))
    return Published(subject, headers, data)


def of_order(text: str, number: int) -> str:
    return text.replace("o-1", f"o-{number % 7}").replace("north", TENANTS[number // 2 % 2])


def json_of_order(data: bytes, number: int) -> bytes:
    text = re.sub(r'("(?:id|eventId)": "?)[^",}]+', rf"\g<1>{1000 + number}", of_order(data.decode(), number))
    return text.encode()


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")}
    return warm_commands().run(["projection", *arguments], folder, {**own, "COLUMNS": "80"})


async def envelopes(url: str, stream: str, manifest: Path) -> list[tuple[str | None, ...] | None]:
    """What each message is by a manifest: type, id, time, payload and tenant; None where it is no event."""
    (view,) = Manifest.load(manifest).views
    assert view.events is not None
    reader, found = DescribedReader(view.events, Tenancy()), []
    async with await Nats.connect(NatsConnection(url)) as connected:
        async for batch in StreamLog(connected, stream, "test").messages([">"], 0):
            for message in batch:
                event = reader.read(message)
                assert event.error is None, event.error
                one = event.envelope
                parts = one and (one.event_type, one.aggregate_id, one.timestamp, bytes(one.payload), one.tenant_id)
                found.append(parts)
    return found


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if LACKING[kind.drafted] is None])
async def test_inspect_drafts_what_the_page_says(
    name: str, server: EmbeddedServer, stream_name: str, folder: Path
) -> None:
    kind = KINDS[name]
    await publish(server.url, stream_name, many(kind.messages))
    try:
        ended = command(folder, "inspect", "--url", server.url, "--stream", stream_name, "--write", "draft")
        assert 0 == ended.returncode, ended.stderr
        checked = command(folder, "check", "draft")
        assert 0 == checked.returncode, checked.stdout
        assert {"L604"} >= set(re.findall(r"warning\[(\w+)\]", checked.stdout))  # nothing reads the fields yet
        of_page = await envelopes(server.url, stream_name, folder / kind.manifest)
        of_draft = await envelopes(server.url, stream_name, folder / "draft" / "manifest.yaml")
    finally:
        await remove(server.url, stream_name)
    assert 30 == len(of_page) == len(of_draft)
    assert of_page == of_draft


def test_inspect_drafts_six_of_the_eight_kinds_right() -> None:
    """All that the page's manifest has of each message: type, id, time, payload and tenant, and what is no event."""
    right = {name for name, kind in KINDS.items() if LACKING[kind.drafted] is None}
    assert 6 <= sum(set(shown) <= right for shown in EIGHT.values())


async def test_inspect_says_what_else_it_takes(server: EmbeddedServer, stream_name: str, folder: Path) -> None:
    (kind,) = (kind for kind in KINDS.values() if LACKING[kind.drafted] == "descriptors")
    await publish(server.url, stream_name, kind.messages)
    try:
        ended = command(folder, "inspect", "--url", server.url, "--stream", stream_name, "--write", "draft")
    finally:
        await remove(server.url, stream_name)
    assert 2 == ended.returncode
    assert "encoding: {protobuf: {descriptors: FILE, messages: {EVENT_TYPE: package.Message}}}" in ended.stderr


def test_a_manifest_has_as_many_lines_as_stand_under_events() -> None:
    assert 1 == lines_of_events("manifest: 1\nevents: cloudevents\nviews:\n  a: b\n")
    assert 3 == lines_of_events("events:\n  event_type: body.a\n  ignore: {}\nviews:\n")
    assert all(yaml.safe_load(text)["events"] for name, text in files_of(PAGE).items() if name.endswith(".yaml"))
