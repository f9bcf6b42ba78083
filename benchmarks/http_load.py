"""Load on an HTTP server over kept-alive connections: `python -m benchmarks.http_load`, a process of its own.

A job on stdin, as JSON: `{"host","port","requests":[base64…],"connections","seconds","per_second"}`. Each request is
sent as it stands, one at a time on a connection, in turn from the list. Without `per_second` the loop is closed: the
next request goes out when the last is answered. With it, requests fall due at that pace whatever the server does, and
a latency counts from when its request fell due: a server that stalls is charged for all that wait meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections import Counter, deque
from itertools import cycle
from statistics import quantiles
from time import monotonic  # the loop's own clock counts whole milliseconds
from typing import TYPE_CHECKING, Any, cast

import uvloop

if TYPE_CHECKING:
    from collections.abc import Iterator

_WARM_UP_S = 0.5
_END_WITHIN_S = 10.0
_TICK_S = 0.001  # between two looks at what has fallen due


class _Load:
    def __init__(self, requests: Iterator[bytes], *, is_open: bool) -> None:
        self.requests = requests
        self.is_open = is_open
        self.idle: deque[_Connection] = deque()
        self.due: deque[float] = deque()  # of requests that no connection is free for yet
        self.begin = float("inf")  # what falls due before is not counted
        self.ended = False
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.under_way = 0
        self.lost: list[str] = []
        self.all_answered = asyncio.Event()

    def fall_due(self, when: float) -> None:
        if self.idle:
            self.idle.pop().send(when)
        else:
            self.due.append(when)

    def answered(self, connection: _Connection, status: int) -> None:
        now = monotonic()
        if connection.due >= self.begin:
            self.latencies.append(now - connection.due)
            self.statuses[status] += 1
        if not self.is_open and not self.ended:
            connection.send(now)
        elif self.due:
            connection.send(self.due.popleft())
        else:
            self.idle.append(connection)
            if self.ended and not self.under_way:
                self.all_answered.set()


class _Connection(asyncio.Protocol):
    """Sends one request at a time, and looks in the answer for no more than its status and its end."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._wanted = 0  # bytes of the answer under way; 0 while its head is not complete
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own kind is none of asyncio's classes

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._load.ended:
            self._load.lost.append(str(exc))

    def send(self, due: float) -> None:
        self.due = due
        self._load.under_way += 1
        self._transport.write(next(self._load.requests))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._wanted:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._wanted = end + 4 + _content_length(self._buffer[:end])
        if len(self._buffer) >= self._wanted:
            status = int(self._buffer[9:12])
            self._buffer, self._wanted = self._buffer[self._wanted :], 0
            self._load.under_way -= 1
            self._load.answered(self, status)


def _content_length(head: bytes) -> int:
    lower = head.lower()
    place = lower.find(b"\r\ncontent-length:")
    if place < 0:
        raise AssertionError(f"an answer without a length: {head!r}")
    return int(lower[place + 17 :].split(b"\r\n", 1)[0])


async def _run(job: dict[str, Any]) -> dict[str, Any]:
    per_second: float | None = job["per_second"]
    requests = cycle([base64.b64decode(one) for one in job["requests"]])
    load = _Load(requests, is_open=per_second is not None)
    loop = asyncio.get_running_loop()
    for _ in range(job["connections"]):
        _, connection = await loop.create_connection(lambda: _Connection(load), job["host"], job["port"])
        load.idle.append(connection)
    start = monotonic()
    load.begin = start + _WARM_UP_S
    end = load.begin + job["seconds"]
    if per_second is None:
        while load.idle:
            load.idle.pop().send(start)
        await asyncio.sleep(end - start)
    else:
        count = 0
        while (now := monotonic()) < end:
            while (when := start + count / per_second) <= now:
                load.fall_due(when)
                count += 1
            await asyncio.sleep(_TICK_S)  # less is none for the loop, which would spin on a core that others need
    load.ended = True
    ended_at = monotonic()
    if load.under_way:
        await asyncio.wait_for(load.all_answered.wait(), _END_WITHIN_S)
    if load.lost:
        raise AssertionError(f"the server closed {len(load.lost)} connections: {load.lost[0]}")
    seconds = ended_at - load.begin
    percentiles = quantiles(load.latencies, n=100)
    return {
        "per_second": len(load.latencies) / seconds,
        "p50_ms": percentiles[49] * 1e3,
        "p99_ms": percentiles[98] * 1e3,
        "most_ms": max(load.latencies) * 1e3,
        "statuses": load.statuses,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_run(json.load(sys.stdin)))))
