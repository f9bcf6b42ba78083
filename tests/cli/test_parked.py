"""`projection parked`: what is parked and why, and dropping an event that will never fit."""

from __future__ import annotations

import json
import os

import pytest
from command_support import projection, refused
from operating_support import EVENTS, copied, left_behind, listed, total

from projection.cli.parked import suspended_lines
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.parked import Suspension
from projection.store.catalog import Catalog

ALL = [
    ("", "x", 7, "R710"),
    ("a", None, 9, "D105"),
    ("a", "bad", 3, "R710"),
    ("a", "bad", 4, "P000"),
    ("a", "bad", 5, "P000"),
    ("a", "bad", 6, "P000"),
    ("a", "é:1", 8, "R710"),
]


@pytest.fixture(scope="module")
def left(nats_server, tmp_path_factory):
    return left_behind(tmp_path_factory.mktemp("parked"), nats_server.url)


@pytest.fixture
def site(left, tmp_path):
    return copied(left, tmp_path / left.name)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--all-tenants",), ALL),
        (("counter", "--all-tenants"), ALL),
        (("--tenant", "a"), ALL[1:]),
        (("--tenant", "b"), []),
        (("--tenant", ""), ALL[:1]),
        (("--all-tenants", "--code", "R710"), [ALL[0], ALL[2], ALL[6]]),
        (("--all-tenants", "--limit", "2"), ALL[:2]),
    ],
)
def test_what_is_parked_is_listed_by_view_type_tenant_view_and_sequence(left, arguments, expected):
    ended = projection("parked", "list", "--json", *arguments, folder=left)
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    shown = [(one["tenant_id"], one["view_id"], one["sequence"], one["code"]) for one in found]
    assert (0, "", expected) == (ended.returncode, ended.stderr, shown)
    assert all(EVENTS[one["sequence"] - 1].decode() == one["envelope"] for one in found)


def test_the_list_is_a_table_for_people_and_says_when_others_have_parked_events(left):
    ended = projection("parked", "list", folder=left)
    head, row, *more = ended.stdout.splitlines()
    assert ["view", "type", "tenant", "view", "id", "event", "code", "reason"] == head.split()
    assert ["counter", "x", "7", "R710"] == row.split()[:4]
    assert "NEGATIVE: -1 is below zero" in " ".join([row, *more])
    assert "other tenants have parked events; --all-tenants lists them\n" == ended.stderr
    elsewhere = projection("parked", "list", "--tenant", "z", folder=left)
    assert "nothing is parked for tenant 'z'\n" == elsewhere.stdout
    assert "nothing is parked\n" == projection("parked", "list", "--code", "R701", folder=left).stdout


def test_one_event_is_shown_whole(left):
    ended = projection("parked", "show", "counter", 3, folder=left)
    assert (0, "") == (ended.returncode, ended.stderr)
    for part in ("3 of tenant 'a'", "counter 'bad'", "R710, program: NEGATIVE: -1 is below zero (at counter.proj:9:"):
        assert part in ended.stdout
    assert json.loads(EVENTS[2]) == json.loads(ended.stdout[ended.stdout.index("\n{") :])
    (line,) = projection("parked", "show", "counter", 3, "--id", "bad", "--json", folder=left).stdout.splitlines()
    assert ("R710", EVENTS[2].decode()) == (json.loads(line)["code"], json.loads(line)["envelope"])


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("list", "sales"), 2, ("has no view type 'sales'", "it has: counter")),
        (("list", "--tenant", "a", "--all-tenants"), 2, ("--all-tenants does not go with --tenant",)),
        (("list", "Sales!"), 2, ("view type 'Sales!'",)),
        (("list", "--tenant", "t" * 300), 2, ("tenant id",)),
        (("list", "--storage", "none"), 2, ("there is no data folder of a node at none", "hint: ")),
        (("show", "counter", 1), 1, ("event 1 is not parked in counter", "hint: ")),
        (("show", "counter", 3, "--id", "x"), 1, ("event 3 is not parked in counter for the view 'x'", "hint: ")),
        (("show", "Sales!", 3), 2, ("view type 'Sales!'",)),
        (("drop", "counter", 3), 2, ("one of --id and --alone", "`projection parked show counter 3` names")),
        (("drop", "counter", 3, "--id", "bad", "--alone"), 2, ("one of --id and --alone",)),
        (("drop", "counter", 3, "--alone"), 1, ("event 3 is not parked in counter",)),
        (("drop", "counter", 3, "--id", "x"), 1, ("event 3 is not parked in counter for the view 'x'",)),
        (("drop", "counter", 9, "--id", "bad"), 1, ("event 9 is not parked in counter for the view 'bad'",)),
        (("drop", "counter", 3, "--id", "bad", "--storage", "none"), 2, ("there is no data folder of a node at none",)),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(left, arguments, status, said):
    refused(projection("parked", *arguments, folder=left), status, *said)
    assert not (left / "none").exists()


