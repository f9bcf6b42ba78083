"""Where backups are, as orders and settings say it: a directory, or a bucket of a JetStream object store."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from projection.engine.backup_bucket import BackupBucket
from projection.errors import ConfigurationError
from projection.store.backup_directory import BackupDirectory
from projection.stream.address import NatsConnection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from projection.store.backups import Backups

_PATHS = ("credentials", "tls_ca", "tls_certificate", "tls_key", "nkey_seed")


class Place(msgspec.Struct, frozen=True):
    """A directory, or a bucket and how its server is reached."""

    directory: str | None = None
    bucket: str | None = None
    nats: dict[str, Any] | None = None  # the connection: what may be secret in it is never shown

    @classmethod
    def of(cls, directory: Path | None, bucket: str | None, connection: NatsConnection | None) -> Place:
        """The place that is named.

        Raises:
            ConfigurationError: none is, or both are.
        """
        if (directory is None) == (bucket is None):
            what = "no place for backups is named" if directory is None else "backups go to a directory or a bucket"
            raise ConfigurationError(
                what, hint="name a directory or --object-store, or set `backup.directory` or `backup.object_store`"
            )
        if bucket is None:
            return cls(str(directory))
        assert connection is not None  # noqa: S101 - whoever names a bucket can say where it is
        return cls(bucket=bucket, nats=plain_connection(connection))

    @contextmanager
    def opened(self) -> Iterator[Backups]:
        """The backups there, until the end of the block.

        Raises:
            ConfigurationError: it is no name of a bucket, or a file that the connection needs cannot be read.
        """
        if self.directory is not None:
            yield BackupDirectory(Path(self.directory))
            return
        with BackupBucket(connection_of(self.nats or {}), self.bucket or "") as bucket:
            yield bucket

    def __str__(self) -> str:
        return self.directory or f"object store {self.bucket}"

    def __repr__(self) -> str:
        return f"Place({self})"


@dataclass(frozen=True, slots=True)
class BackupSource:
    """A backup that something begins with: named by its path, or in a bucket of an object store."""

    backup: str | None  # of a backup, or of a directory, of which the newest is meant; in a bucket, a backup's name
    bucket: str | None = None
    connection: NatsConnection | None = field(default=None, repr=False)  # to the server that has the bucket

    @contextmanager
    def opened(self) -> Iterator[tuple[Backups, str]]:
        """Give its place and its name, until the end of the block.

        Raises:
            ConfigurationError: there is no such backup.
            StorageError: the place cannot be read.
        """
        if self.bucket is None:
            directory, name = BackupDirectory.of(Path(self.backup or ""))
            if name is None:
                raise ConfigurationError(f"there is no backup in {self.backup}", hint="`projection backup` writes one")
            yield directory, name
            return
        with Place.of(None, self.bucket, self.connection).opened() as backups:
            names = backups.names()
            if not names or self.backup not in (None, *names):
                raise ConfigurationError(
                    f"there is no backup {self.backup or ''}".rstrip() + f" in {backups}",
                    hint=f"`projection backup --object-store {self.bucket} --list` shows those that are there",
                )
            yield backups, self.backup or names[-1]

    def __str__(self) -> str:
        if self.bucket is None:
            return self.backup or ""
        return f"object store {self.bucket}" + (f"/{self.backup}" if self.backup else "")


def plain_connection(connection: NatsConnection) -> dict[str, Any]:
    """Give a connection as JSON values, for a process beside the node; some may be secret."""
    return {name: _plain(value) for name, value in asdict(connection).items()}


def connection_of(fields: Mapping[str, Any]) -> NatsConnection:
    """The inverse of `plain_connection`."""
    paths = {name: Path(fields[name]) for name in _PATHS if fields.get(name)}
    return NatsConnection(**{**fields, **paths})


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
