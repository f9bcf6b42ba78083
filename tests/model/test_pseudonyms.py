"""Pseudonyms: of the same shape, equal for equal values, and never one for two values."""

from __future__ import annotations

import json
import re
from datetime import date
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.model.pseudonyms import Pseudonyms

KEY = b"0123456789abcdef"
TEXTS = st.one_of(
    st.text(max_size=40),
    st.text("abXYZ019-_.@/ ", max_size=60),
    st.emails(),
    st.uuids().map(str),
    st.integers().map(str),
    st.dates().map(str),
    st.text("é中Жß", min_size=1, max_size=10),
)
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)).map(
    lambda value: msgspec.json.encode(value).decode()
)


@pytest.fixture(scope="module")
def pseudonyms() -> Pseudonyms:
    return Pseudonyms(KEY)


def kinds(text: str) -> str:
    """The shape of a text: which of its characters are ASCII digits, small and capital letters, and all that stays."""
    return re.sub(r"[^\x00-\x7f]", "?", re.sub("[a-z]", "a", re.sub("[A-Z]", "A", re.sub("[0-9]", "0", text))))


@given(text=TEXTS)
def test_a_pseudonym_has_the_shape_of_its_text_and_is_always_the_same(pseudonyms: Pseudonyms, text: str) -> None:
    found = pseudonyms.text(text)
    assert found == Pseudonyms(KEY).text(text)
    assert len(text) == len(found)
    if not re.fullmatch(r"(?i)[0-9a-f-]{32,36}", text):  # digits of a UUID are letters as well
        assert kinds(text) == kinds(found)
        assert text.startswith("0") == found.startswith("0")


@given(text=NUMBERS)
def test_a_number_stays_one_with_as_many_digits(pseudonyms: Pseudonyms, text: str) -> None:
    found = pseudonyms.number(text)
    json.loads(found)
    assert kinds(text) == kinds(found)


@pytest.mark.parametrize("shape", [range(10), range(10, 100), range(100, 1_000)])
def test_two_values_never_have_one_pseudonym(pseudonyms: Pseudonyms, shape: range) -> None:
    """A hash would give some 300 of a thousand numbers of three digits to others."""
    assert set(map(str, shape)) == {pseudonyms.text(str(one)) for one in shape}
    assert len(shape) == len({pseudonyms.text(f"ä{one}") for one in shape})


def test_a_number_and_its_text_have_one_pseudonym(pseudonyms: Pseudonyms) -> None:
    for text in ("7", "1234", "12.50", "900719925474099312"):
        assert pseudonyms.text(text) == pseudonyms.number(text)
    assert f"-{pseudonyms.text('7')}" == pseudonyms.number("-7")
    assert f"{pseudonyms.text('1.5')}e+7" == pseudonyms.number("1.5e+7")


@given(value=st.uuids())
def test_a_uuid_stays_one_of_its_version_however_it_is_written(pseudonyms: Pseudonyms, value: UUID) -> None:
    found = UUID(pseudonyms.text(str(value)))
    assert (value.version, value.variant) == (found.version, found.variant)
    assert value != found
    assert str(found).upper() == pseudonyms.text(str(value).upper())
    if not value.hex.isdigit():
        assert found.hex == pseudonyms.text(value.hex)


@given(day=st.dates(), time=st.sampled_from(["", "T10:00:00Z", "T10:00:00.123+01:00", " 10:00"]))
def test_a_date_stays_one_of_its_decade(pseudonyms: Pseudonyms, day: date, time: str) -> None:
    found = pseudonyms.text(f"{day}{time}")
    assert day.year // 10 == date.fromisoformat(found[:10]).year // 10
    assert time == found[10:]


def test_the_days_of_a_decade_are_the_days_of_it(pseudonyms: Pseudonyms) -> None:
    days = [date.fromordinal(one) for one in range(date(2020, 1, 1).toordinal(), date(2030, 1, 1).toordinal())]
    assert set(map(str, days)) == {pseudonyms.text(str(day)) for day in days}


def test_what_only_looks_like_a_date_is_a_text(pseudonyms: Pseudonyms) -> None:
    assert "2026-03-01 Ann" != pseudonyms.text("2026-03-01 Ann")
    assert not pseudonyms.text("2026-03-01 Ann").endswith("Ann")
    assert "2026-02-31" != pseudonyms.text("2026-02-31")


def test_letters_of_any_script_are_replaced(pseudonyms: Pseudonyms) -> None:
    for name in ("Łukasz Żółć", "王小明", "Ιωάννα", "Фёдор", "عائشة"):
        found = pseudonyms.text(name)
        assert not [one for one, other in zip(name, found, strict=True) if one.isalpha() and one == other][1:]
        assert [one.isalpha() for one in name] == [one.isalpha() for one in found]


def test_another_key_makes_other_pseudonyms(pseudonyms: Pseudonyms) -> None:
    other = Pseudonyms(KEY[::-1])
    for text in ("ann@shop.example", "1234567", "x" * 100_000):
        assert len({text, pseudonyms.text(text), other.text(text)}) == 3
