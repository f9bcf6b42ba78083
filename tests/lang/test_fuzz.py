"""Random programs and events: checking reports or yields, running fails or yields, and nothing else ever happens.

The long versions are time-boxed and print how much they tried, and from which seed.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from random import Random, SystemRandom
from typing import TYPE_CHECKING

import language_programs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from language_generator import PRELUDE, PRODUCTIONS, corpus, event, expression, mutated, spoilt, tokens_of
from language_support import CASES, Expression, Fold, codes_of, is_of, read_cases

from projection.errors import DecodeError
from projection.lang.check.checker import check
from projection.lang.failures import Failure
from projection.lang.reporting import ProgramInvalidError
from projection.lang.source import Source
from projection.lang.values.codec import encode

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = sorted(Path(__file__).parents[2].glob("projections/*/*.proj"))
PROGRAMS = [
    *corpus(),
    *(path.read_text(encoding="utf-8") for path in EXAMPLES),
    *(language_programs.run(Random(seed)).text for seed in range(50)),
]
TOKENS = tokens_of(PROGRAMS)
LONG_SECONDS = 60.0

FOLDED = f"""proj 1
projection p
{PRELUDE}
view Out {{ n: int, total: decimal(2) = 0, rows: list<Row>(50) = [], m: map<string, int>(20) = {{}}, o?: Row, s: string(100) }}
on In as e to key(e.k)
  when view == none and e.flag => keep
  when view == none => {{ n: e.n, s: e.s, rows: e.rows, m: e.m }}
  when e.s == "a" => delete
  when e.flag => view with {{ n += e.k, m[e.s]: e.n, rows: take_last([...view.rows, e.row], 50), o: e.more }}
  else => view with {{ total: round(view.total + e.any * e.d, 2, "half_even"), s: "{{view.s}}{{e.s}}", o.inner.a += 1 }}
on In as e for r in e.rows if r.r != none to r.name => {{ n: r.r, s: r.inner.o?.z ?? "-", total: r.price }}
on * as e to narrow(e.id) ?? "none" => {{ n: narrow(e.xs?[0]) ?? 1, s: "-" }}
"""
FOLD = Fold(FOLDED)


def check_mutated(random: Random) -> str:
    text = mutated(random, random.choice(PROGRAMS), TOKENS)
    try:
        check(Source("p.proj", text))
    except ProgramInvalidError as error:
        shown = error.render()
    else:
        return "a program"
    assert shown.startswith("error[")
    return "refused"


def run_generated(random: Random) -> str:
    text = expression(random, random.choice(sorted(PRODUCTIONS)), random.choice([1, 2, 3, 4]))
    try:
        run = Expression(text, PRELUDE)
    except ProgramInvalidError:
        return "refused"
    for _ in range(3):
        payload = json.dumps(event(random))
        try:
            value = run.run(payload)
        except Failure as failure:
            place = failure.span
        else:
            place = run.core.span
            assert is_of(value, run.type), text
            assert encode(value)
        assert place is not None, text
    return "run"


def fold_spoilt(random: Random) -> str:
    payload = spoilt(random, event(random))
    try:
        FOLD.apply("In", payload.encode("utf-8", "surrogatepass"))
    except DecodeError as error:
        return error.code
    except Failure as failure:
        code, place = failure.code, failure.span
    else:
        return "folded"
    assert place is not None, payload
    return code


def run_spoilt(random: Random) -> str:
    """A generated program on events of which each has something in it that perhaps does not fit."""
    generated = language_programs.run(random)
    try:
        fold = Fold(generated.text, generated.limits)
    except ProgramInvalidError:
        return "refused"
    for name in ("In", "Also", "Small", "Other", "In"):
        problem = applied(fold, name, spoilt(random, event(random)).encode("utf-8", "surrogatepass"))
        assert problem is None or problem.code == "D105" or problem.span is not None, generated.text
    return "run"


def applied(fold: Fold, name: str, payload: bytes) -> DecodeError | Failure | None:
    """What was wrong with an event."""
    try:
        fold.apply(name, payload)
    except (DecodeError, Failure) as problem:
        return problem
    return None


_seeds = st.integers(0, 2**64)


@settings(max_examples=200, deadline=None)
@given(seed=_seeds)
def test_a_program_that_is_nearly_right_is_checked_or_refused(seed: int) -> None:
    check_mutated(Random(seed))


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=200))
def test_any_text_is_checked_or_refused(text: str) -> None:
    for whole in (text, f"proj 1\nprojection p\non E as e to {text}"):
        with pytest.raises(ProgramInvalidError):
            check(Source("p.proj", whole))


@settings(max_examples=120, deadline=None)
@given(seed=_seeds)
def test_an_expression_that_checks_yields_a_value_of_its_type_or_fails_at_a_place(seed: int) -> None:
    run_generated(Random(seed))


@settings(max_examples=300, deadline=None)
@given(seed=_seeds)
def test_any_event_is_folded_refused_or_fails_at_a_place(seed: int) -> None:
    fold_spoilt(Random(seed))


@settings(max_examples=60, deadline=None)
@given(seed=_seeds)
def test_any_program_takes_refuses_or_fails_on_any_event(seed: int) -> None:
    run_spoilt(Random(seed))


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=60), name=st.sampled_from(["In", "Other"]))
@example(data=b"\xef\xbb\xbf{}", name="Other")
@example(data=b"{}\x00", name="Other")
@example(data=b'{"a": 1e1000000000000000000}', name="Other")
@example(data=b"-0", name="Other")
@example(data=b"null", name="Other")
def test_any_bytes_are_an_event_or_refused(data: bytes, name: str) -> None:
    problem = applied(FOLD, name, data)
    assert problem is None or problem.code == "D105" or problem.span is not None


def test_what_could_not_be_read_is_not_computed_when_a_program_is_checked() -> None:
    text = """proj 1
projection p
event E { n: int, xs: list<int> = [...g()] }
view V { n: int }
fn g() -> list<int> = [1
on E as e for x in [...g(), 1] to "v" => { n: x }
"""
    assert ["P101"] == codes_of(text)


@pytest.mark.long
@pytest.mark.parametrize("attempt", [check_mutated, run_generated, fold_spoilt, run_spoilt])
def test_much_more_of_the_same_in_a_minute(attempt: Callable[[Random], str]) -> None:
    seed = SystemRandom().randrange(2**32)
    random, end, found = Random(seed), time.monotonic() + LONG_SECONDS, Counter[str]()
    try:
        while time.monotonic() < end:
            found[attempt(random)] += 1
    finally:
        print(f"{attempt.__name__}: {found.total()} attempts from seed {seed}: {dict(found)}")


def test_the_generator_makes_what_it_promises() -> None:
    random = Random(7)
    outcomes = Counter(run_generated(random) for _ in range(60))
    assert outcomes["run"] > 40
    folded = Counter(fold_spoilt(random) for _ in range(200))
    assert folded["folded"] > 20
    assert folded["D105"] > 20
    assert len(list(CASES.glob("*.cases"))) == len({case.file for p in CASES.glob("*.cases") for case in read_cases(p)})
