"""What a syntax error probably means: the habit of another language, or what is missing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projection.lang import diagnostics as diag
from projection.lang import habits
from projection.lang.source import Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projection.lang.reporting import Diagnostic

_NAMES = {
    "NAME": "a name", "INT": "a number", "DECIMAL": "a number", "STRING": "a string", "DURATION": "a duration",
    "$END": "the end of the file", "DECLARATION": "a declaration",
    "COMPARE": "a comparison", "PLUS_MINUS": "`+`", "ADD_ASSIGN": "`+=`",
}  # fmt: skip

# A line up to the end of a text whose last `{` is not closed: another text was meant to stand inside.
_TEXT_CUT = re.compile(r'(?:[^"#]|"(?:[^"\\]|\\.)*")*"(?:[^"\\]|\\.)*\{[^"{}\\]*"\s*$')
_GLANCE = 100  # characters before a place that tell what was meant
_BEGINS_AN_ENTRY = re.compile(r'[A-Za-z0-9"\[{]|\.\.\.')


def explained(text: str, at: int, found: str | None, accepted: set[str], patterns: Mapping[str, str]) -> Diagnostic:
    """The diagnostic of a text that cannot be read on from `at`, by offsets in it.

    `found` is what stands there, None at the end; `accepted` are the terminals that could, with `patterns` by name.
    """
    span = Span(at, at + len(found or " "))
    if _TEXT_CUT.match(text[text.rfind("\n", 0, at) + 1 : at]):
        return diag.not_inside_text(span, "a text")
    if (habit := _habit(text, at, found, accepted)) is not None:
        return habit
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
        return diag.unfinished(gap, _expected(accepted, patterns))
    return diag.unexpected(span, f"`{found}`", _expected(accepted, patterns))


def _comment(text: str, at: int, accepted: set[str]) -> Diagnostic | None:
    """A comment as other languages write it."""
    sign = next((one for one in ("//", "/*", "--") if text.startswith(one, at)), None)
    if sign is None or "PLUS_MINUS" in accepted:  # behind a value, `//` would divide
        return None
    help_ = "write `# …`: a comment goes on to the end of its line"
    return diag.foreign(Span(at, at + len(sign)), f"`{sign}`", None, help_=help_)


def _form(text: str, at: int, found: str | None, accepted: set[str]) -> Diagnostic | None:
    """What is written with several tokens elsewhere."""
    span, before = Span(at, at + len(found or "")), text[max(0, at - _GLANCE) : at]
    if found == "(" and (method := re.search(r"\.\s*([A-Za-z]\w*)\s*$", before)) is not None:
        name = habits.FUNCTIONS.get(method[1], method[1])
        help_ = f"write `{name}(x)` where `x` is what is before `.`"
        return diag.foreign(Span(*method.span(1)).moved(at - len(before)), "a method", None, help_=help_)
    if found == "?" and "PLUS_MINUS" in accepted:
        return diag.foreign(span, "`? :`", None, help_="write `if CONDITION then A else B`")
    if found is not None and before.endswith(found) and found in ("+", "*"):
        help_ = "write `view with { n += 1 }`" if found == "+" else "there are no powers: multiply"
        return diag.foreign(Span(at - 1, at + 1), f"`{found}{found}`", None, help_=help_)
    if found == "=" and before.endswith(("+", "-")):
        sign = f"{before[-1]}="
        return diag.foreign(Span(at - 1, at + 1), f"`{sign}` here", None, help_=f"write `view with {{ n {sign} 1 }}`")
    if found is not None and re.fullmatch(r"[eE][0-9]*", found) and before[-1:].isdigit():
        return diag.foreign(span, "an exponent", None, help_="write the number with all its digits")
    if found is not None and found.startswith('"') and re.search(r"\b[a-z]\Z", before) is not None:
        help_ = "leave it out: any string may hold `{expression}`"
        return diag.foreign(Span(at - 1, at), "a letter before a string", None, help_=help_)
    return None


def _habit(text: str, at: int, found: str | None, accepted: set[str]) -> Diagnostic | None:
    if (problem := _comment(text, at, accepted) or _form(text, at, found, accepted)) is not None:
        return problem
    for sign, (called, here) in habits.SIGNS.items():
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
    first = max(0, at - _GLANCE)
    before = re.search(r"\w+(?=\s+$)", text[first:at])
    spans = [] if before is None else [Span(*before.span()).moved(first)]
    if (word := re.compile(r"\w+").match(text, at)) is not None:
        spans.insert(0, Span(*word.span()))
    for place in spans:
        if (written := text[place.start : place.end]) in habits.WORDS:
            return diag.foreign(place, f"`{written}`", habits.WORDS[written])
    return None


def _expected(accepted: set[str], patterns: Mapping[str, str]) -> list[str]:
    words = set()
    for name in accepted:
        if name in _NAMES:
            words.add(_NAMES[name])
        elif name in patterns:
            words.add(f"`{patterns[name]}`".replace("\\", ""))
    return sorted(words)
