"""Runs every benchmark; one JSON line a measure on stdout, `{"name","ours","yardstick","ratio"}`, notes on stderr."""

from __future__ import annotations

import json

from benchmarks import end_to_end

for measure in (end_to_end.measure,):
    if (result := measure()) is not None:
        print(json.dumps(result), flush=True)
