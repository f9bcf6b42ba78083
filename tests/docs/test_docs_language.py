"""Every program in docs/language.md checks, every expression yields what stands behind its arrow, no form is missing."""

from __future__ import annotations

import re

import pytest
from docs_language import found, is_code, shown, value_of
from docs_pages import CHECKOUT, Block, blocks, section, table

from projection.bundled import bundled
from projection.lang import types
from projection.lang.check.expressions import KEYWORDS, SPECIAL
from projection.lang.library import BUILTINS, OPERATORS
from projection.lang.source import Source
from projection.lang.syntax import parser

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
def test_what_is_wrong_with_a_program_of_the_page_is_what_its_comments_say(block: Block) -> None:
    program = "\n".join([*(one.text for one in PROGRAMS[: PROGRAMS.index(block)] if not shown(one.text)), block.text])
    assert shown(program) == found(program)


@pytest.mark.parametrize("line", EXPRESSIONS)
def test_an_expression_of_the_page_yields_what_its_arrow_says(line: str) -> None:
    expression, arrow, expected = line.partition(" --> ")
    assert arrow
    expected = expected if is_code(expected) else value_of(expected, BASE)
    assert expected == value_of(expression, BASE)


def test_the_pages_table_of_meta_names_every_field_and_no_other() -> None:
    assert set(types.META.fields) == set(re.findall(r"`meta\.(\w+)`", section(PAGE, "## Handlers")))


_OVERLOADS = (*BUILTINS.values(), *OPERATORS.values())


def test_every_way_in_which_a_cost_grows_is_explained() -> None:
    shapes = {one.gas.name for overloads in _OVERLOADS for one in overloads if one.gas.is_sized}
    assert shapes == set(re.findall(r"(?<!\*)\*([a-z ]+)\*(?!\*)", section(PAGE, "## Gas and memory")))


def test_every_form_of_the_grammar_stands_in_an_example() -> None:
    grammar = bundled("grammar/projection.lark").read_text()
    forms = set(re.findall(r"^!?([a-z_]+):", grammar, re.MULTILINE)) | set(re.findall(r"-> ([a-z_]+)", grammar))
    forms -= {"entry", "update"}  # each way to write these has a name of its own
    head, lines = "proj 1\nprojection p\n", [parameter.values[0] for parameter in EXPRESSIONS]
    texts = [BASE, *(head + block.text for block in PROGRAMS[1:])]
    texts += [f"{head}fn f() -> int = {line.partition(' --> ')[0]}\n" for line in lines]
    sources = [Source("p.proj", text) for text in texts]
    trees = [parser.tree_of(source) for source in sources if not parser.parse(source)[1]]
    assert set() == forms - {node.data for tree in trees for node in tree.subtrees()}


@pytest.mark.parametrize("what", ["keyword", "operator", "builtin"])
def test_every_word_and_sign_of_the_language_stands_in_an_example_or_a_table(what: str) -> None:
    text = PAGE.read_text()
    names = {"keyword": {*KEYWORDS, *SPECIAL}, "operator": OPERATORS.keys(), "builtin": BUILTINS.keys()}[what]
    missing = {name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)}
    assert set() == missing - {"negative"}  # which is written `-`


def test_the_words_of_the_grammar_are_reserved() -> None:
    grammar = bundled("grammar/projection.lark").read_text()
    rules = re.sub(r"//.*", "", grammar)
    # These stand only where no name can.
    at_some_places = {"at", "stored_at", "subject", "headers", "was"}
    assert set(re.findall(r'"([a-z][a-z_]*)"', rules)) - at_some_places == set(KEYWORDS)


def test_a_price_without_a_size_is_a_number() -> None:
    prices = {row[-1] for name in ("builtins", "operators") for row in table(PAGE, name)}
    assert {"2", "40 + product"} <= prices
    assert [] == [one for one in prices if "constant" in one]
    unsized = [one for overloads in BUILTINS.values() for one in overloads if not one.gas.is_sized]
    assert {str(one.gas.constant) for one in unsized if not one.gas.per_operand} <= prices
