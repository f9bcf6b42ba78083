"""What the blocks of docs/language.md come to: programs are checked, expressions are evaluated."""

from __future__ import annotations

import re

from projection.errors import ProgramError
from projection.lang.check.checker import _Checker, check
from projection.lang.cost.segments import with_charges
from projection.lang.reporting import ProgramInvalidError
from projection.lang.run.interpreter import Interpreter, Meter
from projection.lang.source import Source
from projection.lang.syntax.parser import parse
from projection.lang.values.codec import encode
from projection.lang.values.structs import build_structs

_CODE = re.compile(r"[A-Z]\d{3}")
_SHOWN = re.compile(r"# ([A-Z]\d{3})\b")


def found(program: str) -> list[tuple[int, str]]:
    """All errors and warnings of a program: the line of each and its code."""
    source = Source("program.proj", program)
    try:
        diagnostics = check(source).warnings
    except ProgramInvalidError as error:
        diagnostics = tuple(error.diagnostics)
    return sorted((source.position(one.span.start)[0], one.code) for one in diagnostics)


def shown(program: str) -> list[tuple[int, str]]:
    """The errors and warnings that comments of a program tell: the line of each and its code."""
    return [
        (number, match[1]) for number, line in enumerate(program.splitlines(), 1) for match in _SHOWN.finditer(line)
    ]


def value_of(expression: str, program: str) -> str:
    """What an expression yields beside the types of a program, as JSON; or the code of what is wrong with it."""
    source = Source("expression.proj", f"{program}\nfn value() -> int = {expression}\n")
    tree, problems = parse(source)
    if problems:
        return problems[0].code
    checker = _Checker(source, tree, problems)
    checker.schema.load(tree, checker._constant)
    expressions = checker._expressions()
    typed = expressions.check(tree.declarations[-1].body)
    if problems:
        return problems[0].code
    build_structs(checker.schema.records())
    try:
        value = Interpreter({}).run(with_charges(typed.core), [None] * expressions.slots, Meter(200_000, 1_000_000))
    except ProgramError as failure:
        return failure.code
    return encode(value).decode()


def is_code(text: str) -> bool:
    """Whether it is the code of an error."""
    return _CODE.fullmatch(text) is not None
