"""What a change of a program means to others: which changes break readers of its views, and which producers of its events."""

from __future__ import annotations

import json

import jsonschema_rs
import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schema_support import json_of

from projection.lang.check.checker import check
from projection.lang.compatibility import Side, changes, reasons
from projection.lang.schemas.json_schema import of_record
from projection.lang.source import Source
from projection.lang.values.codec import Codec


def program(event="", view="", more="", handler="on E as e to meta.aggregate_id => keep"):
    text = f"proj 1\nprojection p\nevent E {{ {event} }}\nview V {{ {view} }}\n{more}\n{handler}\n"
    return check(Source("p.proj", text))


def found(old, new):
    """All changes: who, whether it breaks them, and what."""
    return [
        (str(one.side), "breaks" if one.is_breaking else "fine", f"{one.path} {one.what}") for one in changes(old, new)
    ]


def of_field(old, new, side):
    """What becomes of a field `f`, in the view or in the event."""
    place = "view" if side is Side.READERS else "event"
    more = "type R { q: int }"
    (one,) = changes(program(**{place: old}, more=more), program(**{place: new}, more=more))
    return "breaks" if one.is_breaking else "fine", one.what


# --- types, as both sides see them -----------------------------------------------------------------------------------

TYPES = [  # of a field before and after; whether that breaks those who read views, those who publish events
    ("string(5)", "string(9)", "breaks", "fine"),
    ("string", "string(9)", "fine", "breaks"),
    ("bytes(5)", "bytes(9)", "breaks", "fine"),
    ("decimal(2)", "decimal(4)", "breaks", "fine"),
    ("decimal(2)", "decimal", "breaks", "fine"),
    ("decimal(2)", "decimal(0)", "fine", "breaks"),
    ("int", "decimal(2)", "breaks", "fine"),
    ("decimal(2)", "int", "fine", "breaks"),
    ("int", "string", "breaks", "breaks"),
    ("int", "json", "breaks", "fine"),
    ("json", "int", "breaks", "breaks"),
    ("enum(a, b)", "enum(a, b, c)", "breaks", "fine"),
    ("enum(a, b)", "enum(a)", "breaks", "breaks"),
    ("enum(a)", "enum(a, ...)", "breaks", "fine"),
    ("enum(a, ...)", "enum(a)", "breaks", "breaks"),
    ("enum(a, ...)", "enum(a, b, ...)", "fine", "fine"),
    ("enum(a, b)", "string", "breaks", "fine"),
    ("enum(a, bcd)", "string(2)", "breaks", "breaks"),
    ("string", "enum(a)", "breaks", "breaks"),
    ("string", "enum(a, ...)", "breaks", "fine"),
    ("timestamp", "date", "breaks", "fine"),
    ("date", "timestamp", "breaks", "breaks"),
    ("list<int>(2)", "list<int>(3)", "breaks", "fine"),
    ("list<int>", "list<int>(3)", "fine", "breaks"),
    ("list<int>", "set<int>", "breaks", "breaks"),
    ("set<int>(3)", "set<int>(2)", "fine", "breaks"),
    ("list<int>", "list<decimal(1)>", "breaks", "fine"),
    ("map<string, int>(3)", "map<string, int>(4)", "breaks", "fine"),
    ("map<string, int>", "map<date, int>", "breaks", "breaks"),
    ("map<string(3), int>", "map<string(2), int>", "fine", "breaks"),
    ("map<string, string(5)>", "map<string, string(6)>", "breaks", "fine"),
    ("R", "int", "breaks", "breaks"),
]


@pytest.mark.parametrize(("old", "new", "readers", "producers"), TYPES)
def test_a_field_of_another_type_breaks_who_meets_values_that_were_not_there(old, new, readers, producers):
    assert readers == of_field(f"f: {old}", f"f: {new}", Side.READERS)[0]
    assert producers == of_field(f"f: {old}", f"f: {new}", Side.PRODUCERS)[0]


def test_the_same_types_are_no_change():
    for each in {one for row in TYPES for one in row[:2]}:
        one = program(f"f: {each}", f"f: {each}", "type R { q: int }")
        assert ([], []) == (changes(one, one), reasons(one, one))


# --- readers ---------------------------------------------------------------------------------------------------------

VIEWS = [
    ("f: int, g: int", "f: int", "breaks", "is gone"),
    ("f: int", "f: int, g: int", "fine", "is new"),
    ("f: int", "f?: int", "breaks", "may be none now"),
    ("f?: int", "f: int = 0", "fine", "is never none now"),
    ("f: int", 'f: int from "g"', "breaks", 'is called "g" in JSON instead of "f"'),
    ("f: enum(a, b)", "f: enum(a, c)", "breaks", "may also be `c`"),
    ("f: string(5)", "f: string(9)", "breaks", "may have up to 9 code points instead of 5"),
]


