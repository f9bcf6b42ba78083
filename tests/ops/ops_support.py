"""What the tests of the server share: a real node on a real log, its server, and a client that sends what it is told."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from engine_support import deploy
from node_support import Site
from patience import WITHIN_S, eventually

from projection.engine.tracing import UNTRACED
from projection.ops.http.server import Listener, serving
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from projection.engine.node import Node
    from projection.ops.http.service import Service
    from projection.ops.tracing.exporting import NodeTracing

PROGRAM = """\
proj 1
projection fines

event Put { id: string(200), status: enum(open, paid), balance: decimal(2), n: int, on: bool, tags: list<string(20)>(9), by?: string }

view Fine {
  status: enum(open, paid), balance: decimal(2), n: int, on: bool, tags: list<string(20)>(9), by: string?
}
index by status, balance desc

on Put as e to e.id
  when e.n < 0 => fail("NEGATIVE", "below zero")
  else => { status: e.status, balance: e.balance, n: e.n, on: e.on, tags: e.tags, by: e.by }
"""
SOME_IDS = ("a", "a/b", "a%2Fb", "a%252Fb", "ä€😀", ".", "..", "a b+c&d=e", "x\ny", "/", "//", "?#", ":%*>")


def fine(view_id: str, n: int = 1, tenant: str = "t", traceparent: str | None = None, **more: Any) -> bytes:
    payload = {
        "id": view_id,
        "status": "paid" if n % 2 else "open",
        "balance": n + 0.5,
        "n": n,
        "on": n > 3,
        "tags": [],
    }
    event = {
        "tenant_id": tenant,
        "aggregate_type": "fine",
        "aggregate_id": "1",
        "event_type": "Put",
        "timestamp": "2026-01-01T00:00:00Z",
        "payload": {**payload, **more},
    }
    return json.dumps(event if traceparent is None else event | {"traceparent": traceparent}).encode()


@dataclass
class Served:
    """A node that is asked."""

    site: Site
    node: Node
    service: Service
    url: str
    http: httpx.AsyncClient

    async def get(self, target: str, tenant: str | None = "t", **headers: str) -> httpx.Response:
        """GET, with the target as it stands."""
        return await self.send("GET", target, tenant=tenant, headers=headers)

    async def post(self, target: str, body: Any, tenant: str | None = "t", **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.send(
            "POST", target, tenant=tenant, headers={"content-type": "application/json", **headers}, content=content
        )

    async def send(
        self, method: str, target: str, *, tenant: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        url = httpx.URL(self.url).copy_with(raw_path=target.encode())
        sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in (headers or {}).items()]
        if tenant is not None:
            sent.append((b"x-tenant-id", tenant.encode()))
        return await self.http.request(method, url, headers=sent, **more)

    async def publish(self, events: Iterable[bytes]) -> int:
        """Publish events, and wait until their effect is stored; the sequence of the last."""
        last = await self.site.publish(events)
        await self.until(last)
        return last

    async def until(self, sequence: int) -> None:
        await eventually(lambda: self.node.lanes[0].position.scanned >= sequence)


@asynccontextmanager
async def busy(one: Served, log: list[bytes], *, least: int = 0) -> AsyncIterator[list[tuple[int, int]]]:
    """Events come, and are added to the log, and a view is asked for all the while; yields what was answered.

    Events have numbers from the least one on; a program parks those below zero.
    """
    over, answers = asyncio.Event(), []

    async def publish() -> None:
        while not over.is_set():
            events = [fine(f"v{len(log) % 50}", len(log) % 1_000 + least) for _ in range(20)]
            log.extend(events)
            await one.site.publish(events)

    async def ask() -> None:
        while not over.is_set():
            answer = await one.get("/v1/views/fines/b")
            answers.append((answer.status_code, answer.json()["view"]["n"]))

    tasks = [asyncio.create_task(publish()), asyncio.create_task(ask())]
    try:
        yield answers
    finally:
        over.set()
        await asyncio.gather(*tasks)


@asynccontextmanager
async def served(
    nats_url: str,
    stream: str,
    folder: Path,
    events: Iterable[bytes] = (),
    *,
    http: dict[str, Any] | None = None,
    trust: ssl.SSLContext | bool = True,
    entry: dict[str, Any] | None = None,
    programs: dict[str, str] | None = None,
    settles: bool = True,
    tracing: NodeTracing | None = None,
    **more: Any,
) -> AsyncIterator[Served]:
    """A node with its server, in this event loop; where it `settles`, it has folded the events by then."""
    async with await Nats.connect(NatsConnection(nats_url)) as nats:
        site = await Site(nats, nats_url, stream, folder).create()
        if entry and "subjects" in entry:
            entry = entry | {"subjects": [one.format(stream=stream) for one in entry["subjects"]]}
        deployed = deploy(
            folder / "deployed", programs or {"fines": PROGRAM}, template=site.template, entries={"fines": entry or {}}
        )
        more["http"] = {"listen": "127.0.0.1:0", **(http or {})}
        settings = site.settings(**more)
        last = await site.publish(events)
        with Listener.open(settings) as listener:
            async with site.node(deployed, tracing=tracing or UNTRACED, **more) as node:
                assert site.catalog is not None
                async with (
                    httpx.AsyncClient(timeout=WITHIN_S, verify=trust, trust_env=False) as client,
                    serving(listener, node, site.catalog, settings, tracing and tracing.requests) as service,
                ):
                    running = asyncio.create_task(node.run())
                    one = Served(site, node, service, listener.url, client)
                    try:
                        if settles:
                            await one.until(last)
                            await eventually(lambda: node.is_ready or node.health.troubles())
                        yield one
                    finally:
                        node.stop()
                        await running


async def ask_each_address(one: Served) -> set[tuple[str, str]]:
    """Ask each address of the OpenAPI document, and the console; the methods, and the templates of the paths.

    What is asked may well be refused, and orders are: they lack who gives them.
    """
    named = {"view_type": "fines", "view_id": "a", "build": "1", "sequence": "2", "task_id": "none"}
    paths = (await one.get("/openapi.json")).json()["paths"]
    asked = {(method.upper(), path) for path, methods in paths.items() for method in {"get", "post"} & methods.keys()}
    for method, path in sorted(asked):
        more = {"content": b"{}", "headers": {"content-type": "application/json"}} if method == "POST" else {}
        assert (await one.send(method, path.format(**named), tenant="t", **more)).status_code != 500
    for path in ("/console", "/console/js/main.js"):
        await one.get(path, None)
    return asked | {("GET", "/console"), ("GET", "/console/{path}")}


@asynccontextmanager
async def connection(one):
    parts = urlsplit(one.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def exchange(one, data):
    """What comes back for these bytes, until the connection ends."""
    async with connection(one) as (reader, writer), asyncio.timeout(WITHIN_S):
        writer.write(data)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


def told(data):
    """Status and code of one problem that ends a connection."""
    head, _, body = data.partition(b"\r\n\r\n")
    problem = json.loads(body)
    assert problem["status"] == int(head.split()[1])
    assert b"content-type: application/problem+json" in head
    return problem["status"], problem["code"]


def certificate(folder, passphrase=None):
    """A certificate that this machine signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    (folder / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return {"certificate_file": folder / "cert.pem", "key_file": folder / "key.pem"}
