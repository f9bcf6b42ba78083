"""Hostile programs and events end within their limits, fast and in bounded memory, with a result or a coded error.

The corpus is in `abuse/` (its form: abuse/README.md).
"""

from __future__ import annotations

import re
import time
import tracemalloc
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from language_support import Case, Expression, Fold, plenty, read_cases

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
NS_PER_GAS = 500  # that one unit of gas may take
MARGIN = 10  # times as long, for a machine that is busy with other work; the honest figure is printed
FREE_SECONDS = 0.001  # what is there before anything is charged: calls, and the clock
# A view beyond its limit is looked through before anyone knows, at most a node for each byte that it may have (16 ms),
# and that is charged to nobody: R712.
LOOK_SECONDS = 0.2
CHECK_SECONDS = 60.0  # what explodes takes hours; a busy machine does not
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
    """How a run ended, what was charged, and how long it took."""

    code: str
    gas: int
    seconds: float


def timed(run: Callable[[], int]) -> Ended:
    """How something ended that returns what it was charged, or fails."""
    start = time.perf_counter()
    try:
        code, gas = "well", run()
    except Failure as failure:
        code, gas = failure.code, failure.gas
    except DecodeError as error:
        code, gas = error.code, 0
    return Ended(code, gas, time.perf_counter() - start)


def run_expression(run: Expression, payload: str, execution: Execution) -> Ended:
    """One expression; its event is decoded beforehand."""
    meter = plenty()

    def compute() -> int:
        run.run(payload, meter, execution)
        return meter.used

    ended = timed(compute)
    return ended if ended.code == "well" else ended._replace(gas=meter.used)


def run_events(fold: Fold, lines: list[str]) -> Ended:
    """The events that some lines say, from no view on; the last is the one that counts."""
    fold.views.clear()
    ended = Ended("well", 0, 0.0)
    for line in lines:
        match = re.fullmatch(r"(?:(\d+) events|event) (\S+) (.*)", line)
        assert match is not None, line
        assert ended.code == "well", f"{ended} before {line}"
        payload = expanded(match[3]).encode("utf-8", "surrogatepass")
        for _ in range(int(match[1] or 1)):
            ended = timed(partial(_apply, fold, match[2], payload))
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
    start = time.perf_counter()
    try:
        is_program = text.lstrip("\n").startswith("proj ")
        made: Any = check(Source("p.proj", text)) if is_program else Expression(text, case.prelude)
    except ProgramInvalidError as error:
        made, code, shown = None, error.diagnostics[0].code, error.render()
    else:
        code, shown = "well", "error["
    assert shown.startswith("error[")
    seconds = time.perf_counter() - start
    assert seconds < CHECK_SECONDS
    print(f"{case}: checked in {seconds * 1e3:.0f} ms, with memory counted: {code}")
    return code, made


@pytest.mark.parametrize("case", CASES, ids=str)
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
        for _ in range(9):  # the first try compiles, and on a busy machine any may be disturbed
            if ended.seconds > FREE_SECONDS / 2 + NS_PER_GAS * 1e-9 * ended.gas:
                ended = min(ended, run(), key=lambda one: one.seconds)
        per_gas = ended.seconds * 1e9 / max(ended.gas, 1)
        print(f"{case}, {execution}: {ended.code}, {ended.gas:,} gas, {ended.seconds * 1e3:.2f} ms, {per_gas:.0f} ns per gas")  # fmt: skip
        assert ended.code in wanted
        free = LOOK_SECONDS if ended.code == "R712" else FREE_SECONDS
        assert ended.seconds < free + MARGIN * NS_PER_GAS * 1e-9 * ended.gas
        assert ended.code in bounded(run, RUN_BYTES, f"{case}, {execution}").code


def test_the_corpus_is_no_smaller_than_it_was() -> None:
    assert len(CASES) >= 80
