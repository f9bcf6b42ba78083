"""Failing on purpose."""

from __future__ import annotations

from typing import NoReturn

from projection.lang import failures
from projection.lang.cost.costs import constant
from projection.lang.library.registry import FREE, builtin


def _fail(code: str, message: str) -> NoReturn:
    raise failures.failed_on_purpose(code, message)


builtin(
    "fail", "string, string -> never", gas=constant(2), alloc=FREE, function=_fail,
    doc="Fail on purpose, with your own code; the manifest's policy says what happens.",
    examples=[('fail("TOO_LATE", "the order is closed")', "fails R710")],
)  # fmt: skip
