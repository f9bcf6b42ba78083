"""Both clients and a real node: each call once, the errors that matter, and a change feed over a restart of the server."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from decimal import Decimal

import pytest
from ops_support import SOME_IDS, fine, served
from patience import WITHIN_S

from projection.client import (
    AsyncClient,
    ChangesOffError,
    Client,
    CursorInvalidError,
    LimitExceededError,
    NotFreshError,
    QueryInvalidError,
    UnknownViewTypeError,
    UnreachableError,
    ViewMissingError,
)

EVENTS = [fine(view_id, n) for n, view_id in enumerate(SOME_IDS)]
EVENTS += [fine("bad", 1), fine("bad", -1)]


@pytest.fixture
async def node(nats_server, stream_name, tmp_path):
    async with served(nats_server.url, stream_name, tmp_path, EVENTS, entry={"changes": True}) as running:
        yield running


def asked_by_client(url: str) -> dict[str, object]:
    with Client(url, tenant="t", timeout_s=WITHIN_S) as client:
        one = client.view("fines", "a")
        pages = list(client.pages("fines", sort=["n"], limit=5))
        return {
            "view": (one.view, client.view("fines", "a", etag=one.etag), client.view("fines", "bad").degraded),
            "views": client.views("fines", ["bad", "nobody", "a"]),
            "query": client.query("fines", filter="balance > 3", sort=["-balance"], select=["n"], limit=2, count=True),
            "pages": [found.id for page in pages for found in page.views],
            "iterate": [found.id for found in client.iterate("fines", sort=["n"], limit=3)],
            "explain": client.explain("fines", filter='status == "paid"', sort=["-balance"]).index,
            "catalog": [(one.view, one.changes, [index.by for index in one.indexes]) for one in client.catalog().views],
            "health": client.health(),
            "ready": client.ready().ready,
        }


async def asked_by_async_client(url: str) -> dict[str, object]:
    async with AsyncClient(url, tenant="t", timeout_s=WITHIN_S) as client:
        one = await client.view("fines", "a")
        pages = [page async for page in client.pages("fines", sort=["n"], limit=5)]
        return {
            "view": (
                one.view,
                await client.view("fines", "a", etag=one.etag),
                (await client.view("fines", "bad")).degraded,
            ),
            "views": await client.views("fines", ["bad", "nobody", "a"]),
            "query": await client.query(
                "fines", filter="balance > 3", sort=["-balance"], select=["n"], limit=2, count=True
            ),
            "pages": [found.id for page in pages for found in page.views],
            "iterate": [found.id async for found in client.iterate("fines", sort=["n"], limit=3)],
            "explain": (await client.explain("fines", filter='status == "paid"', sort=["-balance"])).index,
            "catalog": [
                (one.view, one.changes, [index.by for index in one.indexes]) for one in (await client.catalog()).views
            ],
            "health": await client.health(),
            "ready": (await client.ready()).ready,
        }


async def test_each_call_gives_what_the_node_has_and_both_clients_the_same(node):
    found = await asyncio.to_thread(asked_by_client, node.url)
    view, unchanged, degraded = found["view"]
    assert {"balance": Decimal("0.50"), "by": None, "n": 0, "on": False, "status": "open", "tags": []} == view
    assert (None, True) == (unchanged, degraded)
    assert ["a", "bad"] == [one.id for one in found["views"].views]
    assert ["bad"] == found["views"].degraded
    page = found["query"]
    assert ([{"n": 12}, {"n": 11}], 10) == ([one.view for one in page.views], page.count)
    assert page.next
    assert len(EVENTS) == page.scanned
    assert [*SOME_IDS[:2], "bad", *SOME_IDS[2:]] == sorted(
        found["pages"], key=[*SOME_IDS[:2], "bad", *SOME_IDS[2:]].index
    )
    assert found["pages"] == found["iterate"]
    assert "status, balance desc" == found["explain"]
    assert [("fines", True, ["status, balance desc"])] == found["catalog"]
    assert (True, True) == (found["health"], found["ready"])

    same = await asked_by_async_client(node.url)
    for answers in (found, same):  # how long ago it was is told anew each time
        answers["views"], answers["query"] = answers["views"].views, answers["query"].views
    assert found == same


async def test_every_id_can_be_asked_for(node):
    async with AsyncClient(node.url, tenant="t", timeout_s=WITHIN_S) as client:
        for n, view_id in enumerate(SOME_IDS):
            found = await client.view("fines", view_id)
            assert (view_id, n) == (found.id, found.view["n"])


async def test_a_client_reads_what_was_written_once_it_names_the_event(node):
    async with AsyncClient(node.url, tenant="t", timeout_s=0.5) as client:
        last = await node.site.publish([fine("a", 100)])
        found = await client.view("fines", "a", min_sequence=last, wait_ms=20_000)  # longer than the timeout: it waits
        assert 100 == found.view["n"]
    async with AsyncClient(node.url, tenant="t", timeout_s=WITHIN_S) as client:
        with pytest.raises(NotFreshError):
            await client.view("fines", "a", min_sequence=last + 1)
        assert 100 == (await client.query("fines", filter='id == "a"', min_sequence=last)).views[0].view["n"]


async def test_what_the_node_refuses_is_raised_with_its_reason(node):
    async with AsyncClient(node.url, tenant="t", timeout_s=WITHIN_S) as client:
        with pytest.raises(ViewMissingError, match="nobody"):
            await client.view("fines", "nobody")
        with pytest.raises(UnknownViewTypeError, match="nothing"):
            await client.query("nothing")
        with pytest.raises(QueryInvalidError, match="balnce") as refused:
            await client.query("fines", filter="balnce > 3")
        assert ("/filter", "did you mean `balance`?") == (refused.value.pointer, refused.value.hint)
        assert "^^^^^^" in refused.value.excerpt
        with pytest.raises(LimitExceededError):
            await client.query("fines", limit=100_000)
        with pytest.raises(CursorInvalidError):
            await client.query("fines", cursor="made-up")


async def test_a_view_type_without_changes_cannot_be_followed(nats_server, stream_name, tmp_path):
    async with (
        served(nats_server.url, stream_name, tmp_path) as running,
        AsyncClient(running.url, tenant="t") as client,
    ):
        with pytest.raises(ChangesOffError):
            await anext(client.changes("fines"))


async def test_changes_are_followed_and_go_on_where_they_were(node):
    async def follow(count: int, **options) -> list:
        found = []
        async with (
            AsyncClient(node.url, tenant="t", timeout_s=WITHIN_S) as client,
            aclosing(client.changes("fines", **options)) as stream,
        ):
            async for change in stream:
                found.append(change)
                if len(found) == count:
                    return found
        raise AssertionError("a feed does not end")

    async with asyncio.timeout(WITHIN_S):
        present = await follow(len(SOME_IDS) + 2, snapshot=True, filter="n >= 0", select=["n"])
        assert {view_id: {"n": n} for n, view_id in enumerate(SOME_IDS)} | {"bad": {"n": 1}} == {
            change.id: change.view for change in present if change.kind == "changed"
        }
        await node.publish([fine("a", 41), fine("new", 42)])
        went_on = await follow(2, last_event_id=present[-1].event_id, filter="n >= 0", select=["n"])
        assert [("a", {"n": 41}), ("new", {"n": 42})] == sorted((one.id, one.view) for one in went_on)


async def test_a_node_that_is_not_there_is_told():
    async with AsyncClient("http://127.0.0.1:1", tenant="t") as client:
        with pytest.raises(UnreachableError, match="cannot be asked"):
            await client.catalog()
