"""The tests of authors: which there are under a path, and how one is run. Both runners, pytest's and ours, ask here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from projection.errors import ConfigurationError, ProjectionError
from projection.testing.expectations import unmet
from projection.testing.failing import ExpectationError
from projection.testing.finding import files_below
from projection.testing.folding import Projection
from projection.testing.in_file import run_test
from projection.testing.recognising import ENDINGS, has_tests, is_scenario, scenario_name
from projection.testing.scenarios import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from projection.lang.check.in_file_tests import Test
    from projection.testing.folding import Folded

Warn: TypeAlias = "Callable[[str], None]"


@dataclass(frozen=True)
class Case(ABC):
    """One test: a `test` of a program, or a scenario."""

    path: Path
    name: str

    @abstractmethod
    def run(self, warn: Warn) -> Folded | None:
        """Run it: what is to be compared with its snapshot; None where the test itself says what is expected.

        Args:
            warn: takes a sentence about what is probably a slip of the author.

        Raises:
            ExpectationError: it fails.
            ProjectionError: it cannot be run, which is a failure, too.
        """


@dataclass(frozen=True)
class InFileCase(Case):
    """A `test` of a program."""

    projection: Projection
    test: Test

    def run(self, warn: Warn) -> None:  # noqa: ARG002 - its checker has said all
        """See `Case.run`."""
        run_test(self.projection, self.test)


@dataclass(frozen=True)
class BrokenCase(Case):
    """Stands for the tests of a program that does not check."""

    error: ProjectionError

    def run(self, warn: Warn) -> None:  # noqa: ARG002 - its checker has said all
        """See `Case.run`."""
        raise self.error


@dataclass(frozen=True)
class ScenarioCase(Case):
    """A scenario file."""

    def run(self, warn: Warn) -> Folded | None:
        """See `Case.run`."""
        for other in self.path.parent.iterdir():
            if other != self.path and is_scenario(other) and scenario_name(other) == self.name:
                raise ConfigurationError(f"{self.path} has the name of {other.name}", hint="rename one of them")
        scenario = Scenario.load(self.path)
        folded = scenario.run(warn)
        if scenario.expect is None:
            return folded
        if lines := unmet(scenario.expect, folded):
            raise ExpectationError("\n".join([f"{self.path} does not give the expected result:", *lines]))
        return None


def cases_of(path: Path) -> list[Case]:
    """The tests of one file, in its order; none where it is neither program nor scenario."""
    if is_scenario(path):
        return [ScenarioCase(path, scenario_name(path))]
    if not has_tests(path):
        return []
    try:
        projection = Projection.load(path)
    except ProjectionError as error:
        return [BrokenCase(path, "check", error)]
    tests = projection.deployed[0].program.checked.tests
    return [InFileCase(path, test.name, projection, test) for test in tests]


def cases_below(path: Path) -> Iterator[Case]:
    """The tests of a file, or of all files in a folder and below it.

    Raises:
        ConfigurationError: the path does not exist, or names a file that can hold no tests.
    """
    if path.is_dir():
        for file in files_below(path):
            yield from cases_of(file)
    elif not path.exists():
        raise ConfigurationError(f"{path} does not exist")
    elif path.suffix != ".proj" and not is_scenario(path):
        raise ConfigurationError(f"{path} is neither a program (.proj) nor a scenario ({', '.join(ENDINGS)})")
    else:
        yield from cases_of(path)
