"""Interpreter and compiler agree: on the value, or on code and place of the failure, and on both ledgers."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import suppress
from random import Random, SystemRandom
from typing import Any

import language_programs
import pytest
from language_generator import PRELUDE, ROOTS, event, expression
from language_support import Case, Expression, Fold, all_cases, plenty

from projection.errors import DecodeError
from projection.lang import core
from projection.lang.check.checker import check
from projection.lang.failures import Failure
from projection.lang.library import BUILTINS, FORMS, OPERATORS
from projection.lang.reporting import ProgramInvalidError
from projection.lang.run.executors import Execution
from projection.lang.run.interpreter import Meter
from projection.lang.source import Source
from projection.lang.values.codec import encode

EXPRESSIONS = [case for case in all_cases() if not case.text.lstrip().startswith("proj ")]
LONG_SECONDS = 150.0
GENERATED, MOST = 800, 8_000  # in every run of the tests; more only while an operation is missing


def outcome(run: Expression, payload: str, execution: Execution, gas: int, alloc: int) -> tuple[Any, ...]:
    """All that one run tells."""
    meter = Meter(gas, alloc)
    try:
        found: tuple[Any, ...] = ("value", encode(run.run(payload, meter, execution)))
    except Failure as failure:
        found = ("failure", failure.code, failure.message, failure.span)
    return (*found, meter.gas, meter.alloc)


def assert_equal(run: Expression, text: str, payload: str, gas: int, alloc: int) -> str:
    interpreted, compiled = (outcome(run, payload, execution, gas, alloc) for execution in Execution)
    assert compiled == interpreted, f"{text}\n{payload}\ngas {gas}, alloc {alloc}"
    return str(compiled[1])[:1] if compiled[0] == "failure" else "value"


@pytest.mark.parametrize("case", EXPRESSIONS, ids=str)
def test_every_case_ends_the_same_way_with_any_limit(case: Case) -> None:
    try:
        run = Expression(case.text, case.prelude)
    except ProgramInvalidError:
        return
    meter = plenty()
    with suppress(Failure):
        run.run(case.event, meter)
    used = meter.used
    for gas in sorted({0, 1, used // 2, used - 1, used, used + 100} - {-1}):
        assert_equal(run, case.text, case.event, gas, 1_000_000)
    for alloc in range(6):
        assert_equal(run, case.text, case.event, 200_000, alloc)


class Tally:
    """How runs of generated programs ended, and what stood in those programs."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = SystemRandom().randrange(2**32) if seed is None else seed
        self.random = Random(self.seed)
        self.ends = Counter[str]()
        self.programs = 0
        self._tried = 0
        self.operations: set[tuple[str, str]] = set()
        self.kinds: set[type] = set()

    def __str__(self) -> str:
        return f"{self.programs} programs, {self.ends.total()} runs from seed {self.seed}: {dict(self.ends)}"

    def one(self) -> None:
        """One more: three expressions for each whole program, each begun with another production."""
        self._tried += 1
        if self._tried % 4:
            type_, root = ROOTS[self._tried * 3 // 4 % len(ROOTS)]
            self._expression(type_, root)
        else:
            self._program()

    def _expression(self, type_: str, root: str) -> None:
        """On several events, with limits of all sizes."""
        random = self.random
        text = expression(random, type_, random.choice([1, 2, 3, 4, 5]), root)
        try:
            run = Expression(text, PRELUDE)
        except ProgramInvalidError:
            return
        self.programs += 1
        self._count(run.core)
        for _ in range(3):
            gas = random.choice([200_000, 200_000, random.randrange(20), random.randrange(400)])
            alloc = random.choice([1_000_000, 1_000_000, random.randrange(30)])
            self.ends[assert_equal(run, text, json.dumps(event(random)), gas, alloc)] += 1

    def _program(self) -> None:
        """On several events, each starting from what the last left; both executors leave the same."""
        generated = language_programs.run(self.random)
        try:
            checked = check(Source("p.proj", generated.text))
        except ProgramInvalidError:
            return
        self.programs += 1
        for handler in checked.core.handlers:
            self._count(*filter(None, (handler.source, handler.route, handler.body)))
        self._count(*(function.body for function in checked.core.functions.values()))
        interpreted, compiled = (Fold(checked, generated.limits, execution) for execution in Execution)
        for name, payload in generated.events:
            one, other = applied(interpreted, name, payload), applied(compiled, name, payload)
            assert (one, interpreted.views) == (other, compiled.views), f"{generated}\n{name} {payload}"
            self.ends[one[1][:1] if one[0] == "failure" else one[0]] += 1

    def _count(self, *nodes: core.Core) -> None:
        waiting = [*nodes]
        while waiting:
            node = waiting.pop()
            self.kinds.add(type(node))
            if isinstance(node, core.Op):
                self.operations.add((node.operation.name, node.operation.signature))
            waiting += core.parts(node)


def applied(fold: Fold, name: str, payload: str) -> tuple[Any, ...]:
    """All that one event tells."""
    try:
        return ("applied", fold.apply(name, payload))
    except Failure as failure:
        return ("failure", failure.code, failure.message, failure.span, failure.gas, failure.left)
    except DecodeError as error:
        return ("refused", error.code, error.message)


def test_generated_programs_of_every_form_and_operation_end_the_same_way() -> None:
    tally = Tally()
    print(f"seed {tally.seed}")
    library = (one for home in (OPERATORS, BUILTINS) for overloads in home.values() for one in overloads)
    left_out = {("sum", "list<decimal> -> decimal")}  # `sum_decimals` stands for it, which knows the zero of its type
    wanted = {(one.name, one.signature) for one in (*library, *FORMS.values())} - left_out
    while tally.programs < GENERATED or (tally.programs < MOST and tally.operations < wanted):
        tally.one()
    print(tally)
    assert tally.ends["value"] > GENERATED
    assert tally.ends["applied"] > GENERATED // 4
    assert tally.ends["refused"] > 0
    assert tally.ends["R"] > GENERATED // 10
    assert tally.ends["O"] > GENERATED // 10
    assert wanted == tally.operations
    assert tally.kinds == set(core.Core.__args__)


@pytest.mark.long
def test_many_more_generated_programs_end_the_same_way() -> None:
    tally, end = Tally(), time.monotonic() + LONG_SECONDS
    try:
        while time.monotonic() < end:
            tally.one()
    finally:
        print(f"executors: {tally}")
    assert tally.programs >= GENERATED
