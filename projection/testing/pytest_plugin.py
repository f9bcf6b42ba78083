"""The pytest plugin: collects tests in programs and scenarios, and gives tests in Python the fixture `projection`.

It is loaded in every project that has this package installed, so nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from projection.testing.recognising import has_tests, is_scenario

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.testing.cases import Case
    from projection.testing.folding import Projection

_PATHS = "projection_paths"
_COVERAGE, _LCOV, _FAIL_UNDER = "--projection-coverage", "--projection-lcov", "--projection-fail-under"
_LOADED = pytest.StashKey["dict[tuple[Path, str], Projection]"]()


class ProjectionWarning(UserWarning):
    """What is probably a slip of the author."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Settings of this plugin."""
    parser.addini(_PATHS, "folders in which the fixture `projection` looks for projections", type="paths", default=[])
    group = parser.getgroup("projection")
    group.addoption(_COVERAGE, action="store_true", help="say which parts of .proj programs no test has come to")
    group.addoption(_LCOV, metavar="FILE", help="write the coverage of .proj programs as lcov does")
    group.addoption(_FAIL_UNDER, type=float, metavar="PERCENT", help="fail where less of the programs is covered")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to measure, where that is asked for."""
    if any(config.getoption(option) for option in (_COVERAGE, _LCOV, _FAIL_UNDER)):
        from projection.testing.coverage_plugin import CoveragePlugin

        config.pluginmanager.register(
            CoveragePlugin(config, config.getoption(_LCOV), config.getoption(_FAIL_UNDER)), "projection_coverage"
        )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Programs that hold tests, and scenarios."""
    if is_scenario(file_path) or has_tests(file_path):
        return ProjectionFile.from_parent(parent, path=file_path)
    return None


class ProjectionFile(pytest.File):
    """A program or a scenario."""

    def collect(self) -> Iterator[pytest.Item]:
        """Its tests."""
        from projection.testing.cases import cases_of

        for case in cases_of(_from_here(self.path)):
            kind: Any = ScenarioItem if is_scenario(case.path) else CaseItem
            yield kind.of(self, case)


class _Failing(pytest.Item):
    """An item that fails without a traceback: none of it would be the author's."""

    case: Case

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:  # type: ignore[override]  # as functions
        """What went wrong, in the words of `projection test`."""
        from projection.errors import ProjectionError
        from projection.testing.failing import failure_text

        if isinstance(excinfo.value, ProjectionError):
            return failure_text(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, None, str]:
        """The file, and the test's heading; not its name alone, in which pytest would show a dot as `::`."""
        return self.path, None, f"{self.case.path}: {self.name}"


class CaseItem(_Failing):
    """A test of a program."""

    @classmethod
    def of(cls, parent: pytest.Collector, case: Case) -> CaseItem:
        """The item of a test."""
        item = cls.from_parent(parent, name=case.name)
        item.case = case
        return item

    def runtest(self) -> None:
        """Run it."""
        self.case.run(_warn)


class ScenarioItem(_Failing, pytest.Function):
    """A scenario. It is a function to pytest, as syrupy keeps account of the snapshots of functions only."""

    @classmethod
    def of(cls, parent: pytest.Collector, case: Case) -> ScenarioItem:
        """The item of a scenario."""
        item = cls.from_parent(parent, name=case.name, callobj=run_scenario)
        item.case = case
        return item


def run_scenario(request: pytest.FixtureRequest) -> None:
    """Run a scenario, and compare what comes of it with its snapshot where it has one."""
    from projection.testing.snapshots import mismatch

    folded = request.node.case.run(_warn)
    if folded is None:
        return
    snapshot = request.getfixturevalue("projection_snapshot")
    if snapshot != folded:
        result = snapshot.executions[snapshot.num_executions - 1]
        if result.exception is not None:
            raise result.exception
        raise mismatch(_from_here(Path(result.snapshot_location)), result.recalled_data, result.asserted_data)


class Projections:
    """The projections that a test can name."""

    def __init__(self, here: Path, folders: Sequence[Path], loaded: dict[tuple[Path, str], Projection]) -> None:
        self._here = here
        self._folders = folders
        self._loaded = loaded

    def __call__(self, name: str) -> Projection:
        """The projection of this name: a view type, a program's name, a folder or a path.

        Raises:
            ConfigurationError: there is none, or more than one.
            ProgramInvalidError: a program does not check.
        """
        from projection.testing.finding import find
        from projection.testing.folding import Projection

        __tracebackhide__ = True
        if (self._here, name) not in self._loaded:
            self._loaded[self._here, name] = Projection.load(*find(name, self._folders)).used_in(self._here, _warn)
        return self._loaded[self._here, name]

    def __repr__(self) -> str:
        from projection.testing.finding import names_below

        names = sorted({name for folder in self._folders for name in names_below(folder)})
        return f"<projections: {', '.join(names) or 'none'}>"


@pytest.fixture
def projection(request: pytest.FixtureRequest) -> Projections:
    """Finds a projection by its view type, its program's name, its folder or a path; `.given(events)` folds events.

    Looked for beside the test, then in the folders of `projection_paths`, then in the root of the project.
    """
    here = _from_here(request.path.parent)
    folders = [here, *map(_from_here, request.config.getini(_PATHS)), _from_here(request.config.rootpath)]
    return Projections(here, folders, request.config.stash.setdefault(_LOADED, {}))


@pytest.fixture
def projection_snapshot(request: pytest.FixtureRequest) -> Any:
    """Syrupy's `snapshot` for what `projection(…).given(…)` yields: `assert folded == projection_snapshot`."""
    from projection.errors import ConfigurationError

    session = getattr(request.config, "_syrupy", None)  # where syrupy keeps it for its own fixture
    if session is None:
        raise ConfigurationError(
            "pytest compares snapshots with syrupy, which is not installed",
            hint="install `projection-node[testing]`, or run `projection test`",
        )
    from projection.testing.snapshot_extension import snapshot_of

    return snapshot_of(request, session)


def _warn(sentence: str) -> None:
    warnings.warn(ProjectionWarning(sentence), stacklevel=4)  # where the test gives the events


def _from_here(path: Path) -> Path:
    """The path as people read it: from the current folder where it lies below."""
    return Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path