@pytest.mark.parametrize(("old", "new", "breaks", "what"), VIEWS)
def test_readers_are_told_what_is_otherwise_about_a_view(old, new, breaks, what):
    assert ("readers", breaks) in {one[:2] for one in found(program(view=old), program(view=new))}
    assert what in {one.what for one in changes(program(view=old), program(view=new))}


def test_a_change_inside_a_type_is_told_once_with_the_path_where_it_is_met_first():
    old = program(view="a: list<R>, b: R, c: map<date, R>", more="type R { q: int }")
    new = program(view="a: list<R>, b: R, c: map<date, R>", more="type R { q?: int }")
    assert [("readers", "breaks", "view V.a[].q may be none now")] == found(old, new)


def test_a_default_and_an_index_break_nobody_and_only_the_default_makes_a_new_fold():
    old, new = program(view="f: int = 1"), program(view="f: int = 2")
    assert ([], ["view V"]) == (changes(old, new), reasons(old, new))
    indexed = program(view="f: int = 1", more="index by f desc")
    assert [("readers", "fine", "view V has an index by f desc")] == found(old, indexed)
    assert [("readers", "fine", "view V has no index by f desc any more: queries look at more views")] == found(
        indexed, old
    )
    assert [] == reasons(old, indexed)


# --- producers -------------------------------------------------------------------------------------------------------

EVENTS = [
    ("f: int", "f: int, g: int", "breaks", "is new and must be there"),
    ("f: int", "f: int, g?: int", "fine", "is new"),
    ("f: int", "f: int, g: int = 0", "fine", "is new"),
    ("f: int, g: string", "f: int", "fine", "is no longer read"),
    ("f: int", "g: int", "breaks", "is new and must be there"),
    ("f: int", "g: int = 0", "breaks", "is new, and what came as `f` is no longer read"),
    ("f: int", 'g: int from "f"', "", ""),
    ("f: int", 'g: int from "g" | "f"', "", ""),
    ("f: int", 'f: int from "g"', "breaks", "is no longer read from `f`"),
    ('f: int from "f" | "old"', "f: int", "breaks", "is no longer read from `old`"),
    ("f?: int", "f: int", "breaks", "must be there now"),
    ("f: int = 0", "f: int", "breaks", "must be there now"),
    ("f: int", "f?: int", "fine", "may be absent now"),
    ("f?: int", "f: int = 0", "", ""),
]


@pytest.mark.parametrize(("old", "new", "breaks", "what"), EVENTS)
def test_producers_are_told_what_is_otherwise_about_an_event(old, new, breaks, what):
    told = {one[1:] for one in found(program(event=old), program(event=new))}
    if not what:
        assert set() == told
    else:
        assert (breaks, what) in {(one, text.partition(" ")[2].partition(" ")[2]) for one, text in told}


def test_a_hint_writes_the_alias_that_takes_both_names():
    (renamed,) = [one for one in changes(program("f: int"), program("g: int")) if one.is_breaking]
    assert 'if it was `f`, write `from "g" | "f"`' == renamed.hint
    assert not [one for one in changes(program("f: int"), program('g: int from "g" | "f"')) if one.is_breaking]


WIRES = [
    ("event E {}", "event F {}", [("breaks", "event E is no longer taken"), ("fine", "event F is new")]),
    ("event E {}", 'event F from "E" {}', []),
    ("event E {}", 'event E from "F" {}', [("breaks", "event E is no longer taken as `E`")]),
    ('event E from "E" | "e.old" {}', "event E {}", [("breaks", "event E is no longer taken as `e.old`")]),
    ("event E {}", 'event E of "x" {}', [("breaks", "event E is only taken of aggregates of the type `x`")]),
    ('event E of "x" {}', "event E {}", []),
    ('event E of "x" {}', 'event E of "x" { f?: int }', [("fine", "event E.f is new")]),
]


@pytest.mark.parametrize(("old", "new", "expected"), WIRES)
def test_producers_are_told_which_events_are_no_longer_taken(old, new, expected):
    def of(declared):
        name = declared.split()[1]
        return check(
            Source("p", f"proj 1\nprojection p\n{declared}\nview V {{}}\non {name} to meta.aggregate_id => keep\n")
        )

    assert expected == sorted(one[1:] for one in found(of(old), of(new)))


def test_an_event_that_lost_its_handler_is_no_longer_taken_unless_by_all_others():
    both = "on E to meta.aggregate_id => keep\non F to meta.aggregate_id => keep"
    old = program(more="event F {}", handler=both)
    gone = program(more="event F {}", handler="on E to meta.aggregate_id => keep")
    rest = program(more="event F {}", handler="on E to meta.aggregate_id => keep\non * to meta.aggregate_id => keep")
    assert [("producers", "breaks", "event F is no longer taken")] == found(old, gone)
    assert [("producers", "breaks", "event F is no longer taken but by `on *`")] == found(old, rest)


