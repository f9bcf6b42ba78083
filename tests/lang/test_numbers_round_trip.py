"""Numbers at their edges: ints around ±2⁶³ through every operation, and numbers of JSON that come back as they came."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from language_support import Expression, Fold, plenty

from projection.errors import DecodeError
from projection.lang.failures import Failure
from projection.lang.library import BUILTINS, OPERATORS
from projection.lang.operations import parse_signature
from projection.lang.run.executors import Execution
from projection.lang.values.codec import encode
from projection.lang.values.numbers import MAX_INT, MIN_INT

if TYPE_CHECKING:
    from collections.abc import Callable

# --- ints ------------------------------------------------------------------------------------------------------------

EDGES = (
    *(MIN_INT, MIN_INT + 1, -(2**32), -3_037_000_500, -2, -1, 0),
    *(1, 2, 5, 3_037_000_500, 2**32, 2**62, MAX_INT - 1, MAX_INT),
)
DAY, HOUR = date(2024, 2, 29), timedelta(hours=1)
RAN_OUT = "O901 or O902"


def _int(value: int) -> int | str:
    return value if MIN_INT <= value <= MAX_INT else "R701"


def _quotient(a: int, b: int) -> int | str:
    return "R703" if not b else _int(abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1))


def _remainder(a: int, b: int) -> int | str:
    return "R703" if not b else abs(a) % abs(b) * (-1 if a < 0 else 1)


def _days(days: int) -> str:
    ordinal = DAY.toordinal() + days
    return date.fromordinal(ordinal).isoformat() if 1 <= ordinal <= date.max.toordinal() else "R713"


def _months(months: int) -> str:
    year, month = divmod(DAY.year * 12 + 1 + months, 12)
    if not 1 <= year <= 9999:
        return "R713"
    last = (date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)).day if year < 9999 else 29
    return date(year, month + 1, min(29, last)).isoformat()


def _date(year: int, month: int, day: int) -> str:
    try:
        return date(year, month, day).isoformat()
    except (ValueError, OverflowError):
        return "R715"


def _times(factor: int) -> bool | str:
    return True if MIN_INT <= factor * 3_600_000_000 <= MAX_INT else "R713"


def _text(make: Callable[[int], str]) -> Callable[[int], str]:
    """What makes a text of a length that may be beyond all bounds."""
    return lambda count: make(count) if count < 1000 else RAN_OUT


def _slice(value: Any, start: int, end: int) -> Any:
    return value[max(start, 0) : max(end, 0)]


# What each expression over ints yields, computed without bounds, or the code of its failure.
INTS: dict[str, Callable[..., Any]] = {
    "e.a + e.b": lambda a, b: _int(a + b),
    "e.a - e.b": lambda a, b: _int(a - b),
    "e.a * e.b": lambda a, b: _int(a * b),
    "-e.a": lambda a: _int(-a),
    "e.a < e.b": lambda a, b: a < b,
    "e.a <= e.b": lambda a, b: a <= b,
    "e.a > e.b": lambda a, b: a > b,
    "e.a >= e.b": lambda a, b: a >= b,
    "e.a == e.b": lambda a, b: a == b,
    "e.a in [e.b, 5]": lambda a, b: a in [b, 5],
    "div(e.a, e.b)": _quotient,
    "rem(e.a, e.b)": _remainder,
    "abs(e.a)": lambda a: _int(abs(a)),
    "sign(e.a)": lambda a: (a > 0) - (a < 0),
    "min(e.a, e.b)": min,
    "max(e.a, e.b)": max,
    "clamp(e.a, e.b, e.c)": lambda a, b, c: min(max(a, b), c),
    "sum([e.a, e.b, e.c])": lambda a, b, c: _int(a + b + c),
    "fold(n = e.a for x in [e.b] => n + x)": lambda a, b: _int(a + b),
    "int(e.a * 1.0)": lambda a: a,
    "int(e.a * 1.0 + e.b)": lambda a, b: _int(a + b),
    "decimal(e.a, 0) + 0": lambda a: a,
    'parse_int("{e.a}")': lambda a: a,
    'parse_int("{e.a}0")': lambda a: 10 * a if MIN_INT <= 10 * a <= MAX_INT else None,
    "text(e.a)": str,
    "key(e.a, e.b)": lambda a, b: f"{a}:{b}",
    "[10, 20, 30][e.a]": lambda a: [10, 20, 30][a] if 0 <= a < 3 else None,
    "{[1]: 10}[e.a]": {1: 10}.get,
    "take([1, 2, 3], e.a)": lambda a: _slice([1, 2, 3], 0, a),
    "take_last([1, 2, 3], e.a)": lambda a: [1, 2, 3][-a:] if a > 0 else [],
    "skip([1, 2, 3], e.a)": lambda a: [1, 2, 3][max(a, 0) :],
    "skip_last([1, 2, 3], e.a)": lambda a: _slice([1, 2, 3], 0, 3 - max(a, 0)),
    "slice([1, 2, 3], e.a, e.b)": lambda a, b: _slice([1, 2, 3], a, b),
    'take("abc", e.a)': lambda a: _slice("abc", 0, a),
    'take_last("abc", e.a)': lambda a: "abc"[-a:] if a > 0 else "",
    'skip("abc", e.a)': lambda a: "abc"[max(a, 0) :],
    'skip_last("abc", e.a)': lambda a: _slice("abc", 0, 3 - max(a, 0)),
    'slice("abc", e.a, e.b)': lambda a, b: _slice("abc", a, b),
    'repeat("ab", e.a)': _text(lambda a: "ab" * a),
    'pad_start("x", e.a, "-")': _text(lambda a: "x".rjust(a, "-")),
    'pad_end("x", e.a, "-")': _text(lambda a: "x".ljust(a, "-")),
    "count(range(e.a))": _text(lambda a: max(a, 0)),
    "date(e.a, e.b, e.c)": _date,
    "add_days(date(2024, 2, 29), e.a)": _days,
    "add_months(date(2024, 2, 29), e.a)": _months,
    "add_years(date(2024, 2, 29), e.a)": lambda a: _months(12 * a),
    "add_days(timestamp(date(2024, 2, 29)), e.a)": lambda a: _days(a) + ("" if _days(a) == "R713" else "T00:00:00Z"),
    "add_months(timestamp(date(2024, 2, 29)), e.a)": lambda a: (
        _months(a) + ("" if _months(a) == "R713" else "T00:00:00Z")
    ),
    "add_years(timestamp(date(2024, 2, 29)), e.a)": lambda a: (
        _months(12 * a) + ("" if _months(12 * a) == "R713" else "T00:00:00Z")
    ),
    "div(1h * e.a, 1h) == e.a": _times,
    "div(e.a * 1h, 1h) == e.a": _times,
}


@pytest.mark.parametrize("text", INTS)
def test_ints_at_their_edges_are_exact_or_an_error(text: str) -> None:
    run = Expression(text, "event In { a: int, b: int, c: int }")
    used = [name for name in "abc" if f"e.{name}" in text]
    for values in product(EDGES, repeat=len(used)):
        given = dict.fromkeys("abc", 0) | dict(zip(used, values, strict=True))
        expected = INTS[text](*values)
        for execution in Execution:
            try:
                found = json.loads(encode(run.run(json.dumps(given), plenty(), execution)))
            except Failure as failure:
                found = RAN_OUT if failure.code in RAN_OUT else failure.code
            assert (type(expected), expected) == (type(found), found), (values, execution)


def test_every_operation_that_takes_an_int_is_tried_at_the_edges() -> None:
    constant_alone = {"round", "decimal"}  # their ints are scales, which are constants
    taking = {
        name
        for home in (OPERATORS, BUILTINS)
        for name, overloads in home.items()
        for one in overloads
        if any(parameter.name == "int" for parameter in parse_signature(one.signature)[0])
    }
    tried = {name for name in taking if any(re.search(rf"\b{name}\(" if name.isidentifier() else re.escape(name), text) for text in INTS)}  # fmt: skip
    assert taking - constant_alone - {"[]", "negative"} <= tried


# --- JSON ------------------------------------------------------------------------------------------------------------

SCALES = (0, 2, 7, 18)
TYPES = ("int", "decimal", "json", *(f"decimal({scale})" for scale in SCALES))
FOLDS = {
    type_: Fold(
        f'proj 1\nprojection p\nevent E {{ x: {type_} }}\nview V {{ x: {type_} }}\non E as e to "v" => {{ x: e.x }}\n'
    )
    for type_ in TYPES
}
REFUSED = "D105"


def through(type_: str, text: str) -> str:
    """The text of a number as it stands in the view; D105 where it is refused."""
    fold = FOLDS[type_]
    try:
        fold.apply("E", f'{{"x": {text}}}')
    except DecodeError as error:
        return error.code
    return fold.views["v"].decode().removeprefix('{"x":').removesuffix("}")


_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?", re.ASCII)


def expected(type_: str, text: str) -> str:
    """The text that a number of JSON comes back as, by its digits alone."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return REFUSED
    sign, whole, decimals, exponent = match[1], match[2], match[3] or "", int(match[4] or 0)
    if abs(exponent) > 10**18:  # beyond every number that Python's decimals know, be it zero
        return REFUSED
    digits, scale = (whole + decimals).lstrip("0"), len(decimals) - exponent
    if type_ == "int" or (type_ == "json" and match[3] is None and match[4] is None):
        is_int = match[3] is None and match[4] is None
        if is_int and MIN_INT <= int(sign + whole) <= MAX_INT:
            return str(int(sign + whole))
        if type_ == "int":
            return REFUSED
    if type_ in ("decimal", "json"):
        if scale > 75 or len(digits) > 38 or (digits and not -38 < len(digits) - scale <= 38):
            return REFUSED
        if scale < 0:
            digits, scale = digits and digits + "0" * -scale, 0
    else:
        wanted = int(type_[8:-1])
        if digits and len(digits) - scale + wanted > 38:
            return REFUSED
        if not digits:
            scale = wanted
        elif scale < wanted:
            digits, scale = digits + "0" * (wanted - scale), wanted
        elif digits[len(digits) - (scale - wanted) :].strip("0") or len(digits) < scale - wanted:
            return REFUSED
        else:
            digits, scale = digits[: len(digits) - (scale - wanted)], wanted
    digits = digits.rjust(scale + 1, "0")
    number = digits[: len(digits) - scale] + ("." + digits[len(digits) - scale :] if scale else "")
    return ("-" if sign and digits.strip("0") else "") + number


