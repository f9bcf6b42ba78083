"""Every program in docs/language.md checks, and every expression yields what stands behind its arrow."""

from __future__ import annotations

import re

import pytest
from docs_language import codes, value_of
from docs_pages import CHECKOUT, Block, blocks, section

from projection.lang import types
from projection.lang.expressions import KEYWORDS

PAGE = CHECKOUT / "docs/language.md"
PROGRAMS = [block for block in blocks(PAGE) if block.kind == "proj"]
BASE = PROGRAMS[0].text  # what the page's parts and expressions may refer to
EXPRESSIONS = [
    pytest.param(line, id=f"{block.place}+{number}")
    for block in blocks(PAGE)
    if block.kind == "expr"
    for number, line in enumerate(block.text.splitlines(), 1)
]


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.place)
def test_a_program_of_the_page_has_no_errors(block: Block) -> None:
    assert set() == codes(BASE + block.text if "part" in block else block.text)


@pytest.mark.parametrize("line", EXPRESSIONS)
def test_an_expression_of_the_page_yields_what_its_arrow_says(line: str) -> None:
    expression, arrow, expected = line.partition(" --> ")
    assert arrow
    expected = expected if re.fullmatch(r"[A-Z]\d{3}", expected) else value_of(expected, BASE)
    assert expected == value_of(expression, BASE)


def test_the_pages_table_of_meta_names_every_field_and_no_other() -> None:
    assert set(types.META.fields) == set(re.findall(r"`meta\.(\w+)`", section(PAGE, "## Handlers")))


def test_every_word_of_the_language_stands_on_its_page() -> None:
    text = PAGE.read_text()
    assert set() == {word for word in KEYWORDS if not re.search(rf"\b{word}\b", text)}
