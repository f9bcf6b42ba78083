"""`why` and `diff` on the real events in a running JetStream, against `replay` of the same file."""

from __future__ import annotations

import gzip
import json
import time
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pytest
from command_support import projection

from projection.bundled import bundled
from projection.stream.embedded import EmbeddedServer

FINES = Path(__file__).resolve().parents[3] / "shared" / "data" / "road_traffic_fines.jsonl.gz"
EXAMPLE = bundled("projections/fines/fine_summary.proj").read_text()
FINE, TENANT = "S38735", "office-s"

pytestmark = pytest.mark.skipif(not FINES.exists(), reason=f"{FINES.name} is not beside this checkout")


@pytest.fixture
def server(tmp_path):
    with EmbeddedServer(tmp_path / "nats") as running:
        yield running


def written(folder: Path) -> None:
    """The example with routes that show the aggregate, which is the fine; and one in which a fine is paid sooner."""
    own = EXAMPLE.replace("e.fine_id", "meta.aggregate_id")
    (folder / "own.proj").write_text(own)
    (folder / "sooner.proj").write_text(own.replace("balance <= 0", "balance < 10"))
    (folder / "manifest.json").write_text(
        json.dumps({"manifest": 1, "views": {"fine_summary": {"program": "own.proj"}}})
    )


def printed(folder: Path, *arguments: object, status: int = 0) -> str:
    ended = projection(*arguments, folder=folder)
    assert status == ended.returncode, ended.stderr
    return ended.stdout


def understood(folder: Path, events: Path, url: str) -> float:
    """All answers are the same from file and stream, and as `replay`; how many seconds one fine took."""
    written(folder)
    printed(folder, "load", events, "--stream", "fines", "--create", "--url", url)
    stream, file = ("--stream", "fines", "--url", url), ("--events", events)
    why = ("why", "fine_summary", FINE, "--tenant", TENANT, "--manifest", "manifest.json", "--format", "json")
    began = time.perf_counter()
    of_stream = json.loads(printed(folder, *why, *stream), parse_float=Decimal)
    seconds = time.perf_counter() - began
    assert [f"tenant.{TENANT}.aggregate.*.{FINE}"] == of_stream["subjects"]
    assert of_stream == json.loads(printed(folder, *why, *file), parse_float=Decimal)
    lines = printed(folder, "replay", "--manifest", "manifest.json", events).splitlines()
    views = {(one["tenant_id"], one["view_id"]): one["view"] for one in map(_decoded, lines)}
    assert views[TENANT, FINE] == of_stream["view"]
    diff = ("diff", "own.proj", "sooner.proj", "--format", "json")
    differences = printed(folder, *diff, *stream, status=1)
    assert differences == printed(folder, *diff, *file, status=1)
    (one,) = json.loads(differences)["view_types"]
    sooner = [view for view in views.values() if 0 < view["balance"] < 10 and view["status"] != "paid"]
    assert (len(sooner), {"status": len(sooner)}, 0) == (
        one["changed"],
        one["fields"],
        one["only_old"] + one["only_new"],
    )
    return seconds


def _decoded(line: str) -> dict:
    return json.loads(line, parse_float=Decimal)


def test_a_slice_of_the_fines_is_explained_and_compared_as_it_is_replayed(server, tmp_path) -> None:
    events = tmp_path / "events.jsonl"
    with gzip.open(FINES) as file:
        events.write_bytes(b"".join(islice(file, 10_000)))
    understood(tmp_path, events, server.url)


@pytest.mark.long
def test_all_fines_are_explained_and_compared_as_they_are_replayed(server, tmp_path) -> None:
    print(f"one fine of all: {understood(tmp_path, FINES, server.url):.2f} s")
