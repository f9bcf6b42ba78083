"""`projection check`: programs and manifests, without running anything."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from projection.cli.console import note
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED, ConfigurationError

EXAMPLES = (
    "projection check",
    "projection check projections/fines --strict",
    "projection check --format sarif > projection.sarif",
    "projection check --against origin/main --fail-on-breaking",
)


class Format(StrEnum):
    """What a report looks like."""

    PRETTY = "pretty"
    JSON = "json"
    GITHUB = "github"
    SARIF = "sarif"


def check(
    paths: Annotated[
        list[Path] | None, Argument(metavar="[PATH]...", help="Programs, manifests or folders (default: this folder).")
    ] = None,
    *,
    form: Annotated[Format, Option("--format", help="Text, JSON, GitHub annotations, or SARIF 2.1.0.")] = Format.PRETTY,
    strict: Annotated[bool, Option("--strict", help="Fail on warnings, too.")] = False,
    against: Annotated[
        str | None,
        Option(
            metavar="VERSION",
            help="Compare with this file, folder or `REF:PATH`, or with the same paths at this git ref.",
        ),
    ] = None,
    fail_on_breaking: Annotated[
        bool, Option("--fail-on-breaking", help="With --against: fail on breaking changes.")
    ] = False,
) -> None:
    """Check programs, manifests, and the events kept beside them.

    The programs that a manifest names are checked with it. In a folder, all programs and all files named manifest.yaml,
    .toml or .json are checked; beside a program, its events*.jsonl files and its scenarios. Every problem is shown with
    its place and what to do. With --against, the command also says which view types would be rebuilt and why, and which
    changes break readers of views or publishers of events. Exit status: 0 no errors (there may be warnings), 1 errors,
    2 there is nothing to check.
    """
    from projection.cli.checking import checked
    from projection.cli.formats import FORMATS

    if fail_on_breaking and against is None:
        raise ConfigurationError("--fail-on-breaking goes with --against", hint="name what to compare with")
    report = checked(paths or [Path()])
    if against is not None:
        from projection.cli.comparing import compared

        report.compared = compared(paths or [Path()], against, breaking_fails=fail_on_breaking)
    FORMATS[form](report)
    counts = (("program", report.program_count), ("manifest", report.manifest_count), ("fixture", report.fixture_count))
    looked_at = [_plural(count, what) for what, count in counts if count or what != "fixture"]
    found = _plural(report.errors, "error") + (f", {_plural(report.warnings, 'warning')}" if report.warnings else "")
    note(f"checked {', '.join(looked_at[:-1])} and {looked_at[-1]}: {found}")
    if report.compared is not None:
        note(report.compared.summary())
    is_breaking = fail_on_breaking and report.compared is not None and report.compared.breaking > 0
    if report.errors or (strict and report.warnings) or is_breaking:
        raise Exit(EXIT_FAILED)


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
