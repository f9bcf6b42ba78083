"""What the tests of the language share: reading case files, evaluating one expression, folding events in memory."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from bounds_support import ExpressionBound, ProgramBounds

from projection.lang import core
from projection.lang import types as ty
from projection.lang.check.checker import CheckedProgram, _Checker, check
from projection.lang.cost.segments import with_charges
from projection.lang.failures import Failure
from projection.lang.program import Limits, MessageMeta, Program
from projection.lang.reporting import Diagnostic, ProgramInvalidError
from projection.lang.run.executors import Execution, executor
from projection.lang.run.interpreter import Meter
from projection.lang.source import Source
from projection.lang.syntax import nodes as syn
from projection.lang.syntax import parser
from projection.lang.syntax.texts import UnreadableError
from projection.lang.syntax.tree import Builder
from projection.lang.values.codec import Codec, encode
from projection.lang.values.mending import parse_timestamp
from projection.lang.values.numbers import EXACT, MAX_INT, MIN_INT
from projection.lang.values.structs import build_structs
from projection.model.envelope import MAX_TEXT

CASES = Path(__file__).parent / "cases"
TIME = "2024-02-29T23:30:00+01:00"


# --- case files (their format: cases/README.md) ----------------------------------------------------------------------


@dataclass
class Case:
    """One case: its text, what is expected of it, and the declarations that its file begins with."""

    file: str
    title: str
    prelude: str = ""
    event: str = "{}"
    text: str = ""
    expected: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.file}: {self.title}"

    @property
    def is_program(self) -> bool:
        """Whether the text is a whole program; else it is one expression."""
        return re.search(r"^proj\b", self.text, re.MULTILINE) is not None


def read_cases(path: Path) -> list[Case]:
    """The cases of a file, in order."""
    head, *blocks = re.split(r"^--- ?", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    prelude = "\n".join(line for line in head.splitlines() if not line.startswith(">>>"))
    event = next((line[8:] for line in head.splitlines() if line.startswith(">>> e = ")), "{}")
    found = []
    for block in blocks:
        title, _, body = block.partition("\n")
        case = Case(path.stem, title.strip(), prelude, event)
        lines = body.splitlines()
        case.expected = [line[4:] for line in lines if line.startswith(">>> ")]
        end = next((number for number, line in enumerate(lines) if line.startswith(">>> ")), len(lines))
        case.text = "\n".join(lines[:end])
        found.append(case)
    return found


def all_cases() -> list[Case]:
    """The cases of all files."""
    return [case for path in sorted(CASES.glob("*.cases")) for case in read_cases(path)]


# --- one expression --------------------------------------------------------------------------------------------------


class Expression:
    """One checked expression; `e` is the event `In` of the prelude.

    Raises:
        ProgramInvalidError: it does not check; places count from the expression's own first line.
    """

    def __init__(self, text: str, prelude: str = "event In {}") -> None:
        head = f"proj 1\nprojection cases\n{prelude}\nview Out {{ x: int }}\n"
        self.source = Source("case", head + text)
        self.first_line = head.count("\n")
        tree, found_problems = _prelude(head)
        problems = list(found_problems)
        checker = _Checker(self.source, tree, problems)
        checker.schema.load(tree, checker._constant)
        checker._functions()
        expressions = checker._expressions()
        expressions.slots = core.FIRST_FREE
        expressions.declare("meta", ty.META, parser.Span(0, 0), core.META)
        event = checker.schema.events["In"]
        expressions.declare("e", event, parser.Span(0, 0), core.EVENT)
        try:
            read = parser._tree(text, "expr", len(head))
            found = expressions.check(Builder(parser._tree, len(head)).expression(read))
        except UnreadableError as stop:
            problems.append(stop.diagnostic)
        if problems:
            raise ProgramInvalidError(self.source, problems)
        build_structs(checker.schema.records())
        self.type = found.type
        self.core = with_charges(found.core)
        self._slots = expressions.slots
        self._codec = Codec(event)
        functions = {f.name: core.Function(f.name, f.slots, with_charges(f.body)) for f in checker.functions.values()}
        self._routines = {
            execution: executor(execution, functions).routine(self.core, core.FIRST_FREE, self._slots)
            for execution in Execution
        }
        self._bound = ExpressionBound(self.core, functions, event)

    def run(self, event: str = "{}", meter: Meter | None = None, execution: Execution = Execution.INTERPRETED) -> Any:
        """The value, within its static bound; the meter, a fresh one, tells what it cost, also when it fails."""
        decoded, meter = self._codec.decode(event.encode()), meter or plenty()
        try:
            with localcontext(EXACT):
                value, meter.gas, meter.alloc = self._routines[execution](
                    meter.gas, meter.alloc, None, None, decoded, meta(), None
                )
        except Failure as failure:
            meter.gas, meter.alloc = failure.left
            self._bound.holds_for_failure(meter)
            raise
        self._bound.holds_for(value, meter)
        return value


@cache
def _prelude(text: str) -> tuple[syn.Program, list[Diagnostic]]:
    """What a prelude says; generated expressions share one, which takes longer to read than they do."""
    return parser.parse(Source("case", text))


def plenty() -> Meter:
    """A meter with the default limits."""
    return Meter(Limits().gas, Limits().alloc)


def value_of(text: str, prelude: str = "event In {}", event: str = "{}") -> str:
    """An expression's value as JSON."""
    return encode(Expression(text, prelude).run(event)).decode()


def codes_of(text: str) -> list[str]:
    """The codes of a program's diagnostics, in the order of their places."""
    try:
        check(Source("p.proj", text))
    except ProgramInvalidError as error:
        return [one.code for one in error.diagnostics]
    return []


