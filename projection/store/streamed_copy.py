"""A copy of an environment as a stream of pieces, of one consistent snapshot, without a file in between."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from projection.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.store.lmdb_env import Environment, Transaction

PIECE = 1 << 20  # bytes


class StreamedCopy:
    """A snapshot of an environment, which can be asked, and be copied once."""

    def __init__(self, environment: Environment, transaction: Transaction) -> None:
        self.transaction = transaction
        self._environment = environment
        self._error: StorageError | None = None

    def pieces(self) -> Iterator[bytes]:
        """The bytes of a compacted copy, at most a mebibyte at a time.

        LMDB writes them to a pipe, in a thread. Whoever takes no more of them ends that.

        Raises:
            StorageError: the environment cannot be read.
        """
        reading, writing = os.pipe()
        with suppress(OSError, AttributeError):  # 64 KiB otherwise, on Linux
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIECE)
        copying = Thread(target=self._copy, args=(writing,), name="copy")
        try:
            copying.start()
            while piece := os.read(reading, PIECE):
                yield piece
        finally:
            os.close(reading)
            copying.join()
        if self._error is not None:
            raise self._error

    def _copy(self, writing: int) -> None:
        try:
            self._environment.copy_into(writing, self.transaction)
        except StorageError as error:
            self._error = error
        finally:
            os.close(writing)
