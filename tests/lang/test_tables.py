"""The parser reads, and refuses, exactly what Lark does with the same grammar; Lark is no part of an installation."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from language_generator import corpus, mutated, tokens_of
from lark import Lark, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from projection.bundled import bundled
from projection.lang.syntax import tables
from projection.lang.syntax.lalr import END, Node, Parser, Token, UnexpectedError

if TYPE_CHECKING:
    from projection.lang.syntax.lalr import Part

GRAMMAR = bundled("grammar/projection.lark").read_text(encoding="utf-8")
CHANGED = 300  # texts of the property test
# What decides between terminals: which of them may stand there, and which is the longest.
EXPRESSIONS = [
    "1 .2", "1.2.3", "12ms", "12msx", "1d2", "x?.y", "x??y", "x?[1]", "a<=b", "a<b>c", "in", "x in y", "not x", "x not in y",
    "notx", "x notin y", "_", "_x", "a.desc", "a.view", "view.on", '"a" "b"', '"open', "'", "a#b\n+c", "# only", "", "\u00e9",
    "x!", "x!=y", "x!!", "- -1", "-1.0", "...x", "[...x]", "{a:1,}", "f(desc)", "f(x by y desc)", "let x = 1; drop",
    "for", "match x { 1 | _ if y => 2 }", "a ? b : c", "1e3", "x with { drop a, b += 1 }", "(((1)))", "((1)",
]  # fmt: skip


@pytest.fixture(scope="module")
def parser() -> Parser:
    loaded = tables.load(GRAMMAR, tables.dump(GRAMMAR))
    assert loaded is not None
    return Parser(loaded)


@pytest.fixture(scope="module")
def lark() -> Lark:
    return Lark(
        GRAMMAR,
        parser="lalr",
        lexer="contextual",
        start=tables.STARTS,
        propagate_positions=True,
        maybe_placeholders=False,
    )


def ours(parser: Parser, text: str, start: str) -> Any:
    try:
        return _plain(parser.parse(text, start))
    except UnexpectedError as error:
        token = error.token
        if token is None:
            return ("character", error.at, error.accepted)
        return ("token", token.type, None if token.type == END else (error.at, str(token)), error.accepted)


def _plain(part: Part) -> Any:
    if isinstance(part, Token):
        return (part.type, str(part), part.start)
    assert isinstance(part, Node)
    return (part.data, part.start, part.end, [_plain(child) for child in part.children])


def larks(lark: Lark, text: str, start: str) -> Any:
    try:
        return _plain_of_lark(lark.parse(text, start=start))
    except UnexpectedToken as error:
        token = error.token
        place = None if token.type == END else (token.start_pos, str(token))
        return ("token", token.type, place, set(error.accepts or error.expected))
    except UnexpectedCharacters as error:
        return ("character", error.pos_in_stream, set(error.allowed or ()))
    except UnexpectedInput as error:  # pragma: no cover - there is no third
        raise AssertionError(text) from error


def _plain_of_lark(part: Any) -> Any:
    if isinstance(part, Tree):
        return (str(part.data), part.meta.start_pos, part.meta.end_pos, [_plain_of_lark(one) for one in part.children])
    return (part.type, str(part), part.start_pos)


def assert_equal(parser: Parser, lark: Lark, text: str, start: str) -> None:
    assert larks(lark, text, start) == ours(parser, text, start), f"{start}: {text!r}"


def test_every_known_program_is_read_as_lark_reads_it(parser: Parser, lark: Lark) -> None:
    for text in corpus():
        assert_equal(parser, lark, text, "program")


def test_spoilt_programs_are_refused_at_the_same_place_for_the_same_reason(parser: Parser, lark: Lark) -> None:
    random, texts = Random(12), corpus()
    pool = tokens_of(texts)
    for _ in range(CHANGED):
        text = mutated(random, random.choice(texts), pool)
        assert_equal(parser, lark, text, random.choice(tables.STARTS))
        cut = text[: random.randrange(len(text) + 1)]
        assert_equal(parser, lark, cut, "program")


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_what_terminals_share_is_read_by_what_may_stand_there(parser: Parser, lark: Lark, text: str) -> None:
    for start in tables.STARTS:
        assert_equal(parser, lark, text, start)


def test_tables_of_another_grammar_are_not_used() -> None:
    assert tables.load(f"{GRAMMAR}\n// changed", tables.dump(GRAMMAR)) is None


def test_a_terminal_that_the_lexer_could_confuse_is_refused_when_tables_are_built() -> None:
    with pytest.raises(ValueError, match="COMPARE"):
        tables.build(GRAMMAR.replace('COMPARE: "==" |', 'COMPARE: "===" | "==" |'))
