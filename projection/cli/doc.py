"""`projection doc`: the reference of the library, and of a program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from projection.cli.console import print_markdown
from projection.cli.parameters import Argument
from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from projection.lang.operations import Operation
    from projection.lang.source import Source
    from projection.lang.syntax import nodes as syn

EXAMPLES = (
    "projection doc",
    "projection doc round",
    "projection doc projections/fines/fine_summary.proj",
)
_WRITTEN = {"negative": "-"}  # operators whose name in the library is not how programs write them


def doc(
    name: Annotated[
        str | None, Argument(help="A builtin, an operator, or a program (.proj) (default: the whole library).")
    ] = None,
) -> None:
    """Show the documentation of operators, builtins and programs.

    Operators and builtins come with examples and costs. The output is Markdown, rendered on a terminal. Exit status: 0
    done, 1 the program cannot be read, 2 there is no such name.
    """
    if name is not None and name.endswith(".proj"):
        print_markdown("\n".join(_program(Path(name))))
        return
    from projection.lang.library import BUILTINS, OPERATORS

    operators: dict[str, list[Operation]] = {}
    for symbol, overloads in OPERATORS.items():
        operators.setdefault(_WRITTEN.get(symbol, symbol), []).extend(overloads)
    if name is None:
        lines = ["# Operators", *_operations(operators), "", "# Builtins", *_operations(BUILTINS)]
        print_markdown("\n".join(lines) + "\n")
        return
    found = BUILTINS.get(name) or operators.get(name)
    if found is None:
        from projection.model.problems import did_you_mean

        raise ConfigurationError(f"the library has no {name!r}", hint=did_you_mean(name, [*BUILTINS, *operators]))
    print_markdown("\n".join(_operation(name, found)).lstrip("\n") + "\n")


# --- the library -----------------------------------------------------------------------------------------------------


def _operations(operations: dict[str, list[Operation]]) -> Iterator[str]:
    for name in sorted(operations):
        yield from _operation(name, operations[name])


def _operation(name: str, overloads: Sequence[Operation]) -> Iterator[str]:
    yield from ("", f"## `{name}`")
    for one in overloads:
        yield from ("", f"`{one.signature}`")
        if one.doc:
            yield from ("", one.doc)
        if one.examples:
            yield ""
            yield from (f"- `{expression}` → `{value}`" for expression, value in one.examples)
        yield from ("", f"Gas {one.gas}; alloc {one.alloc}.")


# --- a program -------------------------------------------------------------------------------------------------------


def _program(path: Path) -> Iterator[str]:
    """The reference of a program, line by line: what its author declares, and the `##` comments above."""
    from projection.cli.findings import shown_path
    from projection.lang.program import Program
    from projection.lang.run.executors import Execution
    from projection.lang.syntax import nodes as syn
    from projection.lang.syntax.parser import parse

    try:
        checked = Program.load(path, name=shown_path(path), execution=Execution.INTERPRETED).checked
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    source = checked.source
    yield f"# {checked.name}"
    if checked.doc:
        yield from ("", checked.doc)
    declarations = parse(source)[0].declarations
    titles: tuple[tuple[str, type | tuple[type, ...]], ...] = (
        ("Events", syn.Event),
        ("View", (syn.View, syn.Index)),
        ("Types", (syn.Record, syn.Alias)),
        ("Functions", syn.Function),
        ("Handlers", syn.Handler),
        ("Tests", syn.Test),
    )
    for title, kinds in titles:
        if found := [one for one in declarations if isinstance(one, kinds)]:
            yield from ("", f"## {title}")
            for one in found:
                yield from _declaration(source, one)
    yield ""


def _declaration(source: Source, declaration: syn.Declaration) -> Iterator[str]:
    from projection.lang.syntax import nodes as syn

    match declaration:
        case syn.Event() | syn.Record() | syn.View():
            yield from ("", f"### {declaration.name}")
            yield from _comment(source, declaration.span.start)
            if isinstance(declaration, syn.Event):
                yield from _on_the_wire(declaration)
            yield from _fields(source, declaration.fields)
            if isinstance(declaration, syn.Event) and declaration.upcasts:
                old = " or ".join(f"`{one.old}`" for one in declaration.upcasts)
                yield from ("", f"Was {old}: such events are turned into this one.")
        case syn.Alias() | syn.Index():
            yield from ("", f"`{_text(source, *declaration.span)}`")
            yield from _comment(source, declaration.span.start)
        case syn.Function():
            yield from ("", f"### `{_text(source, declaration.span.start, declaration.type.span.end)}`")
            yield from _comment(source, declaration.span.start)
        case syn.Handler():
            end = source.text.rindex(declaration.target, declaration.span.start, declaration.id.span.start)
            head = f"{_text(source, declaration.span.start, end)} {declaration.target}"
            yield from ("", f"### `{head} {_text(source, *declaration.id.span)}`")
            yield from _comment(source, declaration.span.start)
        case syn.Test():
            yield from ("", f"- {declaration.name}")


def _text(source: Source, start: int, end: int) -> str:
    """What is written there, on one line."""
    return " ".join(source.text[start:end].split())


def _comment(source: Source, offset: int) -> Iterator[str]:
    if comment := source.doc(offset):
        yield from ("", comment)


def _on_the_wire(event: syn.Event) -> Iterator[str]:
    names = " or ".join(f"`{wire}`" for wire in event.wires)
    of = f"of `{event.aggregate_type}`" if event.aggregate_type else ""
    if names or of:
        yield from ("", f"On the wire: {' '.join(part for part in (names, of) if part)}.")


def _fields(source: Source, fields: Iterable[syn.Field]) -> Iterator[str]:
    rows = [
        (
            f"`{field.name}`",
            f"`{_text(source, *field.type.span)}`",
            "may be absent" if field.optional else "",
            "" if field.default is None else f"default `{_text(source, *field.default.span)}`",
            "from " + ", ".join(f"`{wire}`" for wire in field.wires) if field.wires else "",
        )
        for field in fields
    ]
    if rows:
        yield from ("", "| field | type | |", "| --- | --- | --- |")
        for name, type_, *more in rows:
            escaped = (cell.replace("|", r"\|") for cell in (name, type_, "; ".join(one for one in more if one)))
            yield f"| {' | '.join(escaped)} |"
