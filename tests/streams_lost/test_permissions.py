"""What users of nodes and commands need, as docs/operating.md lists it: that is enough, and what is missing is named."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING

import backfill_support
import pytest
from configured_server import ConfiguredServer
from lost_support import at, held, recorded, recorders, records, running, some
from node_support import Site
from patience import eventually
from sink_support import asked

from projection.cli import inspect
from projection.engine.assembly import open_node
from projection.engine.backup import back_up
from projection.engine.backup_bucket import BackupBucket
from projection.engine.restoring import verify_backup
from projection.errors import StreamError
from projection.history import logs
from projection.history.logs import StreamLog
from projection.model.envelope import Tenancy
from projection.model.settings import Settings
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.store.catalog import Catalog
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.loading import FileLoading

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from structlog.typing import EventDict

    from projection.engine.node import Node

STREAM = "events"
COUNT = 50
_PAGE = (Path(__file__).parents[2] / "docs/operating.md").read_text()
_SECTION = _PAGE.partition("\n## What the server has to permit\n")[2].partition("\n## ")[0]
_OF_NODE, _OF_LOADER, _OF_READER, _OF_KEEPER, *_ = _SECTION.split("\n### ")


def listed(part: str) -> list[str]:
    """The subjects of a table."""
    rows = re.findall(r"^\| (`.*?) \|", part, re.MULTILINE)
    return [subject for row in rows for subject in row.strip("`").split("`, `")]


PUBLISH, (*LOADS, LISTED_TO_CREATE), READS = listed(_OF_NODE), listed(_OF_LOADER), listed(_OF_READER)
SUBSCRIBE = re.findall(r"subscribe to `(\S+)`", _OF_NODE)
NEEDED = [subject for subject in PUBLISH if not subject.startswith("$JS.ACK.")]


def user(name: str, publish: list[str], subscribe: list[str]) -> dict[str, object]:
    permissions = {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}}
    return {"user": name, "password": "x", "permissions": permissions}


def lacking(subject: str) -> str:
    """The user who may do all that is needed but this."""
    return f"without-{re.sub('[^A-Za-z]', '', subject)}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConfiguredServer]:
    users = [{"user": "admin", "password": "x"}, user("node", PUBLISH, SUBSCRIBE), user("deaf", PUBLISH, ["other.>"])]
    users += [user(lacking(one), [other for other in PUBLISH if other != one], SUBSCRIBE) for one in PUBLISH]
    for role, subjects in (("loader", LOADS), ("reader", READS)):
        users.append(user(role, subjects, SUBSCRIBE))
        others = {one: [other for other in subjects if other != one] for one in subjects}
        users += [user(f"{role}-{lacking(one)}", rest, SUBSCRIBE) for one, rest in others.items()]
    users.append(user("creator", listed(_OF_LOADER), SUBSCRIBE))
    users.append(user("keeper", listed(_OF_KEEPER), SUBSCRIBE))
    with ConfiguredServer(tmp_path_factory.mktemp("nats"), authorization={"users": users}) as started:
        yield started


@pytest.fixture
async def site(server: ConfiguredServer, tmp_path: Path) -> AsyncIterator[Site]:
    async with await Nats.connect(NatsConnection(server.url, user="admin", password="x")) as nats:
        made = Site(nats, server.url, STREAM, tmp_path)
        await made.create_anew() if await exists(made) else await made.create()
        yield made


async def exists(site: Site) -> bool:
    return b"error" not in await site.nats.request(f"$JS.API.STREAM.INFO.{site.stream}")


@asynccontextmanager
async def node_of(site: Site, name: str) -> AsyncIterator[Node]:
    connection = NatsConnection(site.url, user=name, password="x")
    with Catalog.open(site.data) as catalog:
        async with Nats.connecting_later(connection) as nats:
            with open_node(site.settings(), recorders(site), catalog, nats) as node:
                yield node


def test_the_page_lists_them() -> None:
    assert (7, 3, 6) == (len(PUBLISH), len(LOADS), len(READS))
    assert ["_INBOX.>"] == SUBSCRIBE


@pytest.mark.parametrize("name", ["node", lacking(f"$JS.ACK.{STREAM}.>")])
async def test_what_the_page_lists_is_enough_for_every_start(site: Site, name: str, logged: list[EventDict]) -> None:
    for _ in range(3):
        end = await site.publish(some(COUNT))
        async with node_of(site, name) as node, running(node) as task:
            await at(node, end, task)
            await eventually(lambda: node.is_ready, task)
            assert recorded(await held(site)) == records(node.lanes[0])
    assert not [line for line in logged if "Violation" in line.get("reason", "")]  # slow answers are no matter


@pytest.mark.parametrize("subject", NEEDED)
async def test_whatever_is_missing_is_named_as_the_server_names_it_at_the_first_start(site: Site, subject: str) -> None:
    """Also where there is nothing to read, and all that there is would be folded."""
    async with node_of(site, lacking(subject)) as node, running(node) as task:
        named = f'Permissions Violation for Publish to "{subject.removesuffix("*")}'
        await eventually(
            lambda: named in node.health.troubles().get("stream", ""), task, lambda: str(node.health.troubles())
        )
        for _ in range(20):
            assert not node.is_ready, "nothing can be read"
            await asyncio.sleep(0.01)


async def test_a_node_that_may_hear_nothing_says_so(site: Site) -> None:
    async with node_of(site, "deaf") as node, running(node) as task:
        named = 'Permissions Violation for Subscription to "_INBOX.'
        await eventually(
            lambda: named in node.health.troubles().get("stream", ""), task, lambda: str(node.health.troubles())
        )
        assert not node.is_ready


# --- commands -----------------------------------------------------------------------------------------------------------


async def load(site: Site, name: str, *, create: bool = False) -> None:
    """Load a file of events, as `projection load` does."""
    path = site.folder / "loaded.jsonl"
    path.write_bytes(b"\n".join(some(COUNT)))
    template = SubjectTemplate.parse(DEFAULT_TEMPLATE)
    async with await Nats.connect(NatsConnection(site.url, user=name, password="x")) as nats:
        await FileLoading(path, template, Tenancy()).publish(nats, STREAM, create=create)


async def load_rows(site: Site, name: str, database: str) -> str | None:
    """Load a table's rows, as `projection load --from` does; the last one that the stream holds then."""
    async with await Nats.connect(NatsConnection(site.url, user=name, password="x")) as nats:
        with closing(backfill_support.loading(database, "tenant.a.aggregate.<type>.<id>")) as rows:
            await rows.check()
            await rows.run(nats, STREAM)
            return rows.last_key


