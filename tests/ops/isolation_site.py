"""Tenants who wish each other ill, on one real log, before one real node for each access mode.

Each view of a tenant holds the tenant's marker, and nothing else of the tenant does. So an answer to a tenant that holds
another's marker, wherever in it, has another's view in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import jwt
from patience import WITHIN_S, wait_until

from projection.model.subjects import SubjectTemplate
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

MODES = ("none", "header", "jwt")
VIEW = "things"
PARKED = "parked"  # a view of every tenant, of which every other tenant has an event parked
SAME = "same"  # a view of every tenant that is, byte for byte, the same
ALSO_HOSTILE = ("a", "a:b", "%", "x/y", "é", "..", "*", ">")
SECRET = "s" * 40
PROGRAM = """\
proj 1
projection things

event Put { id: string(120), marker: string(40), n: int, tags: list<string(40)>(4) }

type Inner { marker: string(40) }
view Thing { marker: string(40), n: int, tags: list<string(40)>(4), inner: Inner }
index by n desc
index by marker, n
index by tags

on Put as e to e.id
  when e.n < 0 => fail("NEGATIVE", "below zero")
  else => { marker: e.marker, n: e.n, tags: e.tags, inner: { marker: e.marker } }
"""


def marker_of(tenant: str) -> str:
    return "m" + blake2b(tenant.encode(), digest_size=8, key=b"isolation").hexdigest()


def views_of(tenant: str) -> dict[str, dict[str, Any]]:
    """All views of a tenant, as they must be."""
    marker = marker_of(tenant)
    found = {view_id: _view(marker, n) for n, view_id in enumerate((*ALSO_HOSTILE, PARKED))}
    return {**found, SAME: _view("", 100)}


def degraded_of(tenant: str) -> list[str]:
    """Which of them have an event parked."""
    return [PARKED] if int(marker_of(tenant)[-1], 16) % 2 else []


def _view(marker: str, n: int) -> dict[str, Any]:
    return {"inner": {"marker": marker}, "marker": marker, "n": n, "tags": [marker, "all"]}


def events_of(tenant: str) -> Iterator[dict[str, Any]]:
    for view_id, view in views_of(tenant).items():
        yield _event(tenant, view_id, view["marker"], view["n"])
    if degraded_of(tenant):
        yield _event(tenant, PARKED, marker_of(tenant), -1)


def _event(tenant: str, view_id: str, marker: str, n: int) -> dict[str, Any]:
    return {
        "tenant_id": tenant,
        "aggregate_type": "thing",
        "aggregate_id": "1",
        "event_type": "Put",
        "timestamp": "2026-01-01T00:00:00Z",
        "payload": {"id": view_id, "marker": marker, "n": n, "tags": [marker, "all"]},
    }


class Site:
    """The log, and a node for each mode."""

    def __init__(self, nats_url: str, stream: str) -> None:
        self.nats_url = nats_url
        self.stream = stream
        self.urls: dict[str, str] = {}
        self.data: dict[str, Path] = {}
        self.last = 0
        self.known: set[str] = set()
        self.http = httpx.Client(timeout=WITHIN_S, trust_env=False)

    def populate(self, tenants: Iterable[str]) -> None:
        """Give these tenants their views, once."""
        new = [tenant for tenant in dict.fromkeys(tenants) if tenant not in self.known]
        subjects = SubjectTemplate.parse(f"{self.stream}.<tenant>.aggregate.<type>.<id>")
        outgoing = [
            Outgoing(subjects.subject(tenant, "thing", "1"), json.dumps(event).encode())
            for tenant in new
            for event in events_of(tenant)
        ]

        async def publish() -> int:
            async with await Nats.connect(NatsConnection(self.nats_url)) as nats:
                await JetStream(nats).ensure_stream(self.stream, [f"{self.stream}.>"])
                return (await publish_all(nats, self.stream, outgoing)).last

        if outgoing or not self.last:
            self.last = asyncio.run(publish()) or self.last
        self.known.update(new)

    def ask(
        self,
        mode: str,
        tenant: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request with a tenant's credentials; the path is sent as it stands."""
        asked = path if params is None else f"{path}?{urlencode(params)}"
        url = httpx.URL(self.urls[mode]).copy_with(raw_path=asked.encode())
        sent = [
            *credentials(mode, tenant),
            *((name.encode(), value.encode()) for name, value in (headers or {}).items()),
        ]
        if body is None:
            return self.http.get(url, headers=sent)
        return self.http.post(url, headers=[*sent, (b"content-type", b"application/json")], content=json.dumps(body))

    def feed(self, mode: str, tenant: str, **params: str) -> str:
        """A change feed up to where it is level, or the refusal."""
        url = f"{self.urls[mode]}/v1/changes"
        text = ""
        with self.http.stream("GET", url, params={"view": VIEW, **params}, headers=credentials(mode, tenant)) as stream:
            for part in stream.iter_text():
                text += part
                if "event: level" in text:
                    break
        return text


