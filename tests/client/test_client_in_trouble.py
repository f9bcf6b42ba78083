"""The clients when a node is busy, gone, or answers what they do not understand: what is tried again, what is told."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
import socket
import subprocess
import sys
from contextlib import aclosing
from decimal import Decimal
from itertools import islice

import pytest
from scripted_server import scripted

from projection.client import (
    AccessRefusedError,
    AsyncClient,
    BusyError,
    Change,
    Client,
    ClientError,
    CursorGoneError,
    LimitExceededError,
    NotFreshError,
    QueryInvalidError,
    ServerFailedError,
    UnreachableError,
    ViewMissingError,
)
from projection.client.errors import AnswerUnreadableError
from projection.errors import ConfigurationError

TOLD = {"build": 3, "program": "abc", "scanned": 7, "as_of": "2026-03-01T09:00:00Z", "lag_s": 0.0}
VIEW = json.dumps({"id": "A1", "view": {"n": 1}, "degraded": False, **TOLD}).encode()
OK = (200, {}, VIEW)


def busy(after: str, status: int = 429, code: str = "query.busy") -> tuple[int, dict[str, str], bytes]:
    return status, {"retry-after": after}, json.dumps({"code": code, "detail": "too much to do"}).encode()


def problem(status: int, **fields: str) -> tuple[int, dict[str, str], bytes]:
    return status, {"content-type": "application/problem+json"}, json.dumps(fields).encode()


def ask(kind: type, script, **options):
    """One view, by either client."""
    if kind is Client:
        with Client(script.url, **options) as client:
            return client.view("accounts", "A1")

    async def awaited():
        async with AsyncClient(script.url, **options) as client:
            return await client.view("accounts", "A1")

    return asyncio.run(awaited())


both = pytest.mark.parametrize("kind", [Client, AsyncClient])


@both
@pytest.mark.parametrize("trouble", [busy("0"), busy("0", 503), None])
def test_what_may_be_over_soon_is_tried_again(kind, trouble):
    with scripted(trouble, OK) as script:
        assert {"n": 1} == ask(kind, script).view
    assert 2 == len(script.asked)
    assert script.asked[0] == script.asked[1]


@both
def test_it_gives_up_after_three_attempts_and_says_what_the_node_said(kind):
    with scripted(busy("0"), busy("0"), busy("0"), OK) as script, pytest.raises(BusyError) as raised:
        ask(kind, script)
    assert ("too much to do", 429, 0.0) == (raised.value.message, raised.value.status, raised.value.retry_after)
    assert 1 == len(script.answers)


@both
def test_a_node_that_wants_much_time_is_not_waited_for(kind):
    with scripted(busy("3600"), OK) as script, pytest.raises(BusyError) as raised:
        ask(kind, script)
    assert 3600.0 == raised.value.retry_after


@both
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            problem(400, code="query.invalid", detail="no such field", hint="balance?", pointer="/filter"),
            QueryInvalidError,
        ),
        (problem(404, code="query.view_missing"), ViewMissingError),
        (problem(410, code="query.cursor_gone"), CursorGoneError),
        (problem(412, code="query.not_fresh"), NotFreshError),
        (problem(422, code="query.limit"), LimitExceededError),
        (problem(401), AccessRefusedError),
        (problem(403), AccessRefusedError),
        (problem(503), ServerFailedError),
        ((502, {}, b"<html>a proxy</html>"), ServerFailedError),
        (problem(418, code="new.one"), ClientError),
    ],
)
def test_a_refusal_is_raised_by_its_code_and_not_tried_again(kind, answer, expected):
    with scripted(answer, OK) as script, pytest.raises(ClientError) as raised:
        ask(kind, script)
    assert expected is type(raised.value)
    assert answer[0] == raised.value.status
    assert 1 == len(script.asked)


def test_a_failure_of_the_node_is_told_with_the_id_that_its_log_has():
    answer = problem(500, code="internal", title="The server has a fault", request_id="5f3a")
    with scripted(answer) as script, pytest.raises(ServerFailedError) as raised:
        ask(Client, script)
    assert ("the server answered 500: The server has a fault", "internal") == (raised.value.message, raised.value.code)
    assert "5f3a" in raised.value.hint


def test_an_error_says_where_in_the_query_it_is_and_what_to_do_also_in_another_process():
    answer = problem(400, code="query.invalid", detail="no such field", hint="balance?", pointer="/filter")
    with scripted(answer) as script, pytest.raises(QueryInvalidError) as raised:
        ask(Client, script)
    for error in (raised.value, pickle.loads(pickle.dumps(raised.value))):
        assert ("no such field", "balance?", "/filter", "query.invalid", 400) == (
            error.message,
            error.hint,
            error.pointer,
            error.code,
            error.status,
        )


@both
@pytest.mark.parametrize("body", [b"", b"hello", b"[1]", b"{}", b'{"id": 1}'])
def test_what_is_no_answer_of_a_node_is_told_as_that(kind, body):
    with scripted((200, {}, body)) as script, pytest.raises(AnswerUnreadableError, match="name a node"):
        ask(kind, script)


@both
def test_a_node_that_is_not_there_is_told_with_its_address_and_without_credentials(kind):
    with socket.socket() as taken:  # bound and not listening
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        class Nowhere:
            url = f"http://127.0.0.1:{port}"

        with pytest.raises(UnreachableError, match=f"http://127.0.0.1:{port} cannot be asked") as raised:
            ask(kind, Nowhere, token="s3cret")
    assert "s3cret" not in str(raised.value)


def test_what_no_client_can_send_is_refused_at_once():
    for url in ("127.0.0.1:7070", "ftp://host", "http://", "http://[", "nats://127.0.0.1:4222"):
        with pytest.raises(ConfigurationError, match="the URL"):
            Client(url)
    for tenant in ("a\r\nx-tenant-id: b", "\x00", " a", "a ", "\udcff"):
        with pytest.raises(ConfigurationError, match="cannot be sent"):
            Client("http://127.0.0.1:1", tenant=tenant)
    with pytest.raises(ConfigurationError, match="cannot be sent"):
        Client("http://127.0.0.1:1", headers={"é": "x"})


@both
def test_credentials_go_with_every_request_and_a_token_is_asked_for_anew(kind):
    tokens = iter(["one", "two"])
    with scripted(busy("0"), OK) as script:
        ask(kind, script, token=lambda: next(tokens), tenant="é", secret="s", headers={"x-more": "m"})
    sent = [asked[2] for asked in script.asked]
    assert ["Bearer one", "Bearer two"] == [one["authorization"] for one in sent]
    assert "m" == sent[0]["x-more"]


@both
@pytest.mark.parametrize("view_id", [".", "..", "a/b", "a%2Fb", "?", "#", "é", "a b", "\n", "..%2f"])
def test_every_view_id_is_one_part_of_the_path(kind, view_id):
    from urllib.parse import unquote

    with scripted(OK) as script:
        if kind is Client:
            with Client(script.url) as client:
                client.view("accounts", view_id)
        else:

            async def ask_for_it() -> None:
                async with AsyncClient(script.url) as client:
                    await client.view("accounts", view_id)

            asyncio.run(ask_for_it())
    path = script.asked[0][1]
    assert 4 == path.count("/")
    assert view_id == unquote(path.rsplit("/", 1)[1])


def test_numbers_are_exact_and_never_floats():
    view = b'{"id":"A1","view":{"a":1.10,"b":123456789012345678901234567890,"c":[0.1,{"d":1}]},"build":1,"program":"","scanned":1}'
    with scripted((200, {}, view)) as script:
        found = ask(Client, script).view
    assert {"a": Decimal("1.10"), "b": 123456789012345678901234567890, "c": [Decimal("0.1"), {"d": 1}]} == found
    assert "1.10" == str(found["a"])


def test_an_unchanged_view_is_none():
    with (
        scripted((200, {"etag": 'W/"x"'}, VIEW), (304, {"etag": 'W/"x"'}, b"")) as script,
        Client(script.url) as client,
    ):
        found = client.view("accounts", "A1")
        assert 'W/"x"' == found.etag
        assert client.view("accounts", "A1", etag=found.etag) is None
    assert 'W/"x"' == script.asked[1][2]["if-none-match"]


def test_decimals_in_a_filter_keep_their_digits():
    page = json.dumps({"views": [], **TOLD}).encode()
    with scripted((200, {}, page)) as script, Client(script.url) as client:
        client.query("accounts", filter={"field": "balance", "op": "gt", "value": Decimal("100.00")})
    assert b'"100.00"' in script.asked[0][3]


def test_pages_are_asked_for_when_they_are_wanted():
    pages = [
        (
            200,
            {},
            json.dumps({"views": [{"id": str(n), "view": {}}], "next": f"c{n}" if n < 3 else None, **TOLD}).encode(),
        )
        for n in range(1, 4)
    ]
    with scripted(*pages) as script, Client(script.url) as client:
        iterated = client.iterate("accounts", limit=1)
        assert "1" == next(iterated).id
        assert 1 == len(script.asked)
        assert ["2", "3"] == [found.id for found in iterated]
    assert [None, "c1", "c2"] == [json.loads(asked[3]).get("cursor") for asked in script.asked]


# change feeds

EVENTS = (
    b": a comment\n\n"
    b"retry: 1\n\n"
    b'id: e1\nevent: changed\ndata: {"id":"A1","scanned":3,"view":{"n":1.50,"t":"\xe2\x80\xa8"}}\n\n'
    b'id: e2\r\nevent: deleted\r\ndata: {"id":"A2","scanned":4}\r\n\r\n'
    b"id: e3\n\n"
    b'id: e4\nevent: some_newer_kind\ndata: {"id":7}\n\n'
    b'id: e5\nevent: reset\ndata: {"build":2}\n\n'
    b"id: e6\nevent: level\n"
    b'data: {"scanned":9}\n\n'
    b'event: changed\ndata: {"id":"half'
)
CHANGES = [
    Change(kind="changed", event_id="e1", id="A1", scanned=3, view={"n": Decimal("1.50"), "t": "\u2028"}),
    Change(kind="deleted", event_id="e2", id="A2", scanned=4),
    Change(kind="reset", event_id="e5", build=2),
    Change(kind="level", event_id="e6", scanned=9),
]
FEED = {"content-type": "text/event-stream"}


def followed(kind: type, script, count: int, **options) -> list[Change]:
    if kind is Client:
        with Client(script.url) as client:
            return list(islice(client.changes("accounts", **options), count))

    async def take() -> list[Change]:
        found: list[Change] = []
        async with AsyncClient(script.url) as client, aclosing(client.changes("accounts", **options)) as stream:
            async for change in stream:
                found.append(change)
                if len(found) == count:
                    break
        return found

    return asyncio.run(take())


@both
def test_a_feed_that_breaks_off_goes_on_where_it_was(kind):
    with scripted((200, FEED, EVENTS), busy("0", 503), None, (200, FEED, EVENTS)) as script:
        assert CHANGES * 2 == followed(kind, script, 8, filter="n > 1", select=["n", "t"], snapshot=True)
    assert [None, "e6", "e6", "e6"] == [asked[2].get("last-event-id") for asked in script.asked]
    assert "/v1/changes?view=accounts&filter=n+%3E+1&select=n%2Ct&snapshot=true" == script.asked[0][1]


@both
def test_a_feed_goes_on_behind_the_change_that_it_is_told(kind):
    with scripted((200, FEED, EVENTS)) as script:
        followed(kind, script, 1, last_event_id="e0")
    assert "e0" == script.asked[0][2]["last-event-id"]


@both
@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([problem(409, code="query.changes_off")], "ChangesOffError"),
        ([(200, FEED, EVENTS), problem(400, code="query.cursor_invalid")], "CursorInvalidError"),
        ([(200, FEED, b'event: problem\ndata: {"code":"query.invalid","status":400}\n\n')], "QueryInvalidError"),
        ([(200, FEED, b"event: changed\ndata: {\n\n")], "AnswerUnreadableError"),
        ([None, None, None], "UnreachableError"),
    ],
)
def test_a_feed_that_will_never_come_is_told(kind, answers, expected):
    with scripted(*answers) as script, pytest.raises(ClientError) as raised:
        followed(kind, script, 1_000)
    assert expected == type(raised.value).__name__


def test_a_feed_is_the_same_however_its_bytes_are_cut():
    from projection.client.following import Following

    for size in (1, 2, 3, 7, 1000):
        following = Following(None)
        pieces = (EVENTS[at : at + size] for at in range(0, len(EVENTS), size))
        assert CHANGES == [change for piece in pieces for change in following.changes(piece)]


# the module


def test_both_clients_have_the_same_calls():
    def calls(kind: type) -> dict[str, str]:
        return {
            name: str(inspect.signature(member).replace(return_annotation=inspect.Signature.empty))
            for name, member in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") or name == "__init__"
        }

    assert calls(Client) == calls(AsyncClient)


def test_neither_the_client_nor_the_package_loads_the_node():
    script = (
        "import sys; {imports}; print([name for name in"
        " ('pydantic', 'lmdb', 'nats', 'lark', 'fastapi', 'projection.lang', 'projection.model', 'httpx') if name in sys.modules])"
    )
    for imports, expected in (
        ("import projection", "[]"),
        ("import projection.client", "[]"),
        ("from projection.client import Client", "['httpx']"),
    ):
        found = subprocess.run(
            [sys.executable, "-c", script.format(imports=imports)], capture_output=True, text=True, check=True
        )
        assert expected == found.stdout.strip()
