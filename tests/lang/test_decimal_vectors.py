"""CPython's decimal test vectors against the language's own decimals: the exact result or the coded error, nothing else.

What is exact is computed here with integers alone. A decimal is a coefficient and a scale; the language holds those of
up to 38 digits whose first digit stands at most 38 places behind the point, and zeros of a scale up to 75.
"""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from language_support import Expression, plenty

from projection.errors import DecodeError
from projection.lang.failures import Failure
from projection.lang.run.executors import Execution
from projection.lang.values.numbers import ROUNDING_MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

test_package = pytest.importorskip("test", reason="this Python has no package `test`, which holds the vectors")
VECTORS = Path(test_package.__path__[0]) / "decimaltestdata"
OPERATIONS = ("add", "subtract", "multiply", "compare", "quantize", "divide")
PRELUDE = "event In { a: decimal, b: decimal }"
_CASE = re.compile(r"(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+->\s+(\S+)")
_NUMBER = re.compile(r"([+-]?)(\d*)\.?(\d*)(?:e([+-]?\d+))?", re.IGNORECASE)


class Exact(NamedTuple):
    """The number `coefficient / 10 ** scale`."""

    coefficient: int
    scale: int

    def json(self) -> str:
        return f"{self.coefficient}e{-self.scale}"

    def held(self) -> Exact | None:
        """As the language holds it: nothing but digits behind the point, none in front left out; None if it cannot."""
        digits = len(str(abs(self.coefficient)))
        if not self.coefficient:
            return Exact(0, max(self.scale, 0)) if self.scale <= 75 else None
        if self.scale < 0:
            return Exact(self.coefficient * 10**-self.scale, 0) if digits - self.scale <= 38 else None
        return self if digits <= 38 and digits - self.scale > -38 else None

    def cut(self, scale: int, mode: str) -> Exact:
        """With so many digits behind the point."""
        if scale >= self.scale:
            return Exact(self.coefficient * 10 ** (scale - self.scale), scale)
        return Exact(rounded_quotient(self.coefficient, 10 ** (self.scale - scale), mode), scale)


def rounded_quotient(dividend: int, divisor: int, mode: str) -> int:
    """The quotient as a whole number; the divisor is above 0."""
    low, rest = divmod(dividend, divisor)
    if not rest:
        return low
    away, near = (low, low + 1) if dividend < 0 else (low + 1, low)  # from zero, and towards it
    half = 2 * rest - divisor
    towards = {
        "up": away, "down": near, "floor": low, "ceiling": low + 1,
        "half_up": away, "half_down": near, "half_even": low + low % 2,
    }[mode]  # fmt: skip
    return towards if not half or not mode.startswith("half") else low + (half > 0)


def exact(text: str) -> Exact | None:
    """The number of a vector; None of what is none: NaN, infinity, an encoding."""
    match = _NUMBER.fullmatch(text.strip("'\""))
    if match is None or not (match[2] or match[3]):
        return None
    sign, whole, decimals, exponent = match.groups()
    return Exact(int(sign + whole + decimals), len(decimals) - int(exponent or 0))


def vectors(operation: str) -> Iterator[tuple[str, Exact | None, Exact | None, Exact | None]]:
    """Name, operands and result of each vector of an operation, in the order of its files."""
    for path in sorted(VECTORS.glob("*.decTest")):
        if path.stem.removeprefix("dd").removeprefix("dq").lower() == operation:
            for line in path.read_text(encoding="utf-8").splitlines():
                match = _CASE.match(line)
                if match is not None and match[2].lower() == operation:
                    yield match[1], exact(match[3]), exact(match[4]), exact(match[5])


@cache
def expression(text: str) -> Expression:
    return Expression(text, PRELUDE)


def outcome(text: str, a: Exact, b: Exact) -> Decimal | bool | str:
    """What an expression over two operands yields, or the code of its failure; the executors agree on it."""
    found = set()
    for execution in Execution:
        try:
            found.add(expression(text).run(f'{{"a": {a.json()}, "b": {b.json()}}}', plenty(), execution))
        except (Failure, DecodeError) as failure:
            found.add(failure.code)
    (one,) = found
    return one