_digits = st.text("0123456789", min_size=1, max_size=40) | st.text("0", min_size=1, max_size=40)
_exponents = st.integers(-80, 80) | st.integers(-(10**7), 10**7)
_texts = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-", "", "-", "+"]),
    _digits | st.just("0") | st.integers(0, 10**19).map(str),
    st.just("") | _digits.map(".{}".format) | st.just(".0"),
    st.just("") | st.builds("{}{}".format, st.sampled_from(["e", "E", "e+"]), _exponents),
)


@settings(max_examples=500, deadline=None)
@given(text=_texts)
@example(text="-0")
@example(text="-0.00")
@example(text="1e5")
@example(text="1E-7")
@example(text="0E-7")
@example(text="1.50")
@example(text="0.0000001")
@example(text="007")
@example(text="9223372036854775808")
@example(text="-9223372036854775808")
@example(text="9" * 400)
@example(text="1e400")
@example(text="1E+600000")
@example(text="1E-600000")
@example(text="0e-76")
@example(text="0e99999999999999999999")
@example(text="1e-38")
@example(text="1e-39")
@example(text="0." + "0" * 37 + "1" + "0" * 37)
def test_a_number_comes_back_digit_by_digit_or_is_refused(text: str) -> None:
    for type_ in TYPES:
        assert expected(type_, text) == through(type_, text), type_


