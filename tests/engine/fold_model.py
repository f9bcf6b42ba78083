"""The fold of `TALLIES` again, in plain Python and as slowly as it reads: what a lane's store must equal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.stream.port import Message

Target = tuple[str, str]
_LARGEST = 2**63 - 1


class Model:
    """Views and parked events after some messages."""

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self.views: dict[Target, dict[str, Any]] = {}
        self.waiting: dict[Target, list[tuple[int, str]]] = {}
        self.alone: list[tuple[str, int, str]] = []
        for message in messages:
            self._fold(message.sequence, message.data, message.subject.split(".")[1])

    def parked(self) -> list[tuple[str, str | None, int, str]]:
        """In no order: (tenant, view id, sequence, code)."""
        alone = [(tenant, None, sequence, code) for tenant, sequence, code in self.alone]
        return [(*target, *one) for target, queue in self.waiting.items() for one in queue] + alone

    def _fold(self, sequence: int, data: bytes, tenant: str) -> None:
        try:
            event = json.loads(data)
        except ValueError:
            self.alone.append((tenant, sequence, "D101"))
            return
        payload = event["payload"]
        view_ids = payload["ids"] if "ids" in payload else [payload["id"]]
        if type(payload.get("n", 0)) is not int:
            for view_id in dict.fromkeys(view_ids):
                self.waiting.setdefault((event["tenant_id"], view_id), []).append((sequence, "D105"))
            return
        for view_id in view_ids:
            self._touch((event["tenant_id"], view_id), sequence, event["event_type"], payload)

    def _touch(self, target: Target, sequence: int, event_type: str, payload: dict[str, Any]) -> None:
        if event_type in ("Erased", "ErasedAll"):
            self.views.pop(target, None)
            self.waiting.pop(target, None)
            return
        if target in self.waiting:
            self.waiting[target].append((sequence, "P000"))
            return
        view = {"total": 0, "events": 0, "texts": []} | self.views.get(target, {})
        view["events"] += 1
        if event_type == "Broken" and target[1] == payload["bad"]:
            self.waiting[target] = [(sequence, "R710")]
            return
        view["total"] += payload.get("n", 0)
        if view["total"] > _LARGEST:
            self.waiting[target] = [(sequence, "R701")]
            return
        self.views[target] = view
