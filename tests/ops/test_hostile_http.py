"""Hostile HTTP at the byte level: whatever a client sends, what is kept for its connection is bounded.

Raw sockets against the protocol with stub applications; nothing here is timed. What is kept is measured as memory, so the
insides of the parser count as well.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import tracemalloc
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import uvicorn
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from ops_support import certificate, exchange, fine, served, told
from patience import eventually
from uvicorn.server import ServerState

from projection.ops.http import connections, protocol
from projection.ops.http.connections import Connections
from projection.ops.http.handshake import TlsServer
from projection.ops.http.protocol import BoundedProtocol

KEPT = 1_000_000  # bytes at most, of one connection
SENT = 3_000_000  # bytes of what goes on and on
GET = b"GET /health HTTP/1.1\r\nhost: localhost\r\n"
CHUNKED = b"POST /v1/query HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
SHAPES = {  # what comes first, and what goes on and on behind it
    "an address without an end": (b"GET /", b"x"),
    "parameters without an end": (b"GET /?", b"a=b&"),
    "a method without an end": (b"", b"G"),
    "many headers": (GET, b"a:b\r\n"),
    "a header's name without an end": (GET, b"x"),
    "a header without an end": (GET + b"x: ", b"y"),
    "spaces in front of a header's value": (GET + b"x:", b" "),
    "line ends": (b"", b"\r\n"),
    "line ends behind a request": (GET + b"\r\n", b"\r\n"),
    "many trailers": (CHUNKED + b"0\r\n", b"a:b\r\n"),
    "a trailer without an end": (CHUNKED + b"1\r\nx\r\n0\r\nx: ", b"y"),
    "an extension of a chunk without an end": (CHUNKED + b"1;x=", b"y"),
    "an extension of the last chunk without an end": (CHUNKED + b"0;x=", b"y"),
    "many extensions of a chunk": (CHUNKED + b"1", b";a=b"),
    "chunks with extensions": (CHUNKED, b"1;" + b"y" * 4_000 + b"\r\nx\r\n"),
    "chunks of one byte": (CHUNKED, b"1\r\nx\r\n"),
    "large chunks": (CHUNKED, b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
    "zeros in front of a chunk's size": (CHUNKED, b"0"),
    "a long body": (GET + b"content-length: 999999999\r\n\r\n", b"x"),
    "small requests": (b"", b"GET / HTTP/1.1\r\n\r\n"),
    "requests with headers": (b"", b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 90 + b"\r\n"),
    "requests with trailers": (b"", CHUNKED + b"0\r\n" + b"a:b\r\n" * 2_000 + b"\r\n"),
    "large requests": (b"", b"GET /?" + b"x" * 60_000 + b" HTTP/1.1\r\n\r\n"),
    "an upgrade": (GET + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n", b"\x00"),
    "a tunnel": (b"CONNECT localhost:80 HTTP/1.1\r\n\r\n", b"\x00"),
    "an expectation": (GET + b"expect: 100-continue\r\ncontent-length: 999999999\r\n\r\n", b"x"),
}


async def answers(scope, receive, send):
    """As most refusals do: without a look at the body."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def reads(scope, receive, send):
    """To the end of the body, of which nothing is kept."""
    while (message := await receive()).get("more_body") and message["type"] == "http.request":
        del message
    await answers(scope, receive, send)


async def waits(scope, receive, send):
    """As for a sequence that does not come."""
    await asyncio.Event().wait()


class Counting(BoundedProtocol):
    """What came of one connection."""

    def __init__(self, *args, **named):
        super().__init__(*args, **named)
        self.taken = 0

    def data_received(self, data):
        self.taken += len(data)
        super().data_received(data)

    @property
    def has_had_enough(self):
        return self.transport.is_closing() or self.flow.read_paused


@asynccontextmanager
async def connected(app):
    """A client's socket, and the server's end of it."""
    config = uvicorn.Config(app, loop="none", ws="none", lifespan="off", log_config=None)
    config.load()
    state, all_of_them, made = ServerState(), Connections(10), []

    def end():
        made.append(Counting(all_of_them, config, state, {}))
        return made[-1]

    server = await asyncio.get_running_loop().create_server(end, "127.0.0.1", 0)
    with socket.socket() as client:
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, server.sockets[0].getsockname())
        await eventually(lambda: state.connections)
        try:
            yield client, made[0]
        finally:
            server.close()
            made[0].transport.abort()
            for task in state.tasks:
                task.cancel()
            await asyncio.gather(*state.tasks, return_exceptions=True)


