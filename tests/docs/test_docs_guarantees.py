"""Each promise of the guarantees page names tests, and these tests exist.

A test is named as a sentence behind its file: `test_catalog`: a node id is made once or given.
"""

from __future__ import annotations

import ast
import re

import pytest
from docs_pages import CHECKOUT, cells

PAGE = (CHECKOUT / "docs/guarantees.md").read_text()
ROWS = [cells(line) for line in PAGE.splitlines() if line.startswith("|") and not line.startswith(("|---", "| what "))]
FILES = {path.stem: path for path in (CHECKOUT / "tests").rglob("test_*.py")}
NAMED = re.compile(r"`(test_\w+)`: ([a-z0-9 ]+)")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_promise_says_what_happens_and_names_tests_that_exist(row: tuple[str, ...]) -> None:
    happens, promise, shown_by = row
    assert happens
    assert promise.endswith(".")
    named = [NAMED.fullmatch(one) for one in shown_by.split("; ")]
    assert named
    for one in named:
        assert one, f"{shown_by!r} is not a list of tests"
        assert "test_" + one[2].replace(" ", "_") in functions_of(one[1]), one[0]


def functions_of(file: str) -> set[str]:
    """The tests of a file, also those of its classes."""
    tree = ast.parse(FILES[file].read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("folder", ["streams_lost", "faults"])
def test_the_tests_of_faults_stand_behind_promises(folder: str) -> None:
    named = {found[1] for row in ROWS for found in NAMED.finditer(row[2])}
    assert {path.stem for path in (CHECKOUT / "tests" / folder).glob("test_*.py")} <= named


def test_the_page_says_what_is_not_promised() -> None:
    assert "\n## What is not promised\n" in PAGE
