"""What a program reads of messages follows from what it means, and from nothing else."""

from __future__ import annotations

import pytest
from language_support import diagnostics_of

from projection.lang.check.checker import check
from projection.lang.message_parts import MessageParts
from projection.lang.source import Source

HEAD = """\
proj 1
projection p
event E { id: string, subject: string = "", stored_at?: timestamp, headers: map<string, string>(3) = {} }
view V { x: string(2000) = "", at?: timestamp }
"""


def parts_of(body: str) -> MessageParts:
    return check(Source("p.proj", f"{HEAD}{body}\n")).message_parts


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("on E as e to e.id => { x: e.subject, at: e.stored_at }", MessageParts()),
        ('on E as e to e.id => { x: e.headers["a"] ?? "" }', MessageParts()),
        ('on E as e to e.id => { x: if 1 > 2 then meta.subject else "" }', MessageParts()),
        ('on E as e to e.id => { x: if 1 > 2 then meta.headers["a"]! else "" }', MessageParts()),
        ("on E as e to meta.subject => { x: e.id }", MessageParts(subject=True)),
        ('on E as e to meta.headers["b"] => { x: meta.headers["a"] ?? "" }', MessageParts(headers=("a", "b"))),
        ('on E as e for x in [meta.headers["c"] ?? ""] to x => keep', MessageParts(headers=("c",))),
        ("on E as e to e.id => let m = meta; { at: m.stored_at }", MessageParts(stored_at=True)),
        ('on E as e to e.id => let m = meta; { x: m.headers["a"] ?? m.subject }', MessageParts(("a",), subject=True)),
        ('on E as e to e.id => { x: if meta == meta then e.id else "" }', MessageParts()),
    ],
)
def test_what_is_read_is_what_the_core_reads(body: str, expected: MessageParts) -> None:
    assert expected == parts_of(body)


def test_a_program_says_how_it_names_what_others_do_not_keep() -> None:
    parts = MessageParts(("a", "b"), subject=True, stored_at=True)
    assert ('meta.headers["b"]', "meta.stored_at") == parts.lacking({"a", "c"}, stored_at=False)
    assert () == parts.lacking({"a", "b"}, stored_at=True)


def test_headers_are_no_value_that_can_be_handed_on() -> None:
    for body in (
        "let h = meta.headers; keep",
        "{ x: text(length(meta.headers)) }",
        '{ x: join(keys(meta.headers), "") }',
    ):
        codes = [one.code for one in diagnostics_of(f"{HEAD}on E as e to e.id => {body}\n")]
        assert "T327" in codes or "P101" in codes or "N211" in codes, body
