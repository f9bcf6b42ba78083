"""Loading files of events into a stream: all of it is checked before any of it is published, in their order."""

from __future__ import annotations

from collections import deque
from itertools import dropwhile, islice
from typing import TYPE_CHECKING, cast

from projection.errors import DecodeError, ProjectionError, StreamError
from projection.model.envelope import decode_envelope
from projection.model.event_format.headers import all_headers
from projection.stream.file_feed import read_lines
from projection.stream.jetstream import STREAM_NOT_FOUND, JetStream
from projection.stream.publisher import Outgoing, Published, publish_all
from projection.stream.recorded import is_recorded, recorded_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from projection.model.envelope import Tenancy
    from projection.model.subjects import SubjectTemplate
    from projection.stream.connection import Nats


class FileLoading:
    """One loading of a file; stopped or failed, it knows from which line the next one has to go on.

    An event's bytes are published as they stand in the file; its subject is made of its envelope by the template. A
    recorded message is published as it was: under its own subject, with its headers.

    Args:
        path: one JSON envelope, or one recorded message, a line, in a file or in the files of a folder;
            `.gz` where it is compressed.
        template: what the subjects look like.
        tenancy: whose an event is that names no tenant, and whether it may name one.
        from_line: the first line to publish, counted from 1; in a folder, through all its files.
        limit: how many events to publish; None for all.
    """

    def __init__(
        self,
        path: Path,
        template: SubjectTemplate,
        tenancy: Tenancy,
        *,
        from_line: int = 1,
        limit: int | None = None,
    ) -> None:
        self.next_line = from_line  # every event before it is acknowledged by the server
        self._path = path
        self._template = template
        self._tenancy = tenancy
        self._from_line = from_line
        self._limit = limit
        self._stopped = False
        self._roots: set[str] = set()  # the first tokens of the subjects of recorded messages

    def check(self) -> int:
        """How many events there are to publish, each of them one that can be.

        Raises:
            ProjectionError: the file cannot be read, or an event is none: names the file and the line.
        """
        return sum(1 for _ in self._events())

    async def publish(
        self,
        nats: Nats,
        stream: str,
        *,
        create: bool = False,
        shared: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Published:
        """Publish the events, once each and in order.

        Args:
            nats: the connection.
            stream: the stream's name.
            create: make the stream where there is none, for all subjects of the template, or those like the recorded
                ones.
            shared: whether others publish to the stream meanwhile; see `alone` of `publish_all`.
            progress: called with the number of events acknowledged so far.

        Raises:
            ProjectionError: the server cannot be used or refuses an event, or the file is not what it was when it was
                checked; `next_line` says where to go on.
        """
        jetstream = JetStream(nats)
        if create:
            recorded = [one for root in sorted(self._roots) for one in (root, f"{root}.>")]
            await jetstream.ensure_stream(stream, recorded or [self._template.filter()])
        else:
            await _stream_must_exist(jetstream, stream)
        sent: deque[int] = deque()  # the lines of the events that are not acknowledged yet

        def acknowledged(count: int) -> None:
            self.next_line = sent.popleft() + 1
            if progress is not None:
                progress(count)

        def outgoing() -> Iterator[Outgoing]:
            for line, message in self._events():
                if self._stopped:
                    return
                sent.append(line)
                yield message

        return await publish_all(nats, stream, outgoing(), progress=acknowledged, alone=not shared)

    def stop(self) -> None:
        """Send nothing more: `publish` ends as soon as everything that was sent is acknowledged."""
        self._stopped = True

    def _events(self) -> Iterator[tuple[int, Outgoing]]:
        lines = dropwhile(lambda line: line.number < self._from_line, read_lines(self._path))
        for number, data, place in islice(lines, self._limit):
            try:
                message = self._recorded(number, data) if is_recorded(data) else self._event(data)
            except ProjectionError as error:
                raise type(error)(f"{place}: {error.message}", hint=error.hint, code=error.code) from None
            except ValueError as error:
                raise DecodeError(f"{place}: {error}") from None
            yield number, message

    def _event(self, data: bytes) -> Outgoing:
        envelope = decode_envelope(data)
        tenant = self._tenancy.tenant_of(envelope, None)
        return Outgoing(self._template.subject(tenant, envelope.aggregate_type, envelope.aggregate_id), data)

    def _recorded(self, line: int, data: bytes) -> Outgoing:
        message = recorded_message(data, line)
        subject = message.subject or self._event(message.data).subject
        headers = {name: text for name, text in all_headers(message.headers).items() if not _is_for_the_server(name)}
        if wrong := [name for name, text in headers.items() if not isinstance(text, str)]:
            raise DecodeError(f"the header {wrong[0]!r} has several values; one of a name can be published")
        self._roots.add(subject.partition(".")[0])
        return Outgoing(subject, message.data, cast("dict[str, str]", headers) or None)


def _is_for_the_server(header: str) -> bool:
    """Whether a header told the first server what to do, or what it did; an id of the publisher's is none of them."""
    name = header.lower()
    return name.startswith("nats-") and name != "nats-msg-id"


async def _stream_must_exist(jetstream: JetStream, stream: str) -> None:
    try:
        await jetstream.stream_info(stream)
    except StreamError as error:
        if error.code != STREAM_NOT_FOUND:
            raise
        raise StreamError(f"there is no stream {stream!r} at {jetstream.nats.hosts}", code=STREAM_NOT_FOUND) from None
