"""Interpreter and compiler agree: on the value, or on code and place of the failure, and on both ledgers."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import suppress
from random import Random, SystemRandom
from typing import Any

import pytest
from language_generator import PRELUDE, PRODUCTIONS, event, expression
from language_support import Case, Expression, all_cases, plenty

from projection.lang.codec import encode
from projection.lang.diagnostics import ProgramInvalidError
from projection.lang.executors import Execution
from projection.lang.failures import Failure
from projection.lang.interpreter import Meter

EXPRESSIONS = [case for case in all_cases() if not case.text.lstrip().startswith("proj ")]
LONG_SECONDS = 15 * 60.0
GENERATED = 2_000  # in every run of the tests


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


def compare_generated(random: Random) -> Counter[str]:
    """One generated expression on several events, with limits of all sizes."""
    text = expression(random, random.choice(sorted(PRODUCTIONS)), random.choice([1, 2, 3, 4, 5]))
    found = Counter[str]()
    try:
        run = Expression(text, PRELUDE)
    except ProgramInvalidError:
        return found
    for _ in range(3):
        gas = random.choice([200_000, 200_000, random.randrange(20), random.randrange(400)])
        alloc = random.choice([1_000_000, 1_000_000, random.randrange(30)])
        found[assert_equal(run, text, json.dumps(event(random)), gas, alloc)] += 1
    return found


def test_generated_programs_end_the_same_way() -> None:
    seed = SystemRandom().randrange(2**32)
    random, found = Random(seed), Counter[str]()
    print(f"seed {seed}")
    programs = 0
    while programs < GENERATED:
        one = compare_generated(random)
        programs += bool(one)
        found += one
    assert found["value"] > GENERATED // 2
    assert found["R"] > GENERATED // 10
    assert found["O"] > GENERATED // 10


@pytest.mark.long
def test_many_more_generated_programs_end_the_same_way() -> None:
    seed = SystemRandom().randrange(2**32)
    random, found, programs, end = Random(seed), Counter[str](), 0, time.monotonic() + LONG_SECONDS
    try:
        while time.monotonic() < end:
            one = compare_generated(random)
            programs += bool(one)
            found += one
    finally:
        print(f"executors: {programs} programs, {found.total()} runs from seed {seed}: {dict(found)}")
    assert programs >= 50_000
