"""How long a node makes no progress in each fault, against the bound that docs/outages.md promises for it.

Here `ours` is what was seen, `yardstick` the bound, and `ratio` the part of the bound that was used: lower is better,
and above 1 a promise is broken. Every row has a bound, and every bound says what it follows from. The page's table is
made of these rows; what a hostile tenant's queries cost is measured by benchmarks/hostile.py.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import node_faults, server_faults
from benchmarks.hostile import TURN_MS
from benchmarks.server_faults import LOSSES, Loss
from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

_NOTICED = "2 s of silence, 1.5 s for an answer, 2 s between attempts"
_ELECTED = "an election among the others, 4 to 9 s; 3 s for an answer that never comes, 2 s between attempts"
_FROZEN = (
    "3.5 s until the first attempt has failed; 5 s of failures, and 5 s for the attempt under way; "
    "2 s to connect elsewhere, 3 s for an answer"
)
_CUT_OFF = (
    "5 s in which what it says is believed; 5 s of failures, and 5 s for the attempt under way; "
    "2 s to connect elsewhere, 3 s for an answer"
)
_ALONE = "the server has started; " + _NOTICED + "; 9 s where the cluster had to elect"
_STARTED = "5 s while its name may still be held, 5 s for the process"
_UNHEEDED = "nothing waits for the log"
_BOUNDS_S = {
    "kill": (14.0, _ELECTED),
    "pause": (19.0, _FROZEN),
    "isolate": (20.0, _CUT_OFF),
    "stop": (6.0, _NOTICED),
    "lame_duck": (6.0, _NOTICED),
    "step_down": (6.0, _NOTICED),
    "kill and start": (14.0, _ALONE),
}
_ROLES = {
    "leader": "that leads the stream",
    "consumer": "that delivers",
    "connection": "that the node is connected to",
    "another": "beside the only one that has the stream",
}
_DONE = {
    "kill": "is killed (`kill -9`)",
    "stop": "is stopped",
    "lame_duck": "takes its leave (lame duck)",
    "pause": "freezes",
    "isolate": "is cut off from the two others",
    "step_down": "is told to step down",
}


class Row(NamedTuple):
    """A fault, and the bound of what is seen of it in its unit."""

    fault: str
    unit: str
    bound: float
    follows: str  # what the bound follows from
    measure: Callable[[Path, str], Coroutine[Any, Any, float]] | None = None  # None: measured elsewhere


def _of_loss(loss: Loss) -> Row:
    if loss.how == "kill and start":
        fault = "the only server that has the stream is killed and started: from then on"
    else:
        fault = f"the server {_ROLES[loss.role]} {_DONE[loss.how]}"
    return Row(fault, "s", *_BOUNDS_S[loss.how])


_OF_LOSSES = {loss: _of_loss(loss) for loss in LOSSES}
_OF_NODES = (
    Row("the node is killed (`kill -9`) and started at once", "s", 10.0, _STARTED, node_faults.node_killed),
    Row("its consumers are deleted", "s", 6.0, _NOTICED, node_faults.consumers_deleted),
    Row("its connection is cut", "s", 6.0, _NOTICED, node_faults.connection_cut),
    Row("the disk was full: from when there is room", "s", 6.0, "5 s between attempts", node_faults.disk_full),
    Row("the disk of its log is full", "s", 1.0, _UNHEEDED, node_faults.log_disk_full),
    Row("the reader of its log has gone", "s", 1.0, _UNHEEDED, node_faults.log_reader_gone),
    Row("nobody empties the pipe that it logs to", "s", 1.0, _UNHEEDED, node_faults.log_not_emptied),
    Row(
        "the link moves 1 MB/s, events have 0.9 MB: for each",
        "s",
        2 * node_faults.HEAVY / node_faults.LINK,
        "twice what the link takes for one",
        node_faults.slow_link,
    ),
    Row(
        "another build takes over on a disk of 120 ms a sync",
        "s",
        2.0,
        "1 s of patience with one another, some syncs",
        node_faults.cutover_on_a_slow_disk,
    ),
    Row("it starts, and one of two stores is damaged", "s", 10.0, _STARTED, node_faults.damaged_store),
    Row(
        "256 clients wait, 100 send slowly: `/health`",
        "s",
        1.0,
        "what Kubernetes gives a probe unless told otherwise",
        node_faults.health_beside_waiting_clients,
    ),
    Row("a tenant asks the dearest queries: a stall of the loop", "ms", TURN_MS, "a turn of folding"),
    Row(
        "1,000 hostile connections: memory",
        "MiB",
        1_018.0,
        "1 MB for each connection, 64 MiB for all answers",
        node_faults.hostile_connections,
    ),
)
ROWS = (*_OF_LOSSES.values(), *_OF_NODES)


def measure() -> Iterator[dict[str, Any]]:
    """What is seen of each fault; seconds where the row says nothing else."""
    for loss, seen in server_faults.measured():
        yield _line(_OF_LOSSES[loss], seen)
    with (
        tempfile.TemporaryDirectory(prefix="projection-bench-") as folder,
        EmbeddedServer(Path(folder, "nats")) as server,
    ):
        for row in _OF_NODES:
            if row.measure is None:
                continue
            if row.measure is node_faults.disk_full and not node_faults.has_small_disks():
                print("faults: nobody may make a small disk here, so none is filled", file=sys.stderr)
                continue
            yield _line(row, asyncio.run(row.measure(Path(folder), server.url)))


def _line(row: Row, seen: float) -> dict[str, Any]:
    found = {"ours": round(seen, 2), "yardstick": row.bound, "ratio": round(seen / row.bound, 2)}
    return {"name": f"{row.fault}, {row.unit}", **found}


if __name__ == "__main__":
    for line in measure():
        print(json.dumps(line))
