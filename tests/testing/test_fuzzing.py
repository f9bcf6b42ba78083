"""The search for what events can do to a program: each fault is found in a program that has it, and in no other."""

from __future__ import annotations

from random import randrange

import pytest
from author_support import CHECKOUT, write

from projection.lang.cost.bounds import bounds_of
from projection.lang.program import Limits, Program
from projection.lang.source import Source, Span
from projection.testing.folding import Projection
from projection.testing.fuzz import observing
from projection.testing.fuzz.findings import finding_of, finding_of_growth
from projection.testing.fuzz.fuzzing import fuzz
from projection.testing.fuzz.growth import growth
from projection.testing.fuzz.observing import Kind, Sign, Subject
from projection.testing.fuzz.searching import Found, Search, fewest
from projection.testing.strategies import events

EXAMPLES = sorted((CHECKOUT / "projections").glob("*/manifest.yaml"))
HEAD = "proj 1\nprojection p\n"
LATEST = """
event Set { id: int, to: string(20), by: enum(a, b) = "a" }
view Latest { to: string(20), by: enum(a, b), on: date }
on Set as e to "{e.id}" => { to: e.to, by: e.by, on: meta.date }
"""
TALLY = """
event Opened { id: int }
event Counted { id: int, by: int }
view Tally { count: int = 0 }
on Opened as e creates "{e.id}" => {}
on Counted as e updates "{e.id}" => view with { count: if e.by < 0 then 0 else 7 }
"""


@pytest.fixture
def search(tmp_path):
    """Searches a program, of which the head is given; the seed is printed where the test fails."""

    def searched(text, *, budget=200, seed=1, **limits):
        print("seed", seed)
        write(tmp_path, {"p.proj": HEAD + text})
        (tmp_path / "m.yaml").write_text(f"manifest: 1\nviews:\n  p: {{program: p.proj, limits: {limits}}}\n")
        projection = Projection.load(tmp_path / "m.yaml")
        return fuzz(projection, projection.deployed[0], seed=seed, budget=budget)

    return searched


def subject_of(tmp_path, text):
    projection = Projection.load(write(tmp_path, {"p.proj": HEAD + text}) / "p.proj")
    return Subject(projection, projection.deployed[0]), projection


def observed(tmp_path, text, *given, limits=None):
    """The signs of these events: what, which code or ledger, and at which line."""
    subject, _ = subject_of(tmp_path, text)
    if limits is not None:
        subject.program = Program(subject.program.checked, limits)
    at = subject.program.checked.source.position
    found = subject.observe(given, commits=True)
    return [(one.sign.kind, one.sign.what, at(one.span.start)[0]) for one in found if one.sign.kind is not Kind.CHANGES]


def grown(tmp_path, text, *given):
    """How the view grows that the last of these events changes."""
    subject, _ = subject_of(tmp_path, text)
    return growth(subject, Found(subject.observe(given)[-1], given))


def event(kind, **data):
    return {"type": kind, "data": data}


def faults(report):
    return [one for one in report.findings if one.is_fault]


def titles(report):
    return [one.title for one in report.findings]


def named(report, part):
    """The one finding whose title holds this."""
    (found,) = (one for one in report.findings if part in one.title)
    return found


def payloads(finding):
    return [(event["type"], event["data"]) for event in finding.events]


# --- nothing to find -------------------------------------------------------------------------------------------------


def test_a_program_that_takes_whatever_comes_has_no_finding(search):
    report = search(LATEST)
    assert [] == titles(report)
    assert report.counts.events >= 200
    assert [] == report.unreached