# --- why there is a new fold -----------------------------------------------------------------------------------------


def test_the_reasons_of_a_new_fold_name_the_declarations_that_mean_something_else():
    fold = "fn twice(n: int) -> int = n * 2\nevent F {}"
    handler = "on E as e to meta.aggregate_id => { n: twice(e.f) }\non F to meta.aggregate_id => delete"
    old = program("f: int", "n: int", fold, handler)
    assert ["on E"] == reasons(old, program("f: int", "n: int", fold.replace("2", "3"), handler))
    assert [] == reasons(
        old, program("f: int", "n: int", fold.replace("twice", "two"), handler.replace("twice", "two"))
    )
    assert ["on F"] == reasons(old, program("f: int", "n: int", fold, handler.replace("delete", "keep")))
    assert ["event E"] == reasons(old, program("f: int, g: int", "n: int", fold, handler))
    assert ["on F is gone"] == reasons(old, program("f: int", "n: int", fold, handler.partition("\n")[0]))
    swapped = "\n".join(reversed(handler.split("\n")))
    assert ["the order of the handlers"] == reasons(old, program("f: int", "n: int", fold, swapped))


# --- what is said not to break anybody does not ----------------------------------------------------------------------

FAMILIES = [
    ("int", "decimal(0)", "decimal(2)", "decimal"),
    ("string(1)", "string(4)", "enum(a, b)", "enum(b, a, c)", "enum(a, ...)", "json"),
    ("list<int>(1)", "list<int>(3)", "list<decimal(1)>(2)", "set<int>(2)"),
    ("map<string(3), int>(1)", "map<string(4), decimal(1)>(2)", "map<enum(a, b), int>(2)"),
    ("date", "timestamp"),
    ("R", "list<R>(2)"),
]
NAMES = ("f", "g", "h")


@st.composite
def pairs_of_schemas(draw):
    """The fields and the types of a record before and after, of which most is alike."""
    families = [draw(st.sampled_from(FAMILIES)) for _ in NAMES]

    def then(before, others):
        return draw(st.sampled_from([before] * 4 + list(others)))

    def fields(names, types, markers):
        old, new = [], []
        for name, family in zip(names, types, strict=False):
            wires = ["", f' from "{name}" | "{name}2"', f' from "{name}2"']
            first = [draw(st.sampled_from(one)) for one in (markers, family, wires)]
            second = [then(one, others) for one, others in zip(first, (markers, family, wires), strict=True)]
            for made, (marker, type_, wire) in ((old, first), (new, second)):
                made.append(f"{name}{marker}: {type_}{wire}")
        return old, new

    inner = fields(("q", "r"), FAMILIES[:2], ("", "?"))
    outer = fields(NAMES, families, ("", "?"))
    counts = [draw(st.integers(1, 3)) for _ in range(2)]
    return [
        (", ".join(made[:count]), f"type R {{ {', '.join(types)} }}")
        for made, types, count in zip(outer, inner, counts, strict=True)
    ]


def payloads_of(checked):
    return json_of(checked.events["E"])


written = msgspec.json.Encoder(decimal_format="number").encode


def no_event_of_before_is_refused(pair, data):
    old, new = (program(event=fields, more=more) for fields, more in pair)
    assume(not [one for one in changes(old, new) if one.is_breaking])
    payload = written(data.draw(payloads_of(old)))
    Codec(old.events["E"]).decode(payload)
    Codec(new.events["E"]).decode(payload)


def every_view_of_now_fits_the_schema_of_before(pair, data):
    old, new = (program(event=fields, view=fields, more=more) for fields, more in pair)
    assume(not [one for one in changes(old, new) if one.is_breaking and one.side is Side.READERS])
    codec = Codec(new.events["E"])
    event = codec.decode(written(data.draw(payloads_of(new))))
    schema = json.dumps(of_record(old.view)).replace('"additionalProperties": false', '"additionalProperties": true')
    jsonschema_rs.validate(json.loads(schema), json.loads(codec.encode(event)))


PROMISES = [no_event_of_before_is_refused, every_view_of_now_fits_the_schema_of_before]


@pytest.mark.parametrize("promise", PROMISES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.filter_too_much])
@given(pair=pairs_of_schemas(), data=st.data())
def test_what_is_said_to_break_nobody_breaks_nobody(promise, pair, data):
    promise(pair, data)


@pytest.mark.long
@pytest.mark.parametrize("promise", PROMISES)
@settings(max_examples=1000, suppress_health_check=[HealthCheck.filter_too_much])
@given(pair=pairs_of_schemas(), data=st.data())
def test_what_is_said_to_break_nobody_breaks_nobody_in_many_schemas(promise, pair, data):
    promise(pair, data)
