"""The pages of docs/deploy/runbooks as tests read them: their blocks of commands, and which section these stand in."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

import click
from container_support import CHECKOUT

from projection.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = CHECKOUT / "docs/deploy/runbooks"
PAGES = sorted(set(FOLDER.glob("*.md")) - {FOLDER / "README.md"})
SECTIONS = ["How to look", "What to do", "How it was provoked"]
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Commands(NamedTuple):
    """A block of shell commands.

    `host` stands behind the fence of one that is for the host of a container, `otherwise` of one that is another way, and
    `status=1` of one whose last command says that much.
    """

    section: str
    words: frozenset[str]
    lines: list[str]

    @property
    def is_for_host(self) -> bool:
        return "host" in self.words

    @property
    def is_other_way(self) -> bool:
        return "otherwise" in self.words

    @property
    def status(self) -> int:
        return next((int(word.removeprefix("status=")) for word in self.words if word.startswith("status=")), 0)


def sections(page: Path) -> dict[str, str]:
    """The text of each section, by its heading."""
    parts = re.split(r"^## (.*)$", page.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def commands(page: Path) -> Iterator[Commands]:
    """The blocks of commands of a page, in order."""
    for heading, text in sections(page).items():
        for kind, words, block in _FENCE.findall(text):
            if kind == "sh":
                yield Commands(heading, frozenset(words.split()), block.splitlines())


def parse(line: str) -> None:
    """Parse a command of `projection` as the command line does, and run nothing.

    Raises:
        click.ClickException: there is no such command or option.
    """
    words = shlex.split(line)[1:]
    command: click.Command = app
    context = click.Context(app)
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
    with command.make_context(name, words, parent=context):
        pass
