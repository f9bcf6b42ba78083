"""`projection export-schema`: what views and events look like, for those who read them elsewhere."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from projection.cli.console import print_text
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from projection.lang.check.checker import CheckedProgram

EXAMPLES = (
    "projection export-schema projections/fines fine_summary",
    "projection export-schema fine_summary.proj --format typescript > fine.ts",
    "projection export-schema fines.proj --format pydantic --events > events.py",
)


class Format(StrEnum):
    """What the schema is written as."""

    JSON_SCHEMA = "json-schema"
    TYPESCRIPT = "typescript"
    PYDANTIC = "pydantic"


def export_schema(
    path: Annotated[Path, Argument(metavar="PATH", help="A program (.proj), a manifest, or a folder with one.")],
    view_type: Annotated[
        str | None, Argument(metavar="[VIEW_TYPE]", help="The view type, if there are several.")
    ] = None,
    *,
    form: Annotated[
        Format, Option("--format", help="JSON Schema 2020-12, types of TypeScript, or models of pydantic 2.")
    ] = Format.JSON_SCHEMA,
    events: Annotated[bool, Option("--events", help="The payloads of its events instead of its views.")] = False,
) -> None:
    """Write a schema of a view type, or of its events.

    It describes the JSON of its views, or with --events that of the events that it handles. Doc comments (`##`) become
    descriptions. Exit status: 0 done, 1 the program has errors, 2 there is no such view type.
    """
    program = _program(path, view_type)
    if events and not program.events:
        raise ConfigurationError(f"{program.source.name} declares no event")
    print_text(_written(program, form, events=events))


def _program(path: Path, view_type: str | None) -> CheckedProgram:
    from projection.engine.deployment import load_program
    from projection.lang.run.executors import Execution
    from projection.model.problems import did_you_mean
    from projection.testing.finding import manifest_of

    manifest = manifest_of(path)
    names = [str(one.view_type) for one in manifest.views]
    if view_type is None and len(names) > 1:
        raise ConfigurationError(f"{path} has several view types: {', '.join(names)}", hint="name one of them")
    if view_type is not None and view_type not in names:
        raise ConfigurationError(f"{path} has no view type {view_type!r}", hint=did_you_mean(view_type, names))
    entry = next(one for one in manifest.views if view_type in (None, str(one.view_type)))
    return load_program(entry, manifest.path, Execution.INTERPRETED).checked


def _written(program: CheckedProgram, form: Format, *, events: bool) -> str:
    from projection.lang.schemas.documentation import Documentation
    from projection.lang.schemas.json_schema import DIALECT, of_events, of_record
    from projection.lang.schemas.pydantic import pydantic
    from projection.lang.schemas.typescript import typescript

    documentation = Documentation.of_program(program.source)
    records = list(program.events.values()) if events else [program.view]
    if form is Format.TYPESCRIPT:
        return typescript(records, documentation)
    if form is Format.PYDANTIC:
        return pydantic(records, documentation)
    schema = of_events(program, documentation) if events else of_record(program.view, documentation)
    return json.dumps({"$schema": DIALECT, **schema}, indent=2, ensure_ascii=False) + "\n"
