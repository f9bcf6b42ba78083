"""Coverage in pytest: measured in each process, put together where the run is reported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from projection.testing.coverage import Coverage, measuring
from projection.testing.coverage_reports import as_lcov, shortfall, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_OUTPUT = "projection_coverage"  # what a worker of pytest-xdist hands over


class CoveragePlugin:
    """Measures, and reports at the end of the run."""

    def __init__(self, config: pytest.Config, lcov: str | None, fail_under: float | None) -> None:
        self._config = config
        self._lcov = None if lcov is None else Path(lcov)
        self._fail_under = fail_under
        self._coverage = Coverage()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Iterator[None]:
        """Count while tests run."""
        with measuring(self._coverage):
            return (yield)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker of pytest-xdist has counted."""
        for name, text, counts in getattr(node, "workeroutput", {}).get(_OUTPUT, ()):
            self._coverage.add(name, text, counts)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand over to the process that reports, or fail the run where too little is covered."""
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[_OUTPUT] = self._coverage.counts()
            return
        if self._lcov is not None:
            self._lcov.write_text(as_lcov(self._coverage), encoding="utf-8")
        if shortfall(self._coverage, self._fail_under) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The table."""
        terminalreporter.section("coverage of projections")
        for line in table(self._coverage):
            terminalreporter.write_line(line)
        if (short := shortfall(self._coverage, self._fail_under)) is not None:
            terminalreporter.write_line(short, red=True)
