"""`projection test`: the tests of programs, and scenarios, without pytest."""
# ruff: noqa: PT028 - the command of this name is no test

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from projection.cli.console import note, say
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.testing.coverage import Coverage
    from projection.testing.runner import Result, Runner

EXAMPLES = (
    "projection test",
    "projection test projections/fines --update",
    "projection test -k appeal --junit results.xml",
    "projection test --coverage --fail-under 100",
)


def test(
    paths: Annotated[
        list[Path] | None,
        Argument(metavar="[PATH]...", help="Programs, scenarios or folders (default: this folder)."),
    ] = None,
    *,
    keyword: Annotated[
        str, Option("--keyword", "-k", metavar="TEXT", help="Only tests whose path or name contains this text.")
    ] = "",
    update: Annotated[
        bool, Option("--update", help="Rewrite the snapshots, and delete those without a scenario.")
    ] = False,
    junit: Annotated[Path | None, Option(metavar="FILE", help="Write the results as JUnit XML, too.")] = None,
    coverage: Annotated[
        bool, Option("--coverage", help="Report handlers, arms and conditions that no test reaches.")
    ] = False,
    lcov: Annotated[Path | None, Option(metavar="FILE", help="Write the coverage in lcov's format.")] = None,
    fail_under: Annotated[
        float | None, Option(metavar="PERCENT", min=0, max=100, help="Fail if less is covered.")
    ] = None,
) -> None:
    """Run the tests of programs, and scenarios.

    The tests are the `test` blocks of programs (.proj), and scenarios are *.scenario.yaml, .toml and .json. Pytest
    finds the same tests with the plugin of this package, under the same names and with the same snapshots. Coverage is
    of all programs below the paths, whether they have tests or not.
    """
    from projection.testing.cases import cases_below
    from projection.testing.coverage import Coverage, measuring
    from projection.testing.junit import write_junit
    from projection.testing.runner import Runner

    roots = paths or [Path()]
    found = {f"{case.path}::{case.name}": case for root in roots for case in cases_below(root)}
    cases = [case for name, case in found.items() if keyword.lower() in name.lower()]
    if not cases:
        where = ", ".join(map(str, roots))
        raise ConfigurationError(
            f"there is no test in {where}" if not keyword else f"no test in {where} has {keyword!r} in its name",
            hint="write a `test` into a program, or a scenario beside it",
        )
    runner = Runner(update=update)
    results = []
    measured = Coverage() if coverage or lcov is not None or fail_under is not None else None
    with measuring(measured):
        for case in cases:
            results.append(runner.run(case))
            _show(results[-1])
    if junit is not None:
        _write(junit, lambda: write_junit(junit, results))
    is_covered = measured is None or _cover(measured, roots, lcov, fail_under)
    folders = [root for root in roots if root.is_dir()] if not keyword else []
    unused = [path for folder in folders for path in runner.unused(folder)]
    _conclude(results, runner, unused, update=update, is_covered=is_covered)


def _cover(measured: Coverage, roots: Sequence[Path], lcov: Path | None, fail_under: float | None) -> bool:
    """Report what the tests have come to; whether that is enough."""
    from projection.testing.coverage import programs_below
    from projection.testing.coverage_reports import as_lcov, shortfall, table

    for root in roots:
        for program in programs_below(root):
            measured.name(program)
    say("\n".join(table(measured)))
    if lcov is not None:
        _write(lcov, lambda: lcov.write_text(as_lcov(measured), encoding="utf-8"))
    short = shortfall(measured, fail_under)
    if short is not None:
        note(short)
    return short is None


def _write(path: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None


def _show(result: Result) -> None:
    say(f"{'ok    ' if result.failure is None else 'FAILED'} {result.id}")
    for sentence in result.warnings:
        say(f"       warning: {sentence}")
    if result.failure is not None:
        say("\n".join(f"       {line}" for line in result.failure.splitlines()))


def _conclude(
    results: Sequence[Result], runner: Runner, unused: Sequence[Path], *, update: bool, is_covered: bool
) -> None:
    """Say how it went; a snapshot of no scenario fails the run, as it is believed to be looked at."""
    for path in runner.written:
        note(f"wrote {path}")
    for path in unused:
        if update:
            path.unlink()
        note(f"deleted {path}" if update else f"unused: {path}; `projection test --update` deletes it")
    failed = sum(result.failure is not None for result in results)
    note(f"{len(results) - failed} passed, {failed} failed")
    if failed or (unused and not update) or not is_covered:
        raise Exit(EXIT_FAILED)
