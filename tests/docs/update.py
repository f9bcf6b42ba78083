"""Brings the pages up to date with the code: `python tests/docs/update.py` writes every table and every output anew.

With names of pages, as in `update.py fuzzing.md`, only those are run, which takes less than the ten minutes of all. What
comes of it is to be read before it is committed: a changed output may be a changed promise.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import sleep

sys.path.append(str(Path(__file__).resolve().parents[1]))  # what all tests share

from docs_pages import PAGES, blocks
from docs_schemas import QUERY_SCHEMA, query_schema
from docs_shell import Shell, agrees, commands
from docs_tables import TABLES

SETTLED_AFTER_S = 2.0  # an output that comes true "eventually"


def with_outputs(page: Path) -> str:
    """The page's text with what its commands print now; what agrees already stays."""
    text = page.read_text()
    with tempfile.TemporaryDirectory() as folder, Shell(Path(folder)) as shell:
        for block in blocks(page):
            if not block.is_run:
                shell.follow(block)
                continue
            if "eventually" in block:
                sleep(SETTLED_AFTER_S)
            body = ""
            for command, shown in commands(block):
                found, _ = shell.run(command)
                typed = "$ " + command.replace("\n", "\n> ").replace("> \n", ">\n")
                body += f"{typed}\n" + (shown if agrees(shown, found) else found)
            text = text.replace(f"\n{block.text}```\n", f"\n{body}```\n", 1)
    return text


if __name__ == "__main__":
    QUERY_SCHEMA.write_text(query_schema())
    named = set(sys.argv[1:])
    for page in PAGES:
        if (not named or page.name in named) and any(block.is_run for block in blocks(page)):
            page.write_text(with_outputs(page))
    for table in TABLES:  # behind the outputs, which one of them is made of
        table.write()
