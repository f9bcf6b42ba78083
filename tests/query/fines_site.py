"""The fines in a data folder that is written while it is queried, and what they are by a replay of the same events."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from itertools import islice
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

from projection.bundled import bundled
from projection.engine.builds import open_store, plan_builds
from projection.engine.deployment import load_deployment
from projection.engine.lane import Lane
from projection.engine.replay import FileEvents, Replay
from projection.lang.values.codec import encode
from projection.model.envelope import Tenancy
from projection.model.keys import ViewKey
from projection.model.manifest import Manifest
from projection.model.query_limits import QueryLimits
from projection.query.service import Queries
from projection.query.serving import Serving
from projection.store.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.model.ids import TenantId
    from projection.query.answers import QueryAnswer
    from projection.query.form import Query

FINES = Path(__file__).resolve().parents[3] / "shared" / "data" / "road_traffic_fines.jsonl.gz"
PROGRAM = "fine_summary.proj"
INDEX = "index by status, balance desc\n"
MORE = [
    "index by updated_on", "index by article, amount desc", "index by payments.amount", "index by vehicle, status, article",
    "index by payments.on, balance", "index by balance",
]  # fmt: skip


def real_events(count: int) -> list[bytes]:
    with gzip.open(FINES) as file:
        return list(islice(file, count))


def example_events(fines: int) -> list[bytes]:
    """The events of the example so often, of other fines with other amounts each time, one fine beside the others."""
    lines = bundled("projections/fines/events.jsonl").read_text().splitlines()
    told = [(number + 40 * place, _varied(line, number)) for number in range(fines) for place, line in enumerate(lines)]
    return [event for _when, event in sorted(told)]


def _varied(line: str, number: int) -> bytes:
    event = json.loads(line, parse_float=Decimal)
    event["aggregate_id"] = event["payload"]["fine_id"] = f"{event['aggregate_id']}-{number}"
    for name, value in event["payload"].items():
        if isinstance(value, Decimal):
            event["payload"][name] = value + number % 5
        elif isinstance(value, int):
            event["payload"][name] = value + number % 3
    return encode(event)


class Folding(Replay):
    """A replay that goes on from where it is; `views` are the tenants' views of fines, as JSON."""

    def __init__(self, manifest: Path) -> None:
        super().__init__(load_deployment(Manifest.load(manifest), Tenancy()), Tenancy())
        self.views: dict[str, dict[str, bytes]] = {}
        self.plain: dict[str, dict[str, Any]] = {}  # the same, decoded
        self.scanned = 0
        self._lane = self.lanes[0]
        committed = self._lane.store.commit

        def commit(one: Any, on_written: Any = None) -> None:
            committed(one, on_written)
            for encoded, view in one.views.items():
                key = ViewKey.parse(encoded.decode())
                self.views.setdefault(key.tenant_id, {})[key.view_id] = view
                self.plain.setdefault(key.tenant_id, {})[key.view_id] = json.loads(view, parse_float=Decimal)

        self._lane.store.commit = commit  # type: ignore[method-assign]

    def go(self, events: Sequence[bytes]) -> None:
        for event in events:
            self.scanned += 1
            self._lane.apply(self.file_events.event(self.scanned, event))
        self._lane.commit(None)


class FinesSite:
    """A data folder with one build of fines, written by a thread in small commits while it is asked."""

    def __init__(self, folder: Path, events: list[bytes], *, indexes: Sequence[str]) -> None:
        folder.mkdir()
        program = bundled(f"projections/fines/{PROGRAM}").read_text()
        assert INDEX in program
        (folder / PROGRAM).write_text(program.replace(INDEX, "".join(f"{one}\n" for one in indexes)))
        manifest = folder / "manifest.yaml"
        manifest.write_text(f"manifest: 1\nviews:\n  fine_summary: {{ program: {PROGRAM} }}\n")
        self.replayed = Folding(manifest)
        self._events = events
        self._catalog = Catalog.open(folder / "data")
        (planned,) = plan_builds(self._catalog, load_deployment(Manifest.load(manifest), Tenancy()))
        self._lane = Lane(
            planned.deployed,
            open_store(planned.build, planned.deployed, durability="process"),
            build=planned.build.number,
        )
        self._reads = FileEvents(planned.deployed.entry, Tenancy())
        self._queries = Queries(Serving(self._catalog, lambda _build: self._lane.store), QueryLimits(max_limit=10_000))
        self._written = 0
        self._turns: Queue[int] = Queue()
        self._failed: BaseException | None = None
        self._thread = Thread(target=self._write_in_turns)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._turns.put(0)
        self._thread.join()
        self._queries.close()
        self._lane.store.close()
        self._catalog.close()

    def fold(self, count: int) -> None:
        """Fold the next events in one commit."""
        chunk = self._events[self._written : self._written + count]
        for sequence, event in enumerate(chunk, self._written + 1):
            self._lane.apply(self._reads.event(sequence, event))
        self._written += len(chunk)
        self._lane.commit(None)

    def go_on(self, count: int) -> None:
        """Have the next events folded by the thread, beside what is done here."""
        self._turns.put(count)

    def _write_in_turns(self) -> None:
        try:
            while count := self._turns.get():
                self.fold(count)
        except BaseException as error:  # noqa: BLE001 - told by the thread that asks
            self._failed = error

    def ask(self, tenant: TenantId, query: Query) -> QueryAnswer:
        """An answer; `replayed` then stands where the answer was read."""
        answer = self._queries.run_now(tenant, query).answer
        assert self._failed is None, self._failed
        assert self.replayed.scanned <= answer.scanned
        self.replayed.go(self._events[self.replayed.scanned : answer.scanned])
        return answer

    def plan(self, tenant: TenantId, query: Query) -> str:
        """Which way the query is answered."""
        return self._queries.run_now(tenant, query).plan.words


def pages(site: FinesSite, tenant: TenantId, query: Query, most: int) -> Iterator[QueryAnswer]:
    """The answer's pages, with writes between any two."""
    for _ in range(most):
        site.go_on(5)
        answer = site.ask(tenant, query)
        yield answer
        if answer.next is None:
            return
        query = query.model_copy(update={"cursor": answer.next})
