"""A fold for authors: the node's own results, and helpful words where a test asks for what is not there."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest
from author_support import CHECKOUT, CREATED, FINES, PAID, run, write

from projection.errors import ConfigurationError
from projection.lang.reporting import ProgramInvalidError
from projection.testing.finding import find
from projection.testing.folding import NoSuchViewError, Projection
from projection.testing.in_file import run_test

MANIFEST = (
    "manifest: 1\nviews:\n  fines: {program: fines.proj, on_error: halt, subjects: ['tenant.*.aggregate.fine.*']}\n"
)
EXAMPLES = sorted((CHECKOUT / "projections").glob("*/manifest.yaml"))


@pytest.fixture
def fines(tmp_path) -> Projection:
    return Projection.load(write(tmp_path, {"fines.proj": FINES}) / "fines.proj")


@pytest.mark.parametrize("manifest", EXAMPLES, ids=lambda path: path.parent.name)
def test_a_fold_comes_to_the_views_of_a_replay(manifest):
    folded = Projection.load(manifest).given(Path("events.jsonl"))
    events = manifest.parent / "events.jsonl"
    _, replayed = run("projection", "replay", "--manifest", manifest, events, folder=CHECKOUT)
    expected = [json.loads(line, parse_float=Decimal) for line in replayed.splitlines() if line.startswith("{")]
    assert expected == [
        {"tenant_id": tenant, "view_type": kind, "view_id": view_id, "view": view}
        for tenant, kind, view_id, view in folded.all_views()
    ]


def test_the_gas_of_a_fold_is_that_of_a_replay():
    folder = CHECKOUT / "projections/fines"
    command = ("projection", "replay", "--summary", "--manifest", folder / "manifest.yaml", folder / "events.jsonl")
    _, summary = run(*command, folder=CHECKOUT)
    assert json.loads(summary)["gas"] == Projection.load(folder).given(Path("events.jsonl")).gas()


def test_a_view_is_what_its_readers_get_with_exact_numbers(fines):
    view = fines.given([CREATED, PAID]).view("A1")
    payment = {"amount": Decimal("10.10"), "on": "2000-01-01"}
    assert {"amount": Decimal("35.00"), "paid": Decimal("10.10"), "payments": [payment]} == view
    assert "10.10" == str(view["paid"])


def test_views_come_in_the_order_of_their_keys(fines):
    events = [{"type": "fine.created", "data": {"id": view_id, "amount": 1}} for view_id in ("b", "a", "é", "B")]
    assert ["B", "a", "b", "é"] == list(fines.given(events).views())


def test_an_event_that_a_view_cannot_take_is_parked_with_code_and_place(fines):
    folded = fines.given([PAID, CREATED, PAID])
    first, *held = folded.parked()
    assert (1, "Paid", "", "fines", "A1", "R705") == first[:6]
    assert "fines.proj:11:1" == first.place
    assert [(2, "P000"), (3, "P000")] == [(one.sequence, one.code) for one in held]
    assert {} == folded.views()


def test_gas_is_told_for_each_event_and_adds_up(fines):
    folded = fines.given([CREATED, PAID, PAID])
    by_event = [one.gas["fines"] for one in folded.gas_by_event]
    assert all(by_event)
    assert sum(by_event) == folded.gas() == folded.gas(of="fines")


def test_more_events_can_be_given_behind_the_first(fines):
    once, twice = fines.given([CREATED, PAID, PAID]), fines.given(CREATED).given(PAID).given([PAID])
    assert once.views() == twice.views()
    assert once.gas() == twice.gas()


def test_a_manifest_that_says_halt_halts_and_what_came_before_stays(tmp_path):
    folder = write(tmp_path, {"fines.proj": FINES, "manifest.yaml": MANIFEST})
    folded = Projection.load(folder).given([CREATED, CREATED, PAID])
    assert folded.halted is not None
    assert "R706" == folded.halted.code
    assert Decimal("0.00") == folded.view("A1")["paid"]
    assert "halted: view type fines, sequence 2: R706" in repr(folded)


def test_the_short_form_takes_the_type_of_aggregate_that_the_program_or_the_subjects_name(tmp_path):
    folder = write(tmp_path, {"fines.proj": FINES, "manifest.yaml": MANIFEST})
    assert ["A1"] == list(Projection.load(folder).given(CREATED).views())
    write(tmp_path, {"fines.proj": FINES.replace('from "fine.created"', 'from "fine.created" of "ticket"')})
    (event,) = Projection.load(tmp_path / "fines.proj").given(CREATED).given_events
    assert "ticket" == event.envelope.aggregate_type


def test_who_asks_for_a_view_that_is_not_there_is_told_what_is(fines):
    with pytest.raises(NoSuchViewError, match="there is no view 'A2'; known here: A1"):
        fines.given(CREATED).view("A2")
    with pytest.raises(NoSuchViewError, match=r"there is no view 'A1'; event 1 \(Paid\) is parked: R705 at .*fines"):
        fines.given(PAID).view("A1")
    with pytest.raises(NoSuchViewError, match="there is no view type 'fine'; did you mean 'fines'"):
        fines.given(PAID).view("A1", of="fine")


def test_who_asks_among_several_types_or_tenants_must_name_one(fines):
    folded = fines.given([CREATED, {**CREATED, "tenant": "north"}])
    with pytest.raises(NoSuchViewError, match="there are 2 tenants: '', 'north'; name one with `tenant=…`"):
        folded.view("A1")
    assert folded.view("A1", tenant="north") == folded.view("A1", tenant="")
    both = Projection.load(CHECKOUT / "projections/fines").given(Path("events.jsonl"))
    with pytest.raises(NoSuchViewError, match=r"there are 2 view types: .*; name one with `of=…`"):
        both.views(tenant="office-y")
    assert ["Y1"] == list(both.views(of="fine_summary", tenant="office-y"))


def test_a_type_that_no_program_takes_is_a_slip_in_the_short_form_only(fines, tmp_path):
    said = []
    fines.used_in(tmp_path, said.append).given([CREATED, {"type": "Payd"}])
    assert ["event 2: no program of fines takes event 'Payd'; did you mean 'Paid'?"] == said
    said.clear()
    shop = Projection.load(CHECKOUT / "projections/shop_sales").used_in(
        CHECKOUT / "projections/shop_orders", said.append
    )
    shop.given(Path("events.jsonl"))
    assert [] == said


def test_a_projection_and_a_fold_show_what_they_are(fines):
    assert "<projection fines: views fines; events Paid, fine.created>" == repr(fines)
    shown = repr(fines.given([CREATED, PAID, {"type": "Paid", "data": {"id": "A2", "amount": 1}}]))
    first, *lines = shown.splitlines()
    assert re.fullmatch(r"<fines given 3 events: \d+ gas", first)
    assert [
        "  fines 'A1' of ''",
        "  event 3 (Paid) is parked: R705 at fines.proj:11:1: the handler updates view 'A2', which does not exist>",
    ] == lines


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def several(tmp_path) -> Path:
    return write(
        tmp_path,
        {
            "a/fines.proj": FINES,
            "a/manifest.yaml": MANIFEST.replace("  fines:", "  money:"),
            "b/other.proj": FINES.replace("projection fines", "projection b_fines"),
            "money/else.proj": FINES.replace("projection fines", "projection something_else"),
            ".hidden/x.proj": FINES.replace("projection fines", "projection hidden"),
            "c/one.proj": FINES.replace("projection fines", "projection twice"),
            "d/two.proj": FINES.replace("projection fines", "projection twice"),
        },
    )


@pytest.mark.parametrize(
    ("name", "path", "view_type"),
    [
        ("money", "a/manifest.yaml", "money"),
        ("fines", "a/manifest.yaml", "money"),
        ("b_fines", "b/other.proj", None),
        ("c", "c", None),
        ("b/other.proj", "b/other.proj", None),
        ("./money", "money", None),
    ],
)
def test_a_projection_is_found_by_view_type_program_folder_or_path(several, name, path, view_type):
    assert (several / path, view_type) == find(name, [several])
    assert Projection.load(*find(name, [several])).given(CREATED).view("A1")


def test_the_folder_of_the_test_comes_first(several):
    write(several, {"tests/money.proj": FINES.replace("projection fines", "projection money")})
    assert several / "tests/money.proj" == find("money", [several / "tests", several]).path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("monney", r"there is no projection 'monney' in \S+; did you mean 'money'\?"),
        ("hidden", "there is no projection 'hidden'"),
        ("twice", "projection 'twice' is found more than once: .*one.proj, .*two.proj; give a path"),
    ],
)
def test_a_name_that_nothing_or_too_much_has_is_an_error_that_helps(several, name, message):
    with pytest.raises(ConfigurationError, match=message):
        find(name, [several])


def test_a_path_that_leads_nowhere_is_said_to(tmp_path):
    with pytest.raises(ConfigurationError, match=r"there is no '.*/fines'"):
        Projection.load(tmp_path / "fines")


def test_a_folder_without_a_projection_and_a_program_with_errors_are_errors(tmp_path):
    with pytest.raises(ConfigurationError, match="holds no manifest and no program"):
        Projection.load(tmp_path)
    write(tmp_path, {"fines.proj": FINES.replace("e.amount }", "e.amont }", 1)})
    with pytest.raises(ProgramInvalidError):
        Projection.load(tmp_path)


SEEN = """\
proj 1
projection seen
event Paid { id: string }
view Seen { by: string, subject: string, stored?: timestamp }
on Paid as e creates e.id =>
  { by: meta.headers["x-channel"] ?? "-", subject: meta.subject, stored: meta.stored_at }
