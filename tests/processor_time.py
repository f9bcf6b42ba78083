"""A pytest plugin that ends a run with the processor time it took, and with the tests that took most of it.

Wall time says little on a machine that others use too. Counted is the time of the process that runs a test and of the
processes that worked for the test; the total also has the collection and the workers' start.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sampling import DEAR_S

try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Generator

SHOWN = 20
RECORDED = "DEAR_TESTS"  # the variable that names where to write which tests are dear
beside: set[int] = set()  # processes that live on beyond a test and work for it: their time is the test's as well
LEAST_S = 0.1
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK") if resource else 1


def processor_time() -> float:
    """Seconds that this process and all that it has waited for took so far, of users and of the system."""
    if resource is None:
        return 0.0
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _of_those_beside() -> float:
    """The same of the processes that live on, as Linux tells it; elsewhere only the total has their time."""
    ticks = 0
    for pid in beside:
        with suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS_A_SECOND


class ProcessorTime:
    """Measures where a test runs, which may be a worker; its reports carry that to where they are told."""

    def __init__(self) -> None:
        self._tests = Counter[str]()
        self._mark = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, bool | None, bool | None]:
        self._mark = processor_time() + _of_those_beside()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Once for each of setup, call and teardown, right behind it."""
        report = yield
        before, self._mark = self._mark, processor_time() + _of_those_beside()
        report.processor_s = self._mark - before
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._tests[report.nodeid] += getattr(report, "processor_s", 0.0)  # none where a worker crashed

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Behind everything else; workers have ended and been waited for by now, so that the total has their time."""
        if not self._tests or resource is None or hasattr(config, "workerinput"):
            return
        if (path := os.environ.get(RECORDED)) is not None:
            Path(path).write_text("".join(f"{test}\n" for test in self._dear()))
        writer = config.get_terminal_writer()
        writer.sep("=", "processor time of the slowest tests")
        for test, seconds in self._tests.most_common(SHOWN):
            if seconds < LEAST_S:
                break
            writer.line(f"{seconds:8.2f} s  {test}")
        minutes, seconds = divmod(processor_time(), 60)
        writer.line(f"processor time of the whole run: {minutes:.0f} min {seconds:.0f} s")

    def _dear(self) -> list[str]:
        """The tests that take long, each with all its parameters, by what they take on average."""
        found: dict[str, list[float]] = {}
        for test, seconds in self._tests.items():
            found.setdefault(test.partition("[")[0], []).append(seconds)
        return sorted(test for test, taken in found.items() if sum(taken) / len(taken) >= DEAR_S)
