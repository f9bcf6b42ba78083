"""`was`: old forms of events become new ones before handlers see them, in every part of a program that has events."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from language_support import Fold, codes_of, diagnostics_of
from sampling import SEED

from projection.lang import core
from projection.lang.check.checker import check
from projection.lang.check.upcasts import MAX_WAYS
from projection.lang.cost.bounds import bounds_of
from projection.lang.failures import Failure
from projection.lang.message_parts import MessageParts
from projection.lang.program import Limits
from projection.lang.run.covering import Covering, Part, points
from projection.lang.run.executors import Execution
from projection.lang.source import Source
from projection.lang.syntax.formatter import formatted

if TYPE_CHECKING:
    from collections.abc import Mapping

ORDERS = """\
proj 1
projection orders

event OrderPlaced { order: string(9), customer: string(9), lines: list<Line>(9) = [], note?: string }
  was OrderCreated as old =>
    { order: old.id, customer: old.name ?? "-", lines: [{ sku: one } for one in old.items] }
event OrderCreated { id: string, name?: string, items: list<string> = [] }
  was OrderMade as oldest =>
    { id: upper(oldest.no), items: split(oldest.items, ",") }
event OrderMade { no: string, items: string = "" }

type Line { sku: string, quantity: int = 1 }
view Order { customer: string, skus: list<string>(9), as: string, noted: bool, sum: int = 0 }

on OrderPlaced as e creates e.order =>
  { customer: e.customer, skus: [line.sku for line in e.lines], as: meta.type, noted: has(e.note) }
on OrderPlaced as e for line in e.lines to key("sku", line.sku) =>
  { customer: "", skus: [], as: "", noted: false, sum: (view?.sum ?? 0) + line.quantity }
"""
SPLIT = """\
proj 1
projection split

event Opened { id: string, by: string = "" }
  was Imported as e
    when e.kind == "open" => { id: e.id, by: e.by ?? "none" }
    when e.kind == "reopen" => { id: e.id, by: "again" }
event Paid { id: string, amount: decimal(2) }
  was Imported as e
    when e.paid != none => { id: e.id, amount: e.paid }
event Imported { id: string, kind: string, by?: string, paid?: decimal(2) }

view Account { by: string, paid: decimal(2) = 0.00, n: int = 0 }

