"""A stream as JetStream keeps it: numbered messages, some of which may be gone again."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DUPLICATES_S = 120.0
_NANOSECONDS = 1_000_000_000


class Stored(NamedTuple):
    sequence: int
    subject: str
    data: bytes
    headers: dict[str, str] | None
    time: int  # nanoseconds since the epoch


class Stream:
    """One stream; `on_stored` is told of each new message."""

    def __init__(self, name: str, subjects: Sequence[str], now: Callable[[], int]) -> None:
        self.name = name
        self.subjects = list(subjects)
        self.takes = filter_of(subjects)
        self.created = rfc3339(now())
        self.messages: dict[int, Stored] = {}
        self.first = self.last = 0  # `last + 1` and `last` when all is gone
        self.last_time: str = rfc3339(0).replace("1970", "0001")  # kept when the message is gone
        self._now = now
        self._ids: dict[str, tuple[int, int]] = {}  # Nats-Msg-Id: when, and the sequence

    def store(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> dict[str, object]:
        """The server's answer to whoever published."""
        headers = headers or {}
        now = max(self._now(), self.messages[self.last].time + 1 if self.last in self.messages else 0)
        seen = self._ids.get(headers.get("Nats-Msg-Id", ""))
        if seen is not None and now - seen[0] < _DUPLICATES_S * _NANOSECONDS:
            return {"stream": self.name, "seq": seen[1], "duplicate": True}
        if int(headers.get("Nats-Expected-Last-Sequence", self.last)) != self.last:
            wrong = {"code": 400, "err_code": 10071, "description": f"wrong last sequence: {self.last}"}
            return {"error": wrong, "stream": self.name, "seq": 0}
        self.last += 1
        self.first = self.first or 1
        self.messages[self.last] = Stored(self.last, subject, data, headers or None, now)
        self.last_time = rfc3339(now)
        if "Nats-Msg-Id" in headers:
            self._ids[headers["Nats-Msg-Id"]] = (now, self.last)
        return {"stream": self.name, "seq": self.last}

    def after(self, start: int, takes: Callable[[str], bool], since: int = 0) -> Stored | None:
        """The first message at or after a sequence, and a time, whose subject is taken."""
        for sequence in range(start, self.last + 1):
            found = self.messages.get(sequence)
            if found is not None and found.time >= since and takes(found.subject):
                return found
        return None

    def purge(self, below: int | None = None) -> int:
        """Remove what lies below a sequence, or all of it; how many messages it was."""
        if below is not None and below <= max(self.first, 1):
            return 0
        below = below or self.last + 1
        doomed = [sequence for sequence in self.messages if sequence < below]
        for sequence in doomed:
            del self.messages[sequence]
        self.last = max(self.last, below - 1)
        self.first = min(self.messages, default=self.last + 1)
        return len(doomed)

    def cut(self, last: int) -> None:
        """Lose the end: what a power loss does to what was not yet on the disk. Its numbers are given again."""
        self.messages = {sequence: found for sequence, found in self.messages.items() if sequence <= last}
        self.last = min(self.last, last)
        if last in self.messages:
            self.last_time = rfc3339(self.messages[last].time)
        self._ids = {name: seen for name, seen in self._ids.items() if seen[1] <= last}


def filter_of(filters: Sequence[str]) -> Callable[[str], bool]:
    """Whether a subject is taken by one of the filters; none take all."""
    patterns = (re.escape(one).replace(r"\*", "[^.]+").replace(">", ".+") for one in filters or (">",))
    compiled = re.compile("|".join(patterns))
    return lambda subject: compiled.fullmatch(subject) is not None


def rfc3339(nanoseconds: int) -> str:
    whole, fraction = divmod(nanoseconds, _NANOSECONDS)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{fraction:09}".rstrip("0").rstrip(".") + "Z"
