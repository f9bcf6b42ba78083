"""What ships for tests: the author's loop, contracts that every back end keeps, and generators of events.

The author's loop (docs/testing.md): `folding` folds events in memory, `cases` finds tests in programs and scenarios,
`runner` runs them for `projection test`, and `pytest_plugin` does for pytest.
"""