on Opened as e to e.id => { by: e.by, paid: view?.paid ?? 0.00, n: (view?.n ?? 0) + 1 }
on Paid as e updates e.id => view with { paid += e.amount, n += 10 }
"""


def folded(text: str, *events: tuple[str, Mapping[str, Any]], execution: Execution = Execution.COMPILED) -> Fold:
    fold = Fold(text, execution=execution)
    for name, payload in events:
        fold.apply(name, json.dumps(payload))
    return fold


def views(fold: Fold) -> dict[str, Any]:
    return {view_id: json.loads(data) for view_id, data in fold.views.items()}


def failure_of(fold: Fold, name: str, payload: Mapping[str, Any]) -> Failure:
    with pytest.raises(Failure) as caught:
        fold.apply(name, json.dumps(payload))
    return caught.value


@pytest.mark.parametrize("execution", Execution)
class TestWhatBecomesOfOldForms:
    def test_an_old_form_has_the_handlers_of_the_new_one(self, execution: Execution) -> None:
        event = {"id": "A", "name": "Ann", "items": ["TEA", "POT"]}
        found = views(folded(ORDERS, ("OrderCreated", event), execution=execution))
        order = {"customer": "Ann", "skus": ["TEA", "POT"], "as": "OrderCreated", "noted": False, "sum": 0}
        assert order == found.pop("A")
        assert {"sku:TEA": 1, "sku:POT": 1} == {view_id: view["sum"] for view_id, view in found.items()}

    def test_it_goes_on_through_any_number_of_forms(self, execution: Execution) -> None:
        found = views(folded(ORDERS, ("OrderMade", {"no": "a", "items": "TEA,TEA"}), execution=execution))
        assert {"customer": "-", "skus": ["TEA", "TEA"], "as": "OrderMade", "noted": False, "sum": 0} == found["A"]
        assert 2 == found["sku:TEA"]["sum"]

    def test_the_new_form_is_taken_as_it_is(self, execution: Execution) -> None:
        event = {"order": "A", "customer": "Ann", "note": None}
        (order,) = views(folded(ORDERS, ("OrderPlaced", event), execution=execution)).values()
        assert ("OrderPlaced", True) == (order["as"], order["noted"])

    def test_one_old_form_becomes_several_events_whose_handlers_run_in_source_order(self, execution: Execution) -> None:
        event = {"id": "A", "kind": "open", "paid": 2.50}
        assert {"A": {"by": "none", "paid": 2.50, "n": 11}} == views(
            folded(SPLIT, ("Imported", event), execution=execution)
        )

    def test_where_no_arm_is_true_there_is_no_such_event(self, execution: Execution) -> None:
        other = {"id": "A", "kind": "other"}
        assert {} == views(folded(SPLIT, ("Imported", other), execution=execution))
        assert {"A": {"by": "again", "paid": 0.00, "n": 1}} == views(
            folded(SPLIT, ("Imported", {**other, "kind": "reopen"}), execution=execution)
        )


def test_handlers_run_in_source_order_whichever_event_they_take() -> None:
    program = SPLIT.replace("on Paid as e updates e.id =>", "on Paid as e updates e.id => view with { by: e.id }\n#")
    fold = folded(program, ("Imported", {"id": "A", "kind": "open", "paid": 1}))
    assert "A" == views(fold)["A"]["by"]
    head, opened, paid = SPLIT.partition("on Opened")[0], SPLIT.splitlines()[-2], SPLIT.splitlines()[-1]
    swapped = folded(f"{head}{paid}\n{opened}\n", ("Imported", {"id": "A", "kind": "open"}))
    failure = failure_of(swapped, "Imported", {"id": "B", "kind": "open", "paid": 1})
    assert "R705" == failure.code


def test_an_old_form_that_cannot_be_made_new_fails_at_the_view_that_it_is_for() -> None:
    """A route makes of the event only what it reads: later events of this view wait, and no other's."""
    program = ORDERS.replace('customer: old.name ?? "-"', "customer: old.name!")
    fold = Fold(program)
    reaction = fold.program.reaction("", "OrderCreated")
    assert reaction is not None
    _event, targets, _gas = reaction.take(b'{"id": "A"}', None)
    assert ["A"] == list(targets)
    assert "R704" == failure_of(fold, "OrderCreated", {"id": "A"}).code


def test_of_an_old_form_that_does_not_fit_the_view_is_known_all_the_same() -> None:
    reaction = Fold(ORDERS).program.reaction("", "OrderCreated")
    assert reaction is not None
    known = reaction.known_ids(b'{"id": "A", "name": 7, "items": ["TEA"]}', None)
    assert (("A", "sku:TEA"), True) == (known.ids, known.complete)


def test_bounds_of_the_new_event_hold_for_what_is_made() -> None:
    failure = failure_of(Fold(ORDERS), "OrderCreated", {"id": "A", "name": "x" * 10})
    assert "R711" == failure.code
    assert "bound of 9" in failure.message


def test_a_route_costs_what_its_id_does_and_not_what_the_event_does() -> None:
    checked = check(Source("p.proj", ORDERS))
    bounds = {(one.events, one.runs.most): one for one in bounds_of(checked, Limits())}
    new, old = (bounds[(event,), 1] for event in ("OrderPlaced", "OrderCreated"))
    assert old.route.gas.most <= new.route.gas.most + 10  # the id's own bound is checked
    assert old.body.gas.most > new.body.gas.most + 10


@pytest.mark.parametrize("execution", Execution)
def test_variables_of_a_route_and_of_what_it_reads_are_kept_apart(execution: Execution) -> None:
    text = program(
        "event A { id: string, n: int }",
        '  was B as b => let n = b.n + 1; let id = "{b.id}{n}"; { id, n: n + count(x for x in [b.n, n] if x > 1) }',
        "event B { id: string, n: int }",
        tail='view V { n: int }\non A as e for x in [e.n, e.n + 1] to let n = x + e.n; "{e.id}:{n}" => { n: e.n + x }\n',
    )
    found = views(folded(text, ("B", {"id": "b", "n": 1}), execution=execution))
    assert {"b2:6": {"n": 6}, "b2:7": {"n": 7}} == found


