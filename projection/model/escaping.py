"""How any text becomes a legal part of a store key or a token of a subject, and back.

Tenants and tokens are percent-escaped. A view id ends its key, so it needs no escape for `:`: it stays as it is, but
for two control characters, and keys are in the order of the ids.
"""

from __future__ import annotations

import re

_UNSAFE_IN_KEY = re.compile(r"[\x00-\x1f\x7f:%]")
_UNSAFE_IN_TOKEN = re.compile(rb"[^A-Za-z0-9_\-]")
_ESCAPED_IN_ID = re.compile("\x01(.?)", re.DOTALL)
_IN_ID = {"\x01": "\x00", "\x02": "\x01"}  # what stands behind a 0x01, and what both are for
_ESCAPE = re.compile(r"%([0-9A-F]{2})")
_ESCAPED_BYTE = re.compile(rb"%([0-9A-F]{2})")

EMPTY_TOKEN = "%-"  # noqa: S105 - a subject has no empty tokens; no other text escapes to this, for `-` is no hexadecimal digit
MAX_TOKEN_BYTES = 1024  # of the escaped form; a whole subject stays below what the server takes on one line


def escape_part(part: str) -> str:
    """A part of a key with `:`, `%` and control characters as `%XX`."""
    return _UNSAFE_IN_KEY.sub(lambda match: f"%{ord(match[0]):02X}", part) if _UNSAFE_IN_KEY.search(part) else part


def unescape_part(part: str) -> str:
    """The inverse of `escape_part`.

    Raises:
        ValueError: the text is not what `escape_part` makes of any part.
    """
    if _UNSAFE_IN_KEY.search(part) is None:
        return part
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), part)
    if escape_part(plain) != part:
        raise ValueError(f"{part!r} is not an escaped part of a key")
    return plain


def escape_id(view_id: str) -> str:
    """Write a view id as the end of a key: 0x00, which no key holds, as 0x01 0x01, and 0x01 as 0x01 0x02.

    UTF-8 sorts as code points do, and so do these: the bytes of two ids compare as the ids do, and begin with one
    another where the ids do.
    """
    if "\x01" in view_id or "\x00" in view_id:
        return view_id.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")
    return view_id


def unescape_id(part: str) -> str:
    """Read a view id from the end of a key; the inverse of `escape_id`.

    Raises:
        ValueError: the text is not what `escape_id` makes of any id.
    """
    if "\x00" in part:
        raise ValueError(f"{part!r} is not an escaped view id")
    if "\x01" not in part:
        return part
    try:
        return _ESCAPED_IN_ID.sub(lambda match: _IN_ID[match[1]], part)
    except KeyError:
        raise ValueError(f"{part!r} is not an escaped view id") from None


def counted_bytes(part: str) -> int:
    """Count the bytes of a part, percent-escaped: what the limit of a view id's length goes by in edition 1."""
    return len(escape_part(part).encode())


def escape_token(text: str) -> str:
    """Any text as one token of a NATS subject: ASCII letters, digits, `_` and `-` stay, other UTF-8 bytes become `%XX`.

    Raises:
        ValueError: the token would be longer than `MAX_TOKEN_BYTES`.
    """
    token = _UNSAFE_IN_TOKEN.sub(lambda match: b"%%%02X" % match[0][0], text.encode()).decode("ascii")
    if len(token) > MAX_TOKEN_BYTES:
        raise ValueError(f"{text[:40]!r}… makes a subject token of {len(token)} bytes; {MAX_TOKEN_BYTES} are allowed")
    return token or EMPTY_TOKEN


def unescape_token(token: str) -> str:
    """The inverse of `escape_token`.

    Raises:
        ValueError: the token is not what `escape_token` makes of any text.
    """
    if token == EMPTY_TOKEN:
        return ""
    try:
        text = _ESCAPED_BYTE.sub(lambda match: bytes([int(match[1], 16)]), token.encode()).decode()
    except UnicodeDecodeError:
        text = ""
    if escape_token(text) != token:
        raise ValueError(f"{token!r} is not an escaped token of a subject")
    return text
