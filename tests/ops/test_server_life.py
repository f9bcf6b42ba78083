"""The server's life: where it listens and where it refuses to, TLS, and its end with the node."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import AsyncExitStack, suppress

import httpx
import pytest
import uvloop
from ops_support import certificate, connection, exchange, fine, served
from patience import WITHIN_S, eventually

from projection.errors import ConfigurationError
from projection.model.http_settings import Address
from projection.model.settings import Settings
from projection.ops.http import connections, handshake, server
from projection.ops.http.server import Listener

SECRET = "0123456789abcdef-of-the-gateway"


# where it listens


@pytest.mark.parametrize("text", ["127.0.0.1:0", "localhost:0", "[::1]:0"])
def test_it_listens_where_the_settings_say(text):
    with Listener.open(Settings(http={"listen": text})) as listener:
        host, port = listener.bound.getsockname()[:2]
        assert listener.url in (f"http://{host}:{port}", f"http://[{host}]:{port}")
        socket.create_connection((host, port), timeout=WITHIN_S).close()


@pytest.mark.parametrize("off", [None, "off"])
def test_it_need_not_listen(off):
    assert Listener.open(Settings(http={"listen": off})) is None


def test_an_address_that_is_taken_is_told():
    with Listener.open(Settings(http={"listen": "127.0.0.1:0"})) as first:
        port = first.bound.getsockname()[1]
        with pytest.raises(ConfigurationError) as caught:
            Listener.open(Settings(http={"listen": f"127.0.0.1:{port}"}))
    assert f"http.listen: 127.0.0.1:{port} is taken by another process" == caught.value.message
    assert "--listen" in caught.value.hint


@pytest.mark.parametrize("text", ["127.0.0.1:7070", "[::1]:7070", "localhost:7070"])
def test_an_address_is_told_as_it_is_written(text):
    assert text == str(Address.parse(text))


def test_an_address_of_ipv6_is_told_in_brackets():
    with Listener.open(Settings(http={"listen": "[::1]:0"})) as first:
        address = f"[::1]:{first.bound.getsockname()[1]}"
        assert f"http://{address}" == first.url
        with pytest.raises(ConfigurationError) as caught:
            Listener.open(Settings(http={"listen": address}))
    assert f"http.listen: {address} is taken by another process" == caught.value.message


@pytest.mark.parametrize("text", ["203.0.113.7:0", "nowhere.invalid:0"])
def test_an_address_that_is_none_of_this_machines_is_told(text):
    access = {"mode": "header", "secret": SECRET}
    with pytest.raises(ConfigurationError, match=r"http\.listen: .* is no"):
        Listener.open(Settings(http={"listen": text, "access": access}))


@pytest.mark.parametrize("text", ["0.0.0.0:7070", "[::]:7070", "192.168.1.1:7070", "example.com:80"])
def test_without_access_control_it_refuses_to_be_reached_from_elsewhere(text):
    with pytest.raises(ValueError, match=r"can be reached from other machines, and http\.access\.mode is none"):
        Settings(http={"listen": text})
    assert Settings(http={"listen": text, "access": {"mode": "header", "secret": SECRET}})


def test_a_name_for_this_machine_that_leads_elsewhere_is_refused(monkeypatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 7070))]
    monkeypatch.setattr(server.socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(ConfigurationError, match="which other machines may reach"):
        Listener.open(Settings(http={"listen": "localhost:7070"}))


@pytest.mark.parametrize(
    "text", ["", "7070", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "::1:80", "a b:1", "http://x:1"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="is not an address to listen at"):
        Address.parse(text)


# a node and its server


async def test_what_is_under_way_when_the_node_stops_is_answered(nats_server, stream_name, tmp_path):
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")]) as one:
        asking = asyncio.create_task(one.get("/v1/views/fines/a?min_sequence=99&wait_ms=700"))
        await eventually(lambda: one.service.queries.serving.of("fines").watch.waiting)
        one.node.stop()
        answer = await one.get("/ready")
        assert (503, False) == (answer.status_code, answer.json()["ready"])
    assert 412 == (await asking).status_code


async def test_who_hangs_up_is_not_worked_for_any_more(one):
    watch = one.service.queries.serving.of("fines").watch
    asking = asyncio.create_task(one.get("/v1/views/fines/a?min_sequence=99&wait_ms=25000"))
    await eventually(lambda: watch.waiting)
    asking.cancel()
    await eventually(lambda: not watch.waiting)


# TLS


async def test_a_connection_may_be_encrypted(nats_server, stream_name, tmp_path):
    tls = certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(tls["certificate_file"]))
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")], http={"tls": tls}, trust=trust) as one:
        assert one.url.startswith("https://127.0.0.1:")
        assert 200 == (await one.get("/v1/views/fines/a")).status_code
        async with httpx.AsyncClient(trust_env=False, timeout=WITHIN_S) as stranger:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.get(one.url + "/health")
            with pytest.raises(httpx.RemoteProtocolError):
                await stranger.get(one.url.replace("https", "http") + "/health")
        old = ssl.create_default_context(cafile=str(tls["certificate_file"]))
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        async with httpx.AsyncClient(verify=old, trust_env=False, timeout=WITHIN_S) as outdated:
            with pytest.raises(httpx.ConnectError):
                await outdated.get(one.url + "/health")


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop])
def test_connections_that_do_not_begin_to_encrypt_shut_nobody_out(nats_server, stream_name, tmp_path, loop_factory):
    tls = certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(tls["certificate_file"]))
    http = {"tls": tls, "limits": {"connections": 3}}

    async def asked():
        async with (
            served(nats_server.url, stream_name, tmp_path, [fine("a")], http=http, trust=trust) as one,
            AsyncExitStack() as stack,
        ):
            silent = [await stack.enter_async_context(connection(one)) for _ in range(3 + connections.SPARE + 10)]
            silent[-1][1].write(b"GET /health HTTP/1.1\r\n\r\n")
            assert 200 == (await one.get("/v1/views/fines/a")).status_code
            with suppress(ConnectionResetError):
                assert b"" == await silent[0][0].read()  # the one that came first has made room
                await silent[-1][0].read()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(asyncio.wait_for(asked(), WITHIN_S))


async def test_a_handshake_that_does_not_come_is_not_waited_for(nats_server, stream_name, tmp_path, monkeypatch):
    monkeypatch.setattr(handshake, "HANDSHAKE_S", 0.1)
    http = {"tls": certificate(tmp_path)}
    async with served(nats_server.url, stream_name, tmp_path, [fine("a")], http=http) as one:
        for begun in (b"", b"\x16\x03\x01"):
            assert b"" == await exchange(one, begun)


def test_a_key_that_cannot_be_used_is_told_and_nobody_is_asked_for_a_passphrase(tmp_path):
    tls = certificate(tmp_path, passphrase=b"secret")
    with pytest.raises(ConfigurationError, match=r"http\.tls: .* are no certificate and its key"):
        Listener.open(Settings(http={"listen": "127.0.0.1:0", "tls": tls}))
    (tmp_path / "key.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match=r"http\.tls: "):
        Listener.open(Settings(http={"listen": "127.0.0.1:0", "tls": tls}))


def test_certificate_and_key_go_together(tmp_path):
    tls = certificate(tmp_path)
    with pytest.raises(ValueError, match="go together"):
        Settings(http={"tls": {"key_file": tls["key_file"]}})
