"""Log lines go out in a thread of their own: whoever logs is never held up, and never told that it could not be."""

from __future__ import annotations

import os
import select
from collections import deque
from threading import Condition, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

_WAITING_BYTES = 4 * 1024 * 1024  # of lines that nobody takes; what comes then is dropped


class LogLines:
    """How many log lines this process wrote, and how many nobody will ever read."""

    def __init__(self) -> None:
        self.by_level = dict.fromkeys(("debug", "info", "warning", "error", "critical"), 0)
        self.suppressed = 0  # those that repeated others
        self.dropped = 0  # those that could not be written


LINES = LogLines()


class LogWriter:
    """Writes lines in the order in which they come; those that cannot be written, or find no room, are dropped."""

    def __init__(self, write: Callable[[str], None], dropped: Callable[[int], str]) -> None:
        """A writer with a thread that waits for lines.

        Args:
            write: writes one line, and may wait for it; raises OSError if that cannot be done.
            dropped: the line which says that so many were dropped, for when lines can be written again.
        """
        self._write = write
        self._dropped = dropped
        self._changed = Condition()
        self._lines: deque[str] = deque()
        self._waiting = 0  # characters, of the line that is being written as well
        self._untold = 0
        self._is_ending = False
        self._thread = Thread(target=self._run, name="log", daemon=True)  # nobody waits for a pipe that is full
        self._thread.start()

    def put(self, line: str) -> None:
        """Have a line written soon; returns at once."""
        with self._changed:
            if self._waiting + len(line) > _WAITING_BYTES:
                self._drop(1)
                return
            self._waiting += len(line) + 1
            self._lines.append(line)
            self._changed.notify_all()

    def catch_up(self, patience_s: float) -> None:
        """Wait until all lines so far are written, for so many seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, patience_s)

    def end(self, patience_s: float) -> None:
        """Wait until all lines are written, for so many seconds at most; none may be put any more."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
        self._thread.join(patience_s)

    def _drop(self, lines: int) -> None:
        LINES.dropped += lines
        self._untold += lines

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._is_ending)
                if not self._lines:
                    return
                line = self._lines.popleft()
                untold = self._untold
            try:
                if untold:
                    self._write(self._dropped(untold))
                    with self._changed:
                        self._untold -= untold
                self._write(line)
            except OSError:
                with self._changed:
                    self._drop(1)
            finally:
                with self._changed:
                    self._waiting -= len(line) + 1
                    self._changed.notify_all()


class LineStream:
    """Whole lines on a stream such as stderr, past its buffer: what a full disk refuses must not come up again."""

    def __init__(self, stream: TextIO | None) -> None:
        """Lines on a stream; None: there is none, and they go nowhere."""
        self._stream = stream
        self._is_broken = False  # the last line was written in part
        try:
            self._number = None if stream is None else stream.fileno()
        except ValueError:  # it was closed, or replaced by one that has no file
            self._number = None

    def write(self, line: str) -> None:
        """Write a line and its end.

        Raises:
            OSError: that cannot be done, or was done in part.
        """
        if self._stream is None:
            return
        if self._number is None:
            self._stream.write(f"{line}\n")
            self._stream.flush()
            return
        begin = "\n" if self._is_broken else ""
        data = f"{begin}{line}\n".encode(self._stream.encoding, "backslashreplace")
        while data:
            try:
                data = data[os.write(self._number, data) :]
                self._is_broken = bool(data)
            except BlockingIOError:  # another process that shares the file has set it non-blocking
                select.select([], [self._number], [])
