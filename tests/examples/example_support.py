"""What the tests of the examples share: where things are, a replay by the API, and views as plain values."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from projection.engine.deployment import load_deployment
from projection.engine.replay import Replay
from projection.model.envelope import Tenancy
from projection.model.manifest import Manifest
from projection.query.reading import view_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from projection.engine.summary import Summary
    from projection.model.parked import ParkedEvent

CHECKOUT = Path(__file__).resolve().parents[2]
PROJECTIONS = CHECKOUT / "projections"
FINES_DATA = CHECKOUT.parent / "shared" / "data" / "road_traffic_fines.jsonl.gz"

View = dict[str, Any]
Views = dict[tuple[str, str], View]  # by tenant and view id


class Folded(NamedTuple):
    """What came of a replay."""

    lines: list[bytes]
    views: dict[str, Views]  # by view type
    parked: dict[str, list[ParkedEvent]]
    summary: Summary


def fold(manifest: Path, events: Iterable[bytes]) -> Folded:
    """Replay events through all view types of a manifest."""
    tenancy = Tenancy()
    replay = Replay(load_deployment(Manifest.load(manifest), tenancy), tenancy)
    summary = replay.run(events)
    lines = list(view_lines({lane.view_type: lane.store for lane in replay.lanes}))
    views: dict[str, Views] = {lane.view_type: {} for lane in replay.lanes}
    for line in lines:
        one = json.loads(line, parse_float=Decimal)
        views[one["view_type"]][one["tenant_id"], one["view_id"]] = one["view"]
    parked = {lane.view_type: list(lane.store.parked()) for lane in replay.lanes}
    return Folded(lines, views, parked, summary)


def event_of(line: bytes) -> dict[str, Any]:
    """An event as plain values, with exact numbers."""
    return json.loads(line, parse_float=Decimal)


def fines_lines() -> Iterator[bytes]:
    """The real events of the fines, in order."""
    with gzip.open(FINES_DATA) as file:
        yield from file
