"""Following a change feed: server-sent events out of bytes, and where to go on when the connection ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from projection.client.answers import Change, decoded
from projection.client.errors import AnswerUnreadableError, ClientError, refusal
from projection.client.retrying import ATTEMPTS, backoff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.client.calls import Answer, Call

_KINDS = ("changed", "deleted", "unmatched", "reset", "level")
_LONGEST_PAUSE_S = 30.0
_MAX_EVENT_BYTES = 64 << 20  # a view takes a few; what never ends is no feed


class _Data(msgspec.Struct):
    scanned: int | None = None
    id: str | None = None
    view: dict[str, Any] | None = None
    degraded: bool = False
    build: int | None = None
    incomplete: bool = False


class Following:
    """One follower through all its connections."""

    def __init__(self, last_event_id: str | None) -> None:
        self.last_event_id = last_event_id
        self._was_connected = False
        self._failed = 0  # connections since the last one that brought something
        self._retry_s = 0.0  # what the node said
        self._asked_s = 0.0  # what it said when it refused
        self._buffer = b""
        self._event: dict[str, list[str]] = {}

    def connected(self) -> None:
        """A connection stands; what the former one left unfinished comes again."""
        self._was_connected = True
        self._buffer, self._event = b"", {}

    def failed(self, error: ClientError) -> None:
        """A connection failed, or the node ended it because it has too much to do.

        Raises:
            ClientError: there never was one.
        """
        if not self._was_connected and self._failed + 1 >= ATTEMPTS:
            raise error

    def refused(self, call: Call[None], answer: Answer) -> None:
        """The node does not give the feed.

        Raises:
            ClientError: it never will.
        """
        try:
            call.result(answer)
        except ClientError as error:
            if error.status not in (429, 502, 503, 504) or not self._was_connected:
                raise
            self._asked_s = error.retry_after or 0.0
            return
        raise AnswerUnreadableError(f"a change feed was asked for, and the answer has the status {answer.status}")

    def pause(self) -> float:
        """Seconds until the next connection."""
        self._failed += 1
        pause_s = max(self._retry_s, self._asked_s, backoff(self._failed, _LONGEST_PAUSE_S))
        self._asked_s = 0.0
        return pause_s

    def changes(self, data: bytes) -> Iterator[Change]:
        """The changes that are complete with these bytes.

        Lines end with LF or CR LF: what the node writes holds no other line end, and texts in JSON may hold
        characters that a wider notion of lines would break them at.
        """
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        if len(self._buffer) > _MAX_EVENT_BYTES:
            raise AnswerUnreadableError("the change feed sends a line that does not end")
        for line in lines:
            text = line.removesuffix(b"\r").decode("utf-8", "replace")
            if text:
                name, _, value = text.partition(":")
                self._event.setdefault(name, []).append(value.removeprefix(" "))
                continue
            event, self._event = self._event, {}
            change = self._change(event)
            if change is not None:
                self._failed = 0
                yield change

    def _change(self, event: dict[str, list[str]]) -> Change | None:
        """The change that an event tells; None for comments, and for kinds that a newer node may have.

        Raises:
            ClientError: it tells that the feed ends, and why.
        """
        for wanted in event.get("retry", []):
            if wanted.isdecimal():
                self._retry_s = min(int(wanted) / 1e3, _LONGEST_PAUSE_S)
        if "id" in event:
            self.last_event_id = event["id"][-1]
        kind = event.get("event", [""])[-1]
        text = "\n".join(event.get("data", ["{}"])).encode()
        if kind == "problem":
            raise refusal(200, text, None)
        if kind not in _KINDS:
            return None
        try:
            data = decoded(text, _Data)
            told = {"kind": kind, "event_id": self.last_event_id or "", **msgspec.structs.asdict(data)}
            return msgspec.convert(told, Change)
        except msgspec.MsgspecError as error:
            raise AnswerUnreadableError(f"a change cannot be read: {error}") from None
