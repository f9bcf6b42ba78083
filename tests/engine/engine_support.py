"""What the tests of the engine share: one small program that can go wrong in every way, its events, and folding them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from projection.engine.deployment import load_deployment
from projection.engine.event import EventReader
from projection.engine.lane import Lane
from projection.model.envelope import Tenancy
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.keys import ViewKey
from projection.model.manifest import Manifest
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.store.memory import MemoryLaneStore
from projection.stream.port import Message

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.store.port import LaneStore

TALLIES = """\
proj 1
projection tallies

event Added { id: string, n: int }
event Shared { ids: list<string>(50), n: int }
event Grown { id: string, texts: list<string(65536)>(100) }
event Broken { ids: list<string>(50), bad: string }
event Erased { id: string }
event ErasedAll { ids: list<string>(50) }
event Nowhere { id?: string }

view Tally { total: int = 0, events: int = 0, texts: list<string(65536)>(100) = [] }

on Added as e to e.id =>
  let tally = view ?? {};
  tally with { total += e.n, events += 1 }

on Shared as e for one in e.ids to one =>
  let tally = view ?? {};
  tally with { total += e.n, events += 1 }

on Grown as e to e.id =>
  let tally = view ?? {};
  tally with { texts: e.texts, events += 1 }

on Broken as e for one in e.ids to one
  when one == e.bad => fail("BAD", "as asked")
  else =>
    let tally = view ?? {};
    tally with { events += 1 }

on Erased as e to e.id => delete
on ErasedAll as e for one in e.ids to one => delete

on Nowhere as e to e.id =>
  let tally = view ?? {};
  tally with { events += 1 }
"""
CORRECTED = TALLIES.replace('when one == e.bad => fail("BAD", "as asked")', "when one == e.bad => keep")
TOO_MUCH = 2**63 - 1  # added to a tally that has something, it overflows: R701

TEMPLATE = SubjectTemplate.parse(DEFAULT_TEMPLATE)
TENANCY = Tenancy()


def deploy(
    folder: Path,
    programs: str | dict[str, str] = TALLIES,
    *,
    tenancy: Tenancy = TENANCY,
    template: str = DEFAULT_TEMPLATE,
    entries: dict[str, dict[str, Any]] | None = None,
    **entry: Any,
) -> tuple[DeployedView, ...]:
    """Programs by view type, written into a folder and loaded from it.

    `entry` is what the manifest says of each of them, `entries` what it says of one.
    """
    if isinstance(programs, str):
        programs = {"tallies": programs}
    folder.mkdir(parents=True, exist_ok=True)
    for view_type, text in programs.items():
        (folder / f"{view_type}.proj").write_text(text)
    views = {
        view_type: {"program": f"{view_type}.proj", **entry, **(entries or {}).get(view_type, {})}
        for view_type in programs
    }
    manifest = {"manifest": 1, "subject_template": template, "views": views}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return load_deployment(Manifest.load(folder / "manifest.json"), tenancy)


def envelope(event_type: str, payload: Any, tenant: str | None = "a", **more: Any) -> bytes:
    fields = {
        "tenant_id": tenant,
        "aggregate_type": "tally",
        "aggregate_id": "1",
        "event_type": event_type,
        "payload": payload,
        "timestamp": "2024-01-01T00:00:00Z",
        **more,
    }
    return json.dumps({name: value for name, value in fields.items() if value is not None}, ensure_ascii=False).encode()


def added(view_id: str, n: int = 1, tenant: str = "a") -> bytes:
    return envelope("Added", {"id": view_id, "n": n}, tenant)


def shared(*view_ids: str, n: int = 1, tenant: str = "a") -> bytes:
    return envelope("Shared", {"ids": view_ids, "n": n}, tenant)


def broken(*view_ids: str, bad: str | None = None, tenant: str = "a") -> bytes:
    """Fails at one of its views, the first by default."""
    return envelope("Broken", {"ids": view_ids, "bad": bad or view_ids[0]}, tenant)


def erased(*view_ids: str, tenant: str = "a") -> bytes:
    if len(view_ids) == 1:
        return envelope("Erased", {"id": view_ids[0]}, tenant)
    return envelope("ErasedAll", {"ids": view_ids}, tenant)


class Log:
    """Messages with rising sequences, as the stream would number them; keeps them to be read again."""

    def __init__(self, *events: bytes) -> None:
        self.messages: list[Message] = []
        self.add(*events)

    def add(self, *events: bytes, subject: str | None = None, tenant: str = "a") -> Log:
        for data in events:
            sequence = len(self.messages) + 1
            where = subject or TEMPLATE.subject(_tenant(data, tenant), "tally", "1")
            self.messages.append(Message(sequence, where, data, str(1_700_000_000_000_000_000 + sequence)))
        return self

    @property
    def last(self) -> int:
        return len(self.messages)


def _tenant(data: bytes, otherwise: str) -> str:
    try:
        return str(json.loads(data)["tenant_id"])
    except (ValueError, KeyError, TypeError):
        return otherwise


def feed(lane: Lane, messages: Iterable[Message], *, commit_every: int = 10**9, tenancy: Tenancy = TENANCY) -> Lane:
    """Fold messages as the node does, with a commit after every so many and at the end."""
    reader = EventReader(lane.deployed.entry.subject_template, tenancy)
    for number, message in enumerate(messages, 1):
        lane.apply(reader.read(message))
        if number % commit_every == 0:
            lane.commit(None)
    lane.commit(None)
    return lane


def folded(deployed: tuple[DeployedView, ...], log: Log, **more: Any) -> Lane:
    """The lane of the first view type after all of a log, on a store in memory."""
    return feed(Lane(deployed[0], MemoryLaneStore()), log.messages, **more)


def views(store: LaneStore, tenant: str | None = None) -> dict[tuple[str, str], dict[str, Any]]:
    """Views by tenant and id, without what they do not say."""
    found = store.scan(None if tenant is None else TenantId(tenant), ViewType("tallies"))
    return {(str(key.tenant_id), str(key.view_id)): json.loads(view) for key, view in found}


def totals(store: LaneStore) -> dict[tuple[str, str], int]:
    return {key: view["total"] for key, view in views(store).items()}


def parked(store: LaneStore) -> list[tuple[str, str | None, int, str]]:
    """(tenant, view id, sequence, code) of all that is parked, in the store's order."""
    return [
        (str(one.tenant_id), None if one.view_id is None else str(one.view_id), one.sequence, one.code)
        for one in store.parked()
    ]


def view_key(view_id: str, tenant: str = "a") -> ViewKey:
    return ViewKey(TenantId(tenant), ViewType("tallies"), ViewId(view_id))


def contents(store: LaneStore) -> tuple[Any, ...]:
    """Everything that a store tells, byte for byte."""
    return (
        list(store.scan(None, ViewType("tallies"))),
        list(store.parked()),
        store.count_views(),
        store.position(),
    )
