"""The forms that `projection check` reports in: for terminals, as JSON, for GitHub's annotations, as SARIF 2.1.0."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from projection.cli.console import note, print_json, say
from projection.lang.printable import printable, printable_lines
from projection.lang.reporting import MAX_DIAGNOSTICS

if TYPE_CHECKING:
    from projection.cli.checking import Report
    from projection.cli.findings import Finding, Place
    from projection.lang.check.checker import CheckedProgram

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def print_pretty(report: Report) -> None:
    """Each finding with its lines, in colours where stdout is a terminal that may have them; how logs may be split."""
    from projection.lang.partition import partitioning

    if report.compared is not None:
        for fold in report.compared.folds:
            say(str(fold))
    for checked in report.programs:
        note(f"{checked.source.name}: {partitioning(checked).sentence(checked)}")
    parts, counts = list[str](), Counter[str]()
    for one in report.shown:
        counts[one.place.file] += 1
        if counts[one.place.file] <= MAX_DIAGNOSTICS:
            parts.append(f"{one.severity}[{one.code}]: {printable(one.message)}\n{one.excerpt}")
    left_out = {file: count - MAX_DIAGNOSTICS for file, count in counts.items() if count > MAX_DIAGNOSTICS}
    parts += [f"… and {count} more in {file}" for file, count in left_out.items()]
    shown = "\n\n".join(parts)
    if not shown:
        return
    if not sys.stdout.isatty():
        say(shown)
        return
    from rich.console import Console
    from rich.text import Text

    text = Text(printable_lines(shown))
    text.highlight_regex(r"(?m)^error\[\w+\]", "bold red")
    text.highlight_regex(r"(?m)^warning\[\w+\]", "bold yellow")
    text.highlight_regex(r"(?m)^note\[\w+\]", "bold cyan")
    text.highlight_regex(r"(?m)^ *--> |^ *\d* +\||^ *= help:", "blue")
    text.highlight_regex(r"(?m)(?<=\| ) *\^+.*$", "bold red")
    text.highlight_regex(r"(?m)(?<=\| ) *-+ .*$", "blue")
    Console(soft_wrap=True, highlight=False).print(text)


def print_report(report: Report) -> None:
    """One object: what was checked, how much was found, each program that checks, and each finding."""
    fields: dict[str, Any] = {
        "version": 1,
        "checked": {
            "programs": report.program_count,
            "manifests": report.manifest_count,
            "fixtures": report.fixture_count,
        },
        "errors": report.errors,
        "warnings": report.warnings,
        "programs": [_program(one) for one in report.programs],
        "findings": [_as_json(one) for one in report.findings],
    }
    if (compared := report.compared) is not None:
        fields["against"] = {
            "version": compared.against,
            "breaking": compared.breaking,
            "view_types": [
                {
                    "view_type": one.view_type,
                    "folds_anew": one.is_new,
                    "reasons": list(one.reasons),
                    "reach": None if one.reach is None else one.reach.as_json(),
                }
                for one in compared.folds
            ],
            "changes": [
                {**_as_json(one.finding), "side": one.side, "path": one.path, "old": one.old, "new": one.new}
                for one in compared.changes
            ],
        }
    print_json(fields)


def _program(checked: CheckedProgram) -> dict[str, Any]:
    from projection.lang.partition import partitioning

    return {
        "file": checked.source.name,
        "name": checked.name,
        "digest": checked.digest,
        "partition_by": list(partitioning(checked).allowed),
    }


def _as_json(finding: Finding) -> dict[str, Any]:
    fields = to_builtins(finding)
    del fields["excerpt"]
    fields |= fields.pop("place")
    return {
        **fields,
        "related": [{**one["place"], "message": one["message"]} for one in fields["related"]],
        "fix": None if finding.fix is None else {**to_builtins(finding.fix.place), "text": finding.fix.text},
    }


def print_annotations(report: Report) -> None:
    """Workflow commands, one a line: GitHub shows them beside the lines of a pull request."""
    for one in report.shown:
        place = one.place
        properties = {
            "file": place.file,
            "line": place.line,
            "endLine": place.end_line,
            "col": place.column,
            "endColumn": place.end_column,
            "title": f"{one.code}: {one.message}",
        }
        if place.line != place.end_line:  # GitHub ignores columns across lines, with a complaint
            del properties["col"], properties["endColumn"]
        shown = ",".join(f"{name}={_escaped(str(value), in_property=True)}" for name, value in properties.items())
        text = "\n".join(part for part in (one.message, one.label, one.help) if part)
        level = "notice" if one.severity == "note" else one.severity
        say(f"::{level} {shown}::{_escaped(text)}")


def _escaped(text: str, *, in_property: bool = False) -> str:
    text = printable_lines(text).replace("%", "%25").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if in_property else text


def print_sarif(report: Report) -> None:
    """One SARIF log with one run; columns count code points."""
    from projection import __version__

    codes = sorted({one.code for one in report.shown})
    driver = {
        "name": "projection",
        "version": __version__,
        "rules": [_rule(code) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, codes.index(one.code)) for one in report.shown],
    }
    print_json({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(code: str) -> dict[str, Any]:
    from projection.cli.explanations import explanations

    known = explanations().get(code)
    if known is None:
        return {"id": code}
    return {
        "id": code,
        "shortDescription": {"text": known.summary},
        "help": {"text": known.text, "markdown": known.text},
    }


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    text = "\n".join(part for part in (finding.message, finding.label, finding.help) if part)
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": finding.severity,
        "message": {"text": text},
        "locations": [_location(finding.place)],
    }
    if finding.related:
        related = enumerate(finding.related)
        result["relatedLocations"] = [
            {"id": index, "message": {"text": one.message}, **_location(one.place)} for index, one in related
        ]
    if finding.fix is not None:
        place = finding.fix.place
        replacement = {"deletedRegion": _region(place), "insertedContent": {"text": finding.fix.text}}
        change = {"artifactLocation": _artifact(place), "replacements": [replacement]}
        result["fixes"] = [{"description": {"text": finding.help or finding.message}, "artifactChanges": [change]}]
    return result


def _location(place: Place) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": _artifact(place), "region": _region(place)}}


def _artifact(place: Place) -> dict[str, str]:
    from urllib.parse import quote

    return {"uri": ("file://" if place.file.startswith("/") else "") + quote(place.file)}


def _region(place: Place) -> dict[str, int]:
    return {
        "startLine": place.line,
        "startColumn": place.column,
        "endLine": place.end_line,
        "endColumn": place.end_column,
    }


FORMATS = {"pretty": print_pretty, "json": print_report, "github": print_annotations, "sarif": print_sarif}
