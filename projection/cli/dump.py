"""`projection dump`: write the messages of a stream to a file that `load`, `replay` and tests read again."""

from __future__ import annotations

import gzip
import os
from contextlib import aclosing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

from projection.cli.console import counted, note, print_json
from projection.cli.options import Config, NatsUrl, Stream
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError, DecodeError
from projection.inputs import read_input

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from projection.model.settings import Settings
    from projection.stream.port import Message
    from projection.stream.pseudonymizing import Pseudonymizer

EXAMPLES = (
    "projection dump events.jsonl --stream ORDERS",
    "projection dump events.jsonl.gz --stream ORDERS --subject 'shop.order.>'",
    "projection dump events.jsonl --stream ORDERS --limit 1000",
    "projection dump events.jsonl --stream ORDERS --from 5001 --to 6000",
    "projection dump o.jsonl --stream ORDERS --pseudonymize body.by --key-file k",
)


def dump(
    file: Annotated[Path, Argument(help="The file to write, one message per line; .gz to compress it.")],
    *,
    stream: Stream = None,
    url: NatsUrl = None,
    config: Config = None,
    subject: Annotated[str, Option(metavar="FILTER", help="Only these subjects; * and > as in NATS.")] = ">",
    from_: Annotated[
        int, Option("--from", metavar="SEQUENCE", min=1, help="The first sequence (default: the stream's start).")
    ] = 1,
    to: Annotated[
        int | None, Option(metavar="SEQUENCE", min=1, help="The last one (default: the stream's end).")
    ] = None,
    limit: Annotated[int | None, Option(metavar="N", min=1, help="N messages at most.")] = None,
    pseudonymize: Annotated[
        list[str] | None,
        Option(
            metavar="PLACE", help="Replace the value at body.FIELD, header.NAME or subject.<PLACE>; may be repeated."
        ),
    ] = None,
    subjects: Annotated[
        list[str] | None,
        Option(metavar="TEMPLATE", help="Templates that name the places in subjects; may be repeated."),
    ] = None,
    key_file: Annotated[Path | None, Option(metavar="FILE", help="A file with the secret key of pseudonyms.")] = None,
    key_variable: Annotated[
        str | None, Option(metavar="NAME", help="The environment variable with the secret key.")
    ] = None,
    skip_unreadable: Annotated[
        bool, Option("--skip-unreadable", help="Leave out messages that cannot be pseudonymized, instead of stopping.")
    ] = False,
) -> None:
    """Write the messages of a stream to a file.

    Each has its sequence, subject, time, headers and body. The file appears once it is complete; an existing file is
    not overwritten. The stream does not change. With --pseudonymize, values are replaced by others of the same shape;
    equal values by equal ones, in all files that are written with the same key. The result is one JSON object on
    stdout.
    """
    import asyncio

    from projection.model.settings import Settings
    from projection.model.subjects import filter_problem

    settings = Settings.load(config, {"stream": stream, "nats.url": url})
    if (problem := filter_problem(subject)) is not None:
        raise ConfigurationError(f"option --subject: {problem}")
    if file.exists():
        raise ConfigurationError(f"{file} exists already", hint="name another file, or remove this one")
    pseudonymizer = _pseudonymizer(pseudonymize or [], subjects or [], key_file, key_variable)
    if skip_unreadable and pseudonymizer is None:
        raise ConfigurationError("--skip-unreadable goes with --pseudonymize")
    skipped: list[DecodeError] | None = [] if skip_unreadable else None
    change = _unchanged if pseudonymizer is None else _changing(pseudonymizer, skipped)
    with _written(file) as out:
        count, last = asyncio.run(_dump(out, settings, subject, range(from_, (to or 2**63) + 1), limit, change))
    note(f"wrote {counted(count, 'message')} of stream {settings.stream!r} to {file}")
    result: dict[str, object] = {"messages": count, "last_sequence": last}
    if skipped:
        what = "message" if len(skipped) == 1 else "messages"
        note(f"left {len(skipped):,} {what} out; the first: {skipped[0].message}")
    if skipped is not None:
        result["skipped"] = len(skipped)
    if pseudonymizer is not None:
        result["pseudonymized"] = pseudonymizer.counts
        for place in (place for place, values in pseudonymizer.counts.items() if not values and count):
            note(f"{place} is in none of these messages, and nothing was replaced for it: check the spelling")
    print_json(result)


