"""What `load --from` says where it cannot go on: one sentence and what to do, and never the password."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest
from command_support import in_this_process
from sink_support import asked

from projection.errors import EXIT_FAILED, EXIT_USAGE
from projection.extras import missing_extra

if TYPE_CHECKING:
    from pathlib import Path

    from projection.stream.embedded import EmbeddedServer

SECRET = "hunter2"


def said(folder: Path, url: str, *options: object, status: int = EXIT_USAGE) -> str:
    ended = in_this_process("load", "--from", url, *options, folder=folder)
    assert ended.returncode == status, ended.stderr
    assert ended.stdout == ""
    assert SECRET not in ended.stderr
    assert "Traceback" not in ended.stderr
    return " ".join(ended.stderr.split())


def named(url: str, database: str | None = None, user: str = "tester", password: str = "") -> str:
    own, _, host = url.partition("@/")[2].partition("?")
    return f"postgres://{user}{':' + password if password else ''}@/{database or own}?{host}"


@pytest.fixture
def table(database: str) -> str:
    asked(database, "CREATE TABLE events (id bigserial PRIMARY KEY, uid uuid UNIQUE, n int, data jsonb, at float)")
    return database


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("--table nothing", "there is no table 'nothing' in database .* hint: name its schema too"),
        ("--table events --key nothing", "--key: .*events has no column 'nothing' hint: it has id, uid, n, data, at"),
        ("--table events --body nothing", "--body: .*events has no column 'nothing'"),
        ("--table events --header a=nothing", "--header: .*events has no column 'nothing'"),
        ("--table events --subject-template a.<nothing>", "--subject-template: .*events has no column 'nothing'"),
        ("--table events --body n", "column 'n' is of type integer; a body is json, jsonb, text or bytea"),
        ("--table events --key n", "column 'n' of table 'events' has no unique index of its own"),
        ("--table events --key uid --follow", "column 'uid' is of type uuid, which does not say in which order"),
        ("--table plain", "table 'plain' has no primary key hint: name the column .* --key COLUMN"),
        ("--table pair", "the primary key of table 'pair' has 2 columns"),
        ("--table random", "the primary key 'id' of table 'random' is of type uuid"),
        ("--table cached --follow", "hands each session 20 numbers at a time, .* CACHE 1"),
        ("--table events --header Nats-Rollup=n", "'Nats-Rollup' cannot be the name of a header"),
        ("--table events --header kind", "'kind' is not NAME=COLUMN"),
        ("--table events --subject-template a..b", "'a..b' is no subject"),
        ("--table events --subject-template a.*", "is no subject"),
        ("--table events --query x", "one of --table NAME and --query SELECT"),
        ("", "one of --table NAME and --query SELECT"),
        ("--query x", "--query needs --key"),
        ("file --table events", "leave out the file"),
    ],
)
def test_what_was_asked_for_is_wrong(table: str, tmp_path: Path, options: str, text: str) -> None:
    asked(
        table,
        "CREATE TABLE plain (n int); CREATE TABLE pair (a int, b int, PRIMARY KEY (a, b)); "
        "CREATE TABLE random (id uuid PRIMARY KEY); "
        "CREATE TABLE cached (id bigint GENERATED ALWAYS AS IDENTITY (CACHE 20) PRIMARY KEY)",
    )
    assert re.search(text, said(tmp_path, table, *options.split()))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SELECT 1 AS id, 2 AS id", "the query has two columns 'id'"),
        ("SELECT nonsense", 'column "nonsense" does not exist'),
        ("SELECT 1 AS id; DROP TABLE events", "syntax error"),
        ("SELECT * FROM nothing", 'relation "nothing" does not exist'),
    ],
)
def test_a_query_that_is_none(table: str, tmp_path: Path, query: str, text: str) -> None:
    options = ("--query", query, "--key", "id", "--subject-template", "a")
    status = EXIT_USAGE if "two columns" in text else EXIT_FAILED
    assert text in said(tmp_path, table, *options, status=status)


def test_a_query_that_writes_is_refused(
    table: str, tmp_path: Path, nats_server: EmbeddedServer, stream_name: str
) -> None:
    asked(table, "CREATE SEQUENCE s; INSERT INTO events DEFAULT VALUES")
    query = ("--query", "SELECT id, nextval('s') FROM events", "--key", "id", "--subject-template", stream_name)
    options = (*query, "--stream", stream_name, "--url", nats_server.url, "--create")
    assert "read-only transaction" in said(tmp_path, table, *options, status=EXIT_FAILED)


def test_a_key_that_is_null(table: str, tmp_path: Path, nats_server: EmbeddedServer, stream_name: str) -> None:
    asked(table, "INSERT INTO events (uid) VALUES (NULL), ('00000000-0000-0000-0000-000000000001')")
    options = ("--table", "events", "--key", "uid", "--stream", stream_name, "--url", nats_server.url, "--create")
    text = said(tmp_path, table, *options, "--subject-template", stream_name)
    assert "has no key: column 'uid' is null" in text
    assert "leave such rows out by --query" in text


def test_a_database_that_lets_nobody_in(table: str, tmp_path: Path) -> None:
    asked(table, f"DROP ROLE IF EXISTS limited; CREATE ROLE limited LOGIN PASSWORD '{SECRET}'")
    events = ("--table", "events")
    wrong = said(tmp_path, named(table, user="limited", password=f"{SECRET}wrong"), *events, status=EXIT_FAILED)
    assert 'password authentication failed for user "limited"' in wrong
    assert "check user and password" in wrong
    denied = said(tmp_path, named(table, user="limited", password=SECRET), *events, status=EXIT_FAILED)
    assert "table 'events' cannot be read: permission denied for table events" in denied
    assert "grant what is missing" in denied
    absent = said(tmp_path, "postgres://u:hunter2@127.0.0.1:1/d", *events, status=EXIT_FAILED)
    assert "database d, user u, host 127.0.0.1, port 1 cannot be used" in absent
    assert "refused" in absent
    assert "is not a PostgreSQL URL" in said(tmp_path, "mysql://u:hunter2@h/d", *events)


def test_options_of_a_database_without_one(tmp_path: Path) -> None:
    for arguments, text in {
        (): "name a file of events, or a database",
        ("f.jsonl", "--table", "t"): "--table is for the rows of a database",
        ("f.jsonl", "--follow"): "--follow is for the rows of a database",
    }.items():
        ended = in_this_process("load", *arguments, folder=tmp_path)
        assert ended.returncode == EXIT_USAGE
        assert text in ended.stderr


def test_without_psycopg_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("psycopg", "projection.backfill", "projection.sink"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ModuleNotFoundError) as missing:
        in_this_process("load", "--from", "postgres:///d", "--table", "events", folder=tmp_path)
    assert "pip install 'projection-node[postgres]'" in str(missing_extra(missing.value))
