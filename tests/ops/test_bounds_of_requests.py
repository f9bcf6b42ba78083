"""What a stranger may send: garbage, halves, too much, too slowly; each is told once, and the server goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_support import connection, exchange, fine, served, told
from patience import WITHIN_S, eventually
from structlog.testing import capture_logs

from projection.ops.http import connections, front, protocol

CLOSED = 7  # the kernel's state of a connection that was reset
HOST = b"host: localhost\r\n"


async def read_answer(reader):
    """One answer of a connection that goes on."""
    head = await reader.readuntil(b"\r\n\r\n")
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    return int(head.split()[1]), await reader.readexactly(int(headers[b"content-length"]))


async def is_well(one):
    answer = await one.get("/health")
    assert (200, "ok") == (answer.status_code, answer.json()["status"])


# addresses, methods, bodies


async def test_everything_that_goes_wrong_is_a_problem_with_a_code(one):
    asked = {
        ("GET", "/"): (404, "http.not_found"),
        ("GET", "/v1/views/fines/"): (404, "http.not_found"),
        ("GET", "/docs"): (404, "http.not_found"),
        ("POST", "/v1/views/fines"): (405, "http.method_not_allowed"),
        ("DELETE", "/v1/views/fines/a"): (405, "http.method_not_allowed"),
        ("PUT", "/health"): (405, "http.method_not_allowed"),
        ("GET", "/v1/query"): (405, "http.method_not_allowed"),
        ("BREW", "/health"): (400, "http.invalid"),
        ("GET", "/health?x=1"): (400, "http.invalid"),
        ("GET", "/v1/catalog?x=1"): (400, "http.invalid"),
    }
    for (method, target), expected in asked.items():
        answer = await one.send(method, target)
        problem = answer.json()
        assert (expected, f"/problems/{problem['code']}") == ((answer.status_code, problem["code"]), problem["type"])
        assert "application/problem+json" == answer.headers["content-type"]
        assert problem["title"]
        assert problem["detail"]
        assert answer.status_code != 405 or problem["hint"].startswith(f"it takes {answer.headers['allow']}; ")


async def test_answers_have_an_id_and_headers_for_safety(one):
    answer = await one.get("/v1/views/fines/a", x_request_id="my-id.7")
    assert "my-id.7" == answer.headers["x-request-id"]
    assert ("nosniff", "private, no-cache") == (
        answer.headers["x-content-type-options"],
        answer.headers["cache-control"],
    )
    assert "no-store" == (await one.get("/v1/views/fines")).headers["cache-control"]
    refused = await one.get("/v1/views/fines/nobody", x_request_id="not fit")
    assert refused.headers["x-request-id"] == refused.json()["request_id"] != "not fit"
    assert "access-control-allow-origin" not in (await one.get("/health", origin="https://x.example")).headers


async def test_head_is_get_without_the_body(one):
    for target in ("/v1/views/fines/a", "/v1/views/fines", "/health", "/v1/views/fines/nobody"):
        whole, head = await one.get(target), await one.send("HEAD", target, tenant="t")
        assert (whole.status_code, b"") == (head.status_code, head.content)
    assert 405 == (await one.send("HEAD", "/v1/changes?view=fines")).status_code


async def test_a_large_answer_is_compressed_for_those_who_ask(one):
    await one.publish([fine(f"many{n}", n) for n in range(500)])
    for size in (30, 500):  # compressed at once, and in a thread
        target = f"/v1/views/fines?limit={size}"
        plain = await one.get(target, accept_encoding="identity")
        packed = await one.get(target, accept_encoding="br;q=1, gzip;q=0.5")
        refused = await one.get(target, accept_encoding="gzip;q=0")
        assert [None, "gzip", None] == [one.headers.get("content-encoding") for one in (plain, packed, refused)]
        assert plain.json()["views"] == packed.json()["views"] == refused.json()["views"]
        assert 3 * int(packed.headers["content-length"]) < len(plain.content)
    assert "content-encoding" not in (await one.get("/health", accept_encoding="gzip")).headers


async def test_a_body_beyond_the_limit_is_refused_however_it_is_sent(one):
    large = b'{"view":"fines","filter":"' + b"x" * 2**20 + b'"}'
    answer = await one.post("/v1/query", large)
    assert (413, "http.too_large") == (answer.status_code, answer.json()["code"])

    async def parts():
        for start in range(0, len(large), 65_536):
            yield large[start : start + 65_536]

    headers = {"content-type": "application/json"}
    answer = await one.send("POST", "/v1/query", headers=headers, content=parts())
    assert (413, "http.too_large") == (answer.status_code, answer.json()["code"])


async def test_a_body_that_does_not_come_is_not_waited_for(one, monkeypatch):
    monkeypatch.setattr(front, "_BODY_S", 0.1)
    head = b"POST /v1/query HTTP/1.1\r\n" + HOST + b"content-type: application/json\r\ncontent-length: 9\r\n\r\n{"
    assert (408, "http.slow") == told(await exchange(one, head))


SLOW = b"POST /v1/query HTTP/1.1\r\n" + HOST + b"content-type: application/json\r\ncontent-length: 9\r\nx-tenant-id: "


@asynccontextmanager
async def slowly_asking(one, *tenants):
    """Clients whose requests do not come to their end."""
    async with AsyncExitStack() as stack:
        for tenant in tenants:
            _, writer = await stack.enter_async_context(connection(one))
            writer.write(SLOW + tenant + b"\r\n\r\n{")
        yield


async def test_too_many_requests_at_once_are_told_to_come_later(nats_server, stream_name, tmp_path):
    limits = {"limits": {"requests": 4}}
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")], http=limits) as one:

        async def is_told(tenant, status, code) -> bool:
            answer = await one.get("/v1/views/fines/a", tenant)
            assert 200 == answer.status_code or ("1", True) == (
                answer.headers.get("retry-after"), answer.json()["code"] in ("query.busy", "http.busy")
            )  # fmt: skip
            return (status, code) == (answer.status_code, answer.json().get("code"))

        async with slowly_asking(one, b"t", b"t"):
            await eventually(lambda: is_told("t", 429, "query.busy"))
            async with slowly_asking(one, b"u", b"v"):
                await eventually(lambda: is_told("w", 503, "http.busy"))
        await eventually(lambda: _is_answered(one))


async def _is_answered(one) -> bool:
    return 200 == (await one.get("/v1/views/fines/a")).status_code


async def test_probes_are_answered_however_much_is_under_way(nats_server, stream_name, tmp_path):
    limits = {"limits": {"requests": 2, "connections": 4}}
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")], http=limits) as one:
        watch, waits = one.service.queries.serving.of("fines").watch, []
        for count in (1, 2):
            waits.append(asyncio.create_task(one.get("/v1/views/fines/a?min_sequence=9&wait_ms=30000")))
            await eventually(lambda: watch.waiting == count)  # noqa: B023 - it is awaited here
        async with slowly_asking(one, b"t", b"u"):

            async def is_busy() -> bool:
                answer = await one.get("/v1/catalog")
                return (503, "http.busy") == (answer.status_code, answer.json().get("code"))

            await eventually(is_busy)
            for target in ("/health", "/ready", "/metrics"):
                assert 200 == (await one.get(target)).status_code
        for task in waits:
            task.cancel()
        await asyncio.wait(waits)
        await eventually(lambda: _is_answered(one))


async def test_who_waits_takes_no_place_of_those_who_ask(nats_server, stream_name, tmp_path):
    settings = {"http": {"limits": {"requests": 2}}, "query": {"waiting": 8}}
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")], **settings) as one:

        def waits(tenant="t"):
            return asyncio.create_task(one.get("/v1/views/fines/a?min_sequence=9&wait_ms=30000", tenant))

        watch = one.service.queries.serving.of("fines").watch
        waiting = []
        for count in range(1, 5):
            waiting.append(waits())
            await eventually(lambda: watch.waiting == count)  # noqa: B023 - it is awaited here
        answer = await waits()
        assert (429, "query.busy", "1") == (answer.status_code, answer.json()["code"], answer.headers["retry-after"])
        assert await _is_answered(one)
        waiting.append(waits("another"))
        await eventually(lambda: watch.waiting == 5)
        waiting.pop(0).cancel()
        await eventually(lambda: watch.waiting == 4)
        await one.publish([fine("b", n) for n in range(8)])
        assert {200, 404} == {(await task).status_code for task in waiting}
        assert await _is_answered(one)


# the head of a request


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"GET /health HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /v1/query HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nabc",
        b"GET /health HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET /health HTTP/1.1\r\nx: a\x00b\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_told_and_hung_up_on(one, garbage):
    assert (400, "http.invalid") == told(await exchange(one, garbage))
    await is_well(one)


async def test_a_head_beyond_the_limit_is_refused(one):
    at_once = await one.send("GET", "/health", headers={"x": "y" * protocol.MAX_HEAD_BYTES})
    assert (431, "http.head_too_large") == (at_once.status_code, at_once.json()["code"])
    address = b"/v1/views/fines?" + b"&".join(b"id=%020d" % n for n in range(4_000))
    answer = await exchange(one, b"GET " + address + b" HTTP/1.1\r\nconnection: close\r\n" + HOST + b"\r\n")
    assert (431, "http.head_too_large") == told(answer)
    async with connection(one) as (reader, writer), asyncio.timeout(WITHIN_S):
        writer.write(b"GET /health HTTP/1.1\r\n")
        sent = 0
        while not reader.at_eof() and sent < 100 * protocol.MAX_HEAD_BYTES:  # one header without an end
            writer.write(b"x: " + b"y" * 10_000 if not sent else b"y" * 10_000)
            sent += 10_000
            try:
                await writer.drain()
            except ConnectionError:
                break
            await asyncio.sleep(0)
        assert sent < 100 * protocol.MAX_HEAD_BYTES
    await is_well(one)


async def test_a_head_that_does_not_come_is_not_waited_for(one, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_S", 0.1)
    assert b"" == await exchange(one, b"")

    async def first_is_told() -> bool:  # unless not even its beginning comes in time
        answer = await exchange(one, b"GET /health HTTP/1.1\r\nhost: lo")
        return bool(answer) and (408, "http.slow") == told(answer)

    async def second_is_told() -> bool:
        async with connection(one) as (reader, writer), asyncio.timeout(WITHIN_S):
            writer.write(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                if 200 == (await read_answer(reader))[0]:
                    writer.write(b"GET /hea")
                    return (408, "http.slow") == told(await reader.read())
        return False

    await eventually(first_is_told)
    await eventually(second_is_told)


async def test_a_head_may_come_in_pieces(one):
    async with connection(one) as (reader, writer), asyncio.timeout(WITHIN_S):
        for byte in b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
        assert (200, b'{"status":"ok"}') == await read_answer(reader)


async def test_requests_may_follow_one_another_without_waiting(one):
    async with connection(one) as (reader, writer), asyncio.timeout(WITHIN_S):
        writer.write(
            b"".join(b"GET /v1/views/fines?n=%d HTTP/1.1\r\n" % n + HOST + b"x-tenant-id: t\r\n\r\n" for n in range(10))
        )
        for n in range(10):
            status, body = await read_answer(reader)
            assert (200, n) == (status, json.loads(body)["views"][0]["view"]["n"])


async def test_a_thousand_requests_at_once_on_one_connection_end_it(one):
    answers = await exchange(one, (b"GET /v1/catalog HTTP/1.1\r\n" + HOST + b"\r\n") * 1_000)
    assert answers.count(b"HTTP/1.1 200") < 1_000
    await is_well(one)


@pytest.mark.parametrize("begun", [b"", b"GET /hea", b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"])
async def test_connections_without_a_request_shut_nobody_out(nats_server, stream_name, tmp_path, begun):
    limits = {"limits": {"connections": 3}}
    async with (
        served(nats_server.url, stream_name, tmp_path, [fine("a")], http=limits) as one,
        AsyncExitStack() as stack,
    ):
        readers = []
        for _ in range(3 + connections.SPARE + 10):
            reader, writer = await stack.enter_async_context(connection(one))
            writer.write(begun)
            readers.append(reader)
        await one.http.aclose()
        one.http = await stack.enter_async_context(httpx.AsyncClient(timeout=WITHIN_S, trust_env=False))
        assert await _is_answered(one)
        with suppress(ConnectionResetError):
            async with asyncio.timeout(WITHIN_S):
                await readers[0].read()  # the one that came first has ended


async def test_connections_beyond_the_limit_are_told_and_probes_are_answered(nats_server, stream_name, tmp_path):
    limits = {"limits": {"connections": 2, "requests": 9}}
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")], http=limits) as one:
        async with slowly_asking(one, b"t", b"u"):
            asked = b"GET %b HTTP/1.1\r\nconnection: close\r\n" + HOST + b"\r\n"

            async def is_told() -> bool:
                answer = await exchange(one, asked % b"/v1/catalog")
                return b" 503 " in answer and (503, "http.busy") == told(answer)

            await eventually(is_told)
            for target in (b"/health", b"/ready", b"/metrics"):
                assert b" 200 " in await exchange(one, asked % target)
        await eventually(lambda: _is_answered(one))


@pytest.mark.parametrize("name", [b"..", b".", b"a/b", b"//"])
async def test_an_address_is_taken_as_it_is_sent(one, name):
    asked = b"GET /v1/views/fines/" + name + b" HTTP/1.1\r\nx-tenant-id: t\r\nconnection: close\r\n" + HOST + b"\r\n"
    assert name.decode() == json.loads((await exchange(one, asked)).partition(b"\r\n\r\n")[2])["id"]


async def test_an_old_client_is_answered(one):
    assert b"200 OK" in await exchange(one, b"GET /health HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop])
def test_a_client_that_has_closed_its_side_is_answered(nats_server, stream_name, tmp_path, loop_factory, monkeypatch):
    monkeypatch.setattr(protocol, "HALF_CLOSED_S", WITHIN_S)
    asked = b"GET /v1/views/fines/a HTTP/1.1\r\nx-tenant-id: t\r\n" + HOST + b"\r\n"

    async def are_answered():
        async with served(nats_server.url, stream_name, tmp_path, [fine("a")]) as one:
            for data, answers in ((asked, 1), (3 * asked, 3), (asked[:-2], 0), (b"", 0)):
                async with connection(one) as (reader, writer), asyncio.timeout(WITHIN_S):
                    writer.write(data)
                    writer.write_eof()
                    assert answers == (await reader.read()).count(b"HTTP/1.1 200")

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(are_answered())


async def test_a_body_that_is_compressed_is_refused_with_a_word(one):
    query = gzip.compress(b'{"view":"fines"}')
    for coding in ("gzip", "GZip", "br, gzip"):
        answer = await one.post("/v1/query", query, content_encoding=coding)
        problem = answer.json()
        assert (415, "http.media_type", "identity") == (
            answer.status_code, problem["code"], answer.headers["accept-encoding"]
        )  # fmt: skip
        assert "content-encoding" in problem["hint"]
    assert 200 == (await one.post("/v1/query", b'{"view":"fines"}', content_encoding="identity")).status_code


async def test_an_upgrade_is_not_made(one):
    asked = b"GET /health HTTP/1.1\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n" + HOST + b"\r\n"
    assert b"101" not in (await exchange(one, asked))[:15]
    await is_well(one)


# who does not take what they asked for


async def test_who_takes_nothing_is_hung_up_on(nats_server, stream_name, tmp_path, monkeypatch):
    monkeypatch.setattr(protocol, "STALL_S", 0.3)
    events = [fine(f"{n}", n, tags=["x" * 20] * 9) for n in range(1_000)]
    async with served(nats_server.url, stream_name, tmp_path, events, http={"limits": {"connections": 50}}) as one:
        asked = (b"GET /v1/views/fines?limit=1000 HTTP/1.1\r\nx-tenant-id: t\r\n" + HOST + b"\r\n") * 60
        with socket.create_connection(urlsplit(one.url).netloc.split(":"), timeout=WITHIN_S) as taker:
            taker.sendall(asked)
            await is_well(one)
            await eventually(lambda: taker.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == CLOSED)
        await is_well(one)


async def test_who_takes_it_slowly_gets_all_of_it(nats_server, stream_name, tmp_path, monkeypatch):
    monkeypatch.setattr(protocol, "STALL_S", 2.0)
    events = [fine(f"{n}", n, tags=["x" * 20] * 9) for n in range(1_000)]
    async with served(nats_server.url, stream_name, tmp_path, events) as one:
        asked = (b"GET /v1/views/fines?limit=1000 HTTP/1.1\r\nx-tenant-id: t\r\n" + HOST + b"\r\n") * 60
        async with connection(one) as (reader, writer):
            writer.write(asked)
            for _ in range(60):
                _, body = await read_answer(reader)
                assert 1_000 == len(json.loads(body)["views"])
                await asyncio.sleep(0.05)  # so that all of it takes longer than a stall may


# whatever else


@settings(max_examples=60)
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS"]),
    target=st.binary(max_size=40).map(
        lambda data: b"/" + data.replace(b" ", b"").replace(b"\r", b"").replace(b"\n", b"")
    ),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"host", b"x-tenant-id", b"if-none-match", b"content-length", b"range", b"x"]),
            st.binary(max_size=20),
        )
    ),
    body=st.binary(max_size=60),
)
def test_whatever_is_sent_there_is_an_answer_of_the_right_form(fuzzed, method, target, headers, body):
    loop, one = fuzzed
    lines = [method.encode() + b" " + target + b" HTTP/1.1", b"connection: close"]
    lines += [name + b": " + value.replace(b"\r", b"").replace(b"\n", b"") for name, value in headers]
    data = loop.run_until_complete(exchange(one, b"\r\n".join(lines) + b"\r\n\r\n" + body))
    if data:
        head = data.partition(b"\r\n\r\n")[0]
        status = int(head.split()[1])
        assert 200 <= status < 500, data
        assert status < 400 or b"application/problem+json" in head


@settings(max_examples=60)
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "view",
                        "filter",
                        "sort",
                        "and",
                        "or",
                        "not",
                        "field",
                        "op",
                        "value",
                        "limit",
                        "cursor",
                        "fines",
                        "n",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_is_asked_is_answered_or_refused(fuzzed, body):
    loop, one = fuzzed
    query = {"view": "fines", **body} if isinstance(body, dict) else body
    answer = loop.run_until_complete(one.post("/v1/query", json.dumps(query).encode()))
    assert answer.status_code in (200, 400, 404, 422), answer.text


@settings(max_examples=60)
@given(
    cursor=st.text(st.characters(codec="utf-8"), min_size=1, max_size=80)
    | st.binary(min_size=1, max_size=80).map(lambda data: gzip.compress(data).hex())
)
def test_whatever_a_cursor_is_it_is_refused(fuzzed, cursor):
    loop, one = fuzzed
    answer = loop.run_until_complete(one.post("/v1/query", {"view": "fines", "cursor": cursor}))
    assert (400, "query.cursor_invalid") == (answer.status_code, answer.json()["code"])


@pytest.fixture(scope="module")
def fuzzed(nats_server, tmp_path_factory):
    """A node for many requests, in an event loop that tests run a step at a time."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        opened = served(nats_server.url, "FUZZED", tmp_path_factory.mktemp("fuzzed"), [fine("a")])
        one = runner.run(opened.__aenter__())
        with capture_logs():
            yield loop, one
        runner.run(opened.__aexit__(None, None, None))