def _pseudonymizer(
    places: list[str], subjects: list[str], key_file: Path | None, key_variable: str | None
) -> Pseudonymizer | None:
    from projection.model.pseudonyms import LEAST_KEY_BYTES, Pseudonyms
    from projection.model.subjects import DEFAULT_TEMPLATE
    from projection.stream.pseudonymizing import Pseudonymizer

    if not places:
        if subjects or key_file or key_variable:
            raise ConfigurationError("--subjects, --key-file and --key-variable go with --pseudonymize")
        return None
    if (key_file is None) == (key_variable is None):
        raise ConfigurationError(
            "--pseudonymize needs a key: name one --key-file or one --key-variable",
            hint="`openssl rand -hex 32 > pseudonyms.key` makes one; keep it apart from what is dumped",
        )
    if key_file is not None:
        where = str(key_file)
        try:
            key = read_input(key_file).strip()
        except OSError as error:
            raise ConfigurationError(f"{where} cannot be read: {error.strerror}") from None
    else:
        where = f"environment variable {key_variable}"
        key = os.environb.get(os.fsencode(key_variable or ""), b"").strip()
    if len(key) < LEAST_KEY_BYTES:
        raise ConfigurationError(
            f"{where} holds a key of {len(key)} bytes; at least {LEAST_KEY_BYTES} are needed",
            hint="`openssl rand -hex 32` makes a good one",
        )
    return Pseudonymizer(Pseudonyms(key), places, subjects or [DEFAULT_TEMPLATE])


def _unchanged(message: Message) -> Message | None:
    return message


def _changing(pseudonymizer: Pseudonymizer, skipped: list[DecodeError] | None) -> Callable[[Message], Message | None]:
    """A function that makes a message ready to be written, or counts it in `skipped` and returns None."""

    def changed(message: Message) -> Message | None:
        try:
            return pseudonymizer.message(message)
        except DecodeError as error:
            if skipped is None:
                raise
            skipped.append(error)
            return None

    return changed


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


async def _dump(
    out: BinaryIO,
    settings: Settings,
    subject: str,
    wanted: range,
    limit: int | None,
    change: Callable[[Message], Message | None],
) -> tuple[int, int]:
    """How many messages were written, and the sequence of the last."""
    from projection.cli.connection import nats_connection
    from projection.history.logs import StreamLog
    from projection.stream.connection import Nats
    from projection.stream.jetstream import JetStream

    count = last = 0
    async with await Nats.connect(nats_connection(settings.nats)) as nats:
        state = (await JetStream(nats).stream_info(settings.stream)).state
        if state.last_seq < wanted.start or not state.messages:
            return 0, 0
        if state.first_seq > wanted.start:
            note(f"stream {settings.stream!r} begins at {state.first_seq:,}: earlier messages are gone")
        after = max(state.first_seq, wanted.start) - 1
        messages = StreamLog(nats, settings.stream, "dump").messages([subject], after, wanted.stop - 1)
        async with aclosing(messages) as batches:
            async for batch in batches:
                events = (change(one) for one in batch if not one.no_event)
                left = None if limit is None else limit - count
                written = list(islice((one for one in events if one is not None), left))
                out.writelines(map(_line, written))
                count += len(written)
                last = written[-1].sequence if written else last
                if count == limit:
                    break
    return count, last


def _line(message: Message) -> bytes:
    from projection.stream.file_feed import MAX_LINE_BYTES
    from projection.stream.recorded import recorded_line

    line = recorded_line(message)
    if len(line) > MAX_LINE_BYTES:
        raise DecodeError(
            f"message {message.sequence} has {len(message.data)} bytes: its line would have {len(line)}, and "
            f"{MAX_LINE_BYTES} are read again",
            hint="leave it out, by --subject, --from and --to: no event is that large",
            code="D104",
        )
    return line + b"\n"
