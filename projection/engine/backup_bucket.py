"""Backups in a JetStream object store: an object for each file, and one that says which files a backup has.

A file that did not change is not written again: the later backup names the object of the earlier one.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec

from projection.errors import ConfigurationError, StorageError, StreamError
from projection.store.backups import NAME, Written
from projection.stream.connection import Nats
from projection.stream.objects import ObjectStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator

    from projection.stream.address import NatsConnection

_Result = TypeVar("_Result")
_FILES = "files.json"  # of a backup, the object of each of its files; written last


class BackupBucket:
    """Implements `Backups` with a connection of its own, in a thread of its own, until `close`."""

    def __init__(self, connection: NatsConnection, bucket: str) -> None:
        """A bucket, which is made when the first backup is written.

        Raises:
            ConfigurationError: it is no name of a bucket, or the connection's files cannot be read.
        """
        self._loop = asyncio.new_event_loop()
        self._nats = Nats.connecting_later(connection)
        self._objects = ObjectStore(self._nats, bucket)
        self._thread = Thread(target=self._loop.run_forever, name="object store", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give the connection back; idempotent."""
        if not self._loop.is_closed():
            self.run(self._nats.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        return f"object store {self._objects.bucket}"

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Do something with the bucket; whoever asks waits."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except StreamError as error:
            raise StorageError(f"{self}: {error.message}", hint=error.hint, code=error.code) from None

    @property
    def objects(self) -> ObjectStore:
        """The bucket."""
        return self._objects

    def names(self) -> list[str]:
        """See `Backups.names`."""
        return sorted(name for name, _, file in map(_parts, self._all()) if file == _FILES)

    def files(self, name: str) -> list[str]:
        """See `Backups.files`."""
        return sorted(self.places(name))

    def pieces(self, name: str, path: str) -> Iterator[bytes]:
        """See `Backups.pieces`."""
        if (place := self.places(name).get(path)) is None:
            raise StorageError(f"{self}: backup {name} has no {path}")
        content = self._objects.get(place)
        while (piece := self.run(_next(content))) is not None:
            yield piece

    def places(self, name: str) -> dict[str, str]:
        """The object of each file of a backup."""

        async def read() -> bytes:
            return b"".join([piece async for piece in self._objects.get(f"{name}/{_FILES}")])

        try:
            return msgspec.json.decode(self.run(read()), type=dict[str, str])
        except msgspec.MsgspecError:
            raise StorageError(f"{self}: {name}/{_FILES} cannot be read") from None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """See `Backups.taken`."""
        self.run(self._objects.make())
        for name in (found := self._all()):
            if not NAME.fullmatch(_parts(name)[0]):
                raise ConfigurationError(
                    f"{self} is not a bucket of backups: it contains {name!r}",
                    hint="name a bucket of its own for backups",
                )
        self._clear(found)
        yield

    def _clear(self, found: list[str]) -> None:
        """Delete the objects that no backup has: of one that was killed, or deleted."""
        used = {place for name in self.names() for place in self.places(name).values()}
        for name in found:
            if name not in used and _parts(name)[2] != _FILES:
                self.run(self._objects.delete(name))

    def _all(self) -> list[str]:
        return self.run(self._objects.names()) if self.run(self._objects.exists()) else []

    @contextmanager
    def draft(self, name: str) -> Iterator[BucketDraft]:
        """See `Backups.draft`."""
        draft = BucketDraft(self, name)
        yield draft
        self.run(self._objects.put(f"{name}/{_FILES}", [msgspec.json.encode(draft.places)]))

    def delete(self, name: str) -> None:
        """See `Backups.delete`."""
        self.run(self._objects.delete(f"{name}/{_FILES}"))
        self._clear(self._all())


class BucketDraft:
    """Implements `Draft`."""

    def __init__(self, bucket: BackupBucket, name: str) -> None:
        self.places: dict[str, str] = {}  # the object of each file
        self._bucket = bucket
        self._name = name
        self._count = 0  # of objects, for a file may be written twice

    def write(self, path: str, pieces: Iterable[bytes]) -> Written:
        """See `Draft.write`."""
        self._count += 1
        self.places[path] = f"{self._name}/{self._count}/{path}"
        made = self._bucket.run(self._bucket.objects.put(self.places[path], pieces))
        return Written(made.size, made.sha256)

    def reuse(self, path: str, name: str, sha256: str) -> Written | None:
        """See `Draft.reuse`. The sum is the one that the bucket says; the server has its own for each piece."""
        place = self._bucket.places(name).get(path)
        found = None if place is None else self._bucket.run(self._bucket.objects.info(place))
        if place is None or found is None or found.sha256 != sha256:
            return None
        self.places[path] = place
        return Written(found.size, sha256)

    def remove(self, path: str) -> None:
        """See `Draft.remove`; the object goes when the next backup is written."""
        self.places.pop(path, None)


async def _next(content: AsyncIterator[bytes]) -> bytes | None:
    return await anext(content, None)


def _parts(name: str) -> tuple[str, str, str]:
    return name.partition("/")
