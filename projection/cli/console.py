"""What a command shows: results for machines on stdout; errors, notes and progress for people on stderr."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from projection.lang.printable import printable_json, printable_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

    from rich.console import Console as RichConsole

    from projection.engine.log_writer import LogWriter
    from projection.errors import ProjectionError

_BAR_EVERY = 0.05  # seconds between two movements of a bar
_PLAIN_EVERY = 5.0  # seconds until the first line of progress where nobody watches a terminal; each later one waits
_LONGEST_EVERY = 300.0  # for twice as long, and no longer than that
_LAST_LINES_S = 1.0  # that a bar waits for lines that are to stand above it
_RATES = 20  # of the last showings a rate is the mean of

_bar: RichConsole | None = None  # where the bar is, while there is one
_lines: LogWriter | None = None  # writes lines to stderr, in a process that must not wait for whoever reads them


class Advance(Protocol):
    """Takes how many units are done, and of how many where that is another number than before."""

    def __call__(self, done: int, of: int | None = None) -> None: ...  # noqa: D102


def print_json(value: object) -> None:
    """Write one value to stdout as `print_json_lines` does, decimals as exact numbers."""
    import msgspec

    from projection.lang.values.plain import plain

    line = msgspec.json.Encoder(decimal_format="number", enc_hook=plain).encode(value)
    print_json_lines([line + b"\n"])


def print_json_lines(lines: Iterable[bytes]) -> None:
    """Write lines of JSON in UTF-8 to stdout; on a terminal, characters that it would obey as JSON's escapes."""
    sys.stdout.flush()
    shown = printable_json if sys.stdout.isatty() else bytes
    for line in lines:
        sys.stdout.buffer.write(shown(line))


def say(text: str = "") -> None:
    """Write text for people to stdout, with a line end behind it; characters that a terminal would obey are escaped."""
    print(printable_lines(text))


def print_text(text: str) -> None:
    """Write a text that a program is to read to stdout, as it is and in UTF-8; on a terminal, as `say` does."""
    sys.stdout.flush()
    shown = printable_lines(text.replace("\r\n", "\n")) if sys.stdout.isatty() else text
    sys.stdout.buffer.write(shown.encode())


def print_markdown(text: str) -> None:
    """Write a text for people to stdout: rendered on a terminal, else as it is."""
    text = printable_lines(text)
    if not sys.stdout.isatty():
        print(text, end="")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    told = re.sub("^```proj (wrong|right)$", r"\1:\n\n\g<0>", text, flags=re.MULTILINE)  # which no renderer shows
    Console(width=min(100, Console().width)).print(Markdown(told))


