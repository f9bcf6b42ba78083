"""The door: quick and clear when it cannot connect, silent about secrets, back by itself afterwards."""

from __future__ import annotations

import asyncio
import gc
import select
import socket
import threading
from contextlib import ExitStack, suppress
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from link import Link
from patience import WITHIN_S, eventually

from projection.errors import ConfigurationError, StreamError
from projection.stream import connection
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
    from pathlib import Path

    from stream_support import Log


def test_no_secret_shows_in_a_connections_repr() -> None:
    connection = NatsConnection(
        "nats://bob:hush@a.example,tls://s3cret@b.example:5222", user="bob", password="hush", token="s3cret"
    )
    assert repr(connection) == "NatsConnection('nats://a.example:4222, tls://b.example:5222')"
    assert repr(connection) == f"{connection}"


@pytest.mark.parametrize("url", ["", "http://a", "nats://", "nats://a:b:c", "nats://a:99999", "nats://a,"])
def test_an_url_that_cannot_be_read_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="the NATS URL cannot be read; write it like"):
        _ = NatsConnection(url).hosts


async def test_no_server_at_the_url_is_said_at_once() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        began = monotonic()
        with pytest.raises(StreamError, match=f"no connection to a NATS server at nats://127.0.0.1:{port}: nothing"):
            await Nats.connect(NatsConnection(f"nats://me:hush@127.0.0.1:{port}"))
        assert monotonic() - began < WITHIN_S / 2  # and not when its patience ended


async def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_CONNECT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(StreamError, match="no answer"):
        await Nats.connect(NatsConnection(f"nats://127.0.0.1:{mute.getsockname()[1]}"))


async def test_the_more_servers_there_are_the_longer_is_waited_for_one_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is given its time: one server's patience ends before the sixth of ten mute ones was asked."""
    monkeypatch.setattr(connection, "_CONNECT_S", 0.3)
    with ExitStack() as stack:
        mute = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(10)]
        url = ",".join(f"nats://127.0.0.1:{one.getsockname()[1]}" for one in mute)
        with pytest.raises(StreamError, match="no answer"):
            await Nats.connect(NatsConnection(url))
        asked = [one for one in mute if select.select([one], [], [], 0)[0]]
        assert len(asked) >= 6


async def test_a_cluster_is_reached_by_any_of_its_urls(nats_server: EmbeddedServer) -> None:
    async with await Nats.connect(NatsConnection(f"nats://127.0.0.1:1,{nats_server.url}")) as nats:
        assert b"{" in await nats.request("$JS.API.INFO")


async def test_tls_that_the_server_does_not_speak_is_refused_before_the_password_is_sent(
    nats_server: EmbeddedServer,
) -> None:
    url = nats_server.url.replace("nats:", "tls:")
    with pytest.raises(StreamError, match="does not speak TLS"):
        await Nats.connect(NatsConnection(url))

    heard: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.sendall(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1000,"auth_required":true}\r\n')
            while data := connection.recv(4096):
                heard.append(data)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = threading.Thread(target=serve, args=[listening])
        server.start()
        with pytest.raises(StreamError, match="secure connection not available"):
            await Nats.connect(
                NatsConnection(f"tls://127.0.0.1:{listening.getsockname()[1]}", user="bob", password="hush")
            )
        server.join()
    assert b"hush" not in b"".join(heard)


async def test_a_wrong_password_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = EmbeddedServer(tmp_path)
    configure = server._configure

    def with_password() -> Path:
        config = configure()
        text = config.read_text()
        config.write_text(text.replace("{", '{"authorization": {"user": "bob", "password": "right"},', 1))
        return config

    monkeypatch.setattr(server, "_configure", with_password)
    with server:
        with pytest.raises(StreamError, match=r"refuses? (these|the) credentials") as refused:
            await Nats.connect(NatsConnection(server.url, user="bob", password="wrong"))
        assert "wrong" not in str(refused.value)
        async with await Nats.connect(NatsConnection(server.url, user="bob", password="right")) as nats:
            assert await nats.request("$JS.API.INFO")


async def test_missing_files_are_the_operators_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"credentials file .* does not exist"):
        await Nats.connect(NatsConnection("nats://127.0.0.1", credentials=tmp_path / "none.creds"))
    with pytest.raises(ConfigurationError, match=r"TLS files .* cannot be read"):
        await Nats.connect(NatsConnection("nats://127.0.0.1", tls_ca=tmp_path / "none.pem"))


async def test_a_lost_connection_comes_back_by_itself_and_fails_calls_meanwhile(log: Log) -> None:
    before = log.nats.losses
    log.nats._client._transport.close()
    with pytest.raises(StreamError, match=r"lost"):
        await log.nats.request("$JS.API.INFO")
    with pytest.raises(StreamError, match=r"is lost.*; it is tried again"):
        await log.nats.publish(f"{log.name}.ours.x", b"")
    await eventually(log.reachable)
    assert before < log.nats.losses
    assert (await log.jetstream.stream_info(log.name)).state.last_seq == 0


async def test_what_was_queued_when_the_connection_went_down_is_never_sent(log: Log) -> None:
    client = log.nats._client
    queued = f"PUB {log.name}.ours.x 0\r\n\r\n".encode()  # as a flusher leaves it that waits for a full socket
    client._pending.append(queued)
    client._pending_data_size += len(queued)
    await client._process_op_err(OSError())
    await eventually(log.reachable)
    assert (await log.jetstream.stream_info(log.name)).state.last_seq == 0


async def test_a_client_that_the_library_gave_up_is_replaced(log: Log) -> None:
    before = log.nats.losses
    await log.nats._client.close()
    assert await log.jetstream.stream_info(log.name)
    assert before < log.nats.losses


