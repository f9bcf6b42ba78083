"""What a node's user needs, as docs/operating.md lists it: that is enough, and what is missing is named at once."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from configured_server import ConfiguredServer
from lost_support import at, held, recorded, recorders, records, running, some
from node_support import Site
from patience import eventually

from projection.engine.assembly import open_node
from projection.store.catalog import Catalog
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from structlog.typing import EventDict

    from projection.engine.node import Node

STREAM = "events"
COUNT = 50
_PAGE = (Path(__file__).parents[2] / "docs/operating.md").read_text()
_SECTION = _PAGE.partition("\n## What the server has to permit\n")[2].partition("\n## ")[0]
PUBLISH = [
    subject for row in re.findall(r"^\| (`.*?) \|", _SECTION, re.MULTILINE) for subject in row.strip("`").split("`, `")
]
SUBSCRIBE = re.findall(r"subscribe to `(\S+)`", _SECTION)
NEEDED = [subject for subject in PUBLISH if not subject.startswith("$JS.ACK.")]


def user(name: str, publish: list[str], subscribe: list[str]) -> dict[str, object]:
    permissions = {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}}
    return {"user": name, "password": "x", "permissions": permissions}


def lacking(subject: str) -> str:
    """The user who may do all that is needed but this."""
    return f"without-{re.sub('[^A-Z]', '', subject)}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConfiguredServer]:
    users = [{"user": "admin", "password": "x"}, user("node", PUBLISH, SUBSCRIBE), user("deaf", PUBLISH, ["other.>"])]
    users += [user(lacking(one), [other for other in PUBLISH if other != one], SUBSCRIBE) for one in PUBLISH]
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
    assert 7 == len(PUBLISH)
    assert ["_INBOX.>"] == SUBSCRIBE


@pytest.mark.parametrize("name", ["node", lacking(f"$JS.ACK.{STREAM}.>")])
async def test_what_the_page_lists_is_enough_for_every_start(site: Site, name: str, logged: list[EventDict]) -> None:
    for _ in range(3):
        end = await site.publish(some(COUNT))
        async with node_of(site, name) as node, running(node) as task:
            await at(node, end, task)
            await eventually(lambda: node.is_ready, task)
            assert recorded(await held(site)) == records(node.lanes[0])
    assert not [line for line in logged if line["event"] == "trouble"]


@pytest.mark.parametrize("subject", NEEDED)
async def test_whatever_is_missing_is_named_as_the_server_names_it_at_the_first_start(site: Site, subject: str) -> None:
    """Also where there is nothing to read, and all that there is would be folded."""
    async with node_of(site, lacking(subject)) as node, running(node) as task:
        named = f'Permissions Violation for Publish to "{subject.removesuffix("*")}'
        await eventually(lambda: named in node.troubles().get("stream", ""), task, lambda: str(node.troubles()))
        for _ in range(20):
            assert not node.is_ready, "nothing can be read"
            await asyncio.sleep(0.01)


async def test_a_node_that_may_hear_nothing_says_so(site: Site) -> None:
    async with node_of(site, "deaf") as node, running(node) as task:
        named = 'Permissions Violation for Subscription to "_INBOX.'
        await eventually(lambda: named in node.troubles().get("stream", ""), task, lambda: str(node.troubles()))
        assert not node.is_ready
