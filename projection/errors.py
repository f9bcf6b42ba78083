"""The one tree of errors: what went wrong, whose fault it is, and the exit status that a command answers with."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

EXIT_OK = 0
EXIT_FAILED = 1  # the work was understood and could not be done: a broken program, no server, a damaged store
EXIT_USAGE = 2  # the command or its configuration is wrong: nothing was started
EXIT_ABANDONED = 3  # stopped as asked, and a batch could not be committed in time: it is folded again at the next start
EXIT_SIGNAL = 128  # and the number of the signal, where a second one ended the process at once


class ErrorClass(StrEnum):
    """Whose fault an error is; it decides what the engine does with it (see docs/architecture.md)."""

    PROGRAM = "program"  # the same on every replay: the manifest's policy applies at once
    DATA = "data"  # the event does not fit: the same
    INFRASTRUCTURE = "infrastructure"  # disk, network, server: retried, never parked, never skipped
    CONFIGURATION = "configuration"  # the operator's: nothing starts
    REQUEST = "request"  # whoever asked: they are told, and nothing else happens
    PRODUCT = "product"  # ours: what was under way is given up, the rest goes on, and it is to be reported


class ProjectionError(Exception):
    """The root of every error that this package raises on purpose.

    Args:
        message: one sentence: what is wrong, and where.
        hint: one sentence: what to do about it.
        code: the error's code, where it has one of its own (`R704`, `D102`); else the class's.
    """

    error_class: ClassVar[ErrorClass]
    default_code: ClassVar[str]
    exit_status: ClassVar[int] = EXIT_FAILED

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # `Exception` pickles its positional arguments only; keyword state would be lost between processes.
        return (type(self), (self.message,), {"hint": self.hint, "code": self.code})


class ConfigurationError(ProjectionError):
    """Settings, manifest or command line are wrong."""

    error_class = ErrorClass.CONFIGURATION
    default_code = "configuration"
    exit_status = EXIT_USAGE


class StorageError(ProjectionError):
    """The store cannot be opened, read or written.

    What the disk did has a code of its own, and may be over at the next try: `storage.full`, `storage.read_only`,
    `storage.io`.
    """

    error_class = ErrorClass.INFRASTRUCTURE
    default_code = "storage"


class StorageDamagedError(StorageError):
    """What the store holds cannot be read: trying again does not help."""

    default_code = "storage.damaged"


class StaleCommitError(StorageError):
    """A commit was computed from a state that is no longer the stored one: another owner, or another base."""

    default_code = "storage.stale"


class StreamError(ProjectionError):
    """The server or the stream cannot be used."""

    error_class = ErrorClass.INFRASTRUCTURE
    default_code = "stream"


class StreamIdentityError(StreamError):
    """The stream is not the log that the checkpoint was taken from; going on would be silently wrong."""

    default_code = "stream.identity"


class DecodeError(ProjectionError):
    """An event does not decode, or does not fit its declared shape."""

    error_class = ErrorClass.DATA
    default_code = "D101"


class ProgramError(ProjectionError):
    """A program failed on an event; it fails the same way on every replay."""

    error_class = ErrorClass.PROGRAM
    default_code = "R700"


class ProductFaultError(ProjectionError):
    """An exception that no code foresaw: a fault of this package (`projection/faults.py`)."""

    error_class = ErrorClass.PRODUCT
    default_code = "internal"


class OutOfMemoryError(ProjectionError):
    """The process has no memory left; that is no fault of the package, and no state is taken for good behind it."""

    error_class = ErrorClass.INFRASTRUCTURE
    default_code = "memory"


class TenantAccessError(ProjectionError):
    """A tenant was named that must not be named here."""

    error_class = ErrorClass.DATA
    default_code = "D103"
