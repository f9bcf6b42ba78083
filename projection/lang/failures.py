"""Every failure of a running program: one code, one constructor, in this one file; codes are never reused.

R7 run time · O9 gas and alloc.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.errors import ProgramError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.lang.source import Span


MAX_QUOTED = 500  # code points of a value in a message


class Failure(ProgramError):  # noqa: N818 - what executors raise, as opposed to what the checker reports
    """A program that failed on an event; the same on every replay.

    `span` and `left` are set by the executor: the operation that failed, and what was then left of both ledgers; `gas`
    by the program: all that was charged until then.
    """

    def __init__(self, code: str, message: str, span: Span | None = None, gas: int = 0) -> None:
        super().__init__(message, code=code)
        self.span = span
        self.gas = gas
        self.left: tuple[int, int] | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.code, self.message, self.span, self.gas))


def _short(text: str) -> str:
    """What comes from an event may be long, and a message ends up in logs.

    Where it is quoted, it is in ASCII: which other characters are printable depends on Python's version, and a message
    is stored with a parked event.
    """
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "…"


def int_overflow() -> Failure:
    """R701."""
    return Failure("R701", "the result does not fit 64 bits")


def inexact_decimal() -> Failure:
    """R702."""
    return Failure("R702", "the result needs more than 38 digits")


def division_by_zero() -> Failure:
    """R703."""
    return Failure("R703", "division by zero")


def nothing_there(path: str, *, is_entry: bool = False) -> Failure:
    """R704; of an entry that a path of a `with` leads through, with what to do."""
    hint = f": an entry has to be put whole (`{path}: …`) before parts of it change" if is_entry else ""
    return Failure("R704", f"`{path}` is none{hint}")


def view_missing(view_id: str) -> Failure:
    """R705."""
    return Failure("R705", f"the handler updates view {_short(view_id)!a}, which does not exist")


def view_exists(view_id: str) -> Failure:
    """R706."""
    return Failure("R706", f"the handler creates view {_short(view_id)!a}, which exists already")


def empty_id() -> Failure:
    """R707."""
    return Failure("R707", "the view id is empty")


def key_too_long(limit: int) -> Failure:
    """R708; raised by the engine, which knows the store's keys."""
    return Failure("R708", f"the view id makes a key longer than {limit} bytes")


def too_many_ids(limit: int) -> Failure:
    """R709."""
    return Failure("R709", f"the event touches more than {limit} views")


def beyond_bound(what: str, size: int, bound: int) -> Failure:
    """R711."""
    return Failure("R711", f"{what} of {size} does not fit its declared bound of {bound}")


def view_too_large(limit: int) -> Failure:
    """R712."""
    return Failure("R712", f"the view is more than {limit} bytes of JSON")


def time_overflow() -> Failure:
    """R713."""
    return Failure("R713", "the result is outside of the years 1 to 9999, or a duration beyond 64 bits of microseconds")


def not_whole(number: str) -> Failure:
    """R714."""
    return Failure("R714", f"{number} has digits other than 0 behind the point that would be lost")


def out_of_range(what: str, value: object, least: object, most: object) -> Failure:
    """R715."""
    return Failure("R715", f"{what} is {value}, which does not lie between {least} and {most}")


def malformed(text: str, what: str) -> Failure:
    """R716."""
    return Failure("R716", f"{_short(text)!a} is no {what}")


def paths_meet(keys: Sequence[str]) -> Failure:
    """R720."""
    which = ("key " if len(keys) == 1 else "keys ") + ", ".join(f"{_short(key)!a}" for key in keys)
    return Failure("R720", f"two paths of one `with` lead to the same place: both have the {which}")


def failed_on_purpose(code: str, message: str) -> Failure:
    """R710: `fail(CODE, …)`; the author's code stands in the message."""
    return Failure("R710", f"{_short(code)}: {_short(message)}")


def out_of_gas() -> Failure:
    """O901."""
    return Failure("O901", "out of gas")


def out_of_alloc() -> Failure:
    """O902."""
    return Failure("O902", "out of memory")


def name_limits(failure: Failure, gas: int, gas_limit: str, alloc: int) -> None:
    """Let a failure of a ledger tell its limit, and the manifest's name for it; only who set them knows them."""
    if failure.code == "O901":
        failure.message = f"out of gas: the limit is {gas} (`{gas_limit}` in the manifest)"
    elif failure.code == "O902":
        failure.message = f"out of memory: the limit is {alloc} units"
