"""RFC 3339 timestamps."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.model import timestamp as timestamp_module
from projection.model.timestamp import format_timestamp, parse_timestamp

offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=offsets)  # noqa: DTZ001


@given(instants)
def test_an_instant_survives_with_the_offset_and_date_it_was_written_with(time):
    moment = parse_timestamp(time.isoformat())

    assert (time, time.utcoffset(), time.date()) == (moment.time, moment.offset, moment.date)
    assert moment.time.tzinfo == UTC
    assert moment.time == parse_timestamp(format_timestamp(time)).time
    assert format_timestamp(time).endswith("Z")


def test_local_midnight_keeps_its_own_date():
    moment = parse_timestamp("2000-01-01T00:00:00+01:00")

    assert datetime(1999, 12, 31, 23, tzinfo=UTC) == moment.time
    assert date(2000, 1, 1) == moment.date
    assert format_timestamp(moment.time) == "1999-12-31T23:00:00Z"


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2000-01-01T00:00:00.1234567Z", 123456),
        ("2000-01-01T00:00:00.123456789Z", 123456),
        ("2000-01-01T00:00:00.9999999999999999999999Z", 999999),
        ("2000-01-01T00:00:00.5Z", 500000),
        ("2000-01-01t00:00:00.000001z", 1),
        ("2000-01-01 00:00:00Z", 0),
    ],
)
def test_digits_beyond_the_microsecond_are_cut(text, microseconds):
    assert datetime(2000, 1, 1, 0, 0, 0, microseconds, UTC) == parse_timestamp(text).time


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2000-01-01",
        "2000-01-01T00:00:00",
        "2000-01-01T00:00Z",
        "2000-01-01T00:00:00+0100",
        "2000-01-01T00:00:00+01",
        "2000-01-01T00:00:00.Z",
        "2000-01-01T00:00:00,5Z",
        "20000101T000000Z",
        "2000-W01-1T00:00:00Z",
        "2000-02-30T00:00:00Z",
        "2000-13-01T00:00:00Z",
        "2000-01-01T24:00:00Z",
        "2000-01-01T23:60:00Z",
        "2000-01-01T23:59:60Z",
        "2000-01-01T00:00:00+24:00",
        "2000-01-01T00:00:00+01:60",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "-2000-01-01T00:00:00Z",
        " 2000-01-01T00:00:00Z",
        "2000-01-01T00:00:00Z\n",
        "\u0662000-01-01T00:00:00Z",  # an Arabic digit
        "2000-01-01T00:00:00+0\u0661:00",
        "2000-01-01T00:00:00\u221201:00",
        "now",
    ],
)
def test_what_is_no_rfc_3339_timestamp_with_an_offset_is_refused(text):
    with pytest.raises(ValueError, match=r"RFC 3339|point in time|offset"):
        parse_timestamp(text)


def test_the_error_quotes_only_the_beginning():
    with pytest.raises(ValueError) as caught:
        parse_timestamp("9" * 100_000)

    assert len(str(caught.value)) < 200


# Texts that are right, and texts that are nearly right: what one reader takes and another does not.
clocks = st.just("2000-01-31T12:00:00") | st.from_regex(
    r"[0-3][0-9]{3}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-5][0-9]:[0-6][0-9]", fullmatch=True
)
fractions = st.sampled_from(
    ["", ".", ".5", ".123", ".123456", ".123456789", ",5", ".1 ", ".\u0661", ".123456\u0661", "._1", ".-1", "5"]
)
zones = st.just("Z") | st.sampled_from(
    ["+01:00", "z", "-23:59", "+24:00", "+0100", "", "+01:00Z", "Z+01:00", "\u221201:00"]
)
near = st.tuples(clocks, fractions, zones).map("".join)


@given(near, st.text(".:-+TZ0159 \u0661", max_size=2), st.integers(0, 35))
def test_a_text_is_read_alike_by_the_quick_way_and_by_the_whole_one(text, inserted, place):
    for one in (text, text[:place] + inserted + text[place + len(inserted) :], text[:place] + inserted + text[place:]):
        assert outcome(timestamp_module._any, one) == outcome(parse_timestamp, one) == outcome(parse_timestamp, one)


def outcome(read, text):
    try:
        return read(text)
    except ValueError as error:
        return str(error)


def test_a_text_is_read_alike_however_many_others_came_between_and_few_are_remembered():
    for text in ("2000-01-01T00:00:00+01:00", "2000-01-01T00:00:00." + "9" * 1_000 + "Z"):
        before = parse_timestamp(text)
        for number in range(3_000):
            parse_timestamp(f"2000-01-01T00:00:00.{number:06}Z")

        assert before == parse_timestamp(text)
    assert len(timestamp_module._moments) <= timestamp_module._REMEMBERED
    assert max(map(len, timestamp_module._moments)) <= timestamp_module._REMEMBERED_LENGTH
