"""Every failure of a running program: one code, one constructor, in this one file; codes are never reused.

R7 run time · O9 gas and alloc.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.errors import ProgramError

if TYPE_CHECKING:
    from projection.lang.source import Span


MAX_QUOTED = 500  # code points of a value in a message


class Failure(ProgramError):  # noqa: N818 - what executors raise, as opposed to what the checker reports
    """A program that failed on an event; the same on every replay.

    `span` is set by the executor, at the operation that failed; `gas` by the program: all that was charged until then.
    """

    def __init__(self, code: str, message: str, span: Span | None = None, gas: int = 0) -> None:
        super().__init__(message, code=code)
        self.span = span
        self.gas = gas

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.code, self.message, self.span, self.gas))


def _short(text: str) -> str:
    """What comes from an event may be long, and a message ends up in logs."""
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


def nothing_there(path: str) -> Failure:
    """R704."""
    return Failure("R704", f"`{path}` is none")


def view_missing(view_id: str) -> Failure:
    """R705."""
    return Failure("R705", f"the handler updates view {_short(view_id)!r}, which does not exist")


def view_exists(view_id: str) -> Failure:
    """R706."""
    return Failure("R706", f"the handler creates view {_short(view_id)!r}, which exists already")


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


def failed_on_purpose(code: str, message: str) -> Failure:
    """R710: `fail(CODE, …)`; the author's code stands in the message."""
    return Failure("R710", f"{_short(code)}: {_short(message)}")


def out_of_gas(limit: int) -> Failure:
    """O901."""
    return Failure("O901", f"out of gas: the limit is {limit}")


def out_of_alloc(limit: int) -> Failure:
    """O902."""
    return Failure("O902", f"out of memory: the limit is {limit} units")
