"""A JetStream object store, as other clients write and read it (ADR-20): files in pieces, each with its SHA-256."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from projection.errors import ConfigurationError, StreamError
from projection.stream.jetstream import STREAM_NOT_FOUND, JetStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from projection.stream.connection import Nats

_PIECE = 128 * 1024  # bytes, as all clients have it
_IN_FLIGHT = 8  # pieces that are sent and not confirmed
_PREFIX = "SHA-256="


class Object(msgspec.Struct, frozen=True):
    """A file in a bucket."""

    name: str
    bucket: str
    nuid: str  # under which its pieces are
    size: int
    chunks: int
    digest: str = ""  # of its content: `SHA-256=` and the sum, in URL-safe base64
    mtime: str = ""
    deleted: bool = False
    options: dict[str, Any] | None = None

    @property
    def sha256(self) -> str:
        """The sum of its content, hex; empty where it has none that is understood."""
        try:
            return urlsafe_b64decode(self.digest.removeprefix(_PREFIX)).hex()
        except ValueError:
            return ""


class _Stored(msgspec.Struct):
    seq: int


class _Subjects(msgspec.Struct):
    subjects: dict[str, int] | None = None


class _Info(msgspec.Struct):
    state: _Subjects


class ObjectStore:
    """One bucket. Every method raises StreamError where the server does not answer or refuses."""

    def __init__(self, nats: Nats, bucket: str) -> None:
        """The bucket of a name.

        Raises:
            ConfigurationError: it is no name of one.
        """
        if not bucket or not all(one.isascii() and (one.isalnum() or one in "-_") for one in bucket):
            raise ConfigurationError(f"{bucket!r} is no bucket's name", hint="use ASCII letters, digits, `-` and `_`")
        self.bucket = bucket
        self._nats = nats
        self._jetstream = JetStream(nats)
        self._stream = f"OBJ_{bucket}"

    async def make(self) -> None:
        """Make the bucket where there is none."""
        config = {
            "name": self._stream,
            "subjects": [f"$O.{self.bucket}.C.>", f"$O.{self.bucket}.M.>"],
            "discard": "new",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "storage": "file",
        }
        if not await self.exists():
            await self._jetstream.call(f"STREAM.CREATE.{self._stream}", config, _Info)

    async def exists(self) -> bool:
        """Whether there is such a bucket."""
        try:
            await self._jetstream.stream_info(self._stream)
        except StreamError as error:
            if error.code != STREAM_NOT_FOUND:
                raise
            return False
        return True

    async def names(self) -> list[str]:
        """What is in it, in order."""
        request = {"subjects_filter": f"$O.{self.bucket}.M.>"}
        found = await self._jetstream.call(f"STREAM.INFO.{self._stream}", request, _Info)
        names = [urlsafe_b64decode(subject.rpartition(".")[2]).decode() for subject in found.state.subjects or ()]
        return sorted([name for name in names if await self.info(name) is not None])

    async def info(self, name: str) -> Object | None:
        """What is known of an object; None where there is none."""
        message = await self._jetstream.last_message(self._stream, self._of(name))
        if message is None:
            return None
        try:
            found = msgspec.json.decode(message.data, type=Object)
        except msgspec.MsgspecError as error:
            raise StreamError(f"{name} in bucket {self.bucket!r} cannot be understood: {error}") from None
        return None if found.deleted else found

    async def put(self, name: str, pieces: Iterable[bytes]) -> Object:
        """Write an object, of which none has the name yet; it is there once all its pieces are."""
        nuid, size, chunks, digest = uuid4().hex, 0, 0, hashlib.sha256()
        under_way, last = deque[asyncio.Task[int]](), 0
        try:
            for piece in _of_size(pieces):
                digest.update(piece)
                size, chunks = size + len(piece), chunks + 1
                under_way.append(asyncio.create_task(self._send(f"$O.{self.bucket}.C.{nuid}", piece)))
                if len(under_way) >= _IN_FLIGHT or chunks == 1:
                    last = _later(await under_way.popleft(), last, name)
            while under_way:
                last = _later(await under_way.popleft(), last, name)
        except BaseException:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            raise
        sum_ = _PREFIX + urlsafe_b64encode(digest.digest()).decode()
        options = {"max_chunk_size": _PIECE}
        made = Object(name, self.bucket, nuid, size, chunks, sum_, datetime.now(UTC).isoformat(), options=options)
        await self._send(self._of(name), msgspec.json.encode(made))
        return made

    async def get(self, name: str) -> AsyncIterator[bytes]:
        """The content of an object, whole or with an error at its end."""
        if (found := await self.info(name)) is None:
            raise StreamError(f"there is no {name} in bucket {self.bucket!r}")
        digest, sequence = hashlib.sha256(), 1
        for _ in range(found.chunks):
            message = await self._jetstream.next_message(self._stream, sequence, f"$O.{self.bucket}.C.{found.nuid}")
            if message is None:
                break
            sequence = message.seq + 1
            digest.update(message.data)
            yield message.data
        if digest.hexdigest() != found.sha256:
            raise StreamError(f"{name} in bucket {self.bucket!r} has changed since it was written")

    async def delete(self, name: str) -> None:
        """Delete an object and its pieces, if there is one."""
        found = await self.info(name)
        await self._purge(self._of(name))  # first, so that no half of one is there
        if found is not None:
            await self._purge(f"$O.{self.bucket}.C.{found.nuid}")

    async def _purge(self, subject: str) -> None:
        await self._jetstream.call(f"STREAM.PURGE.{self._stream}", {"filter": subject}, dict)

    def _of(self, name: str) -> str:
        """The subject of what is known of an object."""
        return f"$O.{self.bucket}.M.{urlsafe_b64encode(name.encode()).decode()}"

    async def _send(self, subject: str, data: bytes) -> int:
        """Store a message, and return its sequence."""
        return (await self._jetstream.stored(subject, data, _Stored)).seq


def _later(sequence: int, last: int, name: str) -> int:
    if sequence <= last:
        raise StreamError(f"the pieces of {name} were stored in another order than they were sent")
    return sequence


def _of_size(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """The same bytes in pieces of the size that a bucket has."""
    left = bytearray()
    for piece in pieces:
        left += piece
        while len(left) >= _PIECE:
            yield bytes(left[:_PIECE])
            del left[:_PIECE]
    if left:
        yield bytes(left)
