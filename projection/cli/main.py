"""The command `projection`: which commands there are, and how each of them ends."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from projection.cli import (
    adopt,
    check,
    demo,
    diff,
    doc,
    explain,
    export_schema,
    fmt,
    fuzz,
    gas,
    import_schema,
    load,
    new,
    parked,
    query,
    repl,
    replay,
    run,
    show,
    test,
    trace,
    verify,
    why,
)
from projection.cli.console import report
from projection.errors import EXIT_FAILED, ProjectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

app, parked_app = (
    typer.Typer(
        name=name,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for name in ("projection", "parked")
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from projection import __version__

        print(f"projection {__version__}")
        raise typer.Exit


@app.callback(epilog="Exit status: 0 done, 1 the work failed, 2 wrong usage or configuration.")
def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
    _traceback: Annotated[bool, typer.Option("--traceback", help="Show where an unexpected error came from.")] = False,
) -> None:
    """Read models of event-sourced systems: deterministic programs folded over NATS JetStream into LMDB, exactly once.

    Results go to stdout; progress, notes and errors go to stderr.
    """


def _register(
    command: Callable[..., Any], examples: Sequence[str], group: typer.Typer = app, name: str | None = None
) -> None:
    group.command(name, epilog=_shown(examples))(command)


def _shown(examples: Sequence[str]) -> str:
    lines = "\n".join(f"  {example}" for example in examples)
    return f"\b\nExamples:\n{lines}"  # `\b`: these lines are not to be wrapped


_register(adopt.adopt, adopt.EXAMPLES)
_register(check.check, check.EXAMPLES)
_register(demo.demo, demo.EXAMPLES)
_register(diff.diff, diff.EXAMPLES)
_register(doc.doc, doc.EXAMPLES)
_register(explain.explain, explain.EXAMPLES)
_register(export_schema.export_schema, export_schema.EXAMPLES)
_register(fmt.fmt, fmt.EXAMPLES)
_register(fuzz.fuzz, fuzz.EXAMPLES)
_register(gas.gas, gas.EXAMPLES)
_register(import_schema.import_schema, import_schema.EXAMPLES)
_register(load.load, load.EXAMPLES)
_register(new.new, new.EXAMPLES)
_register(parked.list_, parked.EXAMPLES_OF_LIST, parked_app, "list")
_register(parked.show, parked.EXAMPLES_OF_SHOW, parked_app)
_register(parked.drop, parked.EXAMPLES_OF_DROP, parked_app)
parked_app.callback(epilog=_shown(parked.EXAMPLES))(parked.parked)
app.add_typer(parked_app)
_register(query.query, query.EXAMPLES)
_register(repl.repl, repl.EXAMPLES)
_register(replay.replay, replay.EXAMPLES)
_register(run.run, run.EXAMPLES)
_register(show.show, show.EXAMPLES)
_register(test.test, test.EXAMPLES)
_register(trace.trace, trace.EXAMPLES)
_register(verify.verify, verify.EXAMPLES)
_register(why.why, why.EXAMPLES)


def main() -> None:
    """Run the command line of this process and exit; every deliberate error is a sentence, never a traceback."""
    try:
        try:
            app(prog_name="projection")
        finally:
            sys.stdout.flush()
    except ProjectionError as error:
        report(error)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        # Whoever read the output has seen enough. What is still buffered must not be written at exit, loudly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_FAILED)
    except Exception as error:
        if "--traceback" in sys.argv:  # not from Typer: the error may have come before it read the options
            raise
        from projection.faults import contained

        hint = "please report it; `projection --traceback …` shows the way there"
        found = contained(error, "running this command", hint)
        report(found)
        sys.exit(found.exit_status)
