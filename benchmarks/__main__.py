"""Runs every benchmark; one JSON line a measure on stdout, `{"name","ours","yardstick","ratio"}`, notes on stderr."""

from __future__ import annotations

import json

from benchmarks import (
    calibration,
    console,
    end_to_end,
    faults,
    formats,
    handlers,
    hostile,
    latency,
    many_views,
    observing,
    operations,
    peers,
    postgres,
    queries,
    rebuild,
    slow_clients,
    small_views,
    start,
    tracing,
    understanding,
)

for benchmark in (
    handlers,
    peers,
    calibration,
    formats,
    start,
    end_to_end,
    tracing,
    many_views,
    latency,
    rebuild,
    operations,
    observing,
    queries,
    console,
    postgres,
    hostile,
    slow_clients,
    faults,
    small_views,
    understanding,
):
    for line in benchmark.measure():
        print(json.dumps(line), flush=True)