@settings(max_examples=300, deadline=None)
@given(digits=st.text("0123456789", min_size=1, max_size=38), point=st.integers(1, 38), sign=st.sampled_from(["", "-"]))
def test_a_plain_decimal_of_up_to_38_digits_comes_back_as_the_same_text(digits: str, point: int, sign: str) -> None:
    whole, decimals = digits[:point].lstrip("0") or "0", digits[point:]
    text = whole + ("." + decimals if decimals else "")
    text = sign + text if digits.strip("0") else text
    assert text == through("decimal", text)
    assert text == through("json", text)


@pytest.mark.parametrize("text", ['"1.50"', "1_000", '"1_000"', "٣", "0x10", "1.", ".5", "NaN", "Infinity", "-", "1e", "true", "1,5", "null"])  # fmt: skip
@pytest.mark.parametrize("type_", [one for one in TYPES if one != "json"])
def test_what_is_no_number_is_none_here_either(type_: str, text: str) -> None:
    assert REFUSED == through(type_, text)


def test_exponents_are_written_as_plain_digits_and_nothing_else_is_touched() -> None:
    fold = Fold(
        "proj 1\nprojection p\nevent E { j: json, s: string, ds: list<decimal(9)> }\n"
        "view V { ds: list<decimal(9)>, j: json, m: map<string, decimal>, s: string }\n"
        'on E as e to "v" => { ds: e.ds, j: e.j, m: {["1E-7"]: 0.00000012}, s: e.s }\n'
    )
    fold.apply("E", '{"j": {"E-1": [1E-7, "2E-8\\\\", -3.25e-9]}, "s": "\\"1E-7, 2E-8", "ds": [0, 1e-9, -2.5e-8, 12]}')
    assert (
        '{"ds":[0.000000000,0.000000001,-0.000000025,12.000000000],"j":{"E-1":[0.0000001,"2E-8\\\\",-0.00000000325]},'
        '"m":{"1E-7":0.00000012},"s":"\\"1E-7, 2E-8"}'
    ) == fold.views["v"].decode()
