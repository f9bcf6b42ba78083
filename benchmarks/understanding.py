"""How long `projection why` takes for one fine of all in a running JetStream, a whole process, and that it is right.

Against the second that it may take where the program's routes allow reading the fine's own subject alone. The example
routes by the fine's id in the payload, so here the program is the example with its routes by the aggregate's id, which
is the same; what it takes where all events of the tenant have to be read is said on stderr.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.end_to_end import FINES
from projection.bundled import bundled
from projection.model.envelope import Tenancy
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.loading import FileLoading

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = 7
ALLOWED_S = 1.0
FINE, TENANT = "S38735", "office-s"
_STREAM = "fines"


def measure() -> Iterator[dict[str, Any]]:
    """Seconds, the median; the view has to be that of a replay of the file."""
    if not FINES.exists():
        print(f"understanding is left out: {FINES.name} is not beside this checkout", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        own = routed_by_aggregate(place)
        with EmbeddedServer(place / "nats") as server:
            asyncio.run(_load(server.url))
            stream = ("--stream", _STREAM, "--url", server.url)
            taken = [_why(own, *stream) for _ in range(RUNS)]
            all_s, of_all = _why(bundled("projections/fines/manifest.yaml"), *stream)
        _, of_file = _why(own, "--events", str(FINES))
        if {json.dumps(one["view"]) for one in (of_all, of_file, *(one for _, one in taken))} != {_replayed(own)}:
            raise AssertionError("the view is not the same everywhere")
    print(f"understanding: all events of the tenant read, {all_s:.1f} s", file=sys.stderr)
    found = median(seconds for seconds, _ in taken)
    yield {
        "name": "why_one_fine_s",
        "ours": round(found, 3),
        "yardstick": ALLOWED_S,
        "ratio": round(found / ALLOWED_S, 2),
    }


def routed_by_aggregate(folder: Path) -> Path:
    """The manifest of the fines' summary, with routes that show the aggregate."""
    example = bundled("projections/fines/fine_summary.proj").read_text()
    (folder / "fine_summary.proj").write_text(example.replace("e.fine_id", "meta.aggregate_id"))
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({"manifest": 1, "views": {"fine_summary": {"program": "fine_summary.proj"}}}))
    return manifest


async def _load(url: str) -> None:
    loading = FileLoading(FINES, SubjectTemplate.parse(DEFAULT_TEMPLATE), Tenancy())
    async with await Nats.connect(NatsConnection(url)) as nats:
        await loading.publish(nats, _STREAM, create=True)


def _projection(*arguments: str) -> tuple[float, bytes]:
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "projection", *arguments], check=True, stdout=subprocess.PIPE)
    return time.perf_counter() - begin, done.stdout


def _why(manifest: Path, *source: str) -> tuple[float, dict[str, Any]]:
    seconds, printed = _projection(
        "why", "fine_summary", FINE, "--tenant", TENANT, "--manifest", str(manifest), "--format", "json", *source
    )
    found: dict[str, Any] = json.loads(printed)
    return seconds, found


def _replayed(manifest: Path) -> str:
    _, printed = _projection("replay", "--manifest", str(manifest), str(FINES))
    line = next(one for one in printed.splitlines() if f'"view_id":"{FINE}"'.encode() in one)
    return json.dumps(json.loads(line)["view"])
