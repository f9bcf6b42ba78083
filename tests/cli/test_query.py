"""`projection query`: the views that a filter takes, as a table, JSON or CSV, from a folder, a node or a file."""

from __future__ import annotations

import csv
import io
import json

import pytest
from command_support import eventually, fill, projection, refused, started, write_events, write_manifest

PROGRAM = """\
proj 1
projection accounts

event Opened { id: string, name?: string, balance: decimal(2), rate: decimal, tags: list<string>(9) }

type Owner { name?: string }
view Account { balance: decimal(2), owner: Owner, rate: decimal, tags: list<string>(9) }
index by balance desc

on Opened as e to e.id
  when e.balance < -1000 => fail("POOR", "{e.balance}")
  else => { balance: e.balance, owner: { name: e.name }, rate: e.rate, tags: e.tags }
"""


def opened(view_id: str, balance: str, rate: str = "1", name: str | None = None, tenant: str = "a", **more) -> bytes:
    envelope = {
        "tenant_id": tenant,
        "aggregate_type": "account",
        "aggregate_id": "1",
        "event_type": "Opened",
        "timestamp": "2026-01-01T00:00:00Z",
        "payload": {"id": view_id, "name": name, "tags": [], "balance": "<B>", "rate": "<R>", **more},
    }
    return json.dumps(envelope).replace('"<B>"', balance).replace('"<R>"', rate).encode()


EVENTS = [
    opened("A1", "1200.00", "0.0000001", "Ada", tags=["x", "y"]),
    opened("A2", "37.50", "12.5"),
    opened("A3", "-4.05", "3", 'a "quoted", one\r\nwith \x1b[31mlines'),
    opened("=é:1", "100.00", "100.125", "é"),
    opened("A1", "7.00", tenant="b"),
    opened("A2", "-5000.00"),
    *(opened(f"B{number}", "1.00", tenant="many") for number in range(60)),
]
JSON_LINES = {
    "A1": '{"id":"A1","view":{"balance":1200.00,"owner":{"name":"Ada"},"rate":0.0000001,"tags":["x","y"]}}',
    "A2": '{"id":"A2","view":{"balance":37.50,"owner":{"name":null},"rate":12.5,"tags":[]}}',
    "=é:1": '{"id":"=é:1","view":{"balance":100.00,"owner":{"name":"é"},"rate":100.125,"tags":[]}}',
}


@pytest.fixture(scope="module")
def bank(nats_server, tmp_path_factory):
    """A folder with the data that a node left behind."""
    folder = tmp_path_factory.mktemp("bank")
    (folder / "accounts.proj").write_text(PROGRAM)
    write_manifest(folder, {"accounts": {"program": "accounts.proj"}}, folder.name)
    write_events(folder / "events.jsonl", EVENTS)
    fill(nats_server.url, folder.name, EVENTS)
    ran = projection("run", "--until-caught-up", "--url", nats_server.url, "--stream", folder.name, folder=folder)
    assert 0 == ran.returncode, ran.stderr
    settings = {"nats": {"url": nats_server.url}, "stream": folder.name}
    (folder / "projection.yaml").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module", params=["folder", "events", "node"])
def place(request, bank, nats_server):
    """The options that name where the same views are: the folder, a node on it, or the events that they came of."""
    if request.param != "node":
        yield () if request.param == "folder" else ("--events", "events.jsonl")
        return
    with started(
        "run", "--url", nats_server.url, "--stream", bank.name, "--listen", "127.0.0.1:0", folder=bank
    ) as node:
        eventually(lambda: address(bank), node)
        yield ("--url", address(bank))


def address(folder) -> str | None:
    """Where the node answers, as it says on stderr."""
    lines = [json.loads(one) for one in (folder / "stderr.txt").read_text().splitlines() if one.startswith("{")]
    return next((one["url"] for one in lines if one["event"] == "serving"), None)


def query(folder, *arguments: object, tenant: str = "a"):
    return projection("query", "accounts", "--tenant", tenant, *arguments, folder=folder)


def test_views_are_printed_as_a_table_with_the_points_of_numbers_in_one_column(bank, place):
    ended = query(bank, "--sort", "-balance", "--select", "balance,owner.name,rate", *place)
    assert 0 == ended.returncode, ended.stderr
    head, *rows = ended.stdout.splitlines()
    assert ["id", "balance", "owner.name", "rate"] == head.split()
    assert ["A1", "=é:1", "A2", "A3"] == [row.split()[0] for row in rows]
    assert {head.index("balance") + 4} == {row.index(".") for row in rows}, "digits behind the point: two"
    assert ["0.0000001", "100.125", "12.5", "3"] == [row.split()[-1] for row in rows]
    assert 1 == len({row.rindex(".") for row in rows[:3]})
    assert "\x1b" not in ended.stdout
    assert r'a "quoted", one\r\nwith \x1b[31mlines' in ended.stdout


