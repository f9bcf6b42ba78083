"""Encodings that sort as values do: of every type, optional or not, in both directions, behind one another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projection.lang import types as ty
from projection.lang.values.numbers import MAX_INT, MIN_INT
from projection.lang.values.ordering import inverted, nearest, order_of, ordering, ordering_of
from projection.lang.values.times import MAX_DURATION, MIN_DURATION

MOST = 10**38 - 1


def scaled(scale: int) -> st.SearchStrategy[Decimal]:
    """Decimals of one scale with up to 38 digits; -0 among them."""
    wide = st.integers(-MOST, MOST) | st.integers(-300, 300)
    return wide.map(lambda units: Decimal((units < 0, digits(units), -scale))) | st.just(Decimal((1, (0,), -scale)))


def digits(units: int) -> tuple[int, ...]:
    return tuple(map(int, str(abs(units))))


ENUM = ty.Enum(("paid", "open", "é", "created"))
VALUES: dict[ty.Type, st.SearchStrategy[Any]] = {
    ty.BOOL: st.booleans(),
    ty.INT: st.integers(MIN_INT, MAX_INT) | st.integers(-300, 300),
    ty.Decimal(0): scaled(0),
    ty.Decimal(2): scaled(2),
    ty.Decimal(18): scaled(18),
    ty.Decimal(): st.integers(0, 38).flatmap(scaled),
    ty.TEXT: st.text(st.characters(exclude_categories=["Cs"])) | st.text("\0\1\2a\uffff😀", max_size=5),
    ENUM: st.sampled_from(ENUM.members),
    ty.Enum(("a", "b"), open=True): st.text("ab\0", max_size=3),
    ty.DATE: st.dates(),
    ty.TIMESTAMP: st.datetimes(timezones=st.just(UTC)),
    ty.DURATION: st.timedeltas(MIN_DURATION, MAX_DURATION) | st.timedeltas(timedelta(-1), timedelta(1)),
}


@dataclass(frozen=True)
class Key:
    """A type and a direction."""

    type: ty.Type
    descending: bool

    def encode(self, value: Any) -> bytes:
        data = ordering(self.type)(value)
        return inverted(data) if self.descending else data

    def compare(self, one: Any, other: Any) -> int:
        """-1, 0 or 1, as Python and the language compare; none before everything."""
        if one is None or other is None:
            found = (one is not None) - (other is not None)
        else:
            found = (one > other) - (one < other)
        return -found if self.descending else found


@st.composite
def rows(draw: st.DrawFn, count: int, most: int = 1) -> tuple[list[Key], list[list[Any]]]:
    """Some keys, and so many rows of values of them; rows that agree in some of their values among them."""
    keys = draw(
        st.lists(st.builds(Key, st.sampled_from(list(VALUES)), st.booleans()), min_size=1, max_size=most).map(
            lambda found: [
                Key(ty.Optional(key.type) if place % 2 else key.type, key.descending) for place, key in enumerate(found)
            ]
        )
    )
    pools = [draw(st.lists(values_of(key.type), min_size=1, max_size=count)) for key in keys]
    return keys, draw(st.lists(st.tuples(*map(st.sampled_from, pools)).map(list), min_size=count, max_size=count))


def values_of(type_: ty.Type) -> st.SearchStrategy[Any]:
    return st.none() | VALUES[type_.inner] if isinstance(type_, ty.Optional) else VALUES[type_]


@pytest.mark.parametrize("optional", [False, True], ids=["present", "optional"])
@pytest.mark.parametrize("type_", VALUES, ids=str)
@given(data=st.data())
def test_encodings_compare_as_values_do(type_: ty.Type, optional: bool, data: st.DataObject) -> None:
    """The lesser value has the lesser bytes, equal ones have equal bytes, and no bytes begin with others'."""
    type_ = ty.Optional(type_) if optional else type_
    one, other = data.draw(values_of(type_)), data.draw(values_of(type_))
    for descending in (False, True):
        key = Key(type_, descending)
        a, b = key.encode(one), key.encode(other)
        assert key.compare(one, other) == (a > b) - (a < b)
        assert a == b or not a.startswith(b)


@given(rows(count=2, most=4))
def test_rows_of_encodings_compare_as_rows_of_values_do(found: tuple[list[Key], list[list[Any]]]) -> None:
    """Put behind one another, the first key decides first, each in its direction; and no row begins with another."""
    keys, (one, other) = found
    a, b = (b"".join(key.encode(value) for key, value in zip(keys, row, strict=True)) for row in (one, other))
    compared = [key.compare(x, y) for key, x, y in zip(keys, one, other, strict=True)]
    assert next((sign for sign in compared if sign), 0) == (a > b) - (a < b)
    assert a == b or not a.startswith(b)


def decimals(texts: str) -> list[Decimal]:
    return list(map(Decimal, texts.split()))