def told(feed: str) -> list[dict[str, str]]:
    """The events of a feed, each with its `event`, `id` and `data`."""
    blocks = [block.splitlines() for block in feed.replace("\r\n", "\n").split("\n\n")]
    return [dict(line.split(": ", 1) for line in block if ": " in line) for block in blocks]


def credentials(mode: str, tenant: str) -> list[tuple[bytes, bytes]]:
    if mode == "jwt":
        token = jwt.encode({"tenant_id": tenant, "exp": int(time.time()) + 86_400}, SECRET, "HS256")
        # The header of another mode says nothing here.
        return [(b"authorization", f"Bearer {token}".encode()), (b"x-tenant-id", b"a")]
    named = [(b"x-tenant-id", tenant.encode())]
    return named if mode == "none" else [*named, (b"x-projection-secret", SECRET.encode())]


def can_be_named(mode: str, tenant: str) -> bool:
    """Whether the credentials of a mode can carry a tenant: a header's value has no control characters or outer blanks."""
    return mode == "jwt" or (
        tenant == tenant.strip(" ") and not any(ord(one) < 32 or ord(one) == 127 for one in tenant)
    )


@contextmanager
def site(nats_url: str, folder: Path) -> Iterator[Site]:
    """A stream of its own, and a node process for each access mode that reads it."""
    built = Site(nats_url, f"S{uuid4().hex[:12]}")
    built.populate([])
    (folder / "things.proj").write_text(PROGRAM)
    views = {VIEW: {"program": "things.proj", "changes": True}}
    manifest = {"manifest": 1, "subject_template": f"{built.stream}.<tenant>.aggregate.<type>.<id>", "views": views}
    (folder / "manifest.yaml").write_text(json.dumps(manifest))
    access: dict[str, dict[str, Any]] = {
        "none": {"mode": "none"},
        "header": {"mode": "header", "secret": SECRET},
        "jwt": {"mode": "jwt", "secret": SECRET, "algorithms": ["HS256"]},
    }
    with ExitStack() as stack:
        stack.callback(built.http.close)
        for mode in MODES:
            built.data[mode] = folder / mode
            settings = {
                "nats": {"url": nats_url},
                "stream": built.stream,
                "storage": str(built.data[mode]),
                "manifest": str(folder / "manifest.yaml"),
                "back_pressure": {"linger_ms": 1},
                "http": {"listen": "127.0.0.1:0", "access": access[mode]},
            }
            built.urls[mode] = stack.enter_context(_node(folder, mode, settings))
        yield built


@contextmanager
def _node(folder: Path, mode: str, settings: Mapping[str, Any]) -> Iterator[str]:
    config, log = folder / f"{mode}.json", folder / f"{mode}.log"
    config.write_text(json.dumps(settings))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")}
    command = [sys.executable, "-m", "projection", "run", "--config", str(config)]
    with log.open("wb") as output:
        node = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        try:
            yield _address(node, log)
        finally:
            node.kill()
            node.wait()


def _address(node: subprocess.Popen[bytes], log: Path) -> str:
    """Where the node listens, as its log says."""
    found: list[str] = []

    def is_told() -> bool:
        *whole, _ = log.read_text().split("\n")
        lines = [json.loads(line) for line in whole if line.startswith("{")]
        found.extend(line["url"] for line in lines if line.get("event") == "serving")
        assert found or node.poll() is None, log.read_text()
        return bool(found)

    wait_until(is_told, log.read_text)
    return found[0]
