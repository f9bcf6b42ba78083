"""The example that the language's package begins with runs as it stands."""

from __future__ import annotations

import doctest

import projection.lang


def test_the_example_of_the_package_does_what_it_shows() -> None:
    found = doctest.testmod(projection.lang)
    assert found.attempted > 5
    assert 0 == found.failed
