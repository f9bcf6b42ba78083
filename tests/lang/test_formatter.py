"""The formatter: one layout for a program, which means the same, keeps every comment, and stays as it is."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language_support import all_cases

from projection.bundled import bundled
from projection.lang.check.checker import check
from projection.lang.reporting import ProgramInvalidError
from projection.lang.source import Source
from projection.lang.syntax import layout, parser
from projection.lang.syntax.formatter import MeaningChangedError, formatted

EXAMPLES = sorted(bundled("projections").rglob("*.proj"))
_PIECES = re.compile(
    r'"(?:[^"\\\n]|\\.)*"|#[^\n]*|[ \t\r\n]+|[0-9]+(?:\.[0-9]+)?[A-Za-z]*|\w+|\.\.\.|\?[?.[]|[^\s\w]=|[^\s\w]>?'
)


HEAD = "proj 1\nprojection p\n"


def lay_out(text):
    return formatted(Source("p.proj", text))


def batched(texts, size):
    rest = list(texts)
    return [rest[at : at + size] for at in range(0, len(rest), size)]


def _readable(text):
    return not parser.parse(Source("p.proj", text))[1]


CASES = [case.text for case in all_cases()]
WHOLE = [text for text in CASES if re.search("^proj", text, re.MULTILINE)]
EXPRESSIONS = [f"fn value() -> int = {text}\n" for text in CASES if text not in WHOLE]
SEVERAL = ["".join(some) for some in batched((one for one in EXPRESSIONS if _readable(HEAD + one)), 30)]
PROGRAMS = [
    *(path.read_text() for path in EXAMPLES),
    *(text for text in WHOLE if _readable(text)),
    *(HEAD + text for text in SEVERAL),
]


def pieces(text):
    """The tokens of a program, and its comments; trailing commas, which are layout, are left out."""
    found = [one for one in _PIECES.findall(text.replace("\r", "")) if not one.isspace()]
    tokens = [one for one in found if not one.startswith("#")]
    kept = [one for one, other in zip(tokens, [*tokens[1:], ""], strict=True) if (one, other[:1]) not in _TRAILING]
    return kept, [one.rstrip() for one in found if one.startswith("#")]


_TRAILING = {(",", closing) for closing in ")]}"}


@st.composite
def layouts(draw, comments=True):
    """A program with other spaces, ends of lines and comments between its tokens."""
    tokens, _ = pieces(draw(st.sampled_from(PROGRAMS)))
    spaces = [" ", " ", "  ", "\n", "\r\n", "\n\n\n", "\t\n "]
    spaces += ["# a\n", "\n#b\n", "\n\n## c\n\n", " # d \n# e\n"] if comments else []
    gaps = draw(st.lists(st.sampled_from(spaces), min_size=len(tokens), max_size=len(tokens)))
    return "".join(part for pair in zip(tokens, gaps, strict=True) for part in pair)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name + "." + path.stem)
def test_the_example_programs_are_laid_out(path):
    assert path.read_text() == lay_out(path.read_text())


@pytest.mark.parametrize("text", PROGRAMS)
def test_what_is_laid_out_has_the_same_tokens_and_comments_and_stays_as_it_is(text):
    result = lay_out(text)
    assert pieces(text) == pieces(result)
    assert result == lay_out(result)
    assert _digest(text) == _digest(result)


@settings(max_examples=120)
@given(layouts())
def test_any_layout_keeps_its_tokens_and_comments_and_ends_in_one_that_stays(text):
    result = lay_out(text)
    assert pieces(text) == pieces(result)
    assert result == lay_out(result)
    assert not re.search(r"[ \t\r]\n|\n\n\n|\n\n\Z|\A\n", result)


@settings(max_examples=60)
@given(layouts(comments=False))
def test_the_layout_depends_on_the_tokens_and_on_empty_lines_only(text):
    without_gaps = re.sub(r"\s*\n\s*", "\n", text)
    assert lay_out(without_gaps) == lay_out(" ".join(pieces(text)[0]))


def _digest(text):
    try:
        return check(Source("p.proj", text)).digest
    except ProgramInvalidError as error:
        return [one.code for one in error.diagnostics]


def body(text):
    """How the expression of a function is laid out."""
    return lay_out(f"proj 1\nprojection p\n{text}\n").partition("projection p\n")[2]


LONG = ", ".join(f"some_long_name_{number}" for number in range(8))


def test_a_bracket_that_does_not_fit_has_one_item_a_line_and_a_comma_behind_the_last():
    items = "".join(f"    {name},\n" for name in LONG.split(", "))
    assert f"fn f() -> int =\n  g(\n{items}  )\n" == body(f"fn f() -> int = g({LONG})")


def test_a_comma_behind_the_last_item_keeps_the_bracket_broken():
    assert "view V {\n  n: int,\n}\n" == body("view V { n: int, }")
    assert "view V { n: int }\n" == body("view V {\n  n: int\n}")


def test_an_open_enum_and_a_comprehension_take_no_comma():
    members = ", ".join(f"member_number_{number}" for number in range(9))
    assert body(f"type T = enum({members}, ...)").endswith("\n  ...\n)\n")
    long = "a_rather_long_name.with_a_field_of_it.and_another"
    assert body(f"fn f() -> int = [{long} for x in {long} if {long}]") == (
        f"fn f() -> int = [\n  {long}\n  for x in {long}\n  if {long}\n]\n"
    )


def test_a_body_stands_on_its_own_line_unless_the_whole_is_short():
    assert "on E as e to e.id => delete\n" == body("on E as e\nto e.id =>\ndelete")
    short = "fn f() -> int = " + "a" * (80 - 16)
    assert short + "\n" == body(short)
    assert short.replace("= ", "=\n  ") + "a\n" == body(short + "a")


def test_a_body_in_brackets_that_must_break_opens_beside_its_head():
    fields = "some_long_name: e.some_long_name, another_long_name: e.another_long_name"
    assert f"on E as e to e.id =>\n  {{ {fields} }}\n" == body(f"on E as e to e.id => {{ {fields} }}")
    broken = "".join(f"  {field},\n" for field in fields.split(", "))
    assert f"on E as e to e.id => {{\n{broken}}}\n" == body(f"on E as e to e.id => {{ {fields}, }}")


def test_parentheses_that_only_group_take_no_comma():
    a, b = "a" * 70, "b" * 70
    assert f"fn f() -> int =\n  g(\n    (\n      {a}\n        + {b}\n    ),\n  )\n" == body(
        f"fn f() -> int = g(({a} + {b}))"
    )
    assert f"fn f() -> int =\n  (\n    {a}\n      + {b}\n  )\n" == body(f"fn f() -> int = ({a} + {b})")
    assert f"fn f() -> int = [\n  (\n    {a}\n      + {b}\n  ),\n]\n" == body(f"fn f() -> int = [({a} + {b})]")


def test_let_if_and_operators_break_where_they_are_read():
    assert "fn f() -> int =\n  let a = 1;\n  a\n" == body("fn f() -> int = let a = 1; a")
    a, b = "a" * 70, "b" * 70
    assert f"fn f() -> int =\n  {a}\n    + {b}\n    - c\n" == body(f"fn f() -> int = {a}+{b}-c")
    assert f"fn f() -> int =\n  if {a} then 1\n  else if {b} then 2\n  else 3\n" == body(
        f"fn f() -> int = if {a} then 1 else if {b} then 2 else 3"
    )


def test_arms_stand_below_each_other():
    assert "on E as e to e.id\n  when e.a => keep\n  else => delete\n" == body(
        "on E as e to e.id when e.a => keep else => delete"
    )


def test_a_comment_stays_with_its_token():
    text = "event E {  # fields\n  # the first\n  a: int,  # one\n\n  # the second\n  b: int,  # two\n  # no more\n}\n# end\n"
    assert text == body(text)


def test_a_comment_breaks_no_more_than_it_must():
    text = "# above\non E as e to e.id => delete  # behind\n"
    assert text == body(text)


def test_of_empty_lines_one_is_kept_and_none_behind_a_bracket():
    assert "event E {\n  a: int,\n\n  b: int,\n}\n\nevent F {}\n" == body(
        "event E {\n\n\n a: int,\n\n\n b: int,\n\n}\n\n\n\nevent F {}\n\n"
    )


def test_what_cannot_be_read_is_not_laid_out():
    with pytest.raises(ProgramInvalidError, match="cannot stand"):
        lay_out("proj 1\nprojection p\nevent {}\n")
    with pytest.raises(ProgramInvalidError, match="cannot stand"):
        lay_out("event E {}\n")
    with pytest.raises(ProgramInvalidError, match="is not part of the language"):
        lay_out("proj 1\nprojection p\nevent E { § }\n")


@pytest.mark.parametrize("others", [0, 60])
def test_brackets_as_deep_as_they_may_be_are_laid_out_and_deeper_ones_are_told(others):
    deepest = f"{'abs(' * others}{'(' * (parser.MAX_BRACKETS - others)}1{')' * parser.MAX_BRACKETS}"
    assert _readable(f"{HEAD}fn f() -> int = {deepest}\n")
    assert "1" in body(f"fn f() -> int = {deepest}")
    for beyond in (f"({deepest})", f"{'(' * 10_000}1{')' * 10_000}"):
        assert not _readable(f"{HEAD}fn f() -> int = {beyond}\n")
        with pytest.raises(ProgramInvalidError, match=f"nested more than {parser.MAX_BRACKETS} levels"):
            body(f"fn f() -> int = {beyond}")


def test_what_is_commented_out_at_the_end_of_a_declaration_stays_there():
    declarations = """\