def diagnostics_of(text: str) -> tuple[Diagnostic, ...]:
    """A program's diagnostics, in the order of their places."""
    try:
        check(Source("p.proj", text))
    except ProgramInvalidError as error:
        return error.diagnostics
    return ()


# --- a whole program -------------------------------------------------------------------------------------------------


def meta(time: str = TIME, **fields: Any) -> Any:
    """The `meta` of an event."""
    plain: dict[str, Any] = {
        "aggregate_id": "a-1",
        "aggregate_type": "fine",
        "correlation_id": None,
        "date": date.fromisoformat(time[:10]),
        "event_id": None,
        "sequence": 7,
        "tenant_id": "t",
        "time": parse_timestamp(time),
        "type": "T",
        "_headers": {"channel": "web", "empty": "", "long": "x" * MAX_TEXT},
        "_stored_at": parse_timestamp("2024-03-01T00:00:00Z"),
        "_subject": "tenant.t.aggregate.fine.a-1",
    }
    return MessageMeta(**{**plain, **fields})


class Outcome(NamedTuple):
    """What one event did."""

    route_gas: int
    gas: dict[str, int]
    alloc: dict[str, int]


class Fold:
    """A program folded over events in memory: views by id, each as its JSON between two events, as a store holds it."""

    def __init__(
        self, text: str | CheckedProgram, limits: Limits | None = None, execution: Execution = Execution.COMPILED
    ) -> None:
        checked = check(Source("p.proj", text)) if isinstance(text, str) else text
        self.program = Program(checked, limits, execution)
        self.views: dict[str, bytes] = {}
        self._bounds = ProgramBounds(self.program)

    def apply(self, event_type: str, payload: str | bytes, time: str = TIME, aggregate_type: str = "fine") -> Outcome:
        """Fold one event.

        Raises:
            Failure, DecodeError: as the program does; views that were reached before keep what they became.
        """
        reaction = self.program.reaction(aggregate_type, event_type)
        if reaction is None:
            return Outcome(0, {}, {})
        data = payload.encode() if isinstance(payload, str) else payload
        about = meta(time, type=event_type, aggregate_type=aggregate_type)
        taking = [run.handler for run in reaction._runs]
        try:
            event, targets, route_gas = reaction.take(data, about)
        except Failure as failure:
            self._bounds.holds_for_route(taking, failure.gas, failed=True)
            raise
        self._bounds.holds_for_route(taking, route_gas)
        gas, alloc = {}, {}
        for view_id, steps in targets.items():
            before = self.views.get(view_id)
            view = None if before is None else self.program.decode_view(before)
            try:
                applied = self.program.apply(view_id, steps, event, about, view, len(before or b""))
            except Failure as failure:
                self._bounds.holds_for_steps(steps, failure.gas, None, failed=True)
                raise
            self._bounds.holds_for_steps(steps, applied.gas, applied.alloc)
            gas[view_id], alloc[view_id] = applied.gas, applied.alloc
            if applied.view is None:
                self.views.pop(view_id, None)
                continue
            data = self.program.encode_view(applied.view)
            assert data == (applied.data or data)
            assert self.program.decode_view(data) == applied.view
            assert self.program.encode_view(self.program.decode_view(data)) == data
            self.views[view_id] = data
        return Outcome(route_gas, gas, alloc)


# --- what a value of a type is ---------------------------------------------------------------------------------------


def is_of(value: Any, type_: ty.Type) -> bool:
    """Whether a value is held as `projection.lang.types` says, through and through."""
    match type_:
        case ty.Bool():
            return type(value) is bool
        case ty.Int():
            return type(value) is int and MIN_INT <= value <= MAX_INT
        case ty.Decimal():
            if type(value) is not Decimal or not value.is_finite() or (value.is_zero() and value.is_signed()):
                return False
            _sign, digits, exponent = value.as_tuple()
            return len(digits) <= 38 and exponent <= 0 and (type_.scale is None or exponent == -type_.scale)
        case ty.String():
            return type(value) is str and (type_.literal is None or value == type_.literal)
        case ty.Enum():
            return type(value) is str and (type_.open or value in type_.members)
        case ty.Date():
            return type(value) is date
        case ty.Timestamp():
            return type(value) is datetime and value.tzinfo is UTC
        case ty.Duration():
            return type(value) is timedelta
        case ty.Bytes():
            return type(value) is bytes
        case ty.Json():
            return _is_json(value)
        case ty.Set():
            is_sorted = type(value) is tuple and list(value) == sorted(set(value))
            return is_sorted and all(is_of(item, type_.item) for item in value)
        case ty.List():
            return type(value) is list and all(is_of(item, type_.item) for item in value)
        case ty.Map():
            is_sorted = type(value) is dict and list(value) == sorted(value)
            return is_sorted and all(is_of(k, type_.key) and is_of(v, type_.value) for k, v in value.items())
        case ty.Optional():
            return value is None or is_of(value, type_.inner)
        case ty.Record():
            return type(value) is type_.made() and all(
                is_of(getattr(value, n), f.type) for n, f in type_.fields.items()
            )
        case ty.Nothing():
            return value is None
    return False


def _is_json(value: Any) -> bool:
    match value:
        case None | bool() | str():
            return True
        case int():
            return is_of(value, ty.INT)
        case Decimal():
            return is_of(value, ty.Decimal())
        case list():
            return all(map(_is_json, value))
        case dict():
            return list(value) == sorted(value) and all(_is_json(value[key]) for key in value)
    return False
