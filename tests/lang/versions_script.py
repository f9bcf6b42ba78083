"""What generated programs and all cases tell under this Python, a line for each: run by test_versions.py under several.

A line is a name and a digest of everything that a run tells: value, failure, place, both ledgers, digest of the
program, and what the compiler emitted.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from contextlib import suppress
from random import Random
from typing import Any

import language_programs
from language_generator import PRELUDE, ROOTS, event, expression
from language_support import Case, Expression, Fold, all_cases, plenty

from projection.errors import DecodeError
from projection.lang.check.checker import check
from projection.lang.failures import Failure
from projection.lang.reporting import ProgramInvalidError
from projection.lang.run.compiler import Compiled
from projection.lang.run.executors import Execution
from projection.lang.source import Source
from projection.lang.values.codec import encode


def told_by_events(text: str, events: list[tuple[str, str]], limits: Any = None) -> list[object]:
    """A whole program: its digest, what was emitted for it, and what became of each event and of the views."""
    try:
        checked = check(Source("p.proj", text))
    except ProgramInvalidError as error:
        return [error.render()]
    found: list[object] = [checked.digest, *map(str, checked.warnings)]
    kept: list[ast.stmt] = []
    compiled = Compiled(checked.core.functions, kept)
    for handler in checked.core.handlers:
        compiled.routine(handler.body, 5, handler.slots)
    found.append(emitted(kept))
    for execution in Execution:
        fold = Fold(checked, limits, execution)
        for name, payload in events:
            try:
                found.append(fold.apply(name, payload))
            except Failure as failure:
                found.append((failure.code, failure.message, failure.span, failure.gas, failure.left))
            except DecodeError as error:
                found.append(error.code)
            found.append(sorted(fold.views.items()))
    return found


def emitted(part: object) -> object:
    """A part of what was emitted, without the empty fields that some versions of Python know and others do not."""
    if isinstance(part, ast.AST):
        return [
            type(part).__name__,
            *((name, emitted(one)) for name, one in ast.iter_fields(part) if one not in (None, [])),
        ]
    return [emitted(one) for one in part] if isinstance(part, list) else part


def told_by_expression(text: str, prelude: str, payload: str) -> list[object]:
    try:
        run = Expression(text, prelude)
    except ProgramInvalidError as error:
        return [error.render()]
    found: list[object] = []
    for execution in Execution:
        meter = plenty()
        try:
            found.append(encode(run.run(payload, meter, execution)))
        except Failure as failure:
            found += [failure.code, failure.message, failure.span]
        found += [meter.gas, meter.alloc]
    return found


def told_by_case(case: Case) -> list[object]:
    if not case.text.lstrip().startswith("proj "):
        return told_by_expression(case.text, case.prelude, case.event)
    events = [line.split(" ", 2)[1:] for line in case.expected if line.startswith("event ")]
    with suppress(ValueError):
        return told_by_events(case.text, [(name, payload.split(" at ")[0]) for name, payload in events])
    return []


def main(seed: int, programs: int) -> None:
    random = Random(seed)
    for case in all_cases():
        line(str(case), told_by_case(case))
    for number in range(programs):
        type_, root = ROOTS[number % len(ROOTS)]
        text, payload = expression(random, type_, random.randrange(1, 5), root), json.dumps(event(random))
        line(f"expression {number} {text}", told_by_expression(text, PRELUDE, payload))
        if number % 4 == 0:
            generated = language_programs.run(random)
            line(f"program {number}", told_by_events(generated.text, generated.events, generated.limits))


def line(name: str, told: list[object]) -> None:
    print(hashlib.sha256(repr(told).encode("utf-8", "surrogatepass")).hexdigest()[:16], json.dumps(name))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