def test_views_are_printed_as_exact_json_a_line_each(bank, place):
    ended = query(bank, "--format", "json", "--filter", "balance > 30", "--sort", "-balance", *place)
    assert (0, [JSON_LINES["A1"], JSON_LINES["=é:1"], JSON_LINES["A2"]]) == (
        ended.returncode,
        ended.stdout.splitlines(),
    )
    assert "events are parked for 'A2'" in ended.stderr
    assert ("see `projection parked list --tenant a`" in ended.stderr) == ("--events" not in place)


def test_views_are_printed_as_csv_that_a_reader_of_csv_understands(bank, place):
    ended = projection(
        "query", "accounts", "--tenant", "a", "--format", "csv", "--select", "balance,owner.name,tags,rate", *place,
        folder=bank,
    )  # fmt: skip
    rows = list(csv.reader(io.StringIO(ended.stdout, newline="")))
    assert ["id", "balance", "owner.name", "tags", "rate"] == rows[0]
    assert {
        ("A1", "1200.00", "Ada", '["x","y"]', "0.0000001"),
        ("A2", "37.50", "", "[]", "12.5"),
        ("=é:1", "100.00", "é", "[]", "100.125"),
    } <= set(map(tuple, rows[1:]))


def test_one_view_is_found_by_its_id_as_it_is_and_as_it_was(bank, place):
    for more in ((), ("--at", len(EVENTS))):
        ended = query(bank, "--id", "A1", "--format", "json", *more, *place)
        assert (0, [JSON_LINES["A1"]]) == (ended.returncode, ended.stdout.splitlines()), ended.stderr
    assert f"note: as of event {len(EVENTS)}, folded" in ended.stderr
    refused(query(bank, "--id", "A1", "--at", len(EVENTS) + 1, *place), 1, f"{len(EVENTS) + 1}")


def test_all_views_are_found_as_they_were(bank, place):
    if "--url" in place:
        return  # a node is asked for one
    if not place and not (bank.parent / "backups").exists():
        for to in ((bank.parent / "backups",), ("--object-store", bank.name)):
            backed_up = projection("backup", *to, folder=bank)
            assert 0 == backed_up.returncode, backed_up.stderr
    backups = [("--backup", bank.parent / "backups"), ("--object-store", bank.name)]
    ways = [place] if place else [*backups, ("--from-start",)]
    for way in ways:
        if way in backups:
            refused(query(bank, "--at", 3, *way), 2, "can be folded on to event 3", f"it is at event {len(EVENTS)}")
        else:
            before = query(bank, "--at", 5, "--sort", "-balance", "--select", "balance", "--format", "csv", *way)
            assert ["A1,1200.00", "=é:1,100.00", "A2,37.50", "A3,-4.05"] == before.stdout.splitlines()[1:], (
                before.stderr
            )
            assert "note: as of event 5, folded from the first event: 5 events" in before.stderr
        now = query(bank, "--at", len(EVENTS), "--filter", "balance > 100", "--format", "json", *way)
        assert (0, [JSON_LINES["A1"]]) == (now.returncode, now.stdout.splitlines()), now.stderr
        assert "4" == query(bank, "--at", len(EVENTS), "--count", *way).stdout.strip()
        one = query(bank, "--at", len(EVENTS), "--id", "A1", "--format", "json", *way)
        assert [JSON_LINES["A1"]] == one.stdout.splitlines()
    for way in [] if place else backups:
        assert f"at event {len(EVENTS)}" in query(bank, "--at", len(EVENTS), "--count", *way).stderr


def test_without_a_selection_every_field_is_a_column(bank, place):
    head = query(bank, "--format", "csv", *place).stdout.splitlines()[0]
    assert "id,balance,owner,rate,tags" == head


def test_a_structured_filter_is_taken_as_json(bank, place):
    filter_ = '{"field": "balance", "op": "gt", "value": 100.00}'
    ended = query(bank, "--format", "json", "--filter", filter_, *place)
    assert [JSON_LINES["A1"]] == ended.stdout.splitlines()


def test_count_prints_how_many_match(bank, place):
    assert "2\n" == query(bank, "--count", "--filter", "balance > 50", *place).stdout
    assert "60\n" == query(bank, "--count", *place, tenant="many").stdout


