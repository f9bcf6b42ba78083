"""NATS over WebSocket, with TLS and without: what a node does with the server it does over this as well."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from certificates import Authority
from configured_server import ConfiguredServer
from patience import eventually
from stream_support import Log, read, sequences

from projection.errors import ConfigurationError, StreamError
from projection.extras import missing_extra
from projection.stream import connection as connection_module
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream
from projection.stream.node_name import NodeName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMES = ("ws", "wss")


@pytest.fixture
def ca(tmp_path: Path) -> dict[str, str]:
    return Authority("ours").write(tmp_path, "server")


def configured(folder: Path, scheme: str, ca: dict[str, str], **more: Any) -> ConfiguredServer:
    tls = {"tls": {name: ca[name] for name in ("cert_file", "key_file")}} if scheme == "wss" else {"no_tls": True}
    return ConfiguredServer(folder, websocket={"host": "127.0.0.1", "port": -1, **tls}, **more)


@pytest.fixture(params=SCHEMES)
def server(request: pytest.FixtureRequest, tmp_path: Path, ca: dict[str, str]) -> Iterator[ConfiguredServer]:
    with configured(tmp_path / "nats", request.param, ca) as started:
        yield started


def connection_of(server: ConfiguredServer, ca: dict[str, str], **more: Any) -> NatsConnection:
    url = server.websocket_url
    return NatsConnection(url, tls_ca=ca["ca_file"] if url.startswith("wss:") else None, **more)


async def test_what_is_published_is_read_also_after_the_server_was_started_again(
    server: ConfiguredServer, ca: dict[str, str], stream_name: str
) -> None:
    async with await Nats.connect(connection_of(server, ca)) as nats:
        log = await Log(JetStream(nats), stream_name).create()
        await log.publish(300)
        await log.publish(2, data=b"x" * 300_000)
        feed = log.feed(node_name=NodeName(JetStream(nats), stream_name, "me"))
        await feed.open()
        assert log.ours == sequences(await read(feed, 302))
        server.kill()
        server.start()
        await eventually(log.reachable)
        await log.publish(100)
        assert log.ours[302:] == sequences(await read(feed, 402))
        assert nats.losses
        await feed.close()


async def test_a_connection_that_breaks_comes_back_and_sends_nothing_that_was_queued(
    server: ConfiguredServer, ca: dict[str, str], stream_name: str
) -> None:
    async with await Nats.connect(connection_of(server, ca)) as nats:
        log = await Log(JetStream(nats), stream_name).create()
        nats._client._transport.write(f"PUB {stream_name}.ours.x 0\r\n\r\n".encode())
        await nats._client._process_op_err(OSError())
        await eventually(log.reachable)
        assert (await log.jetstream.stream_info(stream_name)).state.last_seq == 0


async def test_a_certificate_that_nobody_known_has_signed_is_refused(tmp_path: Path, ca: dict[str, str]) -> None:
    others = Authority("others").write(tmp_path, "other")
    with (
        configured(tmp_path / "nats", "wss", ca) as server,
        pytest.raises(StreamError, match="its certificate is refused"),
    ):
        await Nats.connect(NatsConnection(server.websocket_url, tls_ca=others["ca_file"]))


async def test_servers_that_the_cluster_tells_of_are_left_alone(tmp_path: Path, ca: dict[str, str]) -> None:
    """The library takes them for ones that speak no WebSocket, and would go on with one of them."""
    with configured(tmp_path / "nats", "ws", ca) as server:
        async with await Nats.connect(connection_of(server, ca)) as nats:
            await nats._client._process_info({"connect_urls": ["127.0.0.1:1"]})
            assert {"ws"} == {one.uri.scheme for one in nats._client._server_pool}


async def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "_CONNECT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(StreamError, match="no answer"):
        await Nats.connect(NatsConnection(f"ws://127.0.0.1:{mute.getsockname()[1]}"))


@pytest.mark.parametrize(("answer", "said"), [
    (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "answers no WebSocket, but HTTP 404"),
    (b"INFO {}\r\n", "answers no WebSocket"),
])  # fmt: skip
async def test_what_speaks_no_websocket_is_told_so(answer: bytes, said: str) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # of an attempt that is given up, for the first one was told
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(StreamError, match=said):
            await Nats.connect(NatsConnection(f"ws://127.0.0.1:{port}"))


async def test_nobody_at_the_address_is_told_as_ever() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(StreamError, match=f"no connection to a NATS server at {url}: nothing listens there"):
            await Nats.connect(NatsConnection(url))


def test_hosts_have_the_ports_of_their_schemes() -> None:
    hosts = NatsConnection("ws://a.example,wss://me:hush@b.example,ws://c.example:8080/nats").hosts
    assert "ws://a.example:80, wss://b.example:443, ws://c.example:8080" == hosts


@pytest.mark.parametrize(("url", "more", "said"), [
    ("ws://a,nats://b", {}, "WebSocket and others"),
    ("ws://a", {"tls_ca": "x.pem"}, "wss://"),
    ("ws://a", {"tls_first": True}, "wss://"),
])  # fmt: skip
def test_what_does_not_go_together_is_refused(url: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Nats.connecting_later(NatsConnection(url, **more))


def test_without_its_library_the_extra_is_named() -> None:
    told = missing_extra(ModuleNotFoundError("No module named 'aiohttp'", name="aiohttp"))
    assert "pip install 'projection-node[websocket]'" == told.hint
