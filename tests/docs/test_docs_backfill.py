"""The page on events out of PostgreSQL: its tables are made, and its commands print what the page shows."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import psycopg
from docs_pages import CHECKOUT, blocks
from docs_shell import agrees, commands
from sink_support import asked
from warm_commands import warm_commands

from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
    from pathlib import Path


def test_what_the_page_loads_is_published_and_folded_as_it_shows(database: str, tmp_path: Path) -> None:
    shown = 0
    with EmbeddedServer(tmp_path / "nats") as server, psycopg.connect(database, autocommit=True) as connection:
        environment = os.environ | {"PROJECTION_NATS__URL": server.url}
        connection.execute("DROP ROLE IF EXISTS relay")
        for block in blocks(CHECKOUT / "docs/backfill.md"):
            if "file" in block:
                (tmp_path / block.attributes["file"]).write_text(block.text)
            elif block.kind == "sql":
                connection.execute(block.text.encode())
            elif block.kind == "text":
                for command, output in commands(block):
                    words = shlex.split(command.replace("postgres:///shop", database))
                    ended = warm_commands().run(words, tmp_path, environment)
                    assert ended.returncode == 0, (block.place, ended.stderr)
                    assert agrees(output, ended.stdout), (block.place, ended.stdout)
                    shown += 1
    asked(database, "DROP OWNED BY relay; DROP ROLE relay")
    assert shown == 7