async def test_a_client_whose_coming_back_ended_by_an_error_that_the_library_does_not_know_is_replaced(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = log.nats._client

    async def fail() -> None:
        raise RuntimeError("readuntil() called while another coroutine is already waiting for incoming data")

    monkeypatch.setattr(client, "_process_connect_init", fail)
    client._transport.close()
    await eventually(lambda: client._reconnection_task is not None and client._reconnection_task.done())
    assert isinstance(client._reconnection_task.exception(), RuntimeError)
    await eventually(log.reachable)


async def test_one_attempt_to_come_back_ends_before_the_next_one_begins(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it swallows that it is canceled, as `asyncio.wait_for` does at times under Python 3.11."""
    client, has_begun = log.nats._client, asyncio.Event()

    async def stubborn() -> None:
        client._status = type(client).CONNECTING
        has_begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3_600)
        await asyncio.sleep(3_600)

    with monkeypatch.context() as patched:
        patched.setattr(client, "_process_connect_init", stubborn)
        client._transport.close()
        await asyncio.wait_for(has_begun.wait(), WITHIN_S)
        former = client._reconnection_task
    await client._process_op_err(OSError())
    await eventually(log.reachable)
    assert former.done()
    assert former is not client._reconnection_task


async def test_attempts_to_come_back_that_failed_leave_no_connection_open(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library forgets them, and would have a descriptor open for each; it is a ResourceWarning here."""
    monkeypatch.setattr(connection, "_CONNECT_S", 0.1)
    async with Link(nats_server.url) as link:
        nats = await Nats.connect(NatsConnection(link.url))
        link.silence()
        client = nats._client
        client._transport._io_writer.transport.abort()
        await eventually(lambda: client._current_server.reconnects > 2)
        link.make_whole()

        await eventually(lambda: nats._client.is_connected)
        await nats.close()
    gc.collect()


@pytest.mark.parametrize("leaves", [False, True], ids=["found by pings", "left at once"])
async def test_a_frozen_server_that_takes_nothing_more_is_left_for_another(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, leaves: bool
) -> None:
    """What was not sent to it is waited for by nobody, neither on the way to another server nor at the end."""
    monkeypatch.setattr(connection, "_PING_S", 0.2)
    monkeypatch.setattr(connection, "_CONNECT_S", 5)
    async with Link(nats_server.url) as one, Link(nats_server.url) as other:
        nats = await Nats.connect(NatsConnection(f"{one.url},{other.url}"))
        await silenced_with_something_unsent(nats, one, other)
        if leaves:
            nats.go_elsewhere()

        async def reachable() -> bool:
            try:
                return bool(await nats.request("$JS.API.INFO"))
            except StreamError:
                return False

        await eventually(reachable)
        assert nats.losses
        await nats.close()


async def test_a_connection_to_a_frozen_server_that_takes_nothing_more_is_closed(nats_server: EmbeddedServer) -> None:
    async with Link(nats_server.url) as one, Link(nats_server.url) as other:
        nats = await Nats.connect(NatsConnection(f"{one.url},{other.url}"))
        await silenced_with_something_unsent(nats, one, other)
        await asyncio.wait_for(nats.close(), WITHIN_S)


async def silenced_with_something_unsent(nats: Nats, *links: Link) -> None:
    """Silence the link that is used, and send until no more is taken."""
    port = nats._client.connected_url.port
    next(link for link in links if link.url.endswith(f":{port}")).silence()
    writer = nats._client._transport._io_writer

    is_enough = asyncio.Event()

    async def send() -> None:
        with suppress(StreamError):  # the connection is lost already
            while not is_enough.is_set():
                await nats.publish("nobody.listens", bytes(100_000))
                await asyncio.sleep(0)

    sending = asyncio.create_task(send())
    sizes = [0]

    def is_stuck() -> bool:
        sizes.append(writer.transport.get_write_buffer_size())
        return sizes[-1] == sizes[-2] > 0

    await eventually(lambda: nats.losses or is_stuck())
    is_enough.set()  # not only canceled: the library may swallow that
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_calls_on_a_closed_connection_fail(nats_server: EmbeddedServer) -> None:
    nats = await Nats.connect(NatsConnection(nats_server.url))
    await nats.close()
    await nats.close()
    with pytest.raises(StreamError, match="was closed"):
        await nats.publish("a", b"")


async def test_an_illegal_subject_is_a_stream_error(log: Log) -> None:
    with pytest.raises(StreamError, match="cannot be sent"):
        await log.nats.publish("a b", b"")
    with pytest.raises(StreamError, match="cannot be subscribed"):
        await log.nats.subscribe("a..b", None)


async def test_a_server_without_jetstream_is_said_so(log: Log) -> None:
    with pytest.raises(StreamError, match=r"nobody at .* answers .*; is JetStream switched on there"):
        await log.nats.request("$JS.hub.API.INFO")


async def test_ensure_stream_makes_a_log_that_keeps_everything_and_leaves_one_that_exists(log: Log) -> None:
    name = f"{log.name}X"
    made = await log.jetstream.ensure_stream(name, [f"{name}.>"])
    found = await log.jetstream.ensure_stream(name, ["other.>"])
    assert (made.created, made.config) == (found.created, found.config)
    assert (f"{name}.>",) == made.config.subjects
    with pytest.raises(StreamError, match="purge not permitted"):
        await log.jetstream._call(f"STREAM.PURGE.{name}", {}, object)


async def test_a_client_is_closed_in_peace_though_its_connection_has_just_gone_with_something_unsent(log):
    client = log.nats._client
    client._transport.close()
    await client.publish("x", b"never sent")
    await log.nats.close()
    assert client.is_closed
    assert client._client_id is None  # the last that the library cleans up
