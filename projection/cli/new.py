"""`projection new`: a projection to begin with, whole and tested."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated, Any

from projection.cli.console import note, say
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError

EXAMPLES = ("projection new stock", "projection new order_totals --folder shop")

_TEMPLATE = Path(__file__).parent / "template"  # a projection as any other, called `accounts`
_FILES = ("accounts.proj", "accounts.jsonl", "accounts.scenario.yaml", "__snapshots__/accounts.scenario.views")
_NAME = re.compile(r"\baccounts\b")
_MANIFEST = "manifest.yaml"
_NO_NAMES_IN_YAML = ("true", "false", "null")  # of the names that a view type may have


def new(
    name: Annotated[
        str, Argument(metavar="NAME", help="The name of the projection and its view type, such as `stock`.")
    ],
    *,
    folder: Annotated[
        Path, Option(metavar="DIR", help="The folder, created if it does not exist (default: this folder).")
    ] = Path(),
) -> None:
    """Start a projection: a program with tests and events.

    It also writes a scenario with its snapshot, and an entry in the manifest. All of it passes its checks and tests at
    once; change it to what you need. An existing manifest gets one more entry, and keeps its comments; no other file is
    ever changed.
    """
    from projection.cli.findings import shown_path

    _check_name(name)
    files = {folder / _NAME.sub(name, file): _named(name, file) for file in _FILES}
    manifest = folder / _MANIFEST
    is_there = manifest.exists()
    try:
        _refuse_what_is_there(folder, files)
        folder.mkdir(parents=True, exist_ok=True)
        text = _extended(manifest, name) if is_there else _named(name, _MANIFEST)
        for path, content in files.items():
            path.parent.mkdir(exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(content)
        # Last: a manifest never names a program that is not there.
        manifest.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigurationError(f"{error.filename or folder} cannot be written: {error.strerror}") from None
    for path in files:
        say(f"wrote {shown_path(path)}")
    say(f"{'changed' if is_there else 'wrote'} {shown_path(manifest)}")
    _say_what_is_next(name, folder)


def _named(name: str, file: str) -> str:
    """A file of the template, for a projection of this name."""
    return _NAME.sub(name, (_TEMPLATE / file).read_text(encoding="utf-8"))


def _check_name(name: str) -> None:
    from projection.model.ids import ViewType

    if (problem := ViewType.problem(name)) is not None:
        raise ConfigurationError(f"the name {name!r} {problem}", hint="for example: stock, order_totals")
    if name in _NO_NAMES_IN_YAML:
        raise ConfigurationError(
            f"the name {name!r} means something else in YAML", hint="for example: stock, order_totals"
        )


def _refuse_what_is_there(folder: Path, files: dict[Path, str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder")
    if there := [str(path) for path in files if path.exists()]:
        raise ConfigurationError(
            f"there is {', '.join(there)} already, and nothing was written", hint="take another name"
        )
    for suffix in (".yml", ".toml", ".json"):
        if (other := folder / f"manifest{suffix}").exists():
            raise ConfigurationError(
                f"{other} is no {_MANIFEST}, and a folder has one manifest", hint="name another folder"
            )


def _extended(manifest: Path, name: str) -> str:
    """The text of a manifest with this entry besides.

    Raises:
        ConfigurationError: it cannot be read, has the entry, or is written so that one cannot be added.
    """
    from tempfile import TemporaryDirectory

    from projection.model.documents import read_document
    from projection.model.manifest_entry import with_entry

    before, program = read_document(manifest), f"{name}.proj"
    views = before.get("views")
    if not isinstance(views, dict):
        raise ConfigurationError(f"{manifest} has no `views`, so it is no manifest", hint="name another folder")
    if name in views:
        raise ConfigurationError(f"{manifest} has a view type {name} already", hint="take another name")
    text = with_entry(manifest.read_bytes().decode(), name, program)
    if text is not None:
        # Read again: a text that somebody laid out in a way that nobody thought of is not to be spoiled.
        with TemporaryDirectory() as aside:
            (copy := Path(aside) / _MANIFEST).write_text(text, encoding="utf-8", newline="")
            if _reads_as(copy, {**before, "views": {**views, name: {"program": program}}}):
                return text
    raise ConfigurationError(
        f"{manifest} is laid out so that no entry can be added to it, and nothing was written",
        hint=f"write its entries below `views:`, one a line, as in `  {name}: {{ program: {program} }}`",
    )


def _reads_as(path: Path, expected: dict[str, Any]) -> bool:
    from projection.model.documents import read_document

    try:
        return read_document(path) == expected
    except ConfigurationError:
        return False


def _say_what_is_next(name: str, folder: Path) -> None:
    note("next:")
    if folder != Path():
        note(f"  cd {shlex.quote(str(folder))}")
    note("  projection test --coverage")
    note(f"  projection replay {name}.jsonl")
    note(f"  projection query {name} --events {name}.jsonl --sort=-balance")
    note(f"then make {name}.proj and {name}.jsonl yours, and check them:")
    note("  projection check --strict")
    note("  projection test --update")
