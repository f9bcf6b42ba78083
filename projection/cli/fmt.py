"""`projection fmt`: programs in their one layout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from projection.cli.console import note, print_text, say
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED, ConfigurationError
from projection.inputs import read_input

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = (
    "projection fmt",
    "projection fmt projections/fines --check --diff",
    "projection fmt - < old.proj > new.proj",
)
_STDIN = Path("-")


def fmt(
    paths: Annotated[
        list[Path] | None,
        Argument(metavar="[PATH]...", help="Programs or folders; `-` is stdin to stdout (default: this folder)."),
    ] = None,
    *,
    check: Annotated[bool, Option("--check", help="Write nothing; fail if a program would change.")] = False,
    diff: Annotated[bool, Option("--diff", help="Write nothing; print what would change.")] = False,
) -> None:
    """Format programs (.proj), and change nothing else.

    Spaces, line breaks and trailing commas change, never what a program means. Comments stay where they are. A program
    with syntax errors is left alone, and its errors are shown. Exit status: 0 done, 1 a program cannot be read, or with
    --check would change, 2 there is no program.
    """
    from projection.cli.findings import shown_path
    from projection.lang.reporting import ProgramInvalidError

    changed, unreadable, count = list[str](), 0, 0
    for path in paths or [Path()]:
        for file in _programs(path):
            count += 1
            name = "<stdin>" if file == _STDIN else shown_path(file)
            try:
                text = _read(file)
                result = _laid_out(name, text)
            except ProgramInvalidError as error:
                note(error.render())
                unreadable += 1
                continue
            if result != text:
                changed.append(name)
            if diff:
                _print_diff(name, text, result)
            elif check:
                continue
            elif file == _STDIN:
                print_text(result)
            elif result != text:
                file.write_text(result, encoding="utf-8", newline="\n")
    if _STDIN not in (paths or []) or check:
        _conclude(changed, count, unreadable, would=check or diff)
    if unreadable or (check and changed):
        raise Exit(EXIT_FAILED)


def _programs(path: Path) -> Iterator[Path]:
    if path == _STDIN:
        yield path
    elif path.is_dir():
        found = [
            file
            for file in sorted(path.rglob("*.proj"))
            if not any(part.startswith(".") for part in file.relative_to(path).parts)
        ]
        if not found:
            raise ConfigurationError(f"{path}/ holds no program", hint="name a .proj file")
        yield from found
    elif not path.exists():
        raise ConfigurationError(f"{path} does not exist")
    elif path.suffix == ".proj":
        yield path
    else:
        raise ConfigurationError(f"{path} is no program (.proj)")


def _read(path: Path) -> str:
    """The text as it is, ends of lines included.

    Raises:
        ConfigurationError: it cannot be read, or is no text.
    """
    try:
        return (sys.stdin.buffer.read() if path == _STDIN else read_input(path)).decode()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text: byte {error.start} is wrong") from None


def _laid_out(name: str, text: str) -> str:
    """The text in its one layout; ends of lines stay CRLF where all of them are.

    Raises:
        ProgramInvalidError: it cannot be read.
    """
    from projection.lang.source import Source
    from projection.lang.syntax.formatter import formatted

    is_dos = 0 < text.count("\n") == text.count("\r\n")
    result = formatted(Source(name, text.removeprefix("\ufeff").replace("\r\n", "\n")))
    return result.replace("\n", "\r\n") if is_dos else result


def _print_diff(name: str, before: str, after: str) -> None:
    from difflib import unified_diff

    lines = unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), name, name)
    for line in lines:
        say(line.removesuffix("\n") if line.endswith("\n") else f"{line}\n\\ No newline at end of file")


def _conclude(changed: list[str], count: int, unreadable: int, *, would: bool) -> None:
    for name in changed:
        note(f"{'would lay out' if would else 'laid out'} {name}")
    same = count - len(changed) - unreadable
    parts = [f"{len(changed)} {'would change' if would else 'changed'}"] if changed else []
    parts += [f"{same} unchanged"] if same or not count else []
    parts += [f"{unreadable} cannot be read"] if unreadable else []
    note(", ".join(parts))
