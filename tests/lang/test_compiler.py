"""The compiler: what it emits is always the same, names nothing it may not, and fails at the place in the source."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from language_support import Fold

from projection.bundled import bundled
from projection.lang.check.checker import check
from projection.lang.core import FIRST_FREE, Const
from projection.lang.failures import Failure
from projection.lang.program import Program
from projection.lang.run.compiler import Compiled, Emitter
from projection.lang.run.executors import Execution
from projection.lang.source import Source, Span

PROGRAMS = sorted(bundled("projections").glob("*/*.proj"))


def emitted(path: Path) -> str:
    """All that the handlers of a program are compiled to."""
    core = check(Source(path.name, path.read_text(encoding="utf-8"))).core
    kept: list[ast.stmt] = []
    compiled = Compiled(core.functions, kept)
    for handler in core.handlers:
        if handler.source is not None:
            compiled.routine(handler.source, FIRST_FREE, handler.slots)
        compiled.routine(handler.route, FIRST_FREE, handler.slots)
        compiled.routine(handler.body, FIRST_FREE, handler.slots)
    return "\n".join(map(ast.dump, kept))


def test_the_emitted_trees_are_the_same_in_every_process() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); "
        "from test_compiler import PROGRAMS, emitted; print(*map(emitted, PROGRAMS), sep='')"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert {"".join(map(emitted, PROGRAMS)) + "\n"} == found


@pytest.mark.parametrize(
    "text",
    [
        "x = __import__('os')",
        "x = open",
        "x = s1.__class__",
        "x = s1.mro",
        "import os",
        "x = lambda: 0",
        "def f(): yield 1",
        "with s1: pass",
        "del s1",
        "global g",
        "x = {s1: 1}",
        "x = f'{s1}'",
        "@s1\ndef f1(): return 0",
    ],
)
def test_a_tree_with_anything_that_is_not_allowed_is_not_compiled(text: str) -> None:
    with pytest.raises(AssertionError, match="the compiler emitted"):
        Emitter({})._require_allowed(ast.parse(text))


def test_emitted_code_has_no_builtins_and_no_names_but_those_it_was_given() -> None:
    emitter = Emitter({})
    routine = emitter.made(Const(Span(0, 1), 7), 0)
    assert (7, 5, 6) == routine(5, 6)
    assert {} == emitter.names.values["__builtins__"]
    assert routine.__globals__ is emitter.names.values


NAMES = [
    "class",
    "None",
    "True",
    "def",
    "lambda",
    "import",
    "__init__",
    "append",
    "s1",
    "t2",
    "g",
    "a",
    "error",
    "settled",
    "FAULTS",
    "len",
    "self",
    "name",
]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("_")])
def test_a_field_may_be_called_like_anything_of_python_or_of_the_compiler(name: str) -> None:
    program = f"""proj 1
projection p
event E {{ id: string, {name}: int }}
view V {{ {name}: int }}
on E as e to e.id
  when view == none => {{ {name}: e.{name} }}
  else => view with {{ {name} += e.{name} }}
"""
    fold = Fold(program)
    for _ in range(2):
        fold.apply("E", f'{{"id": "x", "{name}": 4}}')
    assert {"x": f'{{"{name}":8}}'.encode()} == fold.views


NESTED = """proj 1
projection p
event E { id: string, xs: list<int>(5) }
view V { n: int }
fn inner(x: int) -> int = div(100, x)
fn outer(x: int) -> int = inner(x - 1)
on E as e to e.id => { n: sum(outer(x) for x in e.xs if x > 0) }
"""


@pytest.mark.parametrize("execution", Execution)
def test_a_failure_inside_functions_and_loops_has_the_place_of_the_operation(execution: Execution) -> None:
    program = Program(check(Source("p.proj", NESTED)), execution=execution)
    reaction = program.reaction("", "E")
    assert reaction is not None
    event, targets, _gas = reaction.take(b'{"id": "a", "xs": [3, 2, 1]}', None)
    with pytest.raises(Failure) as caught:
        program.apply("a", targets["a"], event, None, None)
    assert "R703" == caught.value.code
    assert "p.proj:5:27" == program.place(caught.value)


DEEP = "\n".join(
    ["proj 1", "projection p", "event E { id: string, n: int }", "view V { n: int }", "fn f0(n: int) -> int = n + 1"]
    + [f"fn f{n}(n: int) -> int = f{n - 1}(n) + f{n - 1}(n)" for n in range(1, 13)]
    + ["on E as e to e.id => { n: f12(e.n) }"]
)


def test_functions_that_call_one_another_twice_are_emitted_once_each() -> None:
    core = check(Source("p.proj", DEEP)).core
    kept: list[ast.stmt] = []
    compiled = Compiled(core.functions, kept)
    compiled.routine(core.handlers[0].body, FIRST_FREE, core.handlers[0].slots)
    assert 14 == len(kept)
    fold = Fold(DEEP)
    fold.apply("E", '{"id": "x", "n": 1}')
    assert {"x": b'{"n":8192}'} == fold.views
