"""What a lane's store has to hold: the log as it was stored, folded again in plain Python."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine_support import TALLIES, deploy
from fold_model import Model

from projection.model.ids import TenantId, ViewType
from projection.model.keys import CheckpointKey

if TYPE_CHECKING:
    from pathlib import Path

    from simulated_stream import Stored

    from projection.engine.deployment import DeployedView
    from projection.store.port import LaneStore

NOTES = """\
proj 1
projection notes
event Noted { id: string }
view Note { count: int = 0 }
on Noted as e to e.id =>
  let note = view ?? {};
  note with { count += 1 }
"""
TENANTS = ("a", "b")
HALTS = "strict"
_OF_TALLIES = {"Added", "Shared", "Grown", "Broken", "Erased", "ErasedAll", "Nowhere"}


def deployment(folder: Path) -> tuple[DeployedView, ...]:
    """Two view types of the same events, one of which halts where the other parks; and one that sees little."""
    tallies = {"subjects": ["tenant.*.aggregate.tally.*"]}
    return deploy(
        folder,
        {"tallies": TALLIES, HALTS: TALLIES.replace("tallies", HALTS), "notes": NOTES},
        entries={
            "tallies": {**tallies, "changes": True},
            HALTS: {**tallies, "on_error": "halt"},
            "notes": {"subjects": ["tenant.*.aggregate.note.*"]},
        },
    )


@dataclass
class Generation:
    """All that one stream ever stored: it forgets nothing, whatever the server loses."""

    created: str
    messages: list[Stored] = field(default_factory=list)

    def cut(self, last: int) -> Generation:
        """What goes on after the end was lost."""
        return Generation(self.created, self.messages[:last])

    def common_with(self, other: Generation) -> int:
        """The last sequence up to which two are one log; -1 where they are not even one stream."""
        if self.created != other.created:
            return -1
        pairs = zip(self.messages, other.messages, strict=False)
        shorter = min(len(self.messages), len(other.messages))
        return next((one.sequence - 1 for one, two in pairs if one is not two), shorter)


class _Notes:
    """As `fold_model.Model`, for the other program."""

    def __init__(self) -> None:
        self.views: dict[tuple[str, str], dict[str, Any]] = {}
        self.alone: list[tuple[str, None, int, str]] = []

    def parked(self) -> list[tuple[str, None, int, str]]:
        return self.alone

    def _fold(self, sequence: int, data: bytes, tenant: str) -> None:
        if _type_of(data) is None:
            self.alone.append((tenant, None, sequence, "D101"))
            return
        view = self.views.setdefault((tenant, json.loads(data)["payload"]["id"]), {"count": 0})
        view["count"] += 1


class Expected:
    """One view type, folded up to a sequence; it goes on from there."""

    def __init__(self, view_type: str) -> None:
        self.view_type = view_type
        self.scanned = 0
        self.applied = 0
        self.halted_at: int | None = None
        self.checkpoints = dict.fromkeys(TENANTS, 0)
        self.views: dict[tuple[str, str], dict[str, Any]] = {}
        self.parked: list[tuple[str, str | None, int, str]] = []
        self._aggregate = "note" if view_type == "notes" else "tally"
        self._types = {"Noted"} if view_type == "notes" else _OF_TALLIES
        self._model = _Notes() if view_type == "notes" else Model()

    def advance(self, generation: Generation, scanned: int) -> None:
        for message in generation.messages[self.scanned : scanned]:
            self._see(message)
        self.scanned = scanned

    def _see(self, message: Stored) -> None:
        _, tenant, _, aggregate, _ = message.subject.split(".")
        if aggregate != self._aggregate or self.halted_at is not None:
            return
        if (kind := _type_of(message.data)) is not None and kind not in self._types:
            return
        before = json.dumps([[*key, view] for key, view in self._model.views.items()])
        self._model._fold(message.sequence, message.data, tenant)
        if self.view_type == HALTS and self._model.parked():
            self.halted_at = message.sequence
            self.views = {(tenant, name): view for tenant, name, view in json.loads(before)}
            return
        self.views, self.parked = self._model.views, self._model.parked()
        self.applied = self.checkpoints[tenant] = message.sequence


def _type_of(data: bytes) -> str | None:
    try:
        return str(json.loads(data)["event_type"])
    except ValueError:
        return None


def mismatch(store: LaneStore, expected: Expected) -> tuple[Any, Any] | None:
    """What the store holds and what it should, where these are not the same."""
    view_type, position = ViewType(expected.view_type), store.position()
    views = {(str(key.tenant_id), str(key.view_id)): json.loads(view) for key, view in store.scan(None, view_type)}
    parked = [
        (str(one.tenant_id), None if one.view_id is None else str(one.view_id), one.sequence, one.code)
        for one in store.parked()
    ]
    checkpoints = {}
    for tenant in TENANTS:
        checkpoint = store.get_checkpoint(CheckpointKey(TenantId(tenant), view_type))
        checkpoints[tenant] = 0 if checkpoint is None else checkpoint.sequence
    found = (views, sorted(parked, key=repr), position.applied, checkpoints)
    wanted = (expected.views, sorted(expected.parked, key=repr), expected.applied, expected.checkpoints)
    return None if found == wanted else (found, wanted)
