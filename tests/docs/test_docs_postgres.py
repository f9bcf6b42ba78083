"""The page on PostgreSQL: its project is folded by a node, and its SQL answers what the page shows."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
from docs_pages import CHECKOUT, blocks
from warm_commands import warm_commands

from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
    from pathlib import Path


def test_what_the_page_asks_for_in_sql_is_answered_as_it_shows(database: str, tmp_path: Path) -> None:
    page = list(blocks(CHECKOUT / "docs/postgres.md"))
    for block in page:
        if "file" in block:
            (tmp_path / block.attributes["file"]).write_text(block.text)
    with EmbeddedServer(tmp_path / "nats") as server:
        environment = os.environ | {"PROJECTION_NATS__URL": server.url}
        for command in ("load events.jsonl --create", "run --until-caught-up", f"sink {database} --until-level"):
            ended = warm_commands().run(["projection", *command.split()], tmp_path, environment)
            assert ended.returncode == 0, ended.stderr
    role, shown = f"r{uuid4().hex[:12]}", 0
    with psycopg.connect(database, autocommit=True) as connection:
        for block, after in pairwise(page):
            if block.kind == "sql":
                cursor = connection.execute(block.text.replace("reader", role))
                while cursor.nextset():
                    pass
                if after.kind == "text":
                    found = [" | ".join(map(str, row)) for row in cursor.fetchall()]
                    assert after.text.splitlines() == found, block.place
                    shown += 1
    assert shown == 5
