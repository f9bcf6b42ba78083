"""What the blocks of docs/language.md come to: programs are checked, expressions are evaluated."""

from __future__ import annotations

from projection.errors import ProgramError
from projection.lang.checker import _Checker, check
from projection.lang.codec import build_structs, encode
from projection.lang.diagnostics import ProgramInvalidError
from projection.lang.interpreter import Interpreter, Meter
from projection.lang.parser import parse
from projection.lang.segments import with_charges
from projection.lang.source import Source


def codes(program: str) -> set[str]:
    """The codes of all that is wrong with a program."""
    try:
        check(Source("program.proj", program))
    except ProgramInvalidError as error:
        return {one.code for one in error.diagnostics}
    return set()


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
