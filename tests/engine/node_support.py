"""What the tests of the node share: a stream and a data folder of a test's own, and what a replay makes of the same."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from engine_support import TENANCY
from patience import WITHIN_MS, WITHIN_S

from projection.bundled import bundled
from projection.engine.assembly import open_node
from projection.engine.replay import Replay
from projection.engine.tracing import UNTRACED
from projection.model.settings import Settings
from projection.model.subjects import SubjectTemplate
from projection.store.catalog import Catalog
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.engine.node import Node
    from projection.engine.summary import Summary
    from projection.engine.tracing import Tracing
    from projection.store.port import LaneStore

SHOP = {
    name: bundled(f"projections/{name}/program.proj").read_text()
    for name in ("shop_customers", "shop_orders", "shop_sales")
}
Contents = dict[str, tuple[Any, ...]]


PATIENT_QUERIES = {"time_ms": WITHIN_MS, "max_wait_ms": WITHIN_MS}


class Site:
    """One stream, filled by the test, and one data folder."""

    def __init__(self, nats: Nats, url: str, stream: str, folder: Path) -> None:
        self.nats = nats
        self.jetstream = JetStream(nats)
        self.url = url
        self.stream = stream
        self.folder = folder
        self.data = folder / "data"
        self.catalog: Catalog | None = None  # of the node that was opened last
        self.template = f"{stream}.<tenant>.aggregate.<type>.<id>"
        self._subjects = SubjectTemplate.parse(self.template)

    async def create(self) -> Site:
        await self.jetstream.ensure_stream(self.stream, [f"{self.stream}.>"])
        return self

    async def create_anew(self, **config: Any) -> None:
        """Have another stream of the name, with these settings and the server's defaults for all others."""
        wanted = {"name": self.stream, "subjects": [f"{self.stream}.>"], **config}
        for call, body in (("DELETE", {}), ("CREATE", wanted)):
            answer = await self.nats.request(f"$JS.API.STREAM.{call}.{self.stream}", json.dumps(body).encode())
            assert "error" not in json.loads(answer), answer

    async def publish(self, events: Iterable[bytes], subject: str | None = None) -> int:
        """Publish each under its own subject, or all under one; the sequence of the last."""
        messages = (Outgoing(subject or self.subject_of(event), event) for event in events)
        return (await publish_all(self.nats, self.stream, messages)).last

    def subject_of(self, data: bytes) -> str:
        try:
            event = json.loads(data)
            return self._subjects.subject(event.get("tenant_id", ""), event["aggregate_type"], event["aggregate_id"])
        except (ValueError, KeyError):  # where a replay takes such an event to come from
            return self._subjects.subject("", "unreadable", "unreadable")

    def settings(self, **more: Any) -> Settings:
        back_pressure = {"linger_ms": 5, **more.pop("back_pressure", {})}
        one_lane = {"retire_after_h": 0}  # so that a view type has one lane once its builds are settled
        more = {"stop_timeout_s": int(WITHIN_S), "query": PATIENT_QUERIES, "builds": one_lane, **more}
        return Settings(
            nats={"url": self.url}, stream=self.stream, storage=self.data, back_pressure=back_pressure, **more
        )

    @asynccontextmanager
    async def node(
        self,
        deployed: tuple[DeployedView, ...],
        *,
        new_build: bool = False,
        accept_fewer_messages: bool = False,
        tracing: Tracing = UNTRACED,
        **more: Any,
    ) -> AsyncIterator[Node]:
        settings = self.settings(**more)
        chosen = {"new_build": new_build, "accept_fewer_messages": accept_fewer_messages}
        with Catalog.open(settings.storage, settings.node) as catalog:
            self.catalog = catalog
            async with Nats.connecting_later(NatsConnection(self.url)) as nats:
                with open_node(settings, deployed, catalog, nats, tracing=tracing, **chosen) as node:
                    yield node

    async def catch_up(self, deployed: tuple[DeployedView, ...], **more: Any) -> tuple[Summary, Contents]:
        """Run a node until it has caught up, and what its stores hold then."""
        async with self.node(deployed, **more) as node:
            summary = await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
            return summary, contents_of(node)


def contents_of(folding: Node | Replay) -> Contents:
    return {lane.view_type: folded(lane.store, lane.view_type) for lane in folding.lanes}


def folded(store: LaneStore, view_type: Any) -> tuple[Any, ...]:
    """Views and parked events, byte for byte, and how far the fold has come."""
    position = store.position()
    return list(store.scan(None, view_type)), list(store.parked()), position.scanned, position.applied


def replayed(deployed: tuple[DeployedView, ...], events: Iterable[bytes]) -> Contents:
    replay = Replay(deployed, TENANCY)
    replay.run(events)
    return contents_of(replay)
