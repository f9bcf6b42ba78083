"""The TextMate grammar: it colours every keyword of the language, and leaves no character of any program uncoloured.

A small tokenizer applies it as editors do: line by line, the earliest match first, of equally early ones the first.
"""

from __future__ import annotations

import json
import re
from functools import cache

import pytest

from projection.bundled import bundled

GRAMMAR = json.loads(bundled("grammar/projection.tmLanguage.json").read_text())
LARK = bundled("grammar/projection.lark").read_text()
PROGRAMS = sorted(bundled("projections").rglob("*.proj"))
PAGES = sorted((bundled("grammar").parent / "docs").glob("*.md"))


@cache
def pattern(text):
    return re.compile(text)


def rules(patterns):
    """The rules that these are, with what they include."""
    for one in patterns:
        if "include" in one:
            yield from rules(GRAMMAR["repository"][one["include"].removeprefix("#")]["patterns"])
        else:
            yield one


def tokens(text):
    """Each stretch of a text with the scopes that it has, the outermost first."""
    found = []
    stack = [{"patterns": GRAMMAR["patterns"], "name": None}]
    for line in text.split("\n"):
        at = 0
        while True:
            ending = stack[-1].get("end")
            candidates = [] if ending is None else [(pattern(ending).search(line, at), None)]
            for rule in rules(stack[-1]["patterns"]):
                candidates.append((pattern(rule.get("match") or rule["begin"]).search(line, at), rule))
            matches = [(match, rule) for match, rule in candidates if match is not None]
            scopes = [one["name"] for one in stack if one["name"]]
            if not matches:
                found.append((line[at:], scopes))
                break
            match, rule = min(matches, key=lambda one: one[0].start())
            found.append((line[at : match.start()], scopes))
            if rule is None:
                captures = stack.pop().get("endCaptures", {})
                found += captured(match, captures, scopes)
            elif "begin" in rule:
                stack.append(rule)
                found += captured(match, rule.get("beginCaptures", {}), [*scopes, rule["name"]])
            else:
                own = [*scopes, rule["name"]] if "name" in rule else scopes
                found += captured(match, rule.get("captures", {}), own)
            assert match.end() > at or rule is None, f"{rule} matches nothing in {line!r}"
            at = match.end()
            if at >= len(line) and len(stack) == 1:
                break
    assert len(stack) == 1, "a string or an interpolation does not end with its line"
    return [(piece, scopes) for piece, scopes in found if piece]


def captured(match, captures, scopes):
    """The pieces of a match: each group with its own scope."""
    at = match.start()
    for number, capture in sorted(captures.items()):
        start, end = match.span(int(number))
        if start >= 0:
            yield match.string[at:start], scopes
            yield match.string[start:end], [*scopes, capture["name"]]
            at = end
    yield match.string[at : match.end()], scopes


def scope_of(text, piece, nth=0):
    """The innermost scope of a piece of a text, without the name of the language."""
    found = [scopes[-1] for part, scopes in tokens(text) if part == piece and scopes]
    return found[nth].removesuffix(".projection")


def programs_in(page):
    return re.findall(r"^```proj[^\n]*\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def keywords():
    """Every word that the grammar of the language names."""
    rules_only = re.sub(r"//[^\n]*", "", LARK)
    return sorted(set(re.findall(r'"([a-z][a-z_]*)"', rules_only)))


SAMPLES = {  # where a word is a keyword
    "proj": "proj 1", "projection": "projection p", "event": "event E {}", "type": "type T = int", "view": "view V {}",
    "index": "index by n", "fn": "fn f() -> int = 1", "on": "on E to none => keep", "test": 'test "t" {}',
    "headers": 'event E {} headers { a: "b" };', "subject": 'event E {} subject "a";',
    "stored_at": 'event E {} stored_at "a";', "was": "event E {} was F => {}",
}  # fmt: skip


@pytest.mark.parametrize("word", keywords())
def test_every_keyword_of_the_language_is_coloured(word):
    scope = scope_of(SAMPLES.get(word, f"on E {word} e"), word)
    assert re.match(r"keyword|storage|constant\.language", scope), scope


def test_a_keyword_that_is_a_fields_name_is_none():
    for text in ("e.if", "e?.if", "{ if: 1 }", "event E { if?: int }"):
        assert scope_of(text, "if") == "variable.other.member"
    assert scope_of("[...view.xs]", "view") == "variable.language"


def test_comments_and_doc_comments():
    assert scope_of("a # b c", "# b c") == "comment.line.number-sign"
    assert scope_of("## b c", "## b c") == "comment.line.documentation"
    assert scope_of('"# no comment"', "# no comment") == "string.quoted.double"


def test_strings_with_escapes_and_interpolated_expressions():
    text = r'"a\n\q{e.n + 1} z" + b'
    assert scope_of(text, "a") == "string.quoted.double"
    assert scope_of(text, r"\n") == "constant.character.escape"
    assert scope_of(text, r"\q") == "invalid.illegal.escape"
    assert scope_of(text, "n") == "variable.other.member"
    assert scope_of(text, "1") == "constant.numeric.integer"
    assert scope_of(text, "+", 0) == "keyword.operator"
    assert scope_of(text, " z") == "string.quoted.double"
    assert scope_of(text, "b") == "variable.other"


def test_an_interpolation_that_is_not_closed_ends_with_its_string():
    assert scope_of('"a{b" + 1', "1") == "constant.numeric.integer"


def test_numbers():
    assert scope_of("x == 12", "12") == "constant.numeric.integer"
    assert scope_of("x == 1.50", "1.50") == "constant.numeric.decimal"
    assert scope_of("x == 30m", "30m") == "constant.numeric.duration"
    assert scope_of("x1", "x1") == "variable.other"


@pytest.mark.parametrize(
    "text", ["int", "string(8)", "decimal(2)", "enum(a, b)", "list<int>", "map<string, int>", "date", "Item", "json"]
)
def test_types(text):
    name = re.match(r"\w+", text)[0]
    assert re.match(r"support\.type|entity\.name\.type", scope_of(f"x: {text},", name))


def test_functions_are_told_from_variables():
    assert scope_of("fn settle(f: Fine) -> Fine = f", "settle") == "entity.name.function"
    assert scope_of("settle(view)", "settle") == "entity.name.function.call"
    assert scope_of("date(t, offset)", "date") == "entity.name.function.call"


def test_a_name_that_nobody_reads_is_told_from_others():
    assert scope_of("[v for _, v in m]", "_") == "variable.language"
    assert scope_of("max_rows", "max_rows") == "variable.other"


def all_programs():
    yield from ((path.parent.name + "." + path.stem, path.read_text()) for path in PROGRAMS)
    yield from ((f"{page.name}.{n}", text) for page in PAGES for n, text in enumerate(programs_in(page)))


@pytest.mark.parametrize(("name", "text"), [pytest.param(*one, id=one[0]) for one in all_programs()])
def test_of_every_program_every_character_has_a_scope(name, text):
    found = tokens(text)
    assert text.replace("\n", "") == "".join(piece for piece, _ in found)
    assert [] == [piece for piece, scopes in found if not scopes and piece.strip()]
    assert [] == [piece for piece, scopes in found if any(scope.startswith("invalid") for scope in scopes)]