@pytest.mark.parametrize(
    ("options", "count", "more"),
    [((), 50, True), (("--limit", 7), 7, True), (("--limit", 60), 60, False), (("--all",), 60, False), (("--limit", 2_000), 60, False)],
)  # fmt: skip
def test_it_prints_a_page_or_as_many_as_are_wanted_and_says_whether_there_are_more(bank, place, options, count, more):
    ended = query(bank, "--format", "json", *options, *place, tenant="many")
    assert count == len(ended.stdout.splitlines())
    assert more == ("there are more" in ended.stderr)


def test_explain_says_how_the_query_is_answered(bank, place):
    ended = query(bank, "--explain", "--filter", "balance > 30", "--sort", "-balance", *place)
    assert "balance desc" in ended.stdout
    as_json = query(bank, "--explain", "--filter", "balance > 30", "--format", "json", *place)
    assert 3 == json.loads(as_json.stdout)["returned"]


def test_nobody_else_has_these_views(bank, place):
    assert "" == query(bank, "--format", "json", *place, tenant="nobody").stdout
    assert '"balance":7.00' in query(bank, "--format", "json", *place, tenant="b").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--filter", "blance > 3"), ("blance", "balance")),
        (("--filter", "balance >"), ("balance >",)),
        (("--filter", '{"field": "balance", "op": "gt"}'), ("`gt` needs a `value`",)),
        (("--sort", "nothing"), ("nothing",)),
        (("--select", "nothing"), ("nothing",)),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_sentence(bank, place, arguments, said):
    refused(query(bank, *arguments, *place), 1, *said)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--filter", "{nothing"), 2, ("option --filter: it begins like JSON",)),
        (("--all", "--limit", 3), 2, ("--all and --limit contradict",)),
        (("--at", 3), 2, ("no place for backups is named", "--backup", "--from-start")),
        (("--at", 3, "--backup", "none"), 2, ("there is no backup at", "none")),
        (("--at", 3, "--url", "http://127.0.0.1:1"), 2, ("a node is asked for one view of the past", "--id")),
        (("--backup", "."), 2, ("--backup goes with --at",)),
        (("--object-store", "b"), 2, ("--object-store goes with --at",)),
        (("--at", 3, "--object-store", "b", "--from-start"), 2, ("--object-store and --from-start contradict",)),
        (("--at", 3, "--object-store", "b", "--backup", "none"), 2, ("there is no backup none in object store b",)),
        (("--at", 3, "--backup", ".", "--from-start"), 2, ("contradict each other",)),
        (("--at", 3, "--from-start", "--events", "events.jsonl"), 2, ("--from-start is for a data folder",)),
        (("--at", 3, "--id", "A1", "--count"), 2, ("--id and --at name one view",)),
        (("--at", "never", "--id", "A1"), 1, ("'never' is neither the sequence of an event nor a time",)),
        (("--token-file", "x"), 2, ("go with --url",)),
        (("--url", "http://127.0.0.1:1", "--storage", "data"), 2, ("--url and --storage are different places",)),
        (("--events", "events.jsonl", "--storage", "data"), 2, ("--storage and --events are different places",)),
        (("--events", "none.jsonl"), 2, ("none.jsonl",)),
        (("--manifest", "manifest.yaml"), 2, ("--manifest goes with --events",)),
        (("--url", "127.0.0.1:7070"), 2, ("write it as http://host:port",)),
        (("--url", "http://127.0.0.1:1", "--token-file", "none"), 2, ("option --token-file: 'none' cannot be read",)),
        (("--url", "http://127.0.0.1:1", "--ca-file", "none"), 2, ("option --ca-file: 'none' cannot be used",)),
        (("--url", "http://127.0.0.1:1"), 1, ("http://127.0.0.1:1 cannot be asked", "does the node run there?")),
        (("--storage", "none"), 2, ("there is no data folder of a node at none",)),
        (("--limit", 0), 2, ()),
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked(bank, arguments, status, said):
    ended = query(bank, *arguments)
    assert status == ended.returncode, ended.stderr
    for part in said:
        assert part in ended.stderr


@pytest.mark.parametrize("place", ["folder", "events"], indirect=True)
def test_who_forgets_the_tenant_is_told_whose_views_were_looked_for(bank, place):
    ended = projection("query", "accounts", "--format", "json", *place, folder=bank)
    assert (0, "") == (ended.returncode, ended.stdout)
    assert "no view of the default tenant matches; --tenant selects" in ended.stderr
    assert "" == query(bank, *place, tenant="nobody").stderr


def test_an_unknown_view_type_is_told(bank, place):
    refused(projection("query", "acounts", *place, folder=bank), 1, "acounts")