def test_a_dropped_event_is_left_out_and_what_waits_behind_it_goes_on(site):
    ended = projection("parked", "drop", "counter", 3, "--id", "bad", folder=site)
    assert (0, "") == (ended.returncode, ended.stderr)
    assert (
        "dropped event 3 of tenant 'a' for the view 'bad', which has taken 1 event that waited behind it; "
        "still parked: 2 events, first 5 (R710: NEGATIVE: -2 is below zero)\n"
    ) == ended.stdout
    assert 6 == total(site, "bad")
    ended = projection("parked", "drop", "counter", 5, "--id", "bad", "--json", folder=site)
    told = json.loads(ended.stdout)
    assert (1, [], "a", "bad", 5) == (
        told["taken"],
        told["waiting"],
        told["tenant_id"],
        told["view_id"],
        told["sequence"],
    )
    assert 13 == total(site, "bad")
    assert [ALL[0], ALL[1], ALL[6]] == listed(site)


def test_an_event_that_waits_is_dropped_and_nothing_is_said_to_have_been_taken(site):
    ended = projection("parked", "drop", "counter", 4, "--id", "bad", folder=site)
    told = "dropped event 4 of tenant 'a' for the view 'bad'; still parked: 3 events, first 3 (R710: NEGATIVE: "
    assert (0, True) == (ended.returncode, ended.stdout.startswith(told)), ended.stdout


def test_no_more_of_what_is_suspended_is_told_than_was_asked_for():
    some = [(ViewType("counter"), Suspension(TenantId("a"), ViewId(f"v{n}"), n)) for n in range(1, 4)]
    first = "counter: view 'v1' of tenant 'a': suspended from event 1 on"
    assert [first, "… and 2 more that are suspended"] == list(suspended_lines(some, 1))
    assert ([first], 3, 3) == (
        list(suspended_lines(some[:1], 1)),
        len(list(suspended_lines(some, None))),
        len(list(suspended_lines(some, 3))),
    )


def test_an_event_that_reached_no_view_is_dropped_alone(site):
    ended = projection("parked", "drop", "counter", 9, "--alone", folder=site)
    assert (0, "dropped event 9 of tenant 'a'\n") == (ended.returncode, ended.stdout)
    assert 9 not in [sequence for _, _, sequence, _ in listed(site)]


def test_a_node_that_starts_afterwards_goes_on_with_the_decision(site, nats_server):
    projection("parked", "drop", "counter", 3, "--id", "bad", folder=site)
    ran = projection(
        "run",
        "--until-caught-up",
        "--url",
        nats_server.url,
        "--stream",
        site.name,
        folder=site,
        PROJECTION_NODE="other",
    )
    assert (0, 0) == (ran.returncode, json.loads(ran.stdout)["events"]), ran.stderr
    assert 6 == total(site, "bad")


def test_lists_are_read_and_nothing_is_dropped_while_another_process_has_the_folder(site):
    with Catalog.open(site / "data"):
        said = f"data is in use by another node or command: process {os.getpid()}"
        refused(projection("parked", "drop", "counter", 3, "--id", "bad", folder=site), 1, said, "hint: ")
        assert ALL == listed(site)
