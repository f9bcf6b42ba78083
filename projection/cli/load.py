"""`projection load`: publish events to a stream: those of a file, or the rows of a table."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from projection.cli.backfill import backfill, selected
from projection.cli.console import counted, note, print_json, progress
from projection.cli.options import Config, NatsUrl, Stream
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import ConfigurationError, DecodeError, StreamError, TenantAccessError
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate

if TYPE_CHECKING:
    from projection.model.settings import Settings
    from projection.stream.loading import FileLoading
    from projection.stream.publisher import Published

EXAMPLES = (
    "projection load events.jsonl --stream events --create",
    "projection load events.jsonl.gz --stream events --limit 1000",
    "projection load events.jsonl.gz --stream events --from-line 1001",
    "projection load events.jsonl --url nats://127.0.0.1:4222 --config node.yaml",
    "projection load --from postgres:///shop --table mt_events --create",
    "projection load --from postgres:///shop --table events --body data --follow",
)
_INTERRUPTED = 130


def load(
    file: Annotated[
        Path | None,
        Argument(help="Envelopes, or dumped messages, one per line; .gz if compressed; or a folder."),
    ] = None,
    *,
    database: Annotated[
        str | None,
        Option("--from", metavar="URL", help="Rows of postgres://USER@HOST:PORT/DATABASE instead of a file."),
    ] = None,
    table: Annotated[str | None, Option(metavar="NAME", help="The table, with its schema if needed.")] = None,
    query: Annotated[str | None, Option(metavar="SELECT", help="A query instead of a table.")] = None,
    key: Annotated[
        str | None, Option(metavar="COLUMN", help="The unique column that orders them (default: the primary key).")
    ] = None,
    body: Annotated[
        str | None,
        Option(
            metavar="COLUMN", help="The column for the body of messages (default: the whole row, as a JSON object)."
        ),
    ] = None,
    header: Annotated[
        list[str] | None, Option(metavar="NAME=COLUMN", help="A header of each message from a column.")
    ] = None,
    after: Annotated[
        str | None, Option(metavar="KEY", help="Start after this row, if the stream has no row of the table.")
    ] = None,
    follow: Annotated[
        bool, Option("--follow", help="Continue with rows that are written later, until stopped.")
    ] = False,
    stream: Stream = None,
    url: NatsUrl = None,
    create: Annotated[bool, Option("--create", help="Create the stream if it does not exist.")] = False,
    shared: Annotated[
        bool,
        Option(
            "--shared", help="Others publish to the stream at the same time; a failing cluster may change the order."
        ),
    ] = False,
    subject_template: Annotated[
        str | None,
        Option(metavar="TEMPLATE", help="The subjects; each <place>, or <column>, becomes one escaped token."),
    ] = None,
    config: Config = None,
    limit: Annotated[int | None, Option(metavar="N", min=1, help="Publish N events at most.")] = None,
    from_line: Annotated[int, Option(metavar="N", min=1, help="Start at line N of the file.")] = 1,
) -> None:
    """Publish the events of a file or of a table to a stream.

    They are published in order and exactly once; the table is one in PostgreSQL. All events are checked first: if one
    is wrong, its line is named, and nothing is published. Each is published as it is in the file; messages of
    `projection dump` with their subjects and headers. Each is stored directly after the one before it, so nobody else
    may publish to the stream at the same time, unless --shared is given. The result is one JSON object on stdout.

    Rows of a database are published in the order of a key. The last message of the table in the stream says where the
    next run continues. A row waits until no open transaction may still write one before it.
    """
    import asyncio

    from projection.model.settings import Settings
    from projection.stream.loading import FileLoading

    settings = Settings.load(config, {"stream": stream, "nats.url": url})
    of_tables = {"--table": table, "--query": query, "--key": key, "--body": body, "--header": header, "--after": after}
    if database is not None:
        if file is not None or from_line != 1:
            raise ConfigurationError("--from reads a database; leave out the file and --from-line")
        backfill(
            database,
            *selected(table, query, key, subject_template, body, header or ()),
            settings,
            create=create,
            shared=shared,
            follow=follow,
            limit=limit,
            after=after,
        )
        return
    if file is None:
        raise ConfigurationError("name a file of events, or a database: --from postgres://USER@HOST/DATABASE")
    if wrong := [name for name, given in of_tables.items() if given is not None] + ["--follow"] * follow:
        raise ConfigurationError(f"{wrong[0]} is for the rows of a database, which --from names")
    try:
        template = SubjectTemplate.parse(subject_template or DEFAULT_TEMPLATE)
    except ValueError as error:
        raise ConfigurationError(f"option --subject-template: {error}") from None
    loading = FileLoading(file, template, settings.tenancy, from_line=from_line, limit=limit)
    total = _check(loading)
    began = time.monotonic()
    try:
        published = asyncio.run(_publish(loading, settings, total, create=create, shared=shared))
    except StreamError as error:
        raise _with_way_out(error, loading, from_line) from None
    seconds = time.monotonic() - began
    if published.count < total:
        line = loading.next_line
        note(f"interrupted: the events before line {line} are stored, and no others; go on with --from-line {line}")
        raise Exit(_INTERRUPTED)
    rate = f"{published.count / seconds:,.0f} events/s"
    where = f"sequences {published.first} to {published.last} of stream {settings.stream!r}"
    note(f"published {counted(published.count, 'event')} in {seconds:.1f} s, {rate}: {where}")
    print_json(
        {
            "events": published.count,
            "first_sequence": published.first,
            "last_sequence": published.last,
            "seconds": round(seconds, 3),
        }
    )


def _check(loading: FileLoading) -> int:
    try:
        return loading.check()
    except (DecodeError, TenantAccessError) as error:
        hint = "nothing was published; correct the line, or publish the lines before it with --limit"
        raise type(error)(error.message, hint=hint, code=error.code) from None


async def _publish(loading: FileLoading, settings: Settings, total: int, *, create: bool, shared: bool) -> Published:
    import asyncio

    from projection.cli.connection import nats_connection
    from projection.stream.connection import Nats

    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        loop.remove_signal_handler(signal.SIGINT)  # the second one ends at once
        loading.stop()

    async with await Nats.connect(nats_connection(settings.nats)) as nats:
        loop.add_signal_handler(signal.SIGINT, interrupt)
        with progress("publishing", total) as advance:
            return await loading.publish(nats, settings.stream, create=create, shared=shared, progress=advance)


def _with_way_out(error: StreamError, loading: FileLoading, from_line: int) -> StreamError:
    from projection.stream.jetstream import STREAM_NOT_FOUND

    hint = error.hint
    if error.code == STREAM_NOT_FOUND:
        hint = "create it with --create"
    elif (line := loading.next_line) > from_line:
        hint = (
            f"every event before line {line} is stored: go on with --from-line {line}, "
            "or later by as many events as the stream holds behind that sequence by then"
        )
    return StreamError(error.message, hint=hint, code=error.code)
