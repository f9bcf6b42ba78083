"""What a command shows: results for machines on stdout; errors, notes and progress for people on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from projection.lang.printable import printable_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from projection.errors import ProjectionError

_BAR_EVERY = 0.05  # seconds between two movements of a bar
_PLAIN_EVERY = 5.0  # seconds between two lines of progress where nobody watches a terminal


class Advance(Protocol):
    """Takes how many units are done, and of how many where that is another number than before."""

    def __call__(self, done: int, of: int | None = None) -> None: ...  # noqa: D102


def print_json(value: object) -> None:
    """Write one value to stdout as one line of JSON in UTF-8, decimals as exact numbers."""
    import msgspec

    line = msgspec.json.Encoder(decimal_format="number").encode(value)
    sys.stdout.flush()
    sys.stdout.buffer.write(line + b"\n")


def say(text: str = "") -> None:
    """Write text for people to stdout, with a line end behind it; characters that a terminal would obey are escaped."""
    print(printable_lines(text))


def print_markdown(text: str) -> None:
    """Write a text for people to stdout: rendered on a terminal, else as it is."""
    text = printable_lines(text)
    if not sys.stdout.isatty():
        print(text, end="")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console(width=min(100, Console().width)).print(Markdown(text))


def note(text: str) -> None:
    """Write text for people to stderr, as `say` does to stdout."""
    print(printable_lines(text), file=sys.stderr, flush=True)


def report(error: ProjectionError) -> None:
    """Say on stderr what is wrong, where, and what to do about it."""
    note(f"error: {error.message}")
    if excerpt := getattr(error, "excerpt", None):  # errors of queries have one, here as well as from a node
        note(excerpt)
    if error.hint:
        note(f"  hint: {error.hint}")


@contextmanager
def progress(doing: str, total: int | None, unit: str = "events") -> Iterator[Advance]:
    """Show on stderr how far a work has come: a bar on a terminal, else a line every few seconds.

    Gives a function that takes how many units are done by now, and of how many where that changes; it is cheap to call
    often. A total of None is not known yet.
    """
    began = time.monotonic()

    def rate(done: int) -> str:
        return f"{done / max(time.monotonic() - began, 1e-9):,.0f} {unit}/s"

    if not sys.stderr.isatty():

        def say(done: int, of: int | None) -> None:
            note(f"{doing}: {done:,} {f'of {of:,} ' if of else ''}{unit}, {rate(done)}")

        yield _sparing(say, total, _PLAIN_EVERY)
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total, rate="")

        def move(done: int, of: int | None) -> None:
            bar.update(task, completed=done, total=of, rate=rate(done))

        yield _sparing(move, total, _BAR_EVERY)


def _sparing(show: Callable[[int, int | None], None], total: int | None, every: float) -> Advance:
    """The same, called at most once in so many seconds: moving a bar took 2.4 µs where asking the clock took 0.2."""
    shown = time.monotonic()

    def advance(done: int, of: int | None = None) -> None:
        nonlocal shown
        if (now := time.monotonic()) - shown >= every:
            shown = now
            show(done, of or total)

    return advance
