"""What people are shown of a program's text: nothing that a terminal obeys, carets below the place, no endless line."""

from __future__ import annotations

import sys
from unicodedata import east_asian_width

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.lang.printable import columns, printable, printable_lines
from projection.lang.reporting import Diagnostic
from projection.lang.source import Source, Span

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]), max_size=40)


@given(ANY_TEXT)
def test_printable_text_holds_nothing_that_a_terminal_obeys(text):
    assert printable(text).isprintable()
    assert printable_lines(text).replace("\n", "").replace("\t", "").isprintable()
    assert text.count("\n") == printable_lines(text).count("\n")


@pytest.mark.parametrize("one", ["\x1b", "\x07", "\x9b", "\u202e", "\u200b", "\ufeff", "\ud800", "\x7f", "\r"])
def test_what_is_escaped_can_be_told_by_its_escape(one):
    assert f"a{one!r}b".replace("'", "") == printable(f"a{one}b")


@given(st.text(max_size=60), st.data())
def test_the_marks_stand_below_the_place_whatever_the_line_holds(text, data):
    line = text.replace("\n", " ").rstrip("\r") or "x"  # at its end, that would be a part of the line break
    start = data.draw(st.integers(0, len(line) - 1))
    end = data.draw(st.integers(start + 1, len(line)))
    _, _, _, shown, marks = Diagnostic("X000", "m", Span(start, end)).render(Source("p", line)).split("\n")
    before, marked = (printable(part.replace("\t", " ")) for part in (line[:start], line[start:end]))
    assert f"1 | {before}{marked}" == shown[: 4 + len(before) + len(marked)]
    assert columns(f"1 | {before}") == len(marks) - len(marks.lstrip(" |"))
    assert max(1, columns(marked)) == marks.count("^")


def test_wide_characters_take_two_columns_and_accents_none():
    assert (4, 1, 3) == (columns("漢字"), columns("e\u0301"), columns("abc"))
    assert "W" == east_asian_width("漢")


@pytest.mark.parametrize("start", [0, 1, 30, 5_000, 63_990, 63_999])
def test_of_a_long_line_only_what_is_around_the_place_is_shown(start):
    line = "".join(chr(ord("a") + number % 26) for number in range(64_000))
    rendered = Diagnostic("X000", "m", Span(start, start + 3)).render(Source("p", line))
    shown, marks = rendered.split("\n")[3:]
    assert max(len(shown), len(marks)) < 200
    marked = shown[marks.index("^") : marks.rindex("^") + 1]
    assert line[start : start + 3] == marked


def test_related_places_and_help_are_escaped_too():
    source = Source("p\x1b[2J", "a\x07b\nc")
    diagnostic = Diagnostic("X000", "m\x1b", Span(4, 5), "l\x1b", "h\x1b", related=((Span(0, 3), "r\x1b"),))
    assert all(line.isprintable() for line in diagnostic.render(source).split("\n"))


def test_every_character_of_this_python_is_printable_or_escaped():
    escaped = [code for code in range(sys.maxunicode + 1) if not printable(chr(code)).isprintable()]
    assert [] == escaped
