"""The one character that PostgreSQL takes in no text: U+0000, written so that it can be read back.

It becomes `␀0`, and a `␀` (U+2400) of the text itself becomes `␀␀`. Different texts stay different, as ids must, and a
text without either, as nearly all are, stays as it is.
"""

from __future__ import annotations

import re

_MARK = "\u2400"  # ␀
_IN_JSON = re.compile(r"\\u0000|\\.|" + _MARK)  # an escape is taken whole, so that `\\u0000` is a backslash and a text
_WRITTEN = {r"\u0000": _MARK + "0", _MARK: _MARK * 2}


def storable(text: str) -> str:
    """A text as PostgreSQL takes it."""
    if "\0" in text or _MARK in text:
        return text.replace(_MARK, _MARK * 2).replace("\0", _MARK + "0")
    return text


def storable_json(data: bytes) -> str:
    """A view's JSON as `jsonb` takes it: the same for each text in it, names of members included."""
    text = data.decode()
    if r"\u0000" in text or _MARK in text:
        return _IN_JSON.sub(lambda match: _WRITTEN.get(match[0], match[0]), text)
    return text
