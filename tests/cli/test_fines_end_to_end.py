"""The real events, the whole way: `load`, `run --until-caught-up` and `show`, against `replay` of the same file."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pytest

from projection.bundled import bundled
from projection.stream.embedded import EmbeddedServer

FINES = Path(__file__).resolve().parents[3] / "shared" / "data" / "road_traffic_fines.jsonl.gz"
MANIFEST = bundled("projections/fines/manifest.yaml")
SLICE = 20_000

pytestmark = pytest.mark.skipif(not FINES.exists(), reason=f"{FINES.name} is not beside this checkout")


def projection(*arguments: object, folder: Path) -> bytes:
    command = [sys.executable, "-m", "projection", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def through_a_stream(events: Path, server: EmbeddedServer, folder: Path) -> tuple[dict[str, int], bytes]:
    """The summary of the node, and its views of both types in key order."""
    projection("load", events, "--stream", "fines", "--create", "--url", server.url, folder=folder)
    ran = projection(
        "run", "--manifest", MANIFEST, "--stream", "fines", "--url", server.url, "--until-caught-up", folder=folder
    )
    lines = b"".join(
        projection("show", name, "--all-tenants", folder=folder) for name in ("fine_summary", "office_totals")
    )
    return json.loads(ran), lines


def in_order(lines: bytes) -> list[bytes]:
    """`show` prints one view type, `replay` all of them in key order: the same lines, sorted alike."""
    return sorted(lines.splitlines())


@pytest.fixture
def server(tmp_path: Path):
    with EmbeddedServer(tmp_path / "nats") as running:
        yield running


def test_a_slice_of_the_fines_through_a_stream_gives_the_bytes_of_a_replay(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    events = tmp_path / "events.jsonl"
    with gzip.open(FINES) as file:
        events.write_bytes(b"".join(islice(file, SLICE)))
    summary, lines = through_a_stream(events, server, tmp_path)
    assert (SLICE, 0) == (summary["events"], summary["parked"])
    assert in_order(projection("replay", "--manifest", MANIFEST, events, folder=tmp_path)) == in_order(lines)


@pytest.mark.long
def test_all_fines_through_a_stream_give_the_bytes_of_a_replay_and_the_known_sums(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    summary, lines = through_a_stream(FINES, server, tmp_path)
    assert (561_470, 0) == (summary["events"], summary["parked"])
    assert in_order(projection("replay", "--manifest", MANIFEST, FINES, folder=tmp_path)) == in_order(lines)
    views = [json.loads(line, parse_float=Decimal) for line in lines.splitlines()]
    fines = [one["view"] for one in views if one["view_type"] == "fine_summary"]
    paid = [fine["paid"] for fine in fines if fine["payments"]]
    assert 150_370 == len(fines)
    assert (Decimal("3601464.53"), 69_715) == (sum(paid), len(paid))
    assert 15 == max(len(fine["payments"]) for fine in fines)
    print(f"561,470 events, {len(views):,} views")
