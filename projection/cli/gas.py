"""`projection gas`: what each handler costs at least and at most, before anything has run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.lang.check.checker import CheckedProgram
    from projection.lang.cost.bounds import HandlerBound, Term
    from projection.lang.cost.tally import Range
    from projection.lang.program import Limits

EXAMPLES = (
    "projection gas",
    "projection gas projections/fines/fine_summary.proj --terms 5",
    "projection gas --format json",
)
_TEXT = 72  # columns of a term's source text


class Format(StrEnum):
    """What the bounds look like."""

    PRETTY = "pretty"
    JSON = "json"


def gas(
    paths: Annotated[
        list[Path] | None, Argument(metavar="[PATH]...", help="Programs, manifests or folders (default: this folder).")
    ] = None,
    *,
    terms: Annotated[int, Option(metavar="N", min=0, help="Show the N largest terms of each bound.")] = 3,
    form: Annotated[Format, Option("--format", help="A table, or JSON with one program per line.")] = (Format.PRETTY),
) -> None:
    """Show the least and the most gas that each handler needs.

    It also shows the largest terms of the most. The limits are those of the manifest that names the program, if one is
    among the paths, otherwise the defaults. An `!` marks what may exceed its limit. Exit status: 0 done, 1 a program
    has errors, 2 there is none.
    """
    from projection.cli.checking import deployed_programs
    from projection.cli.console import print_json, say
    from projection.lang.cost.bounds import bounds_of

    has_failed = has_shown = False
    for program, view_type, limits in deployed_programs(paths or [Path()]):
        if program is None:
            has_failed = True
            continue
        bounds = bounds_of(program, limits)
        if form is Format.JSON:
            print_json(_as_json(program, view_type, limits, bounds, terms))
            continue
        if has_shown:
            say()
        has_shown = True
        for line in _table(program, view_type, limits, bounds, terms):
            say(line)
    if has_failed:
        raise Exit(EXIT_FAILED)


def _table(
    program: CheckedProgram, view_type: str | None, limits: Limits, bounds: tuple[HandlerBound, ...], terms: int
) -> Iterator[str]:
    from projection.lang.cost.bounds import shown, view_gas

    deployed = f" as {view_type}" if view_type else ""
    yield f"{program.source.name}{deployed}: gas {limits.gas:,}, route_gas {limits.route_gas:,}, alloc {limits.alloc:,}"
    view = view_gas(program.view, limits)
    yield f"  reading the view takes {_range(view)} gas, writing it the same"
    for bound in bounds:
        line = program.source.position(bound.span.start)[0]
        made = f" ({', '.join(reversed(bound.via))})" if bound.via else ""
        yield f"  {line:>4}  on {', '.join(bound.events) or '*'}{made}"
        whole = bound.apply()
        rows = (
            ("route", bound.route.gas, limits.route_gas),
            ("gas", whole.gas, limits.gas - 2 * view.most),
            ("alloc", whole.alloc, limits.alloc),
        )
        for name, needed, limit in rows:
            yield f"        {name:<6}{_range(needed)}{' !' if needed.most > limit else ''}"
        for term in bound.body_terms[:terms]:
            place = program.source.position(term.span.start)[0]
            text = term.text if len(term.text) <= _TEXT else term.text[: _TEXT - 1] + "…"
            yield f"          {shown(term.gas):>12}  line {place}: {text}{_origins(term)}"


def _range(needed: Range) -> str:
    from projection.lang.cost.bounds import shown

    return f"{needed.least:,}" if needed.least == needed.most else f"{needed.least:,} to {shown(needed.most)}"


def _origins(term: Term) -> str:
    """The declarations that make the term large."""
    return "".join(f" ({one.name}: {one.type})" for one in term.origins[:1])


def _as_json(
    program: CheckedProgram, view_type: str | None, limits: Limits, bounds: tuple[HandlerBound, ...], terms: int
) -> dict[str, Any]:
    from projection.lang.cost.bounds import view_gas

    def between(needed: Range) -> dict[str, int]:
        return {"min": needed.least, "max": needed.most}

    def term(one: Term) -> dict[str, Any]:
        line, column = program.source.position(one.span.start)
        lowered_by = [{"name": origin.name, "type": origin.type} for origin in one.origins]
        return {"line": line, "column": column, "text": one.text, "gas": one.gas, "alloc": one.alloc} | {
            "lowered_by": lowered_by
        }

    return {
        "file": program.source.name,
        "view_type": view_type,
        "limits": {"gas": limits.gas, "route_gas": limits.route_gas, "alloc": limits.alloc},
        "view": between(view_gas(program.view, limits)),
        "handlers": [
            {
                "line": program.source.position(bound.span.start)[0],
                "events": list(bound.events),
                **({"via": list(bound.via)} if bound.via else {}),
                "route_gas": between(bound.route.gas),
                "gas": between(bound.apply().gas),
                "alloc": between(bound.apply().alloc),
                "terms": [term(one) for one in bound.body_terms[:terms]],
            }
            for bound in bounds
        ],
    }
