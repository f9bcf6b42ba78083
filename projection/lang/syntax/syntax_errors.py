"""What a syntax error probably means: the habit of another language, or what is missing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projection.lang import diagnostics as diag
from projection.lang.source import Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projection.lang.reporting import Diagnostic

_NAMES = {
    "NAME": "a name", "INT": "a number", "DECIMAL": "a number", "STRING": "a string", "DURATION": "a duration",
    "$END": "the end of the file", "COMPARE": "a comparison", "PLUS_MINUS": "`+`", "ADD_ASSIGN": "`+=`",
}  # fmt: skip

# What other languages write, what it is called, and what is written here.
_HABITS = {
    "&&": ("`&&`", "and"), "||": ("`||`", "or"), "===": ("`===`", "=="), "->": ("`->`", "=>"), "<>": ("`<>`", "!="),
}  # fmt: skip
_WORDS = {"function": "fn", "def": "fn", "func": "fn", "var": "let", "const": "let", "struct": "type", "return": ""}
# A line up to the end of a text whose last `{` is not closed: another text was meant to stand inside.
_TEXT_CUT = re.compile(r'^(?:[^"#]|"(?:[^"\\]|\\.)*")*"(?:[^"\\]|\\.)*\{[^"{}\\]*"\s*$')
_BEGINS_AN_ENTRY = re.compile(r'[A-Za-z0-9"\[{]|\.\.\.')


def explained(text: str, at: int, found: str | None, accepted: set[str], patterns: Mapping[str, str]) -> Diagnostic:
    """The diagnostic of a text that cannot be read on from `at`, by offsets in it.

    `found` is what stands there, None at the end; `accepted` are the terminals that could, with `patterns` by name.
    """
    span = Span(at, at + len(found or " "))
    if (habit := _habit(text, at, found, accepted)) is not None:
        return habit
    if _TEXT_CUT.search(text[text.rfind("\n", 0, at) + 1 : at]):
        return diag.not_inside_text(Span(at, at + len(found or " ")), "a text")
    before = len(re.sub(r"#[^\n]*", lambda match: " " * len(match[0]), text[:at]).rstrip())
    if accepted == {"ELSE"}:
        return diag.if_without_else(span)
    gap = Span(max(0, before - 1), before)
    if found is not None and (_BEGINS_AN_ENTRY.match(text, at) or found == "}"):
        if "SEMICOLON" in accepted:
            return diag.missing_sign(gap, ";", (Span(before, before), ";"))
        if "COMMA" in accepted and ("RBRACE" in accepted or "RSQB" in accepted or "RPAR" in accepted):
            return diag.missing_sign(gap, ",", (Span(before, before), ","))
    if found is None:
        return diag.unexpected(gap, "the end of the declaration", _expected(accepted, patterns))
    return diag.unexpected(span, f"`{found}`", _expected(accepted, patterns))


def _habit(text: str, at: int, found: str | None, accepted: set[str]) -> Diagnostic | None:
    for sign, (called, here) in _HABITS.items():
        for start in (at, at - len(sign) + 1):  # some are noticed at their last character
            if start >= 0 and text.startswith(sign, start):
                return diag.foreign(Span(start, start + len(sign)), called, here)
    span = Span(at, at + len(found or ""))
    if found == "=" and "COLON" in accepted:
        return diag.foreign(span, "`=`", ":")
    if found == "=" and "ARROW" in accepted and "=>" not in text[at:].partition("\n")[0]:
        return diag.foreign(span, "`=`", "=>")
    if found == "=" and "COMPARE" in accepted:
        return diag.foreign(span, "`=`", "==")
    if found == "!" and "NOT_IN" in accepted:
        return diag.foreign(span, "`!`", "not ")
    if found == "'" and (end := text.find("'", at + 1)) > 0:
        return diag.foreign(Span(at, end + 1), "a text in `'`", '"' + text[at + 1 : end].replace('"', '\\"') + '"')
    if found in ("/", "%"):
        return diag.no_division(span, found)
    for word in (re.compile(r"[a-z]+").match(text, at), re.compile(r"[a-z]+(?=\s+$)").search(text[:at])):
        if word is not None and word[0] in _WORDS:
            return diag.foreign(Span(*word.span()), f"`{word[0]}`", _WORDS[word[0]])
    return None


def _expected(accepted: set[str], patterns: Mapping[str, str]) -> list[str]:
    words = set()
    for name in accepted:
        if name in _NAMES:
            words.add(_NAMES[name])
        elif name in patterns:
            words.add(f"`{patterns[name]}`".replace("\\", ""))
    return sorted(words)
