"""Each fault that the benchmark of faults measures is a row of the page of outages, with a bound that it kept.

That the rows are those of the benchmark, with its bounds, is tested with all tables.
"""

from __future__ import annotations

import pytest
from docs_pages import table
from docs_tables import OUTAGES

ROWS = table(OUTAGES, "outages")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_fault_has_a_bound_that_follows_from_something_and_was_kept(row: tuple[str, ...]) -> None:
    _, bound, follows, seen, meanwhile, afterwards = row
    assert follows
    assert meanwhile
    assert afterwards
    (most, unit), (found, of) = bound.split(), seen.split()
    assert unit == of
    assert 0 < float(found.replace(",", "")) <= float(most.replace(",", ""))


def test_no_fault_is_there_twice() -> None:
    assert len({row[0] for row in ROWS}) == len(ROWS) > 0