async def send_all(client, pieces, served_end):
    """Send until all is taken, or the server has had enough; what has come back is read and forgotten."""
    loop, back = asyncio.get_running_loop(), bytearray(65_536)
    sent = 0

    async def sending():
        nonlocal sent
        for piece in pieces:
            await loop.sock_sendall(client, piece)
            sent += len(piece)

    async def reading():
        while await loop.sock_recv_into(client, back):
            pass

    tasks = [asyncio.ensure_future(sending()), asyncio.ensure_future(reading())]
    # A server that answers reads on in a moment; one that waits does not.
    await eventually(lambda: (tasks[0].done() and served_end.taken >= sent) or served_end.has_had_enough)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def run(coroutine):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


@settings(max_examples=60)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    before=st.sampled_from(
        [b"", GET + b"\r\n", GET + b"content-length: 1\r\n\r\nx", CHUNKED + b"1\r\nx\r\n0\r\na: b\r\n\r\n"]
    ),
    app=st.sampled_from([answers, reads, waits]),
    size=st.sampled_from([1_000, 9_999, 65_536, 262_144]),
    first=st.integers(1, 200),
)
def test_what_is_kept_of_a_connection_is_bounded_whatever_is_sent(shape, before, app, size, first):
    begin, more = SHAPES[shape]
    data = memoryview(before + begin + more * (SENT // len(more)))
    pieces = [data[:first], *(data[at : at + size] for at in range(first, len(data), size))]

    async def kept():
        async with connected(app) as (client, served_end):
            gc.collect()
            tracemalloc.start()
            try:
                await send_all(client, pieces, served_end)
                gc.collect()
                return tracemalloc.get_traced_memory()[0]
            finally:
                tracemalloc.stop()

    assert run(kept()) < KEPT


@pytest.mark.parametrize("app", [answers, waits])
@pytest.mark.parametrize("shape", sorted(name for name in SHAPES if "requests" not in name))
def test_what_has_no_end_is_ended_or_left_in_the_network(shape, app):
    begin, more = SHAPES[shape]
    data = memoryview(begin + more * (SENT // len(more)))

    async def taken():
        async with connected(app) as (client, served_end):
            await send_all(client, [data], served_end)
            return served_end.taken

    assert run(taken()) < SENT


async def test_trailers_beyond_the_limit_of_a_head_are_refused(one):
    many = CHUNKED[:-2] + b"content-type: application/json\r\n\r\n" + b"0\r\n" + b"a:b\r\n" * 20_000
    assert (431, "http.head_too_large") == told(await exchange(one, many))


async def test_too_many_headers_are_refused(one):
    assert (431, "http.head_too_large") == told(await exchange(one, GET + b"a:b\r\n" * 101 + b"\r\n"))


async def test_a_trailer_is_no_header(nats_server, stream_name, tmp_path):
    """A gateway takes such headers out of what a client sends, and need not look behind the body."""
    secret = "0123456789abcdef-of-the-gateway"
    http = {"access": {"mode": "header", "secret": secret}}
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")], http=http) as one:
        head = CHUNKED.replace(b"POST /v1/query", b"GET /metrics")[:-2] + b"connection: close\r\n"
        head += b"x-projection-secret: " + secret.encode() + b"\r\n"
        scopes = b"x-projection-scopes: operator\r\n"
        assert b"HTTP/1.1 200" in (await exchange(one, head + scopes + b"\r\n0\r\n\r\n"))[:12]
        assert (403, "access.forbidden") == told(await exchange(one, head + b"\r\n0\r\n" + scopes + b"\r\n"))


async def test_what_comes_of_a_body_behind_its_answer_is_taken_and_the_connection_goes_on():
    async with connected(answers) as (client, served_end):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, GET + b"content-length: 100000\r\n\r\n")
        assert b"ok" in await loop.sock_recv(client, 1_000)
        await loop.sock_sendall(client, b"x" * 100_000)
        await eventually(lambda: served_end.taken > 100_000)
        await eventually(lambda: served_end.timeout_keep_alive_task is not None)  # it is ended where nothing comes
        await loop.sock_sendall(client, GET + b"\r\n")
        assert b"ok" in await loop.sock_recv(client, 1_000)


@pytest.mark.parametrize("rest", [b"", b"x" * 9, b"\r\n"])
async def test_a_request_that_is_unfinished_behind_its_answer_is_ended(rest, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_S", 0.1)
    async with connected(answers) as (client, _):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, CHUNKED + rest)
        while await loop.sock_recv(client, 1_000):
            pass


async def test_line_ends_between_requests_do_not_keep_a_connection(monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_S", 0.1)
    async with connected(answers) as (client, _):
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, GET + b"\r\n")
        await loop.sock_recv(client, 1_000)
        await loop.sock_sendall(client, b"\r\n")
        while await loop.sock_recv(client, 1_000):
            pass


LARGE = 8_000_000  # more than the kernel keeps of an answer


async def answers_at_length(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE)]})
    await send({"type": "http.response.body", "body": bytes(LARGE)})


