"""The compiler: core → Python functions, by way of `ast` objects. It knows no price and no operation.

What is emitted is what the interpreter does, node for node: `Charge` takes from two local counters, an operation is a
call of its function or its inline form, a span is the line number of the node that was emitted for it. Emitted code has
no builtins and may name only `NAMES`, the program's own constants and what the emitter itself numbered; the tree is
walked against a whitelist before it is compiled.
"""

from __future__ import annotations

import ast
import decimal
import re
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, cast

from msgspec.structs import replace

from projection.lang import core, failures
from projection.lang.cost import costs, node_counts
from projection.lang.run.emission import Body, Outlines
from projection.lang.run.names import Names
from projection.lang.run.python_ast import placed
from projection.lang.steps import tick

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Routine = Callable[..., Any]

FILE = "<compiled projection>"
FAULTS = (failures.Failure, decimal.DecimalException)


def _raised(failure: Callable[..., failures.Failure]) -> Callable[..., NoReturn]:
    """A failure that an expression can raise."""

    def fail(*parts: Any) -> NoReturn:
        raise failure(*parts)

    return fail


# What emitted code and inline forms may name, beside operands.
NAMES: dict[str, Any] = {
    "Decimal": decimal.Decimal,
    "FAULTS": FAULTS,
    "beyond_bound": _raised(failures.beyond_bound),
    "bool": bool,
    "compared_nodes": node_counts.compared_nodes,
    "dict": dict,
    "fewer_nodes": node_counts.fewer_nodes,
    "hits": costs.hits,
    "key_weight": costs.key_weight,
    "int_overflow": _raised(failures.int_overflow),
    "isinstance": isinstance,
    "len": len,
    "length": costs.length,
    "list": list,
    "max": max,
    "min": min,
    "nodes": node_counts.nodes,
    "number": costs.number,
    "nothing_entered": _raised(partial(failures.nothing_there, is_entry=True)),
    "nothing_there": _raised(failures.nothing_there),
    "replace": replace,
    "sorted": sorted,
    "sorting": costs.sorting,
    "str": str,
    "sum": sum,
    "total": costs.total,
    "tuple": tuple,
    "weight": costs.weight,
}
_OWN = re.compile(r"(?:[cfklnorst]\d+|[ag]|error|settled|spent)", re.ASCII)
_METHODS = frozenset(
    {"append", "bit_length", "copy_abs", "decode", "encode", "endswith", "get", "isascii", "join", "lower"}
    | {"replace", "split", "startswith", "strip", "upper"}
)
_ALLOWED = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign, ast.Expr, ast.If,
    ast.For, ast.Try, ast.ExceptHandler, ast.Raise, ast.Name, ast.Load, ast.Store, ast.Constant, ast.Attribute,
    ast.Call, ast.keyword, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.NamedExpr, ast.List,
    ast.Tuple, ast.Starred, ast.ListComp, ast.comprehension, ast.Subscript, ast.Slice, ast.operator, ast.unaryop,
    ast.boolop, ast.cmpop,
)  # fmt: skip


_FRAME = """
def name(g, a):
    try:
        return 0, g, a
    except FAULTS as error:
        raise settled(error, g, a) from None
"""


class Compiled:
    """Runs the core as Python functions."""

    def __init__(
        self,
        functions: Mapping[str, core.Function],
        kept: list[ast.stmt] | None = None,
        library: Compiled | None = None,
    ) -> None:
        """Run a program.

        Args:
            functions: of the program.
            kept: takes all that is emitted; only tests look at it, and it is many times as large as what runs.
            library: has the functions compiled, for all that call them; None: they are compiled here.
        """
        self.emitter: Emitter = Emitter(functions, kept, None if library is None else library.emitter)

    def routine(self, node: core.Core, given: int, _slots: int) -> Routine:
        """See `Executor.routine`."""
        return self.emitter.made(node, given)


