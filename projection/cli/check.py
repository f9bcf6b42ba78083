"""`projection check`: programs and manifests, without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from projection.cli.console import note
from projection.errors import EXIT_FAILED, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = (
    "projection check",
    "projection check projections/fines",
    "projection check manifest.yaml orders.proj",
)
_MANIFESTS = (".yaml", ".yml", ".toml", ".json")


def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]...", help="Programs, manifests or folders; else this folder.")
    ] = None,
) -> None:
    """Check programs (.proj) and manifests, and the programs that manifests name.

    In a folder, all programs and all files named manifest.yaml, .toml or .json are checked. Every error is shown, each
    with its place and what to do.
    """
    from projection.lang.diagnostics import ProgramInvalidError
    from projection.lang.program import Program
    from projection.model.manifest import Manifest

    programs: dict[Path, None] = {}  # in order, each once
    manifests: list[Path] = []
    for path in paths or [Path()]:
        for found in _found(path):
            if found.suffix == ".proj":
                programs[found.resolve()] = None
            else:
                manifests.append(found)
    shown: list[str] = []
    for path in manifests:
        try:
            named = Manifest.load(path)
        except ConfigurationError as error:
            shown.append(f"error: {error}")
            continue
        programs |= dict.fromkeys(entry.program for entry in named.views)
    count = 0
    for program in programs:
        try:
            Program.load(program, name=_shown_as(program))
        except ProgramInvalidError as error:
            shown.append(error.render())
            count += len(error.diagnostics) - 1
        except OSError as error:
            shown.append(f"error: {_shown_as(program)} cannot be read: {error.strerror}")
    count += len(shown)
    if shown:
        print("\n\n".join(shown))
    what = f"{_plural(len(programs), 'program')} and {_plural(len(manifests), 'manifest')}"
    note(f"checked {what}: {_plural(count, 'error')}")
    if shown:
        raise typer.Exit(EXIT_FAILED)


def _found(path: Path) -> Iterator[Path]:
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if not _is_hidden(file.relative_to(path))]
        found = [one for one in files if one.suffix == ".proj" or (one.stem == "manifest" and one.suffix in _MANIFESTS)]
        if not found:
            raise ConfigurationError(
                f"{path}/ holds no program and no manifest", hint="name a .proj file or a manifest"
            )
        yield from found
    elif not path.exists():
        raise ConfigurationError(f"{path} does not exist")
    elif path.suffix == ".proj" or path.suffix in _MANIFESTS:
        yield path
    else:
        raise ConfigurationError(f"{path} is neither a program (.proj) nor a manifest (.yaml, .toml, .json)")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _shown_as(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