INSTANT = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("type_", "ascending"),
    [
        (
            ty.INT,
            [MIN_INT, MIN_INT + 1, -(2**32), -257, -256, -255, -2, -1, 0, 1, 255, 256, 257, 65535, 65536, MAX_INT],
        ),
        (ty.Decimal(2), decimals("-1E+36 -100.00 -0.01 0.00 0.01 2.55 2.56 1E+36")),
        (
            ty.Decimal(),
            decimals(
                f"-{MOST} -10 -9.9 -1.01 -1 -0.{MOST} -0.1 -1E-38 0 1E-38 0.009 0.01 0.1 0.1{1:037} 0.9 1 1.01 1.1 2 10 "
                f"10.01 {MOST - 1} {MOST}"
            ),
        ),
        (
            ty.TEXT,
            ["", "\0", "\0\0", "\0\1", "\1", "\1\0", "\2", "a", "a\0", "a\0b", "a\1", "aa", "b", "é", "\uffff", "😀"],
        ),
        (ENUM, ["created", "open", "paid", "é"]),  # by their texts, not as they are declared
        (ty.DATE, [date.min, date(1969, 12, 31), date(1970, 1, 1), date(2024, 2, 29), date.max]),
        (
            ty.TIMESTAMP,
            [datetime.min.replace(tzinfo=UTC), INSTANT, INSTANT + MICROSECOND, datetime.max.replace(tzinfo=UTC)],
        ),
        (
            ty.DURATION,
            [MIN_DURATION, timedelta(-1), -MICROSECOND, timedelta(), MICROSECOND, timedelta(1), MAX_DURATION],
        ),
        (ty.Optional(ty.TEXT), [None, "", "\0", "a"]),
        (ty.Optional(ty.BOOL), [None, False, True]),
    ],
    ids=str,
)
def test_values_at_the_edges_are_in_order(type_: ty.Type, ascending: list[Any]) -> None:
    """Bounds of 64 bits, 38 digits, NULs, code points beyond the 16 bits of UTF-16, instants before 1970."""
    encodings = [ordering(type_)(value) for value in ascending]
    assert sorted(encodings) == encodings
    assert sorted(map(inverted, encodings), reverse=True) == [inverted(one) for one in encodings]
    assert all(one != other and not other.startswith(one) for one, other in pairwise(encodings))


@pytest.mark.parametrize(
    ("type_", "equal"),
    [
        (ty.Decimal(), ["1", "1.0", "1.00", "1.0000000000000000000"]),
        (ty.Decimal(), ["0", "-0", "0.00", "-0.000", "0E+3"]),
        (ty.Decimal(), ["-1200", "-1.2E+3", "-1200.0"]),
        (ty.Decimal(2), ["0.00", "-0.00"]),
    ],
)
def test_equal_numbers_have_one_encoding(type_: ty.Type, equal: list[str]) -> None:
    """Zeros behind a number, and the sign of nothing, make no difference."""
    assert len({ordering(type_)(Decimal(text)) for text in equal}) == 1


@pytest.mark.parametrize("type_", VALUES, ids=str)
@given(data=st.data())
def test_an_order_is_found_again_by_its_name(type_: ty.Type, data: st.DataObject) -> None:
    """What was written by a type's encoder can be looked for by the name of its order."""
    for one in (type_, ty.Optional(type_)):
        value = data.draw(values_of(one))
        assert ordering(one)(value) == ordering_of(order_of(one))(value)


def test_texts_and_enums_of_all_kinds_have_one_order() -> None:
    """A bound that changes, or a member more, changes no encoding; what is optional has another order."""
    assert {"string"} == {order_of(one) for one in (ty.TEXT, ty.String(8), ENUM, ty.Enum(("a",), open=True))}
    assert (order_of(ty.Optional(ENUM)), order_of(ty.Decimal(2))) == ("string?", "decimal(2)")


def test_what_is_no_single_value_has_no_order() -> None:
    """Lists, records and json are not sorted by."""
    with pytest.raises(TypeError, match="list<int> has no order"):
        order_of(ty.List(ty.INT))
    with pytest.raises(ValueError, match="'list<int>' is no order"):
        ordering_of("list<int>")


@given(st.sampled_from(["int", "decimal(0)", "decimal(2)", "decimal(18)", "decimal", "int?"]), VALUES[ty.Decimal()])
@example("decimal(2)", Decimal("-100.005"))
@example("int", Decimal("-0.5"))
def test_the_nearest_value_is_the_greatest_that_is_not_greater(order: str, value: Decimal) -> None:
    """A number that an order cannot hold lies between the nearest one and the next."""
    found, is_same = nearest(order, value)
    scale = {"int": 0, "int?": 0, "decimal(0)": 0, "decimal(2)": 2, "decimal(18)": 18}.get(order, 38)
    assert Fraction(found) <= Fraction(value) < Fraction(found) + Fraction(1, 10**scale)
    assert is_same == (found == value)
    assert isinstance(found, int if order.startswith("int") else Decimal)
    ordering_of(order)(found)
