"""Commands over messages that a manifest describes: a file that `dump` wrote is as good as the stream."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from decimal import Decimal

import cbor2
import pytest
from command_support import in_this_process, projection, refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projection.errors import EXIT_USAGE
from projection.model.pseudonyms import Pseudonyms
from projection.stream.pseudonymizing import Pseudonymizer
from projection.stream.recorded import recorded_line, recorded_message
from projection.testing.folding import Projection

PROGRAM = """\
proj 1
projection orders

event OrderPlaced { order: string, amount: decimal(2) }
event OrderPaid { order: string, amount: decimal(2) }

view Order { amount: decimal(2), paid: decimal(2) = 0.00, by: string }

on OrderPlaced as e creates e.order => { amount: e.amount, by: meta.aggregate_id }
on OrderPaid as e updates e.order => view with { paid += e.amount }
"""
EVENTS = {
    "subjects": ["shop.<tenant>.Order-<id>"],
    "event_type": "header.event-type",
    "aggregate_id": "subject.<id>",
    "tenant_id": "subject.<tenant>",
    "payload": "body.data",
    "ignore": {"body.draft": ["1"]},
}


def message(sequence: int, event_type: str, data: object, subject: str = "shop.north.Order-7", **body: object) -> str:
    line = {
        "sequence": sequence,
        "subject": subject,
        "time": "2026-03-01T10:00:00.123456789Z",
        "headers": {"Event-Type": event_type},
        "body": {"data": data, **body},
    }
    return json.dumps(line) + "\n"


LINES = [
    message(11, "OrderPlaced", {"order": "o-1", "amount": 12.5}),
    message(12, "OrderPaid", {"order": "o-1", "amount": 9.5}, draft=1),
    message(17, "OrderPaid", {"order": "o-1", "amount": 2.5}),
    message(18, "OrderPaid", {"order": "o-1", "amount": 2.5}, "shop.north.Customer-7"),
    message(19, "OrderPaid", {"order": "o-2", "amount": 2.5}),
]
VIEW = {"amount": 12.5, "paid": 2.5, "by": "7"}


def packed(line: str) -> str:
    """The same message with its body as CBOR, compressed."""
    fields = json.loads(line, parse_float=Decimal)
    body = gzip.compress(cbor2.dumps(fields.pop("body")), mtime=0)
    fields["headers"]["Content-Encoding"] = "gzip"
    return json.dumps({**fields, "body_base64": b64encode(body).decode()}) + "\n"


@pytest.fixture
def plain(tmp_path):
    (tmp_path / "orders.proj").write_text(PROGRAM)
    write_manifest(tmp_path, EVENTS)
    (tmp_path / "events.jsonl").write_text("".join(LINES))
    return tmp_path


@pytest.fixture(params=["JSON", "CBOR, compressed"])
def folder(tmp_path, request):
    (tmp_path / "orders.proj").write_text(PROGRAM)
    is_packed = request.param != "JSON"
    write_manifest(tmp_path, {**EVENTS, "encoding": "cbor"} if is_packed else EVENTS)
    (tmp_path / "events.jsonl").write_text("".join(map(packed, LINES) if is_packed else LINES))
    return tmp_path


def write_manifest(folder, events: object) -> None:
    views = {"orders": {"program": "orders.proj"}}
    (folder / "manifest.yaml").write_text(json.dumps({"manifest": 1, "events": events, "views": views}))


def test_a_file_is_folded_as_the_stream_would_be(folder):
    ended = in_this_process("replay", "events.jsonl", folder=folder)
    (found,) = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {"tenant_id": "north", "view_type": "orders", "view_id": "o-1", "view": VIEW} == found
    assert "1 event is parked with R705; the first is event 19" in ended.stderr


def test_what_the_manifest_leaves_out_is_not_told_as_events_that_no_program_handles(folder):
    lines = (folder / "events.jsonl").read_text()
    (folder / "events.jsonl").write_text(
        lines
        + lines.splitlines()[0].replace("OrderPlaced", "OrderLost").replace('"sequence": 11', '"sequence": 20')
        + "\n"
    )
    ended = in_this_process("replay", "events.jsonl", folder=folder)
    assert "note: 2 messages are not events: 1 ignored, 1 of another subject\n" in ended.stderr
    assert "note: unhandled: 1 event is of a type that no program handles\n" in ended.stderr
    (folder / "events.jsonl").write_text(lines)
    assert "unhandled" not in in_this_process("replay", "events.jsonl", folder=folder).stderr


def test_a_summary_counts_what_is_no_event_as_unhandled(folder):
    ended = in_this_process("replay", "events.jsonl", "--summary", folder=folder)
    found = json.loads(ended.stdout)
    assert (5, 1, 1, 2) == tuple(found[name] for name in ("events", "views", "parked", "unhandled"))


def test_why_names_the_sequences_of_the_stream(folder):
    ended = in_this_process("why", "orders", "o-1", "--tenant", "north", "--events", "events.jsonl", folder=folder)
    assert 0 == ended.returncode, ended.stderr
    assert ["event 11", "event 17"] == re.findall(r"^event \d+", ended.stdout, re.MULTILINE)


def test_diff_folds_them_by_both_sides_programs(folder):
    (folder / "former.proj").write_text(PROGRAM.replace("paid += e.amount", "paid += 2 * e.amount"))
    ended = in_this_process("diff", "former.proj", "manifest.yaml", "--events", "events.jsonl", folder=folder)
    assert "paid: 5.00 → 2.50" in ended.stdout, ended.stderr


def test_trace_reads_one_of_them(folder):
    ended = in_this_process("trace", "manifest.yaml", "--events", "events.jsonl", "--event", "2", folder=folder)
    assert 0 == ended.returncode, ended.stderr
    assert "paid" in ended.stdout  # the second event; ignored messages do not count


def test_the_author_s_tests_take_them_beside_events_in_short_form(folder):
    projection_ = Projection.load(folder / "manifest.yaml")
    folded = projection_.given(folder / "events.jsonl")
    assert VIEW == json.loads(json.dumps(folded.view("o-1", tenant="north"), default=float))
    after = folded.given({"type": "OrderPaid", "data": {"order": "o-1", "amount": 1}, "tenant": "north"})
    assert 3.5 == float(after.view("o-1", tenant="north")["paid"])


def test_messages_out_of_order_are_refused(folder):
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join(reversed(lines)))
    ended = in_this_process("replay", "events.jsonl", folder=folder)
    refused(ended, EXIT_USAGE, "the recorded message 18 stands behind 19")


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ({**EVENTS, "event_type": "eventType"}, "field events.event_type.0: 'eventType' is not where a part"),
        ({**EVENTS, "tenant_id": "subject.<tenannt>"}, "tenant_id: subject.<tenannt> is in none of `subjects`"),
        ({**EVENTS, "event_typ": "body.x"}, "field events.event_typ: is not known; did you mean 'event_type'?"),
        ({"payload": "body"}, "field events.event_type: is missing"),
        ({**EVENTS, "timestamp": {"from": "body.at", "as": "ms"}}, "field events.timestamp.as"),
        ({**EVENTS, "encoding": "xml"}, "field events.encoding: 'xml' is no encoding: json, msgpack, cbor"),
        (
            {**EVENTS, "encoding": {"avro": {"schemas": "gone.avsc"}}},
            "field events.encoding.avro.schemas.*: 'gone.avsc' does not exist",
        ),
        ("cloudevent", "events"),
        (["cloudevents"], "events"),
    ],
)
def test_a_description_that_is_wrong_is_named_with_its_field(tmp_path, events, said):
    (tmp_path / "orders.proj").write_text(PROGRAM)
    write_manifest(tmp_path, events)
    ended = projection("check", folder=tmp_path)
    assert 1 == ended.returncode
    assert said in ended.stdout + ended.stderr


def test_beside_it_no_subject_template_may_stand(tmp_path):
    (tmp_path / "orders.proj").write_text(PROGRAM)
    views = {"orders": {"program": "orders.proj"}}
    manifest = {"manifest": 1, "events": EVENTS, "subject_template": "t.<type>.<id>", "views": views}
    (tmp_path / "manifest.yaml").write_text(json.dumps(manifest))
    assert "subject_template: stands beside `events`" in projection("check", folder=tmp_path).stdout


# --- fixtures -----------------------------------------------------------------------------------------------------------


def test_recorded_messages_beside_a_program_are_held_against_it(plain):
    lines = [
        *LINES,
        message(20, "OrderPaid", {"order": "o-1", "amount": "much"}),
        message(21, "OrderPayd", {"order": "o-1", "amount": 1}),
        message(22, "OrderPaid", {"order": "o-1", "amount": "much"}, draft=1),  # which is no event
        '{"subject": "shop.north.Order-7", "body": {}}\n',
        '{"subject": "shop.north.Order-7", "body": 1, "body_base64": "AA=="}\n',
    ]
    (plain / "events.jsonl").write_text("".join(lines))
    ended = in_this_process("check", folder=plain)
    headers = [line for line in ended.stdout.splitlines() if line.startswith(("error", "warning", " -->"))]
    codes = ["error[D105", "warning[L680", "error[D102", "error[D101"]
    assert codes == [line.partition("]")[0] for line in headers[::2]], ended.stdout
    assert [f" --> events.jsonl:{line}:1" for line in (6, 7, 9, 10)] == headers[1::2]
    assert "did you mean 'OrderPaid'?" in ended.stdout


def test_the_manifest_beside_a_program_counts_also_where_only_the_program_is_named(plain):
    ended = in_this_process("check", "orders.proj", folder=plain)
    assert (0, "") == (ended.returncode, ended.stdout), ended.stderr
    (plain / "manifest.yaml").unlink()
    ended = in_this_process("check", "orders.proj", folder=plain)
    assert "help: no `events` of a manifest here describe this message, so it is read as an envelope" in ended.stdout
    assert len(LINES) == ended.stdout.count("error[D103]")


def test_a_message_need_fit_one_of_the_manifests_that_describe_it(plain):
    other = {**EVENTS, "payload": "body.nowhere"}
    (plain / "other").mkdir()
    views = {"orders": {"program": "orders.proj"}}
    (plain / "other.yaml").write_text(json.dumps({"manifest": 1, "events": other, "views": views}))
    for paths in (("other.yaml", "manifest.yaml"), ("manifest.yaml", "other.yaml")):
        assert 0 == in_this_process("check", *paths, folder=plain).returncode
    assert 1 == in_this_process("check", "other.yaml", folder=plain).returncode


def test_scenarios_hold_recorded_messages_and_have_snapshots_of_them(plain):
    inline = [json.loads(LINES[0]), {"type": "OrderPaid", "data": {"order": "o-1", "amount": 1}, "tenant": "north"}]
    (plain / "inline.scenario.json").write_text(json.dumps({"manifest": "manifest.yaml", "events": inline}))
    (plain / "file.scenario.json").write_text(json.dumps({"manifest": "manifest.yaml", "events": "events.jsonl"}))
    assert "" == in_this_process("check", folder=plain).stdout
    assert 0 == in_this_process("test", "--update", folder=plain).returncode
    snapshot = (plain / "__snapshots__" / "file.scenario.views").read_text()
    assert "o-1" in snapshot
    assert "2.50" in snapshot
    ended = in_this_process("test", folder=plain)
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    (plain / "events.jsonl").write_text("".join(LINES).replace("2.5", "3.5"))
    ended = in_this_process("test", folder=plain)
    assert 1 == ended.returncode
    assert "3.50" in ended.stdout + ended.stderr
    inline[0]["body"]["data"]["amount"] = "much"
    (plain / "inline.scenario.json").write_text(json.dumps({"manifest": "manifest.yaml", "events": inline}))
    assert "error[D105]" in in_this_process("check", folder=plain).stdout


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(orders=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9), st.booleans()), max_size=12))
def test_a_log_with_pseudonyms_folds_to_the_same_views_under_pseudonyms(plain, orders):
    """References still meet: ids of short texts, in bodies and in subjects, and nothing is lost or put together."""
    pseudonyms = Pseudonyms(b"0123456789abcdef")
    change = Pseudonymizer(pseudonyms, ("body.data.order", "subject.<id>"), EVENTS["subjects"]).message
    lines = [
        message(
            sequence, "OrderPaid" if paid else "OrderPlaced", {"order": f"o{order}", "amount": 1.5}, subject
        ).encode()
        for sequence, (order, customer, paid) in enumerate(orders, 1)
        for subject in [f"shop.north.Order-{customer}"]
    ]
    changed = [recorded_line(change(recorded_message(line, 1))) for line in lines]
    projection_ = Projection.load(plain / "manifest.yaml")
    before, after = projection_.given(lines), projection_.given(changed)
    of, name = {"of": "orders", "tenant": "north"}, pseudonyms.text
    expected = {name(id_): {**view, "by": name(view["by"])} for id_, view in before.views(**of).items()}
    assert expected == after.views(**of)
    assert [(one.sequence, one.code) for one in before.parked()] == [(one.sequence, one.code) for one in after.parked()]
