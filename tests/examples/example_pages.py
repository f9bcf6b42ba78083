"""The pages of the examples: `python tests/examples/example_pages.py` writes anew what their commands print.

What comes of it is to be read before it is committed: a changed output may be a changed promise.
"""

from __future__ import annotations

import os
import re
import shlex
from contextlib import chdir
from typing import TYPE_CHECKING

from click.testing import CliRunner
from example_support import CHECKOUT, PROJECTIONS

from projection.cli.main import app

if TYPE_CHECKING:
    from pathlib import Path

PAGES = sorted(PROJECTIONS.rglob("README.md"))
_BLOCK = re.compile(r"(?<=^```console\n)(.*?)(?=^```$)", re.MULTILINE | re.DOTALL)
_RUNNER = CliRunner()
_COLUMNS = "80"  # of the terminal that tables are made for


def with_outputs(page: Path) -> str:
    """The page's text with what its commands print now."""
    return _BLOCK.sub(lambda block: _run_again(block[0]), page.read_text())


def _run_again(block: str) -> str:
    """A block begins in the checkout; `cd` leads from there."""
    folder, text = CHECKOUT, ""
    for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
        text += f"$ {command}\n"
        if command.startswith("cd "):
            folder /= command.removeprefix("cd ")
        else:
            text += run(command, folder)
    return text


def run(command: str, folder: Path) -> str:
    """What a command prints, its notes last; in this process, since most of a start is imports."""
    program, *arguments = shlex.split(command)
    assert program == "projection"
    settings = dict.fromkeys((name for name in os.environ if name.startswith("PROJECTION_")), None)
    with chdir(folder):
        done = _RUNNER.invoke(app, arguments, env={**settings, "COLUMNS": _COLUMNS})
    assert done.exit_code == 0, f"{command}\n{done.output}{done.exception!r}"
    return done.stdout + done.stderr


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(with_outputs(page))
