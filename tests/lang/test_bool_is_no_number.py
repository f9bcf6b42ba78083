"""`true` is not 1 and 1 is no decimal unless it is made one, though Python says so: every operator and builtin, every
place where values come in."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from language_support import Expression, plenty

from projection.errors import DecodeError
from projection.lang.failures import Failure
from projection.lang.library import BUILTINS, OPERATORS
from projection.lang.operations import expanded, parse_signature
from projection.lang.reporting import ProgramInvalidError
from projection.lang.run.executors import Execution

if TYPE_CHECKING:
    from projection.lang.operations import Operation, Pattern

PRELUDE = """event In { b: bool, n: int, d: decimal(2), bs: list<bool>, ns: list<int>, ds: list<decimal(2)> }"""
EVENT = '{"b": true, "n": 1, "d": 1.00, "bs": [true, false], "ns": [1, 0], "ds": [1.00, 0.00]}'
OPERANDS = {  # by type, as a field and as a literal
    "bool": ("e.b", "true"),
    "int": ("e.n", "1"),
    "decimal": ("e.d", "1.00"),
    "list<bool>": ("e.bs", "[true, false]"),
    "list<int>": ("e.ns", "[1, 0]"),
    "list<decimal>": ("e.ds", "[1.00, 0.00]"),
}
WRITTEN = {"negative": "-{0}", "not": "not {0}", "[]": "{0}[{1}]"}
JSON = ["true", "1", "1.0", '"1"', "[1]", "[true]"]
CONSTANT = ("round", "div", "decimal")  # take a scale and a mode that are constants, which is another matter


def takes(operation: Operation, types: tuple[str, ...]) -> bool:
    """Whether a signature takes operands of these types, read as the documentation says: an int fits a decimal."""
    parameters = expanded(parse_signature(operation.signature)[0], len(types))
    variables: dict[str, set[str]] = {}
    if len(parameters) != len(types) or not all(
        _fits(one, type_, variables) for one, type_ in zip(parameters, types, strict=True)
    ):
        return False
    if any("S" == name and any(type_.startswith("list") for type_ in of) for name, of in variables.items()):
        return False
    return all(len(of) == 1 or of == {"int", "decimal"} for of in variables.values())


def _fits(pattern: Pattern, type_: str, variables: dict[str, set[str]]) -> bool:
    if len(pattern.name) == 1:
        variables.setdefault(pattern.name, set()).add(type_)
        return True
    if pattern.name == "list":
        return type_.startswith("list<") and _fits(pattern.arguments[0], type_[5:-1], variables)
    if pattern.name == "scalar":
        return not type_.startswith("list")
    return pattern.name == type_ or (pattern.name, type_) == ("decimal", "int")


def cases() -> list[tuple[str, tuple[str, ...]]]:
    """Each name with each of the operands that its overloads could take by their number."""
    found = []
    for name, overloads in {**OPERATORS, **BUILTINS}.items():
        counts = {len(expanded(parse_signature(one.signature)[0], 2)) for one in overloads} & {1, 2}
        for count in sorted(counts) if name not in CONSTANT else ():
            found += [(name, types) for types in itertools.product(OPERANDS, repeat=count)]
    return found


def written(name: str, operands: tuple[str, ...]) -> str:
    """The expression of an operator or a call."""
    if name in WRITTEN:
        return WRITTEN[name].format(*operands)
    if name in OPERATORS:
        return f"{operands[0]} {name} {operands[1]}"
    return f"{name}({', '.join(operands)})"


def value_by(expression: Expression, execution: Execution) -> object:
    """What one executor makes of it: the value with its type, or the code that it fails with."""
    try:
        return _exact(expression.run(EVENT, plenty(), execution))
    except Failure as failure:
        return failure.code


def _exact(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return [_exact(one) for one in value]
    return type(value).__name__, str(value)


@pytest.mark.parametrize("name", sorted({name for name, _types in cases()}))
def test_an_operation_takes_what_its_signature_says_and_both_executors_agree(name: str) -> None:
    for types in (types for of, types in cases() if of == name):
        overloads = {**OPERATORS, **BUILTINS}[name]
        is_taken = any(takes(one, types) for one in overloads)
        for operands in zip(*(OPERANDS[type_] for type_ in types), strict=True):  # of fields, and of literals
            text = written(name, operands)
            try:
                expression = Expression(text, PRELUDE)
            except ProgramInvalidError:
                expression = None
            assert is_taken is (expression is not None), text
            if expression is not None:
                assert value_by(expression, Execution.INTERPRETED) == value_by(expression, Execution.COMPILED), text


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("-false", ["T302"]),
        ("-true", ["T302"]),
        ("true == 1", ["T309"]),
        ("1.0 == true", ["T309"]),
        ("[true] == [1]", ["T309"]),
        ("[true, 1]", ["T303"]),
        ("true in [1]", ["T302"]),
        ("1 in [true, false]", ["T302"]),
        ("match 1 { true => 1, _ => 2 }", ["T309"]),
        ("match true { 1 => 1, _ => 2 }", ["T309"]),
        ("let s: set<int> = [true]; s", ["T301"]),
        ("let m: map<int, int> = { [true]: 1 }; m", ["T301"]),
        ('let m: map<string, int> = { ["a"]: true }; m', ["T301"]),
        ("let n: int = false; n", ["T301"]),
        ("let d: decimal(2) = true; d", ["T301"]),
        ("let b: bool = 0; b", ["T301"]),
        ("if 1 then 2 else 3", ["T301"]),
        ("[x for x in [1] if x]", ["T301"]),
        ("fold(a = 0 for x in [1] => true)", ["T303"]),
        ("e.ns[true]", ["T302"]),
    ],
)
def test_what_is_no_number_is_none_anywhere(text: str, codes: list[str]) -> None:
    with pytest.raises(ProgramInvalidError) as caught:
        Expression(text, PRELUDE)
    assert codes == [one.code for one in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("type_", "taken"),
    [
        ("bool", {"true", "false"}),
        ("int", {"1", "0"}),
        ("decimal(2)", {"1", "0", "1.0", "1.00"}),
        ("decimal", {"1", "0", "1.0", "1.00"}),
        ("string", {'"1"', '"true"'}),
        ("map<int, bool>", {'{"1": true}'}),
        ("map<int, int>", {'{"1": 1}'}),
        ("set<int>", {"[1]"}),
        ("set<decimal>", {"[1]"}),
        ("list<bool>", {"[true]"}),
        ('enum(true, "1")', {'"true"', '"1"'}),
    ],
)
@pytest.mark.parametrize("is_narrowed", [False, True])
def test_a_value_from_outside_is_taken_for_what_it_is(type_: str, taken: set[str], is_narrowed: bool) -> None:
    values = [
        "true", "false", "1", "0", "1.0", "1.00", '"1"', '"true"', '{"1": true}', '{"1": 1}', '{"true": 1}', "[1]",
        "[true]",
    ]  # fmt: skip
    is_taken = _narrows if is_narrowed else _decodes
    assert taken == {value for value in values if is_taken(value, type_)}


def _decodes(value: str, type_: str) -> bool:
    try:
        Expression("1", f"event In {{ v: {type_} }}").run(f'{{"v": {value}}}')
    except DecodeError:
        return False
    return True


def _narrows(value: str, type_: str) -> bool:
    text = f"let v: {type_}? = narrow(e.j); v != none" if "enum" not in type_ else "let v: T? = narrow(e.j); v != none"
    return bool(Expression(text, f"type T = {type_}\nevent In {{ j: json }}").run(f'{{"j": {value}}}'))


@pytest.mark.parametrize("one", JSON)
@pytest.mark.parametrize("other", JSON)
def test_json_is_equal_only_to_what_is_the_same_json(one: str, other: str) -> None:
    run = Expression("e.a == e.b", "event In { a: json, b: json }")
    numbers = {"1", "1.0"}
    for execution in Execution:
        value = run.run(f'{{"a": {one}, "b": {other}}}', plenty(), execution)
        assert (one == other or {one, other} <= numbers) == value


def test_ints_beside_decimals_are_made_decimals_by_name() -> None:
    for text in ("min(1, 1.00)", "[1, 1.00]", "sum([1, 2.5])", "e.n + e.d", "if e.b then 1 else 1.00"):
        run = Expression(text, PRELUDE)
        for execution in Execution:
            value = run.run(EVENT, plenty(), execution)
            assert all(type(one) is Decimal for one in (value if isinstance(value, list) else [value])), text
