"""Bytes and the one text that each has in JSON: base64, padded, as RFC 4648 has it."""

from __future__ import annotations

import binascii
import re

_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}", re.ASCII)


def base64_text(data: bytes) -> str:
    """The bytes as text."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def parse_base64(text: str) -> bytes | None:
    """The bytes that a text is; None where it is no base64, or has bits behind the last byte."""
    if len(text) % 4 or _BASE64.fullmatch(text) is None:
        return None
    try:
        data = binascii.a2b_base64(text)
    except binascii.Error:
        return None
    return data if base64_text(data) == text else None
