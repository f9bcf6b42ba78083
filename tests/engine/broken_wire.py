"""A TCP proxy in front of a NATS server that does one thing wrong, the first so many times a client sends a text."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from wire import Wire

if TYPE_CHECKING:
    from asyncio import StreamWriter

_API = b"$JS.API."
NOWHERE = b"$JS.APX."  # as long; nobody listens there


class Fault(StrEnum):
    """What becomes of what a client has sent."""

    CUT = "the connection is cut"
    NOBODY = "nobody answers"  # the server says so at once
    UNAUTHORIZED = "the credentials are refused"
    FORBIDDEN = "the permissions do not allow it"


class BrokenWire(Wire):
    """The proxy; it forwards everything once it has struck so many times."""

    def __init__(self, url: str, text: str, fault: Fault, times: int = 1) -> None:
        super().__init__(url)
        self._text, self._fault, self._left = text.encode(), fault, times

    @property
    def has_struck(self) -> bool:
        return not self._left

    def _to_server(self, data: bytes, client: StreamWriter) -> bytes | None:
        if not self._left or self._text not in data:
            return data
        self._left -= 1
        return self._struck(data, client)

    def _struck(self, data: bytes, client: StreamWriter) -> bytes | None:
        """What goes on to the server; None where the connection ends."""
        if self._fault is Fault.CUT:
            return None
        if self._fault is Fault.UNAUTHORIZED:
            client.write(b"-ERR 'Authorization Violation'\r\n")
            return None
        if self._fault is Fault.FORBIDDEN:
            while found := re.search(rb"PUB (\S*%b\S*) \S+ (\d+)\r\n" % re.escape(self._text), data):
                client.write(b"-ERR 'Permissions Violation for Publish to \"%b\"'\r\n" % found[1])
                data = data[: found.start()] + data[found.end() + int(found[2]) + 2 :]
            return data
        return data.replace(_API, NOWHERE)