def counted(count: int, noun: str) -> str:
    """Say how many there are of something, as in "1 event" and "2,000 events"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def note(text: str) -> None:
    """Write text for people to stderr, as `say` does to stdout."""
    write_line(printable_lines(text))


def write_line(text: str) -> None:
    """Write a line, as it is, to stderr: above the bar, while there is one, so that they do not meet on one line.

    What cannot be written is lost, and nobody fails for it.
    """
    if _lines is not None:
        _lines.put(text)
        return
    with unfailing_stderr():
        line_writer()(text)


def line_writer() -> Callable[[str], None]:
    """Give what writes a line to stderr at once; it raises OSError where that cannot be done."""
    from projection.engine.log_writer import LineStream

    stream = LineStream(sys.stderr)

    def write(text: str) -> None:
        if (bar := _bar) is None:
            stream.write(text)
            return
        from rich.text import Text

        bar.print(Text.from_ansi(text), soft_wrap=True)

    return write


def write_lines_by(writer: LogWriter) -> None:
    """Have a thread write all lines from now on, so that nobody waits for them."""
    global _lines  # noqa: PLW0603 - there is one stderr
    _lines = writer


def end_lines(patience_s: float) -> None:
    """Wait, for so many seconds at most, until the thread has written what it was given; idempotent."""
    if _lines is not None:
        _lines.end(patience_s)


@contextmanager
def unfailing_stderr() -> Iterator[None]:
    """Where the block cannot write to stderr, nothing goes there any more: also at exit, when Python tries again."""
    try:
        yield
    except OSError:
        give_up(sys.stderr)


def give_up(stream: TextIO) -> None:
    """Have what is written to a stream, and what it still holds, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def is_terminal() -> bool:
    """Whether somebody watches stderr on a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def report(error: ProjectionError) -> None:
    """Say on stderr what is wrong, where, and what to do about it."""
    note(f"error: {error.message}")
    excerpt = getattr(error, "excerpt", None) or ""  # errors of queries have one, here as well as from a node
    if excerpt:
        note(excerpt)
    if error.hint and error.hint not in excerpt:
        note(f"  hint: {error.hint}")


@contextmanager
def progress(
    doing: str, total: int | None, unit: str = "events", *, say: Callable[[Figures], None] | None = None
) -> Iterator[Advance]:
    """Show on stderr how far a work has come: a bar on a terminal, else a line now and then while something moves.

    Gives a function that takes how many units are done by now, and of how many where that changes; it is cheap to call
    often.

    Args:
        doing: what is done, as in "folding".
        total: how many units there are; None: that is not known yet.
        unit: of what.
        say: takes the numbers where nobody watches a terminal; None: a note.
    """
    global _bar  # noqa: PLW0603 - there is one terminal, and whoever writes to it has to know of the bar
    if not is_terminal():
        yield _Sparing(say or (lambda now: note(f"{doing}: {now.text(unit)}")), total, _PLAIN_EVERY, plain=True)
        return

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        TimeRemainingColumn(),
    )
    on_stderr = Console(file=cast("TextIO", _Unfailing(sys.stderr)))
    try:
        with Progress(*columns, console=on_stderr, transient=True, redirect_stdout=False) as bar:
            task = bar.add_task(doing, total=total, figures="")

            def move(now: Figures) -> None:
                bar.update(task, completed=now.done, total=now.of, figures=now.text(unit))

            _bar = bar.console
            try:
                yield _Sparing(move, total, _BAR_EVERY)
            finally:
                if _lines is not None:  # what is on its way belongs above the bar, which is about to go
                    _lines.catch_up(_LAST_LINES_S)
    finally:
        _bar = None


class _Unfailing:
    """A terminal that may be gone: what it does not take is lost, and the work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class Figures(NamedTuple):
    """How far a work is."""

    done: int
    of: int | None
    rate: float  # units a second, of late

    @property
    def left_s(self) -> float | None:
        """How many seconds the rest will take, if it goes on so; None where nobody knows."""
        return None if self.of is None or self.rate <= 0 else max(0, self.of - self.done) / self.rate

    def text(self, unit: str) -> str:
        """The same for people."""
        return f"{self.done:,} {f'of {self.of:,} ' if self.of else ''}{unit}, {self.rate:,.0f} {unit}/s"


class _Sparing:
    """Shows figures at most once in so many seconds; plain ones more and more rarely, and only when something moved.

    Moving a bar took 2.4 µs where asking the clock took 0.2.
    """

    def __init__(
        self, show: Callable[[Figures], None], total: int | None, every: float, *, plain: bool = False
    ) -> None:
        self._show, self._total, self._every, self._plain = show, total, every, plain
        now = time.monotonic()
        self._shown: tuple[float, int, int | None] = (now, 0, total)
        self._past = deque([(now, 0)], maxlen=1 if plain else _RATES)  # when how many were done

    def __call__(self, done: int, of: int | None = None) -> None:
        """See `Advance`."""
        of = self._total if of is None else of
        now = time.monotonic()
        at, *shown = self._shown
        if now - at < self._every or (self._plain and shown == [done, of]):
            return
        began, before = self._past[0]
        self._past.append((now, done))
        self._shown = now, done, of
        if self._plain:
            self._every = min(2 * self._every, _LONGEST_EVERY)
        self._show(Figures(done, of, (done - before) / max(now - began, 1e-9)))
