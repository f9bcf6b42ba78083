"""Durations and instants as text: what is written is what JSON has, and what is read back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projection.lang.values import times

MICROSECONDS = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)
@given(MICROSECONDS)
def test_the_text_of_a_duration_is_what_json_has_and_reads_back(microseconds: int) -> None:
    duration = microseconds * times.MICROSECOND
    text = times.duration_text(duration)
    assert msgspec.json.encode(duration).decode() == f'"{text}"'
    assert duration == times.parse_duration(text)


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)))
def test_the_text_of_a_timestamp_is_what_json_has_and_reads_back(instant: datetime) -> None:
    text = times.timestamp_text(instant)
    assert msgspec.json.encode(instant).decode() == f'"{text}"'
    assert instant == times.parse_timestamp(text)


@settings(deadline=None)
@given(st.dates(), st.integers(-500, 500))
def test_months_between_is_the_most_months_that_do_not_pass_the_end(start: datetime, months: int) -> None:
    try:
        end = times.moved_months(start, months)
    except times.failures.Failure:
        return
    found = times.months_between(start, end)
    if months >= 0:
        assert times.moved_months(start, found) <= end
        assert found >= months
    else:
        assert found <= 0


@settings(deadline=None)
@given(st.datetimes(timezones=st.just(UTC)), st.timedeltas(min_value=timedelta(microseconds=1)))
def test_truncating_goes_back_by_less_than_a_step_and_no_further_the_second_time(
    instant: datetime, step: timedelta
) -> None:
    found = times.truncated(instant, step)
    assert timedelta() <= instant - found < step
    assert found == times.truncated(found, step)


@pytest.mark.parametrize("text", ["", "P", "PT", "-P", "P1", "1D", "P1W", "P1Y", "P1M", "P-1D", "PT1S1M", "PT.5S", "PT1.S", "PT1.5H1M", "P٣D", "P1D\n", "P1D ", "P106751992D", "P999999999D"])  # fmt: skip
def test_what_is_no_duration_is_none(text: str) -> None:
    assert times.parse_duration(text) is None


@pytest.mark.parametrize("text", ["2024-02-30T00:00:00Z", "2024-02-29T24:00:00Z", "2024-02-29T23:59:60Z", "2024-02-29", "2024-02-29T00:00Z", "2024-02-29T00:00:00", "2024-02-29T00:00:00+24:00", "0001-01-01T00:00:00+00:01", "٢٠٢٤-02-29T00:00:00Z", "2024-02-29T00:00:00.Z", "2024-W09-4T00:00:00Z"])  # fmt: skip
def test_what_is_no_timestamp_is_none(text: str) -> None:
    assert times.parse_timestamp(text) is None


@pytest.mark.parametrize("text", ["2024-02-30", "2024-W09-4", "20240229", "2024-060", "2024-2-29", "02024-2-29", "2024-02-29 ", "2024-02-29T", "2024-02-29T24:00:00", "+024-02-29", "2024-02-29T01:00:00+1"])  # fmt: skip
def test_what_is_no_date_is_none(text: str) -> None:
    assert times.parse_date(text) is None