event E { id: string, n: int }
view V { n: int = 0 }
on E as e to e.id
  when e.n == 1 => keep
  else => { n: 1 }
  # when e.n == 2 => delete

  # else => keep

# of the next one
on E as e to "x" => { n: 1 }
  # the end of the last
# the end of the file
"""
    assert HEAD + "\n" + declarations == lay_out(f"{HEAD}\n{declarations}")


def test_a_program_that_would_become_too_large_is_not_laid_out():
    fields = ",".join(f"f{number}:int" for number in range(5_400))
    assert len(fields) < parser.MAX_SOURCE_BYTES - 1_000
    with pytest.raises(ProgramInvalidError, match="larger than"):
        lay_out(f"proj 1\nprojection p\nview V{{{fields}}}\n")


def test_a_layout_that_would_mean_something_else_is_refused(monkeypatch):
    monkeypatch.setattr("projection.lang.syntax.formatter.render", lambda doc: layout.render(doc).replace("1", "2"))
    with pytest.raises(MeaningChangedError):
        lay_out("proj 1\nprojection p\n")
    monkeypatch.setattr("projection.lang.syntax.formatter.render", lambda doc: layout.render(doc).replace("# a", ""))
    with pytest.raises(MeaningChangedError):
        lay_out("proj 1 # a\nprojection p\n")


def test_every_form_of_the_grammar_is_among_the_programs_that_are_laid_out():
    grammar = bundled("grammar/projection.lark").read_text()
    forms = set(re.findall(r"^!?([a-z_]+):", grammar, re.MULTILINE)) | set(re.findall(r"-> ([a-z_]+)", grammar))
    forms -= {"entry", "update"}  # each way to write these has a name of its own
    trees = (parser.tree_of(Source("p.proj", text)) for text in PROGRAMS)
    assert forms == {node.data for tree in trees for node in tree.subtrees()}


def test_a_test_has_one_statement_a_line():
    text = 'test "t" { event E { id: "a", "b": [1, -2] } at "2000-01-01T00:00:00Z";expect view("a").n == 14d; # x\n}'
    assert body(text) == (
        'test "t" {\n  event E { id: "a", "b": [1, -2] } at "2000-01-01T00:00:00Z";\n'
        '  expect view("a").n == 14d;  # x\n}\n'
    )


def test_sorts_and_folds_are_spaced_as_the_language_is_written():
    text = "fn f() -> int = fold(n = 0 for x in [r by r.score desc, r.x for r in rows] => n + x)\n"
    assert text.replace("= fold", "=\n  fold") == body(text.replace(" = 0", "=0").replace("by", "\nby"))


def test_what_may_be_none_is_followed_without_a_space():
    assert "fn f() -> int = a.b?[k]?.c![0] ?? -1\n" == body("fn f() -> int = a . b ?[ k ] ?. c ! [ 0 ]??- 1")
