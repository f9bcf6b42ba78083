"""What a node measures of its work: once for each batch or commit, never for each event."""

from __future__ import annotations

from projection.model.distribution import Distribution

STAGES = ("receive", "decode", "fold", "commit", "fsync")
_BATCH_BOUNDS = (1.0, 10.0, 100.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 20_000.0, 50_000.0, 100_000.0)


class Measures:
    """Sizes and times of a node's batches, by stage; see `projection/ops/metric_declarations.py` for their meaning."""

    def __init__(self) -> None:
        self.batches = Distribution(_BATCH_BOUNDS)
        self.stages = {stage: Distribution() for stage in STAGES}
        self.log_clock_offset_s: float | None = None  # of the newest message at the end of the log, when it came
