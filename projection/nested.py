"""JSON that is nested too deeply for a decoder that recurses: cut where nothing can be declared any more.

How deep a decoder gets depends on Python, on the library and on who calls it. What an event means may not, so what is
too deep for it is cut at one depth, after it was found to be JSON.
"""

from __future__ import annotations

import re

import msgspec

MAX_LEVELS = 128  # an envelope, its payload, 32 levels of records, and 32 of json come to less
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_check = msgspec.json.Decoder(msgspec.Raw).decode


def shallow(data: bytes) -> bytes:
    """The same JSON with null in place of each list and object that lies deeper than `MAX_LEVELS`.

    No value that lies so deep is one that a program declares. Linear in the length.

    Raises:
        msgspec.DecodeError: something that would be cut is no JSON.
    """
    parts, depth, at = [bytearray()], 0, 0
    for token in _TOKEN.finditer(data):
        start, end = token.span()
        if data[start] in b"[{":
            depth += 1
            if depth % MAX_LEVELS == 0:
                parts[-1] += data[at:start]
                parts.append(bytearray())
                at = start
        elif data[start] in b"]}":
            if depth % MAX_LEVELS == 0 and len(parts) > 1:
                part = parts.pop() + data[at:end]
                _check(part)
                parts[-1] += b"null"
                at = end
            depth -= 1
    if len(parts) > 1 or depth != 0:
        raise msgspec.DecodeError("lists and objects do not end where they should")
    return bytes(parts[0] + data[at:])