@pytest.mark.long
@pytest.mark.parametrize("manifest", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_examples_have_no_fault(manifest):
    seed = randrange(10**6)
    print("seed", seed)
    for deployed in (projection := Projection.load(manifest)).deployed:
        assert [] == faults(fuzz(projection, deployed, seed=seed, budget=1_000))


def test_the_same_seed_finds_the_same_and_another_looks_at_other_events(search):
    assert search(TALLY, budget=60) == search(TALLY, budget=60)
    assert search(LATEST, seed=3).counts != search(LATEST, seed=4).counts


# --- failures --------------------------------------------------------------------------------------------------------


def test_a_failure_is_a_fault_with_its_code_its_place_and_the_fewest_events(search):
    text = TALLY.replace("else 7", "else div(7, e.by - e.by)")
    report = search(text)
    (fault,) = faults(report)
    assert "R703: division by zero" == fault.title
    assert fault.place.endswith(f"p.proj:8:{text.splitlines()[-1].index('div(') + 1}")
    assert [("Opened", 1), ("Counted", 1)] == [(kind, data["id"]) for kind, data in payloads(fault)]
    assert 0 <= payloads(fault)[1][1]["by"] < 10


def test_what_an_event_declares_and_the_view_does_not_hold_is_a_fault(search):
    (fault,) = faults(search(LATEST.replace("Latest { to: string(20)", "Latest { to: string(9)")))
    assert fault.title.startswith("R711: a string of 20 does not fit its declared bound of 9")
    assert ["x" * 20] == [data["to"] for _, data in payloads(fault)]


def test_what_the_program_compares_with_is_tried(search):
    text = LATEST.replace("to: e.to", 'to: if e.to == "crash it" then parse_utf8(parse_hex("ff")!)! else e.to')
    (fault,) = faults(search(text))
    assert fault.title.startswith("R704")
    assert ["crash it"] == [data["to"] for _, data in payloads(fault)]


def test_absent_fields_and_further_names_are_tried(search):
    text = 'event Set { id: int, to?: string(9) from "to" | "target" }\nview Latest { to: string(9) }\n'
    (fault,) = faults(search(text + 'on Set as e to "{e.id}" => { to: e.to! }\n'))
    assert fault.title.startswith("R704: `e.to` is none")


SQUARES = LATEST.replace("by: enum(a, b) =", "ns: list<int>(30), by: enum(a, b) =").replace(
    "to: e.to,", 'to: if sum(n * n for n in e.ns) < 0 then "-" else e.to,'
)


def test_gas_near_its_limit_is_remarkable_and_beyond_it_the_event_fails(tmp_path):
    many = event("Set", id=1, to="x", ns=[1] * 30)
    (bound,) = bounds_of(subject_of(tmp_path, SQUARES)[0].program.checked, Limits())
    most = bound.body.gas.most
    assert [] == observed(tmp_path, SQUARES, many, limits=Limits(gas=2 * most))
    assert [(Kind.NEAR, "gas", 6)] == observed(tmp_path, SQUARES, many, limits=Limits(gas=most + 20))
    assert [(Kind.FAILS, "O901", 6)] == observed(tmp_path, SQUARES, many, limits=Limits(gas=most - 20))


def test_ids_that_are_empty_or_too_long_are_the_same_wherever_they_are_made(tmp_path):
    text = (
        "event A { id: string }\nview V { n: int = 0 }\non A as e to e.id => { n: 1 }\non A as e to e.id + e.id => {}\n"
    )
    assert [(Kind.FAILS, "R707", 5)] == observed(tmp_path, text, event("A", id=""))
    assert [(Kind.FAILS, "R708", 5), (Kind.FAILS, "R708", 6)] == observed(tmp_path, text, event("A", id="x" * 600))
    subject, _ = subject_of(tmp_path, text)
    assert 1 == len({one.sign for one in subject.observe([event("A", id="x" * 600)])})


@pytest.mark.long
def test_what_only_the_ends_of_types_do_is_a_note(search):
    report = search(TALLY.replace("if e.by < 0 then 0 else 7", "e.by + e.by"), budget=900)
    assert [] == faults(report)
    assert "at the ends of their types: R701" in named(report, "R701").title
    assert abs(payloads(named(report, "R701"))[-1][1]["by"]) > 10**18


def test_what_the_author_refuses_is_counted_and_told_where_it_is_asked_for(search, tmp_path):
    text = TALLY.replace("else 7", 'else fail("FULL", "no more")')
    report = search(text)
    assert [] == [title for title in titles(report) if "R710" in title]
    assert report.counts.failures["R710"] > 5
    projection = Projection.load(tmp_path / "m.yaml")
    told = fuzz(projection, projection.deployed[0], seed=1, budget=100, on_purpose=True)
    assert "R710: FULL: no more" == named(told, "R710").title
    assert not named(told, "R710").is_fault


def test_a_failure_at_the_ends_of_types_is_no_fault_and_near_them_it_is(tmp_path):
    text = TALLY.replace("if e.by < 0 then 0 else 7", "e.by + e.by")
    subject, _ = subject_of(tmp_path, text)
    most = 2**63 - 1
    failed = subject.observe([event("Opened", id=1), event("Counted", id=1, by=most)])[-1]
    near, far = (
        finding_of(Found(failed, []), subject.program.checked.source, {}, at_ends=ends) for ends in (False, True)
    )
    assert (True, "R701: the result does not fit 64 bits") == (near.is_fault, near.title)
    assert (False, f"only with values at the ends of their types: {near.title}") == (far.is_fault, far.title)


def test_views_that_are_missing_in_another_order_are_one_note_with_a_way_out(search):
    report = search(TALLY + 'on Opened as e updates "{e.id + 100}" => keep\n')
    missing, there = named(report, "R705"), named(report, "R706")
    assert "the handlers in lines 8, 9" in missing.title
    assert "`when view == none => …`" in missing.hint
    assert ["Opened", "Opened"] == [kind for kind, _ in payloads(there)]
    assert "`when view != none => …`" in there.hint
    assert [] == faults(report)


# --- second deliveries -----------------------------------------------------------------------------------------------


def test_a_handler_that_counts_is_not_idempotent_and_one_that_sets_is(tmp_path):
    text = TALLY + 'on Opened as e to "all" => { count: (view?.count ?? 0) + 1 }\n'
    opened, counted = event("Opened", id=1), event("Counted", id=1, by=1)
    assert [(Kind.TWICE, "", 9)] == observed(tmp_path, text, opened, counted)


# --- growth ----------------------------------------------------------------------------------------------------------

LOG = """
event Said {{ id: int, what: string(20) }}
type Line {{ what: string(20) }}
type Inner {{ lines: list<string(20)> = [] }}
view Log {{ {field} }}
on Said as e to "{{e.id}}" => {{ {change} }}
"""
SAID = event("Said", id=1, what="a")
LINES = "lines: [...(view?.lines ?? []), { what: e.what }]"
GROWS = [
    ("lines: list<Line>", LINES, "lines", 13),
    ("seen: set<string(20)>", "seen: add(view?.seen ?? set([]), e.what)", "seen", 8),
    ("days: map<date, int>", "days: {...(view?.days ?? {}), [meta.date]: 1}", "days", 15),
    ("all: string", 'all: (view?.all ?? "") + e.what', "all", 1),
    ("inner: Inner = {}", "inner: { lines: [...(view?.inner?.lines ?? []), e.what] }", "inner.lines", 4),
]


@pytest.mark.parametrize(("field", "change", "path", "rate"), GROWS, ids=[path for _, _, path, _ in GROWS])
def test_a_field_that_grows_with_each_event_is_named_with_its_path(tmp_path, field, change, path, rate):
    found = grown(tmp_path, LOG.format(field=field, change=change), SAID)
    assert (path, rate, None) == (found.field, found.bytes_an_event, found.met)


def test_a_bound_that_enough_events_meet_is_told_with_their_number(tmp_path):
    found = grown(tmp_path, LOG.format(field="lines: list<Line>(70)", change=LINES), SAID)
    assert ("lines", "list<Line>(70)", "R711", 71) == (found.field, found.type, found.met.sign.what, found.number)
    assert 71 == len(found.events)
    words = finding_of_growth(found, Span(0, 1), Source("p", "x"))
    assert words.title.startswith(
        "`lines: list<Line>(70)` grows by some 13 bytes with each event, until R711 at the event"
    )
    assert "  … and 67 more like the last" in list(words.lines())


@pytest.mark.parametrize(
    "change", ["lines: take_last([...(view?.lines ?? []), { what: e.what }], 5)", "lines: [{ what: e.what }]"]
)
def test_what_keeps_the_last_few_does_not_grow(tmp_path, change):
    assert grown(tmp_path, LOG.format(field="lines: list<Line>(5)", change=change), SAID) is None


def test_a_view_that_a_few_events_fill_up_is_told_once(search):
    report = search(LOG.format(field="lines: list<Line>(3)", change=LINES))
    assert [title for title in titles(report) if "R711" in title] == [
        "the view fills up: R711 at the event of number 4: a list of 4 does not fit its declared bound of 3"
    ]
    assert [] == faults(report)


def test_a_field_without_a_bound_that_grows_is_a_note(search):
    found = named(search(LOG.format(field="lines: list<Line>", change=LINES), budget=40), "grows by")
    assert found.title.startswith("`lines: list<Line>` grows by some ")
    assert not found.is_fault


# --- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ledger", "steps", "route"),
    [("gas", (0, 10**9), 10**9), ("alloc", (10**9, -1), 10**9), ("route_gas", (10**9, 10**9), 0)],
)
def test_what_costs_more_than_the_static_bound_is_a_fault_of_ours(tmp_path, monkeypatch, ledger, steps, route):
    monkeypatch.setattr(observing.Bounds, "steps", lambda *_: steps)
    monkeypatch.setattr(observing.Bounds, "route", lambda *_: route)
    subject, _ = subject_of(tmp_path, LATEST)
    (beyond,) = (one for one in subject.observe([event("Set", id=1, to="x")]) if one.sign.kind is Kind.BEYOND)
    fault = finding_of(Found(beyond, []), subject.program.checked.source, {}, at_ends=True)
    assert fault.is_fault
    assert fault.title.startswith(f"{ledger}: ")
    assert "please report it" in fault.hint