async def dumped(site: Site, name: str) -> list[int]:
    """The sequences of one tenant's messages, which others stand between and behind, as `projection dump` reads them."""
    async with await Nats.connect(NatsConnection(site.url, user=name, password="x")) as nats:
        batches = StreamLog(nats, STREAM, "dump").messages(["tenant.a.>"])
        return [message.sequence async for batch in batches for message in batch]


async def inspected(site: Site, name: str) -> int:
    """Look at messages of both ends, as `projection inspect` does; how many."""
    path = site.folder / "reader.yaml"
    path.write_text(f"stream: {STREAM}\nnats: {{ url: '{site.url}', user: {name}, password: x }}\n")
    _, inspection = await inspect._inspected(Settings.load(path, {}), 5)
    return inspection.count


@pytest.fixture
async def default_site(site: Site) -> Site:
    await site.create_anew(subjects=["tenant.>"])
    return site


@pytest.mark.parametrize("name", ["loader", f"loader-{lacking('$JS.API.STREAM.MSG.GET.events')}"])
async def test_what_the_page_lists_is_enough_to_load(default_site: Site, name: str) -> None:
    await load(default_site, name)
    assert COUNT == len(await held(default_site))


async def test_what_the_page_lists_is_enough_to_make_the_stream_and_load(default_site: Site) -> None:
    await default_site.nats.request(f"$JS.API.STREAM.DELETE.{STREAM}")
    create = LISTED_TO_CREATE.removesuffix(STREAM)
    await eventually(lambda: names(create, lambda: load(default_site, "loader", create=True)))
    await load(default_site, "creator", create=True)
    assert COUNT == len(await held(default_site))


