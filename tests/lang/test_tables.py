"""The parser's tables: what was made when the package was built reads programs as what is made of the grammar now."""

from __future__ import annotations

import json

import pytest

from projection.bundled import bundled
from projection.lang.syntax import tables

GRAMMAR = bundled("grammar/projection.lark").read_text(encoding="utf-8")
PROGRAMS = sorted(bundled("projections").rglob("*.proj"))


@pytest.fixture(scope="module")
def dumped():
    return tables.dump(GRAMMAR)


def test_a_parser_from_tables_reads_what_one_from_the_grammar_reads(dumped):
    loaded, built = tables.load(GRAMMAR, dumped), tables.build(GRAMMAR)
    assert PROGRAMS
    for path in PROGRAMS:
        text = path.read_text(encoding="utf-8")
        assert built.parse(text, start="program") == loaded.parse(text, start="program")


def test_tables_of_another_grammar_are_not_used(dumped):
    assert tables.load(f"{GRAMMAR}\n// changed", dumped) is None


def test_tables_of_another_version_of_lark_are_not_used(dumped):
    made = json.loads(dumped)
    assert tables.load(GRAMMAR, json.dumps({**made, "of": made["of"].replace("lark ", "lark 0.")})) is None
