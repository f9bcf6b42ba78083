"""Text: its parts, its case, searching and replacing; ASCII only where letters matter."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from projection.lang.cost.costs import (
    HITS,
    LENGTH,
    NUMBER,
    TOTAL,
    Shape,
    added,
    constant,
    larger,
    linear,
    product,
    scanned,
)
from projection.lang.cost.sizes import SCALAR_TEXT, Size, capped, text
from projection.lang.library import extents, ranges
from projection.lang.library.registry import FREE, builtin
from projection.lang.values import numbers, times

if TYPE_CHECKING:
    from collections.abc import Sequence

_BLANKS = " \t\r\n"
_COPY = linear(1, 0, shift=4)  # the memory of a text as long as the first


def text_of(value: Any) -> str:
    """A single value as text, as interpolation and JSON write it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return numbers.decimal_text(value)
    if isinstance(value, datetime):
        return times.timestamp_text(value)
    if isinstance(value, timedelta):
        return times.duration_text(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def text_extent(sizes: Sequence[Size]) -> Size:
    """How long a single value is as text."""
    (value,) = sizes
    if value.is_unknown:  # it may be a text
        return text(0, value.most)
    return value if value.is_text else text(1, SCALAR_TEXT)


# --- whole texts -----------------------------------------------------------------------------------------------------


def _lower(value: str) -> str:
    return value.encode().lower().decode()  # of bytes, only ASCII letters have a case


def _upper(value: str) -> str:
    return value.encode().upper().decode()


def _key(*parts: Any) -> str:
    return ":".join(text_of(part).replace("%", "%25").replace(":", "%3A") for part in parts)


def key_part(part: str) -> str | None:
    """The text that is so escaped in a `key`; None where no text is."""
    text = part.replace("%3A", ":").replace("%25", "%")
    return text if _key(text) == part else None


def _key_extent(sizes: Sequence[Size]) -> Size:
    return text(0, capped(sum(1 + 3 * text_extent([size]).most for size in sizes)))


builtin(
    "text", "scalar -> string", gas=constant(30), alloc=constant(1), function=text_of, size=text_extent,
    doc="A single value as a string, as in JSON.",
    examples=[("text(1.50)", '"1.50"'), ("text(true)", '"true"'), ("text(90m)", '"PT5400S"')],
)  # fmt: skip
builtin(
    "key", "scalar, ... -> string", gas=added(40, per_operand=50, shift=3), alloc=added(1, factor=3, shift=4),
    function=_key, size=_key_extent,
    doc="A composite id: parts escaped for `:` and `%`, and joined with `:`, so that different parts never "
    "give the same id.",
    examples=[('key("a:b", 7)', '"a%3Ab:7"')],
)  # fmt: skip
builtin(
    "length", "string -> int", gas=constant(1), alloc=FREE, function=len, inline="len({0})", size=ranges.counted,
    doc="The number of code points.", examples=[('length("café")', "4")],
)  # fmt: skip
builtin(
    "lower", "string -> string", gas=linear(8, 0, shift=6), alloc=_COPY, function=_lower, size=extents.like(0),
    inline="({0}.lower() if {0}.isascii() else {0}.encode().lower().decode())",
    doc="ASCII letters in lower case; all others unchanged.", examples=[('lower("ABC-É")', '"abc-É"')],
)  # fmt: skip
builtin(
    "upper", "string -> string", gas=linear(8, 0, shift=6), alloc=_COPY, function=_upper, size=extents.like(0),
    inline="({0}.upper() if {0}.isascii() else {0}.encode().upper().decode())",
    doc="ASCII letters in upper case; all others unchanged.", examples=[('upper("abc-é")', '"ABC-é"')],
)  # fmt: skip
builtin(
    "trim", "string -> string", gas=linear(8, 0, shift=8), alloc=_COPY, function=lambda t: t.strip(_BLANKS),
    inline="{0}.strip(' \\t\\r\\n')", size=extents.part_of(0),
    doc="The string without spaces, tabs and line breaks at both ends.", examples=[('trim(" a ")', '"a"')],
)  # fmt: skip
builtin(
    "trim_start", "string -> string", gas=linear(8, 0, shift=8), alloc=_COPY, function=lambda t: t.lstrip(_BLANKS),
    size=extents.part_of(0), doc="The string without spaces, tabs and line breaks at the start.",
    examples=[('trim_start(" a ")', '"a "')],
)  # fmt: skip
builtin(
    "trim_end", "string -> string", gas=linear(8, 0, shift=8), alloc=_COPY, function=lambda t: t.rstrip(_BLANKS),
    size=extents.part_of(0), doc="The string without spaces, tabs and line breaks at the end.",
    examples=[('trim_end(" a ")', '" a"')],
)  # fmt: skip


# --- both ends -------------------------------------------------------------------------------------------------------


def _padding(length: int, fill: str) -> str:
    if length <= 0 or not fill:
        return ""
    return (fill * (length // len(fill) + 1))[:length]


def _pad_extent(sizes: Sequence[Size]) -> Size:
    return text(sizes[0].least, capped(max(sizes[0].most, sizes[1].ints[1])))


_PADDED = larger(50, shift=8, measures=(LENGTH, NUMBER))
_PADDED_MEMORY = larger(1, shift=4, measures=(LENGTH, NUMBER))

builtin(
    "starts_with", "string, string -> bool", gas=linear(6, 1, shift=8), alloc=FREE,
    function=lambda t, part: t.startswith(part), inline="{0}.startswith({1})",
    doc="Whether a string begins with another.",
    examples=[('starts_with("abc", "ab")', "true"), ('starts_with("abc", "")', "true")],
)  # fmt: skip
builtin(
    "ends_with", "string, string -> bool", gas=linear(6, 1, shift=8), alloc=FREE,
    function=lambda t, part: t.endswith(part), inline="{0}.endswith({1})", doc="Whether a string ends with another.",
    examples=[('ends_with("abc", "bc")', "true"), ('ends_with("bc", "abc")', "false")],
)  # fmt: skip
builtin(
    "remove_prefix", "string, string -> string", gas=linear(8, 0, shift=8), alloc=_COPY,
    function=lambda t, part: t.removeprefix(part), size=extents.part_of(0),
    doc="The string without a prefix; unchanged if it does not have it.",
    examples=[('remove_prefix("ORD-17", "ORD-")', '"17"'), ('remove_prefix("17", "ORD-")', '"17"')],
)  # fmt: skip
builtin(
    "remove_suffix", "string, string -> string", gas=linear(8, 0, shift=8), alloc=_COPY,
    function=lambda t, part: t.removesuffix(part), size=extents.part_of(0),
    doc="The string without a suffix; unchanged if it does not have it.",
    examples=[('remove_suffix("a.pdf", ".pdf")', '"a"'), ('remove_suffix("a.txt", ".pdf")', '"a.txt"')],
)  # fmt: skip
builtin(
    "pad_start", "string, int, string -> string", gas=_PADDED, alloc=_PADDED_MEMORY, size=_pad_extent,
    function=lambda t, length, fill: _padding(length - len(t), fill) + t,
    doc="The string, padded at the start to at least this length by repeating another.",
    examples=[('pad_start("7", 3, "0")', '"007"'), ('pad_start("1234", 3, "0")', '"1234"')],
)  # fmt: skip
builtin(
    "pad_end", "string, int, string -> string", gas=_PADDED, alloc=_PADDED_MEMORY, size=_pad_extent,
    function=lambda t, length, fill: t + _padding(length - len(t), fill),
    doc="The string, padded at the end to at least this length by repeating another.",
    examples=[('pad_end("7", 4, "-.")', '"7-.-"'), ('pad_end("7", 3, "")', '"7"')],
)  # fmt: skip
builtin(
    "repeat", "string, int -> string", gas=product(40, shift=10, measures=(LENGTH, NUMBER)),
    alloc=product(1, shift=4, measures=(LENGTH, NUMBER)), function=lambda t, count: t * count,
    size=lambda sizes: text(0, capped(sizes[0].most * max(sizes[1].ints[1], 0))),
    doc="The string repeated this many times.",
    examples=[('repeat("ab", 3)', '"ababab"'), ('repeat("ab", -1)', '""')],
)  # fmt: skip


# --- searching -------------------------------------------------------------------------------------------------------


def _index_of(value: str, part: str) -> int | None:
    found = value.find(part)
    return None if found < 0 else found


def _glob(value: str, pattern: str) -> bool:
    """Every part as early as it goes: where any way matches, this one does. Linear in both."""
    first, *parts = pattern.split("*")
    if not parts:
        return value == pattern
    last = parts.pop()
    position, end = len(first), len(value) - len(last)
    if position > end or not value.startswith(first) or not value.endswith(last):
        return False
    for part in parts:
        found = value.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


builtin(
    "index_of", "string, string -> int?", gas=scanned(16, 0, 1), alloc=FREE, function=_index_of, size=ranges.position,
    doc="The position of the first occurrence of a string in another, from 0; none if there is none.",
    examples=[('index_of("banana", "an")', "1"), ('index_of("banana", "x")', "none")],
)  # fmt: skip
builtin(
    "glob", "string, string -> bool", gas=scanned(40, 0, 1, parts=2), alloc=linear(1, 1), function=_glob,
    doc="Whether a string matches a pattern, in which `*` matches any text.",
    examples=[('glob("INV-2024-17", "INV-*-17")', "true"), ('glob("abc", "*b")', "false"), ('glob("", "*")', "true")],
)  # fmt: skip


# --- parts -----------------------------------------------------------------------------------------------------------


def _slice(value: Any, start: int, end: int) -> Any:
    return value[max(start, 0) : max(end, 0)]


def _split(value: str, separator: str) -> list[str]:
    return value.split(separator) if separator else [value]


def _split_extent(sizes: Sequence[Size]) -> Size:
    parts = capped(HITS.within(sizes[0], sizes[1])[1] + 1)
    return extents.items(1, parts, text(0, sizes[0].most))


def _join_extent(sizes: Sequence[Size]) -> Size:
    (least, most), parts = TOTAL.within(sizes[0]), sizes[0].most
    return text(least, capped(most + parts * sizes[1].most))


def _replaced(value: str, part: str, by: str) -> str:
    return value.replace(part, by) if part else value


def _replaced_extent(sizes: Sequence[Size]) -> Size:
    value, part, by = sizes
    hits = HITS.within(value, part)[1]
    return text(0, capped(value.most + hits * by.most))


builtin(
    "take", "string, int -> string", gas=linear(15, 0, shift=8), alloc=_COPY, function=lambda t, n: t[: max(n, 0)],
    size=extents.at_most(0, 1), doc="The first code points, at most this many.",
    examples=[('take("abc", 2)', '"ab"'), ('take("abc", -1)', '""')],
)  # fmt: skip
builtin(
    "take_last", "string, int -> string", gas=linear(15, 0, shift=8), alloc=_COPY, size=extents.at_most(0, 1),
    function=lambda t, n: t[-n:] if n > 0 else "", doc="The last code points, at most this many.",
    examples=[('take_last("abc", 2)', '"bc"'), ('take_last("abc", 0)', '""')],
)  # fmt: skip
builtin(
    "skip", "string, int -> string", gas=linear(15, 0, shift=8), alloc=_COPY, function=lambda t, n: t[max(n, 0) :],
    size=extents.part_of(0), doc="All code points except this many at the start.", examples=[('skip("abc", 2)', '"c"')],
)  # fmt: skip
builtin(
    "skip_last", "string, int -> string", gas=linear(15, 0, shift=8), alloc=_COPY, size=extents.part_of(0),
    function=lambda t, n: t[: max(len(t) - max(n, 0), 0)], doc="All code points except this many at the end.",
    examples=[('skip_last("abc", 2)', '"a"')],
)  # fmt: skip
builtin(
    "slice", "string, int, int -> string", gas=linear(15, 0, shift=8), alloc=_COPY, function=_slice,
    size=extents.part_of(0), doc="The code points from one position, counted from 0, up to but not including another.",
    examples=[('slice("abcdef", 2, 4)', '"cd"'), ('slice("abc", 1, 99)', '"bc"'), ('slice("abc", 2, 1)', '""')],
)  # fmt: skip
builtin(
    "split", "string, string -> list<string>", gas=scanned(25, 0, 1, hits=3), function=_split, size=_split_extent,
    inline="({0}.split({1}) if {1} else [{0}])",
    alloc=Shape(
        "search", 2, operands=(0, (0, 1)), measures=(LENGTH, HITS), formula=lambda s: (s[0] >> 4) + 2 * s[1],
        template="(len({0}) >> 4) + 2 * hits({0}, {1})",
    ),
    doc="The parts between separators; the whole string if there is none, or if the separator is empty.",
    examples=[('split("a,b,,c", ",")', '["a", "b", "", "c"]'), ('split("", ",")', '[""]')],
)  # fmt: skip
builtin(
    "join", "list<string>, string -> string", function=lambda parts, separator: separator.join(parts),
    inline="{1}.join({0})",
    gas=Shape(
        "result", 40, operands=(0, 0, 1), measures=(LENGTH, TOTAL, LENGTH),
        formula=lambda s: 2 * s[0] + (s[1] + s[0] * s[2] >> 8),
        template="2 * len({0}) + (total({0}) + len({0}) * len({1}) >> 8)",
    ),
    alloc=Shape(
        "result", 1, operands=(0, 0, 1), measures=(LENGTH, TOTAL, LENGTH), formula=lambda s: s[1] + s[0] * s[2] >> 4,
        template="total({0}) + len({0}) * len({1}) >> 4",
    ),
    size=_join_extent, doc="The strings of a list, with a separator between them.",
    examples=[('join(["a", "b"], ", ")', '"a, b"'), ('join(split("abc", "x"), "-")', '"abc"')],
)  # fmt: skip
builtin(
    "replace", "string, string, string -> string", function=_replaced, size=_replaced_extent,
    inline="({0}.replace({1}, {2}) if {1} else {0})",
    gas=scanned(25, 0, 1, hits=2, by=2),
    alloc=Shape(
        "result", 1, operands=(0, (0, 1), 2), measures=(LENGTH, HITS, LENGTH),
        formula=lambda s: s[0] + s[1] * s[2] >> 4, template="len({0}) + hits({0}, {1}) * len({2}) >> 4",
    ),
    doc="The string with every occurrence of another replaced; an empty one never occurs.",
    examples=[
        ('replace("a-b-c", "-", "")', '"abc"'), ('replace("aaa", "aa", "b")', '"ba"'), ('replace("a", "", "b")', '"a"'),
    ],
)  # fmt: skip
