"""`projection dump`: write the messages of a stream to a file that `load`, `replay` and tests read again."""

from __future__ import annotations

import gzip
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

from projection.cli.console import note, print_json
from projection.cli.options import Config, NatsUrl, Stream
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.model.settings import Settings

EXAMPLES = (
    "projection dump events.jsonl --stream ORDERS",
    "projection dump events.jsonl.gz --stream ORDERS --subject 'shop.order.>'",
    "projection dump events.jsonl --stream ORDERS --limit 1000",
    "projection dump events.jsonl --stream ORDERS --from 5001 --to 6000",
)


def dump(
    file: Annotated[Path, Argument(help="What to write, a message a line; .gz to compress it.")],
    *,
    stream: Stream = None,
    url: NatsUrl = None,
    config: Config = None,
    subject: Annotated[str, Option(metavar="FILTER", help="Only these subjects; * and > as in NATS.")] = ">",
    from_: Annotated[int, Option("--from", metavar="SEQUENCE", min=1, help="The first sequence.")] = 1,
    to: Annotated[int | None, Option(metavar="SEQUENCE", min=1, help="The last one; else the stream's end.")] = None,
    limit: Annotated[int | None, Option(metavar="N", min=1, help="N messages at most.")] = None,
) -> None:
    """Write the messages of a stream to a file: sequence, subject, time, headers and body of each.

    The file appears once it is whole; one that exists is not overwritten. The stream is left as it is. The result is
    one JSON object on stdout.
    """
    import asyncio

    from projection.model.settings import Settings
    from projection.model.subjects import filter_problem

    settings = Settings.load(config, {"stream": stream, "nats.url": url})
    if (problem := filter_problem(subject)) is not None:
        raise ConfigurationError(f"option --subject: {problem}")
    if file.exists():
        raise ConfigurationError(f"{file} exists already", hint="name another file, or remove this one")
    with _written(file) as out:
        count, last = asyncio.run(_dump(out, settings, subject, range(from_, (to or 2**63) + 1), limit))
    note(f"wrote {count:,} messages of stream {settings.stream!r} to {file}")
    print_json({"messages": count, "last_sequence": last})


@contextmanager
def _written(file: Path) -> Iterator[BinaryIO]:
    """A file to write, which appears under its name once it is whole."""
    draft = file.with_name(f"{file.name}.part")
    try:
        with draft.open("wb") as plain:
            if file.suffix == ".gz":
                with gzip.GzipFile(fileobj=plain, mode="wb", filename="", mtime=0) as packed:
                    yield cast("BinaryIO", packed)
            else:
                yield plain
        draft.replace(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


async def _dump(out: BinaryIO, settings: Settings, subject: str, wanted: range, limit: int | None) -> tuple[int, int]:
    """How many messages were written, and the sequence of the last."""
    from projection.cli.connection import nats_connection
    from projection.history.logs import StreamLog
    from projection.stream.connection import Nats
    from projection.stream.jetstream import JetStream
    from projection.stream.recorded import recorded_line

    count = last = 0
    async with await Nats.connect(nats_connection(settings.nats)) as nats:
        if (await JetStream(nats).stream_info(settings.stream)).state.last_seq < wanted.start:
            return 0, 0
        messages = StreamLog(nats, settings.stream, "dump").messages([subject], wanted.start - 1, wanted.stop - 1)
        async with aclosing(messages) as batches:
            async for batch in batches:
                events = [one for one in batch if not one.no_event][: None if limit is None else limit - count]
                out.writelines(recorded_line(one) + b"\n" for one in events)
                count += len(events)
                last = events[-1].sequence if events else last
                if count == limit:
                    break
    return count, last