test "what is said of a message" {
  event Paid { id: "a" } stored_at "2001-01-01T00:00:00Z" headers { "X-Channel": "web" };
  expect view("a").by == "web" and view("a").stored == parse_timestamp("2001-01-01T00:00:00Z");
  event Paid { id: "b" } subject "tenant.%-.aggregate.other.b";
  expect view("b").subject == "tenant.%-.aggregate.other.b" and view("b").stored == none;
}
"""


@pytest.fixture
def seen(tmp_path):
    (tmp_path / "seen.proj").write_text(SEEN)
    return Projection.load(tmp_path / "seen.proj")


def test_a_test_says_what_is_around_its_event_in_a_message(seen):
    (test,) = seen.deployed[0].program.checked.tests
    run_test(seen, test)


def test_an_event_in_short_form_says_it_likewise_and_a_plain_one_has_the_subject_it_would_be_published_under(seen):
    folded = seen.given([{"type": "Paid", "data": {"id": "a"}, "headers": {"x-channel": "shop"}}, PAID_B])
    assert "shop" == folded.view("a")["by"]
    assert {"by": "-", "subject": "tenant.%-.aggregate.aggregate.1", "stored": None} == folded.view("b")


PAID_B = {"type": "Paid", "data": {"id": "b"}}


def test_a_subject_that_nothing_reads_is_a_mistake(seen):
    with pytest.raises(ConfigurationError, match="no view type reads the subject 'elsewhere'"):
        seen.given({**PAID_B, "subject": "elsewhere"})
