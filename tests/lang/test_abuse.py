"""Hostile programs and events end within their limits, fast and in bounded memory, with a result or a coded error.

The corpus is in `abuse/` (its form: abuse/README.md).
"""

from __future__ import annotations

import re
import tracemalloc
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from language_support import Case, Expression, Fold, plenty, read_cases
from sampling import sampled
from yardstick import A_LOT, steps

from projection.errors import DecodeError
from projection.lang.check.checker import check
from projection.lang.failures import Failure
from projection.lang.program import payload_gas
from projection.lang.reporting import ProgramInvalidError
from projection.lang.run.executors import Execution
from projection.lang.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = [case for path in sorted((Path(__file__).parent / "abuse").glob("*.cases")) for case in read_cases(path)]
SAMPLE = 60  # in a run that is not long
# In steps of a yardstick (tests/yardstick.py), some 40 ns each. 0006 promises 35 ns compiled and 500 ns interpreted; filling
# memory takes up to 400 ns (0029). There is room for seven times what the slowest case takes.
STEPS_PER_GAS = 70  # that one unit of gas may take where something is computed
VIEW_STEPS_PER_GAS = 600  # the same where views are read and written as well: json of many small parts takes 90 (0006)
FREE_STEPS = 300_000  # what is there before anything is charged: calls, and the clock
# A view beyond its limit is looked through before anyone knows, at most a node for each byte that it may have (16 ms),
# and that is charged to nobody: R712.
LOOK_STEPS = 6_000_000
TRIES = 10  # the first compiles, and on a busy machine any may be disturbed
RUN_BYTES = 64 << 20  # that one event may hold besides what was there before
CHECK_BYTES = 256 << 20  # that the check of a program may hold; its text is at most 64 KiB

_TIMES = re.compile(r"⟦(\d+)\*(.*?)⟧", re.DOTALL)


def expanded(text: str) -> str:
    """With everything in `⟦…⟧` written out; `§` is the number of the repetition, from 0."""

    def repeated(match: re.Match[str]) -> str:
        count, part = int(match[1]), match[2]
        return "".join(part.replace("§", str(number)) for number in range(count)) if "§" in part else part * count

    return _TIMES.sub(repeated, text)


class Ended(NamedTuple):
    """How a run ended, what was charged, and how long it took, in steps."""

    code: str
    gas: int
    steps: int


def measured(run: Callable[[], int]) -> Ended:
    """How something ended that returns what it was charged, or fails."""
    ended = Ended("well", 0, 0)

    def end() -> None:
        nonlocal ended
        try:
            ended = ended._replace(gas=run())
        except Failure as failure:
            ended = Ended(failure.code, failure.gas, 0)
        except DecodeError as error:
            ended = Ended(error.code, 0, 0)

    taken = steps(end)
    return ended._replace(steps=taken)


def run_expression(run: Expression, payload: str, execution: Execution) -> Ended:
    """One expression; its event is decoded beforehand."""
    meter = plenty()

    def compute() -> int:
        run.run(payload, meter, execution)
        return meter.used

    ended = measured(compute)
    return ended if ended.code == "well" else ended._replace(gas=meter.used)


def run_events(fold: Fold, lines: list[str]) -> Ended:
    """The events that some lines say, from no view on; the last is the one that counts."""
    fold.views.clear()
    ended = Ended("well", 0, 0)
    for line in lines:
        match = re.fullmatch(r"(?:(\d+) events|event) (\S+) (.*)", line)
        assert match is not None, line
        assert ended.code == "well", f"{ended} before {line}"
        payload = expanded(match[3]).encode("utf-8", "surrogatepass")
        for _ in range(int(match[1] or 1)):
            ended = measured(partial(_apply, fold, match[2], payload))
            if ended.code != "well":
                # What fails tells what that one view or nothing was charged; the payload was before.
                ended = ended._replace(gas=ended.gas + payload_gas(payload))
                break
    return ended


def _apply(fold: Fold, name: str, payload: bytes) -> int:
    outcome = fold.apply(name, payload)
    return outcome.route_gas + sum(outcome.gas.values())


def bounded(run: Callable[[], Any], most: int, what: str) -> Any:
    """What a run yields that holds no more memory than that."""
    tracemalloc.start()
    try:
        found = run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most, f"{what} held {peak:,} bytes"
    return found


def checks(case: Case) -> tuple[str, Any]:
    """How the check of a case ended, and what it made."""
    text = expanded(case.text)
    code, made, shown = "well", None, "error["

    def check_it() -> None:
        nonlocal code, made, shown
        try:
            is_program = text.lstrip("\n").startswith("proj ")
            made = check(Source("p.proj", text)) if is_program else Expression(text, case.prelude)
        except ProgramInvalidError as error:
            code = error.diagnostics[0].code
            shown = error.render()

    taken = steps(check_it)
    assert shown.startswith("error[")
    print(f"{case}: checked in {taken:,} steps, with memory counted: {code}")
    assert taken < 4 * A_LOT  # counting memory makes it several times slower
    return code, made


@pytest.mark.parametrize("case", sampled(CASES, SAMPLE), ids=str)
def test_a_hostile_case_ends_fast_in_bounded_memory_with_a_result_or_a_coded_error(case: Case) -> None:
    *lines, last = case.expected
    wanted = last.removeprefix("ends ").split(" or ")
    code, made = bounded(partial(checks, case), CHECK_BYTES, f"the check of {case}")
    if made is None:
        assert code in wanted
        return
    for execution in Execution:
        if isinstance(made, Expression):
            run = partial(run_expression, made, expanded(case.event), execution)
        else:
            run = partial(run_events, Fold(made, execution=execution), lines)
        ended = run()
        of_gas = STEPS_PER_GAS if isinstance(made, Expression) else VIEW_STEPS_PER_GAS
        most = (LOOK_STEPS if ended.code == "R712" else FREE_STEPS) + of_gas * ended.gas
        for _ in range(TRIES - 1):
            if ended.steps > most / 2:
                ended = min(ended, run(), key=lambda one: one.steps)
        print(f"{case}, {execution}: {ended.code}, {ended.gas:,} gas, {ended.steps:,} steps of {most:,} allowed")
        assert ended.code in wanted
        assert ended.steps < most
        assert ended.code in bounded(run, RUN_BYTES, f"{case}, {execution}").code


def test_the_corpus_is_no_smaller_than_it_was() -> None:
    assert len(CASES) >= 80