async def answers_in_pieces(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % LARGE)]})
    for left in range(LARGE - LARGE // 32, -1, -LARGE // 32):
        await send({"type": "http.response.body", "body": bytes(LARGE // 32), "more_body": left > 0})


@asynccontextmanager
async def many_connected(app, count):
    """Sockets of clients, each with the server's end of it."""
    config = uvicorn.Config(app, loop="none", ws="none", lifespan="off", log_config=None)
    config.load()
    state, all_of_them, made = ServerState(), Connections(count), []
    loop = asyncio.get_running_loop()

    def end():
        made.append(Counting(all_of_them, config, state, {}))
        return made[-1]

    server = await loop.create_server(end, "127.0.0.1", 0)
    async with AsyncExitStack() as stack:
        stack.callback(server.close)
        clients = []
        for number in range(count):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            await loop.sock_connect(client, server.sockets[0].getsockname())
            await eventually(lambda: len(made) > number and made[number].transport)  # noqa: B023 - it is awaited here
            stack.callback(made[number].transport.abort)
            clients.append((client, made[number]))
        yield clients


def unsent(clients):
    return sum(end.unsent() for _, end in clients if not end.transport.is_closing())


@pytest.mark.parametrize("app", [answers_at_length, answers_in_pieces])
@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop])
def test_answers_that_nobody_takes_are_bounded_in_their_sum_and_who_takes_gets_all(monkeypatch, loop_factory, app):
    limit = 3 * LARGE
    monkeypatch.setattr(connections, "MAX_UNSENT_BYTES", limit)

    async def all_of_them():
        loop, taken = asyncio.get_running_loop(), 0

        async with many_connected(app, 8) as clients:
            taker, end = clients[0]
            await loop.sock_sendall(taker, GET + b"\r\n")
            await eventually(lambda: end.flow.write_paused)
            for client, other in clients[1:]:
                before = end.unsent()
                while before == end.unsent() > 0:  # the kernel has room for more when it likes
                    taken += len(await loop.sock_recv(taker, 100_000))
                await loop.sock_sendall(client, GET + b"\r\n")
                await eventually(lambda: other.flow.write_paused)  # noqa: B023 - it is awaited here
                assert unsent(clients) <= limit
            while taken < LARGE:
                taken += len(await loop.sock_recv(taker, 1_000_000))

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(all_of_them())


async def test_no_request_is_begun_before_the_answer_to_the_one_before_it_was_taken():
    begun = []

    async def app(scope, receive, send):
        begun.append(scope)
        await answers_at_length(scope, receive, send)

    async with many_connected(app, 1) as [(client, end)]:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, GET + b"\r\n")
        await eventually(lambda: end.flow.write_paused)
        await loop.sock_sendall(client, 2 * (GET + b"\r\n"))
        await eventually(lambda: end.pipeline)
        assert 1 == len(begun)
        taken = 0
        while taken < 3 * LARGE:
            taken += len(await loop.sock_recv(client, 1_000_000))
        assert 3 == len(begun)


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop])
def test_answers_that_are_encrypted_and_not_taken_are_bounded_as_well(tmp_path, monkeypatch, loop_factory):
    monkeypatch.setattr(connections, "MAX_UNSENT_BYTES", LARGE)
    files = certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files["certificate_file"], files["key_file"])
    trust = ssl.create_default_context(cafile=str(files["certificate_file"]))

    async def connect(address):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, address)
        return await asyncio.open_connection(sock=client, ssl=trust, server_hostname="127.0.0.1")

    async def all_of_them():
        config = uvicorn.Config(answers_in_pieces, loop="none", ws="none", lifespan="off", log_config=None)
        config.load()
        state, every, made, writers = ServerState(), Connections(10), [], []

        def end():
            made.append(Counting(every, config, state, {}))
            return made[-1]

        with socket.create_server(("127.0.0.1", 0)) as bound:
            bound.setblocking(False)
            server = TlsServer(bound, tls, every, end)
            try:
                for count in range(1, 7):
                    _, writer = await connect(bound.getsockname())
                    writers.append(writer)
                    writer.write(GET + b"\r\n")
                    await eventually(lambda: len(made) == count and made[-1].transport)  # noqa: B023 - awaited here
                    await eventually(lambda: made[-1].flow.write_paused)
                    assert sum(one.unsent() for one in made if not one.transport.is_closing()) <= LARGE
                assert any(one.transport.is_closing() for one in made)
            finally:
                server.close()
                await server.wait_closed()
                for one in (*made, *writers):
                    one.transport.abort()
                for writer in writers:
                    with suppress(OSError):
                        await writer.wait_closed()
                await asyncio.gather(*state.tasks, return_exceptions=True)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(all_of_them())
