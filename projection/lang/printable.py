"""Text from outside, made safe for people's terminals and logs: nothing in it moves a cursor or hides what is there."""

from __future__ import annotations

import json
from unicodedata import category, east_asian_width

_WIDE = frozenset("WF")  # take two columns of a terminal
_COMBINING = frozenset(("Mn", "Me"))  # stand above or around the character before them


def printable(text: str) -> str:
    r"""One line of text, with each control, format and other invisible character replaced by its escape, as `\x1b`.

    Format characters include bidirectional overrides and zero-width spaces. Ends of lines are escaped, too, so that
    no text can look like several lines of output.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def printable_lines(text: str) -> str:
    """The same for text of several lines, whose ends and tabs stay."""
    if text.isprintable():
        return text
    return "".join(one if one in "\n\t" else printable(one) for one in text)


def printable_json(line: bytes) -> bytes:
    r"""The same for a line of JSON, in JSON's own escapes, as `\u001b`: it stands for the same value."""
    text = line.decode()
    if text.removesuffix("\n").isprintable():
        return line
    return "".join(one if one == "\n" or one.isprintable() else json.dumps(one)[1:-1] for one in text).encode()


def columns(shown: str) -> int:
    """How many columns of a terminal printable text takes: East Asian wide characters take two, accents none."""
    if shown.isascii():
        return len(shown)
    return sum(0 if category(one) in _COMBINING else 2 if east_asian_width(one) in _WIDE else 1 for one in shown)
