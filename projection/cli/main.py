"""The command `projection`: which commands there are, and how each of them ends."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
from errno import EDQUOT, EFBIG, EIO, ENOSPC
from importlib import import_module
from typing import NamedTuple

import click

from projection.cli.console import give_up, note, report, say, unfailing_stderr
from projection.cli.parameters import Exit, command, examples_shown
from projection.engine.collector import calm_collector
from projection.errors import EXIT_FAILED, EXIT_SIGNAL, ProjectionError
from projection.extras import missing_extra

_REFUSALS = (ENOSPC, EDQUOT, EFBIG, EIO)  # of what stdout leads to: all other files are named where they refuse


class _Place(NamedTuple):
    """Where a command's function stands, and its examples: modules are read when a command is asked for."""

    module: str
    function: str
    examples: str = "EXAMPLES"


class _Group(click.Group):
    """Commands by name, each made when it is needed."""

    def __init__(self, name: str, places: dict[str, _Place], **attributes: object) -> None:
        super().__init__(name, no_args_is_help=True, **attributes)  # type: ignore[arg-type]
        self.places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the help."""
        return [*self.places, *(name for name in super().list_commands(ctx) if name not in self.places)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, made of its function."""
        if cmd_name in self.places and cmd_name not in self.commands:
            self.add_command(self._made(cmd_name, self.places[cmd_name]))
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that the arguments name; Ctrl-C ends it without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Exit(EXIT_SIGNAL + signal.SIGINT) from None

    def _made(self, name: str, place: _Place) -> click.Command:
        module = import_module(f"projection.cli.{place.module}")
        function, examples = getattr(module, place.function), getattr(module, place.examples)
        if (below := _GROUPS.get(name)) is not None and place.function == name:
            return _Group(name, below, help=function.__doc__, epilog=examples_shown(examples))
        return command(function, examples, name)


_GROUPS = {
    group: {name: _Place(group, function, f"EXAMPLES_OF_{name.upper()}") for name, function in functions.items()}
    for group, functions in {
        "builds": {"list": "list_", "show": "show", "delete": "delete"},
        "operations": {"list": "list_", "watch": "watch", "cancel": "cancel"},
        "parked": {"list": "list_", "show": "show", "drop": "drop"},
    }.items()
}
_CHANGING = ("audit", "pause", "promote", "rebuild", "resume", "retire", "rollback")
_COMMANDS = {
    name: _Place("changing", name, f"EXAMPLES_OF_{name.upper()}")
    if name in _CHANGING
    else _Place(name.replace("-", "_"), name.replace("-", "_"))
    for name in (
        "adopt",
        "audit",
        "backup",
        "builds",
        "check",
        "compact",
        "compare",
        "demo",
        "deploy",
        "diff",
        "doc",
        "dump",
        "explain",
        "export",
        "export-schema",
        "fmt",
        "fuzz",
        "gas",
        "import-schema",
        "inspect",
        "load",
        "log-level",
        "new",
        "operations",
        "parked",
        "pause",
        "plan",
        "promote",
        "query",
        "rebuild",
        "reload",
        "repair",
        "repl",
        "replay",
        "restore",
        "resume",
        "retire",
        "rollback",
        "run",
        "show",
        "sink",
        "test",
        "trace",
        "verify",
        "why",
    )
}


def _print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from projection import __version__

        say(f"projection {__version__}")
        ctx.exit()


app = _Group(
    "projection",
    _COMMANDS,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_print_version,
            help="Show the version and exit.",
        ),
        click.Option(
            ["--traceback"], is_flag=True, expose_value=False, help="Show the traceback of an unexpected error."
        ),
    ],
    help="""Read models of event-sourced systems: deterministic programs folded over NATS JetStream into LMDB,
    exactly once.

    Results go to stdout; progress, notes and errors go to stderr.
    """,
    epilog="Exit status: 0 done, 1 the work failed, 2 wrong usage or configuration.",
)


def main() -> None:
    """Run the command line of this process and exit; every deliberate error is a sentence, never a traceback."""
    atexit.register(gc.freeze)  # what is left ends with the process: looking for cycles in it took 10 ms of 150
    try:
        try:
            with calm_collector():  # the modules that a command reads make no cycles: a tenth of a check's time
                status = app.main(prog_name="projection", standalone_mode=False)
        finally:
            sys.stdout.flush()
        sys.exit(status)
    except click.ClickException as error:
        with unfailing_stderr():
            error.show()
        sys.exit(error.exit_code)
    except ProjectionError as error:
        report(error)
        sys.exit(error.exit_status)
    except ModuleNotFoundError as error:
        if "--traceback" in sys.argv or (missing := missing_extra(error)) is None:
            raise
        report(missing)
        sys.exit(missing.exit_status)
    except BrokenPipeError:
        # Whoever read the output has seen enough. What is still buffered must not be written at exit, loudly.
        give_up(sys.stdout)
        sys.exit(EXIT_FAILED)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _REFUSALS and error.filename is None:
            note(f"error: the output cannot be written: {error.strerror}")
            give_up(sys.stdout)
            sys.exit(EXIT_FAILED)
        if "--traceback" in sys.argv:  # not from Click: the error may have come before it read the options
            raise
        from projection.faults import contained

        hint = "please report it; `projection --traceback …` shows the traceback"
        found = contained(error, "running this command", hint)
        report(found)
        sys.exit(found.exit_status)
