"""`projection load`: publish a file of events to a stream."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from projection.cli.console import note, print_json, progress
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
)
_INTERRUPTED = 130


def load(
    file: Annotated[Path, Argument(help="One envelope, or message that was dumped, a line; .gz if compressed.")],
    *,
    stream: Stream = None,
    url: NatsUrl = None,
    create: Annotated[bool, Option("--create", help="Make the stream where there is none.")] = False,
    shared: Annotated[
        bool,
        Option("--shared", help="Others publish to the stream meanwhile; a failing cluster may cost the order."),
    ] = False,
    subject_template: Annotated[
        str, Option(metavar="TEMPLATE", help="The subjects; each <place> becomes one escaped token.")
    ] = DEFAULT_TEMPLATE,
    config: Config = None,
    limit: Annotated[int | None, Option(metavar="N", min=1, help="Publish N events at most.")] = None,
    from_line: Annotated[int, Option(metavar="N", min=1, help="Begin at line N of the file.")] = 1,
) -> None:
    """Publish the events of a file to a stream, in order and once each.

    All events are checked first: one that is wrong is named with its line, and nothing is published. Each is published
    as it stands in the file; messages of `projection dump` are, with their subjects and headers. Each is stored right
    behind the one before it, so nobody else may publish to the stream meanwhile, unless --shared says so. The result is
    one JSON object on stdout.
    """
    import asyncio

    from projection.model.settings import Settings
    from projection.stream.loading import FileLoading

    settings = Settings.load(config, {"stream": stream, "nats.url": url})
    try:
        template = SubjectTemplate.parse(subject_template)
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
    note(f"published {published.count:,} events in {seconds:.1f} s, {rate}: {where}")
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
        hint = "nothing was published; correct the line, or publish what is before it with --limit"
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
        hint = "make it with --create"
    elif (line := loading.next_line) > from_line:
        hint = (
            f"every event before line {line} is stored: go on with --from-line {line}, "
            "or later by as many events as the stream holds behind that sequence by then"
        )
    return StreamError(error.message, hint=hint, code=error.code)
