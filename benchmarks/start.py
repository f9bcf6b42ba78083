"""How long `projection check` on the examples takes from a cold start, against the half second that it may take."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from projection.bundled import bundled

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = 7
ALLOWED_S = 0.5


def measure() -> Iterator[dict[str, Any]]:
    """Seconds of a whole process, the median."""
    command = [sys.executable, "-m", "projection", "check", str(bundled("projections"))]
    taken = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - begin)
    found = median(taken)
    yield {
        "name": "check_cold_start_s",
        "ours": round(found, 3),
        "yardstick": ALLOWED_S,
        "ratio": round(found / ALLOWED_S, 2),
    }
