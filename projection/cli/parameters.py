"""What a command takes: the annotated parameters of its function, as those of a command of Click.

A function says it once, for readers, for mypy and for the command line:

    def show(view_type: Annotated[str, Argument(help="…")], *, limit: Annotated[int | None, Option(min=1)] = None)
"""

from __future__ import annotations

import inspect
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin, get_type_hints

import click
from click.exceptions import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Argument", "Exit", "Option", "command", "examples_shown"]

_KINDS: dict[type, click.ParamType[Any]] = {
    Path: click.Path(path_type=Path),
    bool: click.BOOL,
    float: click.FLOAT,
    int: click.INT,
    str: click.STRING,
}


class Argument:
    """A parameter by its place.

    Args:
        metavar: what the usage calls it; else the parameter's name in capitals.
        help: one sentence.
        min: the least number.
    """

    def __init__(self, *, metavar: str | None = None, help: str = "", min: int | None = None) -> None:  # noqa: A002
        self.metavar, self.help, self.min = metavar, help, min


class Option:
    """A parameter by its name.

    Args:
        names: `--name` and `-n`; else `--` and the parameter's name. A truth value needs one.
        metavar: what the help calls its value.
        help: one sentence.
        min: the least number.
        max: the greatest one.
    """

    def __init__(
        self,
        *names: str,
        metavar: str | None = None,
        help: str = "",  # noqa: A002
        min: float | None = None,  # noqa: A002
        max: float | None = None,  # noqa: A002
    ) -> None:
        self.names, self.metavar, self.help, self.min, self.max = names, metavar, help, min, max


class _Parameter(NamedTuple):
    """One parameter of a function, as its annotation says it."""

    name: str
    kind: type  # of one value
    many: bool
    default: Any  # None where it must be given, too
    required: bool
    what: Argument | Option

    def value(self, given: Any) -> Any:
        """What the function gets for what Click has read."""
        if self.many:
            return list(given) or self.default
        return self.kind(given) if issubclass(self.kind, Enum) and given is not None else given

    def type(self) -> click.ParamType[Any]:
        """As Click reads it."""
        if issubclass(self.kind, Enum):
            return click.Choice([one.value for one in self.kind])
        least: Any = self.what.min
        most: Any = getattr(self.what, "max", None)
        if least is None and most is None:
            return _KINDS[self.kind]
        return (click.IntRange if self.kind is int else click.FloatRange)(least, most)

    def made(self) -> click.Parameter:
        """As Click takes it."""
        if isinstance(self.what, Argument):
            return _PlacedArgument(self)
        default = self.default.value if isinstance(self.default, Enum) else self.default
        given = {} if self.required else {"default": default}  # for Click, None is a default as well
        return click.Option(
            [self.name, *(self.what.names or [f"--{self.name.replace('_', '-')}"])],
            type=None if self.kind is bool else self.type(),  # Click knows that of a flag
            is_flag=self.kind is bool,
            multiple=self.many,
            **given,
            required=self.required,
            metavar=self.what.metavar,
            help=self.what.help,
            show_default=self.kind is not bool and default not in (None, ""),
        )


class _PlacedArgument(click.Argument):
    """One that says what it is for; Click has that for options, and for arguments in its newest versions alone."""

    def __init__(self, parameter: _Parameter) -> None:
        super().__init__(
            [parameter.name],
            type=parameter.type(),
            nargs=-1 if parameter.many else 1,
            required=parameter.required,
            default=None if parameter.many else parameter.default,
            metavar=parameter.what.metavar or _usual_metavar(parameter),
        )
        self.says = parameter.what.help


def _usual_metavar(parameter: _Parameter) -> str:
    return parameter.name.upper() if parameter.required else f"[{parameter.name.upper()}]"


class _Command(click.Command):
    """A command whose help describes its arguments, too."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments and the options."""
        arguments = [one for one in self.params if isinstance(one, _PlacedArgument)]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl([(one.make_metavar(ctx), one.says) for one in arguments])
        super().format_options(ctx, formatter)


def command(function: Callable[..., Any], examples: Sequence[str], name: str) -> click.Command:
    """The command that a function is; its docstring is the help."""
    parameters = [_read(one, hint) for one, hint in _annotated(function)]

    def call(**given: Any) -> None:
        function(**{one.name: one.value(given[one.name]) for one in parameters})

    return _Command(
        name,
        callback=call,
        params=[one.made() for one in parameters],
        help=inspect.cleandoc(function.__doc__ or ""),
        epilog=examples_shown(examples),
    )


def examples_shown(examples: Sequence[str]) -> str:
    """The end of a help text."""
    lines = "\n".join(f"  {example}" for example in examples)
    return f"\b\nExamples:\n{lines}"  # `\b`: these lines are not to be wrapped


def _annotated(function: Callable[..., Any]) -> list[tuple[inspect.Parameter, Any]]:
    hints = get_type_hints(function, include_extras=True)
    return [(one, hints[name]) for name, one in inspect.signature(function).parameters.items()]


def _read(parameter: inspect.Parameter, hint: Any) -> _Parameter:
    """Reads `Annotated[T, …]`, where T is a kind, a list of it, or either with `| None`."""
    kind, what = get_args(hint)
    kind = (
        next(iter(one for one in get_args(kind) if one is not NoneType), kind) if NoneType in get_args(kind) else kind
    )
    many = get_origin(kind) is list
    required = parameter.default is inspect.Parameter.empty
    return _Parameter(
        parameter.name,
        get_args(kind)[0] if many else kind,
        many,
        None if required else parameter.default,
        required,
        what,
    )