class Emitter:
    """Emits the functions of one program into one namespace."""

    def __init__(
        self,
        functions: Mapping[str, core.Function],
        kept: list[ast.stmt] | None = None,
        library: Emitter | None = None,
    ) -> None:
        self._functions = functions
        self._kept = kept
        self._library = library
        self.names = Names({"__builtins__": {}, **NAMES, "settled": self._settled, "spent": _spent})

    def made(self, node: core.Core, parameters: int) -> Routine:
        """The function of a node; its parameters are both ledgers and so many slots."""
        self._define_callees(node)
        name = self.names.unique("r")
        self.define(name, [f"s{slot}" for slot in range(parameters)], node)
        return cast("Routine", self.names.values[name])

    def function(self, call: core.Call) -> Routine:
        """The function that is called; emitted now, if it was not before."""
        self._define_callees(call)
        return cast("Routine", self.names.values[self.names.functions[call.function]])

    def _define_callees(self, node: core.Core) -> None:
        """Emit the functions that a node calls, callees first, so that emission never nests."""
        waiting = [node]
        calls: list[core.Call] = []
        while waiting:
            tick()
            one = waiting.pop()
            if isinstance(one, core.Call) and one.function not in self.names.functions:
                calls.append(one)
            waiting += core.parts(one)
        for call in calls:
            if call.function in self.names.functions:
                continue
            if self._library is not None:
                self.names.functions[call.function] = self.names.value("f", self._library.function(call))
                continue
            body = self._functions[call.function].body
            self._define_callees(body)
            name = self.names.unique("f")
            self.define(name, [f"s{slot}" for slot in range(len(call.arguments))], body)
            self.names.functions[call.function] = name

    def define(self, name: str, parameters: Sequence[str], node: core.Core, outlines: Outlines | None = None) -> None:
        """Emit a function and compile it; `outlines` are those of what the node is a part of."""
        body = Body(self.names, self.define, Outlines(node) if outlines is None else outlines)
        result = body.kept(body.whole(node))  # computing it may still fail, so it comes before the last writes
        module = ast.parse(_FRAME)
        definition = cast("ast.FunctionDef", module.body[0])
        definition.name = name
        definition.args.args += [ast.arg(parameter) for parameter in parameters]
        attempt = cast("ast.Try", definition.body[0])
        returned = cast("ast.Tuple", cast("ast.Return", attempt.body[0]).value)
        returned.elts[0] = result
        attempt.body[:0] = body.statements
        placed(module, 1)
        for argument in definition.args.args:
            placed(argument, 1)
        self._require_allowed(module)
        if self._kept is not None:
            self._kept.append(definition)
        exec(compile(module, FILE, "exec"), self.names.values)  # noqa: S102 - walked against the whitelist just above

    def _require_allowed(self, module: ast.Module) -> None:
        for part in ast.walk(module):
            tick()
            fine = isinstance(part, _ALLOWED)
            if isinstance(part, ast.Name):
                fine = part.id in NAMES or _OWN.fullmatch(part.id) is not None
            elif isinstance(part, ast.Attribute):
                fine = part.attr in _METHODS or part.attr in self.names.fields
            elif isinstance(part, ast.FunctionDef):
                fine = _OWN.fullmatch(part.name) is not None and not part.decorator_list
            if not fine:
                raise AssertionError(f"the compiler emitted {ast.dump(part)}")

    def _settled(self, error: Exception, gas: int, alloc: int) -> failures.Failure:
        """The failure with its place and what is left of both ledgers: those of the innermost function."""
        if isinstance(error, failures.Failure) and error.span is not None:
            return error
        failure = error if isinstance(error, failures.Failure) else failures.inexact_decimal()
        if failure.left is None:
            failure.left = (gas, alloc)
        trace, line = error.__traceback__, 1
        while trace is not None:  # the innermost frame of emitted code; a comprehension is one of its own
            if trace.tb_frame.f_code.co_filename == FILE:
                line = trace.tb_lineno
            trace = trace.tb_next
        failure.span = self.names.span(line)
        return failure


def _spent(gas: int, alloc: int, taken: int) -> failures.Failure:
    """The failure of the ledger that is overdrawn: gas is taken first, and then nothing of the other.

    Args:
        gas: what is left, perhaps less than nothing.
        alloc: the same.
        taken: what was just taken of alloc.
    """
    failure = failures.out_of_gas() if gas < 0 else failures.out_of_alloc()
    failure.left = (0, alloc + taken) if gas < 0 else (gas, 0)
    return failure