def test_a_result_that_depends_on_commits_is_a_fault_of_ours(tmp_path, monkeypatch):
    subject, _ = subject_of(tmp_path, TALLY.replace("else 7", "else view.count + 1"))
    decode = subject.program.decode_view
    monkeypatch.setattr(subject.program, "decode_view", lambda data: decode(data.replace(b"1", b"2")))
    opened, counted = event("Opened", id=1), event("Counted", id=1, by=1)
    assert [] == [one for one in subject.observe([opened, counted], commits=True) if one.sign.kind is Kind.COMMITS]
    found = next(
        one for one in subject.observe([opened, counted, counted], commits=True) if one.sign.kind is Kind.COMMITS
    )
    fault = finding_of(Found(found, []), subject.program.checked.source, {}, at_ends=False)
    assert (True, "a commit after each event makes other views than one commit after all") == (
        fault.is_fault,
        fault.title,
    )


# --- the parts -------------------------------------------------------------------------------------------------------


def test_events_that_nothing_depends_on_are_left_out(tmp_path):
    subject, _ = subject_of(tmp_path, TALLY)
    opened = [{"type": "Opened", "data": {"id": n}} for n in (3, 1, 2)]
    sign = Sign(Kind.CHANGES, "", subject.program.checked.core.handlers[1].span)
    counted = {"type": "Counted", "data": {"id": 1, "by": 5}}
    found = fewest(
        [*opened, counted, counted], lambda some: next((one for one in subject.observe(some) if one.sign == sign), None)
    )
    assert [opened[1], counted] == found.events
    assert (2, ("", "1")) == (found.observation.number, found.observation.view)
    assert growth(subject, found) is None


def test_a_search_ends_when_its_time_is_up(tmp_path):
    subject, projection = subject_of(tmp_path, TALLY)
    late = Search(subject, 1, seconds=0.0)
    assert [] == list(late.run(events(projection), 1_000, set()))
    assert late.is_late
    assert 0 == late.counts.events


def test_where_a_log_begins_and_that_a_lane_would_halt_hides_nothing(search, tmp_path):
    (tmp_path / "p.proj").write_text(HEAD + TALLY)
    (tmp_path / "m.yaml").write_text(
        "manifest: 1\nviews:\n  p: {program: p.proj, on_error: halt, start: {sequence: 99}}\n"
    )
    projection = Projection.load(tmp_path / "m.yaml")
    assert "R705" in str(titles(fuzz(projection, projection.deployed[0], seed=1, budget=100)))


def test_a_sign_of_a_failure_can_be_taken_for_the_same_wherever_it_happens():
    sign = Sign(Kind.FAILS, "R702", Span(3, 3))
    assert sign.anywhere() == sign._replace(span=Span(9, 9)).anywhere()
    assert Sign(Kind.TWICE, "", Span(3, 9)).anywhere() == Sign(Kind.TWICE, "", Span(3, 9))