def test_the_same_program_with_and_without_old_forms_of_its_own_makes_the_same_views() -> None:
    """What `was` says, said by the publisher: events that are turned before they are published."""
    random = Random(SEED)
    print(f"seed {SEED}")
    old, new = Fold(ORDERS), Fold(ORDERS)
    for number in range(60):
        items = random.choices(["TEA", "POT", "CUP"], k=random.randrange(4))
        event = {"id": f"o{number}", "items": items, **({"name": "Ann"} if random.random() < 0.5 else {})}
        made = {"order": event["id"], "customer": event.get("name", "-"), "lines": [{"sku": one} for one in items]}
        old.apply("OrderCreated", json.dumps(event))
        new.apply("OrderPlaced", json.dumps(made))
    without_type = [{view_id: {**view, "as": ""} for view_id, view in views(fold).items()} for fold in (old, new)]
    assert without_type[0] == without_type[1]


# --- what is refused -------------------------------------------------------------------------------------------------

HEAD = "proj 1\nprojection p\n"
TAIL = "view V { n: int = 0 }\non A as e to e.id => { n: 1 }\n"


def program(*events: str, tail: str = TAIL) -> str:
    return HEAD + "".join(f"{one}\n" for one in events) + tail


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (program("event A { id: string } was B => {}"), "N207"),
        (program("event A { id: string } was B => {}", "event B {}"), "T306"),
        (program("event A { id: string } was B as b => { id: b.no }", "event B { id: string }"), "N204"),
        (program("event A { id: string } was B as b => { id: b.id }", "event B { id: int }"), "T301"),
        (program("event A { id: string } was B as b => { id: view }", "event B {}"), "N210"),
        (program("event A { id: string } was B as b => keep", "event B {}"), "N211"),
        (program("event A { id: string } was A as a => { id: a.id }"), "S416"),
        (program('event A { id: string } was B => { id: "" }', "event B {} was A => {}"), "S416"),
        (program('event A { id: string } was B => { id: "" } was B => { id: "" }', "event B {}"), "S418"),
        (program('event A { id: string } was B => { id: "" }', "event B {}", tail=TAIL + 'on B to "b" => delete\n'), "S417"),
        (program("event A { id: string } was B as b when 1 > 2 => { id: b.id } else => { id: b.id }", "event B { id: string }"), "T326"),
        (program('event A { id: string } was B as view => { id: "" }', "event B {}"), "N208"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_code(text: str, code: str) -> None:
    assert code in codes_of(text)


def test_a_cycle_is_shown() -> None:
    text = program('event A { id: string } was B => { id: "" }', "event B {} was C => {}", "event C {} was B => {}")
    assert ["an event cannot be an old form of itself: B was C was B"] == [one.message for one in diagnostics_of(text)]


def test_an_old_form_whose_new_one_nothing_takes_is_no_unused_event_itself() -> None:
    text = program(
        "event A { id: string }", "event B { id: string } was C as c => { id: c.no }", "event C { no: string }"
    )
    warnings = check(Source("p.proj", text)).warnings
    (unused,) = (one for one in warnings if one.code == "L602")
    assert text.index("B { id") == unused.span.start


def test_forms_that_multiply_are_refused_before_they_are_followed() -> None:
    """Each step has two ways: thirty of them would be a thousand million."""
    events = [
        f"event E{n} {{ id: string }} was L{n} as e => {{ id: e.id }} was R{n} as e => {{ id: e.id }}"
        for n in range(30)
    ]
    for n in range(30):
        more = f" was E{n + 1} as e => {{ id: e.id }}" if n < 29 else ""
        events += [f"event {side}{n} {{ id: string }}{more}" for side in "LR"]
    text = program(*events, tail=TAIL.replace("on A", "on E0"))
    assert ["S415"] == codes_of(text)
    assert f"{MAX_WAYS}" in diagnostics_of(text)[0].message


def test_a_long_chain_ends_in_a_program_or_a_code() -> None:
    for length in (10, MAX_WAYS, MAX_WAYS + 1, 1_000):
        events = ["event A { id: string } was A1 as e => { id: e.id }"]
        events += [f"event A{n} {{ id: string }} was A{n + 1} as e => {{ id: e.id }}" for n in range(1, length)]
        codes = codes_of(program(*events, f"event A{length} {{ id: string }}"))
        assert set() == {*codes} - {"S415", "T317"}
        assert bool(codes) or length <= MAX_WAYS


def test_arms_at_each_of_many_steps_do_not_multiply() -> None:
    """What a route reads is written out at each end of `was`, as long as that is little."""
    arms = 'when e.n == 1 => { id: "{e.id}1", n: e.n + 1 } else => { id: "{e.id}2", n: e.n }'
    events = [f"event A{n} {{ id: string, n: int }} was A{n + 1} as e {arms}" for n in range(30)]
    tail = 'view V { n: int }\non A0 as e to "{e.id}-{e.n}" => { n: e.n }\n'
    text = program(*events, "event A30 { id: string, n: int }", tail=tail)
    assert all(_size(one.route) < 5_000 for one in check(Source("p.proj", text)).core.handlers)
    for execution in Execution:
        fold = folded(text, ("A30", {"id": "x", "n": 1}), execution=execution)
        assert {"x1" + "2" * 29 + "-2": {"n": 2}} == views(fold)


def _size(node: core.Core) -> int:
    return 1 + sum(map(_size, core.parts(node)))


# --- a word that is none of the language's elsewhere ------------------------------------------------------------------


def test_was_can_name_whatever_it_could_name_before() -> None:
    text = """\
proj 1
projection was
event was { id: string, was: int = 1 } was old as was => { id: was.was, was: 2 }
event old { was: string }
type T { was: string }
view V { was: int, t: T }
fn was(was: int) -> int = let more = was + 1; more
on was as was to was.id => let t: T = { was: "x" }; { was: was(was.was), t }
"""
    assert [] == codes_of(text)
    assert {"a": {"was": 3, "t": {"was": "x"}}} == views(folded(text, ("old", {"was": "a"})))


# --- what a program means --------------------------------------------------------------------------------------------


def digest(text: str) -> str:
    return check(Source("p.proj", text)).digest


def test_the_digest_is_what_old_forms_mean() -> None:
    head, *declarations = ORDERS.split("\nevent ")
    last, handlers = declarations[-1].split("\ntype ", 1)
    reordered = "\nevent ".join([head, last, *reversed(declarations[:-1])]) + "\ntype " + handlers
    assert digest(ORDERS) == digest(reordered)
    assert digest(ORDERS) == digest(ORDERS.replace("as old =>", "as former =>").replace("old.", "former."))
    for was, now in (
        ("upper(oldest.no)", "oldest.no"),
        ('?? "-"', '?? "?"'),
        ("{ sku: one }", "{ sku: one, quantity: 2 }"),
    ):
        assert digest(ORDERS) != digest(ORDERS.replace(was, now))


def test_an_old_form_of_what_nothing_handles_is_no_part_of_what_runs() -> None:
    text = program(
        "event A { id: string }", "event B { id: string } was C as c => { id: upper(c.no) }", "event C { no: string }"
    )
    assert {} == check(Source("p.proj", text)).core.functions


def test_headers_that_an_old_form_is_read_with_are_read_by_the_program() -> None:
    text = program('event A { id: string } was B => { id: meta.headers["x-id"] ?? meta.subject }', "event B {}")
    assert MessageParts(("x-id",), subject=True) == check(Source("p.proj", text)).message_parts


def test_coverage_tells_which_old_forms_never_came() -> None:
    checked = check(Source("p.proj", ORDERS))
    reached = set()
    fold = Fold(checked)
    fold.program = type(fold.program)(checked, None, Covering(checked.core, reached.add))
    fold.apply("OrderCreated", '{"id": "A"}')
    missed = [point for point in points(checked.core) if point not in reached and point.part is Part.OLD_FORM]
    assert [ORDERS.index("{ id: upper")] == [point.span.start for point in missed]


def test_what_is_laid_out_stays_as_it_is_and_means_the_same() -> None:
    for text in (ORDERS, SPLIT):
        loose = text.replace("\n  was", " was").replace("\n    when", " when").replace(" =>\n    {", " => {")
        result = formatted(Source("p.proj", loose))
        assert (result, digest(text)) == (formatted(Source("p.proj", result)), digest(result))
        assert "\n  was " in result
