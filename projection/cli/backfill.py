"""`projection load --from`: publish the rows of a table of PostgreSQL to a stream."""

from __future__ import annotations

import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING

from projection.cli.console import counted, note, print_json, progress
from projection.cli.parameters import Exit
from projection.errors import EXIT_SIGNAL, ConfigurationError, StreamError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.backfill.loading import Columns, TableLoading
    from projection.backfill.tables import Selection
    from projection.model.settings import Settings


def backfill(
    url: str,
    selection: Selection,
    columns: Columns,
    settings: Settings,
    *,
    create: bool,
    shared: bool,
    follow: bool,
    limit: int | None,
    after: str | None,
) -> None:
    """Publish rows, and print what came of it; see `load`."""
    import asyncio

    from projection.backfill.loading import TableLoading
    from projection.sink.database import Address

    loading = TableLoading(
        Address(url), selection, columns, note, after=after, limit=limit, follow=follow, shared=shared
    )
    began = time.monotonic()
    try:
        asyncio.run(_run(loading, settings, create=create))
    except StreamError as error:
        raise StreamError(error.message, hint=_way_out(error, loading), code=error.code) from None
    seconds = time.monotonic() - began
    published = loading.published
    if loading.is_stopped and not follow:
        place = "before the first row" if loading.last_key is None else f"after row {loading.last_key}"
        note(f"interrupted {place}; the same command continues there")
        raise Exit(EXIT_SIGNAL + signal.SIGINT)
    where = (
        f": sequences {published.first} to {published.last} of stream {settings.stream!r}" if published.count else ""
    )
    note(f"published {counted(published.count, 'event')} in {seconds:.1f} s{where}")
    print_json(
        {
            "events": published.count,
            "first_sequence": published.first,
            "last_sequence": published.last,
            "last_key": loading.last_key,
            "seconds": round(seconds, 3),
        }
    )


async def _run(loading: TableLoading, settings: Settings, *, create: bool) -> None:
    with closing(loading):
        await loading.check()
        await _publish(loading, settings, create=create)


async def _publish(loading: TableLoading, settings: Settings, *, create: bool) -> None:
    import asyncio

    from projection.cli.connection import nats_connection
    from projection.stream.connection import Nats

    loop = asyncio.get_running_loop()

    def interrupt(number: int) -> None:
        loop.remove_signal_handler(number)  # the second one ends at once
        loading.stop()

    async with await Nats.connect(nats_connection(settings.nats)) as nats:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt, number)
        with progress("publishing", None) as advance:
            await loading.run(nats, settings.stream, create=create, progress=advance)


def _way_out(error: StreamError, loading: TableLoading) -> str:
    from projection.stream.jetstream import STREAM_NOT_FOUND

    if error.code == STREAM_NOT_FOUND:
        return "create it with --create"
    return f"the same command continues after row {loading.last_key}" if loading.last_key else error.hint or ""


def selected(
    table: str | None,
    query: str | None,
    key: str | None,
    template: str | None,
    body: str | None,
    headers: Sequence[str],
) -> tuple[Selection, Columns]:
    """What to read, and what to make of it, as the options say.

    Raises:
        ConfigurationError: they contradict one another, or are no template or header.
    """
    from projection.backfill.loading import Columns
    from projection.backfill.messages import RowTemplate, headers_of
    from projection.backfill.tables import Selection

    if (table is None) == (query is None):
        raise ConfigurationError("--from needs one of --table NAME and --query SELECT")
    if query is not None and (key is None or template is None):
        raise ConfigurationError(
            "--query needs --key, the column that orders its rows, and --subject-template for their subjects"
        )
    return Selection(table, query, key), Columns(
        RowTemplate.parse(template or _words(table or "")), headers_of(headers), body
    )


def _words(table: str) -> str:
    """The subject of a table's rows where none is given."""
    from projection.model.escaping import escape_token

    return escape_token(table.rpartition(".")[2].strip('"'))
