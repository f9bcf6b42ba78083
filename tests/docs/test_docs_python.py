"""What the pages import is what the package promises: each Python block uses public names alone."""

from __future__ import annotations

import ast
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from docs_pages import PAGES, Block, blocks
from docs_python import PUBLIC

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCKS = [block for page in PAGES for block in blocks(page) if block.kind == "python"]


def not_public(text: str) -> Iterator[str]:
    """The imports of this package that it does not promise."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.startswith("projection.") and one.name not in PUBLIC)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "projection":
            module = node.module or ""
            known = import_module(module).__all__ if module in PUBLIC else ()
            yield from (f"{module}.{one.name}" for one in node.names if one.name not in known)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_a_page_imports_public_names_alone(block: Block) -> None:
    assert [] == list(not_public(block.text))


def test_there_are_such_blocks_and_an_import_of_something_else_is_noticed() -> None:
    assert len([block for block in BLOCKS if "from projection" in block.text]) > 3
    assert ["projection.engine.adoption.adopt"] == list(not_public("from projection.engine.adoption import adopt"))
    assert ["projection.Nothing"] == list(not_public("from projection import Nothing"))
    assert ["projection.engine"] == list(not_public("import projection.engine"))