def agrees(text: str, a: Exact, b: Exact, result: Exact | None) -> None:
    """The expression yields the result, digit by digit, or fails with R702 where the language cannot hold it."""
    found, held = outcome(text, a, b), None if result is None else result.held()
    if held is None:
        assert "R702" == found, (text, a, b)
    else:
        assert isinstance(found, Decimal), (text, a, b, found)
        sign, digits, exponent = found.as_tuple()
        coefficient = int("".join(map(str, digits))) * (-1 if sign else 1)
        assert (held, bool(held.coefficient < 0)) == (Exact(coefficient, -int(exponent)), bool(sign)), (text, a, b)


def aligned(a: Exact, b: Exact) -> tuple[int, int, int]:
    """Both as whole numbers of one scale, and that scale."""
    scale = max(a.scale, b.scale)
    return a.coefficient * 10 ** (scale - a.scale), b.coefficient * 10 ** (scale - b.scale), scale


# --- one vector of each operation ------------------------------------------------------------------------------------


def add(a: Exact, b: Exact, _wanted: Exact | None) -> None:
    one, other, scale = aligned(a, b)
    agrees("e.a + e.b", a, b, Exact(one + other, scale))


def subtract(a: Exact, b: Exact, _wanted: Exact | None) -> None:
    one, other, scale = aligned(a, b)
    agrees("e.a - e.b", a, b, Exact(one - other, scale))


def multiply(a: Exact, b: Exact, _wanted: Exact | None) -> None:
    agrees("e.a * e.b", a, b, Exact(a.coefficient * b.coefficient, a.scale + b.scale))


def compare(a: Exact, b: Exact, wanted: Exact | None) -> None:
    one, other, _scale = aligned(a, b)
    assert wanted is None or wanted.coefficient == (one > other) - (one < other)
    for operator, expected in {
        "<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other, "==": one == other,
        "!=": one != other,
    }.items():  # fmt: skip
        assert expected is outcome(f"e.a {operator} e.b", a, b), (operator, a, b)


def quantize(a: Exact, b: Exact, _wanted: Exact | None) -> None:
    scale = b.scale if 0 <= b.scale <= 18 else abs(b.coefficient) % 19
    for mode in ROUNDING_MODES:
        agrees(f'round(e.a, {scale}, "{mode}")', a, b, a.cut(scale, mode))


def divide(a: Exact, b: Exact, wanted: Exact | None) -> None:
    own = 2 if wanted is None else wanted.scale
    for scale in sorted({0, 18, min(max(own, 0), 18)}):
        for mode in ROUNDING_MODES:
            text = f'div(e.a, e.b, {scale}, "{mode}")'
            if not b.coefficient:
                assert "R703" == outcome(text, a, b)
                continue
            one, other, _scale = aligned(a, b)
            sign = -1 if other < 0 else 1
            agrees(text, a, b, Exact(rounded_quotient(sign * one * 10**scale, abs(other), mode), scale))


CHECKS = pytest.mark.parametrize(
    "check", [add, subtract, multiply, compare, quantize, divide], ids=lambda one: one.__name__
)
# So many vectors of each operation have operands that the language holds: more than 5,000 together.
LEAST = {"add": 3_000, "subtract": 1_300, "multiply": 700, "compare": 1_400, "quantize": 1_500, "divide": 1_300}


@CHECKS
def test_a_vector_is_computed_exactly_or_fails_with_its_code(
    check: Callable[[Exact, Exact, Exact | None], None],
) -> None:
    if not VECTORS.is_dir():
        pytest.skip(f"this Python came without the decimal test vectors ({VECTORS.name})")
    counts = Counter[str]()
    for _name, a, b, wanted in vectors(check.__name__):
        if a is None or b is None:
            counts["no numbers"] += 1
            continue
        a_held, b_held = a.held(), b.held()
        if a_held is None or b_held is None:
            counts["refused"] += 1
            assert "D105" == outcome("e.a == e.b", a, b), (a, b)
            continue
        counts["computed"] += 1
        check(a_held, b_held, wanted)
    print(f"{check.__name__}: {dict(counts)}")
    assert counts["computed"] >= LEAST[check.__name__]


EDGES = [
    held
    for coefficient in (0, 1, -1, 5, 10**19, -(10**37), 10**38 - 1)
    for scale in (0, 1, 19, 37, 38, 75)
    if (held := Exact(coefficient, scale).held())
]


@CHECKS
def test_the_edges_of_what_the_language_holds_are_exact_or_an_error(
    check: Callable[[Exact, Exact, Exact | None], None],
) -> None:
    for a in EDGES:
        for b in EDGES:
            check(a, b, None)