async def test_what_the_page_lists_is_enough_to_load_rows_and_go_on(default_site: Site, database: str) -> None:
    made = "CREATE TABLE events (id bigint PRIMARY KEY, type text, data jsonb)"
    asked(database, f"{made}; INSERT INTO events SELECT n, 'a', '{{}}' FROM generate_series(1, 7) AS n")
    assert "7" == await load_rows(default_site, "loader", database)
    asked(database, "INSERT INTO events SELECT n, 'a', '{}' FROM generate_series(8, 10) AS n")
    assert "10" == await load_rows(default_site, "loader", database)
    assert 10 == len(await held(default_site))


@pytest.mark.parametrize("subject", LOADS)
async def test_what_a_loader_of_rows_lacks_is_named(default_site: Site, database: str, subject: str) -> None:
    """Also to see where to go on, which a file does without."""
    asked(database, "CREATE TABLE events (id bigint PRIMARY KEY, type text, data jsonb)")
    asked(database, "INSERT INTO events VALUES (1, 'a', '{}')")
    await eventually(lambda: names(subject, lambda: load_rows(default_site, f"loader-{lacking(subject)}", database)))


async def names(subject: str, command: Callable[[], Awaitable[object]]) -> bool:
    """Whether a command ends with what the server says of a subject; a server that is slow may be told of instead."""
    try:
        await command()
    except StreamError as error:
        return f'Permissions Violation for Publish to "{subject.rstrip("*>")}' in error.message
    raise AssertionError(f"{subject} is not needed")


@pytest.mark.parametrize("subject", LOADS[:2])
async def test_what_a_loader_lacks_is_named(default_site: Site, subject: str) -> None:
    await eventually(lambda: names(subject, lambda: load(default_site, f"loader-{lacking(subject)}")))


@pytest.mark.parametrize("name", ["reader", f"reader-{lacking('$JS.API.CONSUMER.DELETE.events.*')}"])
async def test_what_the_page_lists_is_enough_to_read(default_site: Site, name: str) -> None:
    await load(default_site, "loader")
    assert list(range(1, COUNT + 1, 2)) == await dumped(default_site, name)


@pytest.mark.parametrize("name", ["reader", f"reader-{lacking('$JS.API.CONSUMER.DELETE.events.*')}"])
async def test_what_the_page_lists_is_enough_to_inspect(default_site: Site, name: str) -> None:
    await load(default_site, "loader")
    assert 5 == await inspected(default_site, name)


@pytest.mark.parametrize("subject", [READS[0], READS[2], READS[4]])  # the others are for what reads of one tenant only
async def test_what_an_inspection_lacks_is_named(
    default_site: Site, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_PATIENCE_S", 0.0)
    await load(default_site, "loader")
    await eventually(lambda: names(subject, lambda: inspected(default_site, f"reader-{lacking(subject)}")))


@pytest.mark.parametrize("subject", READS[:-1])
async def test_what_a_reader_lacks_is_named(default_site: Site, subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_PATIENCE_S", 0.0)
    await load(default_site, "loader")
    await eventually(lambda: names(subject, lambda: dumped(default_site, f"reader-{lacking(subject)}")))


def test_what_the_page_lists_is_enough_for_backups_in_a_bucket(server: ConfiguredServer, tmp_path: Path) -> None:
    connection = NatsConnection(server.url, user="keeper", password="x")
    with BackupBucket(connection, "backups") as bucket, Catalog.open(tmp_path / "data") as catalog:
        back_up(catalog, bucket)
        made = back_up(catalog, bucket, keep=1)
        assert ([made.name], []) == (bucket.names(), verify_backup(bucket, made.name).problems)
