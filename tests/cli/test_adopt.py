"""`projection adopt`: a corrected program takes over views and parked events, and the node goes on from there."""

from __future__ import annotations

import json
import os

import pytest
from command_support import COUNTER, counted, deploy, fill, projection, refused, write_manifest
from operating_support import CORRECTED, copied, left_behind, listed, total

from projection.store.catalog import Catalog

COUNTING = """\
proj 1
projection counter
event Counted { n: int }
view Counter { total: int = 0 }
on Counted to meta.aggregate_id =>
  let counter = view ?? {};
  counter with { total += 1 }
"""


@pytest.fixture(scope="module")
def left(nats_server, tmp_path_factory):
    return left_behind(tmp_path_factory.mktemp("adopted"), nats_server.url)


@pytest.fixture
def site(left, tmp_path):
    """The data as it was left, and the corrected program beside it."""
    copied(left, tmp_path / left.name)
    deploy(tmp_path / left.name, CORRECTED, stream=left.name)
    return tmp_path / left.name


def builds(site):
    """The folders of the builds that are there."""
    return sorted(path.name for path in (site / "data" / "counter").iterdir())


def test_a_dry_run_shows_what_would_come_of_it_and_changes_nothing(site):
    before = listed(site)
    ended = projection("adopt", "counter", "--dry-run", "--json", folder=site)
    told = json.loads(ended.stdout)
    assert (0, "") == (ended.returncode, ended.stderr)
    assert {
        "view_type": "counter",
        "former_build": 1,
        "build": None,
        "scanned": 9,
        "views_changed": 2,
        "taken": 3,
        "gone": 0,
        "late": 0,
        "parked": {"D105": 1, "P000": 1, "R710": 2},
        "skipped": {},
        "suspended": 0,
    } == told
    assert before == listed(site)
    assert ["1"] == builds(site)


def test_views_and_parked_events_are_taken_over_and_the_former_build_stays(site):
    ended = projection("adopt", "counter", folder=site)
    assert (0, "") == (ended.returncode, ended.stderr)
    head, row = ended.stdout.splitlines()
    assert "view type  build  at  views changed  taken  gone  still parked" == head
    assert ["counter", "1", "→", "2", "9", "2", "3", "0", "1", "D105,", "1", "P000,", "2", "R710"] == row.split()
    assert 5 == total(site, "bad")
    assert ["1", "2"] == builds(site)
    again = projection("adopt", "--all", folder=site)
    assert (0, "") == (again.returncode, again.stdout)
    assert "there is nothing to adopt" in again.stderr


def test_the_node_goes_on_with_the_adopted_build_from_where_the_former_one_was(site, nats_server):
    run = ("run", "--until-caught-up", "--url", nats_server.url, "--stream", site.name)
    refused(projection(*run, folder=site, PROJECTION_NODE="other"), 2, "the program changed since build 1", "adopt")
    assert 0 == projection("adopt", "counter", folder=site).returncode
    ran = projection(*run, folder=site, PROJECTION_NODE="other")
    assert (0, 0) == (ran.returncode, json.loads(ran.stdout)["events"]), ran.stderr


def test_all_adopts_every_view_type_that_changed_and_no_other(site):
    views = {name: {"program": "counter.proj"} for name in ("counter", "unknown")}
    write_manifest(site, views, site.name)
    lines = projection("adopt", "--all", "--json", folder=site).stdout.splitlines()
    assert [("counter", 2)] == [(one["view_type"], one["build"]) for one in map(json.loads, lines)]


def test_what_would_come_late_is_told(site):
    deploy(site, COUNTING, stream=site.name)
    ended = projection("adopt", "counter", "--dry-run", folder=site)
    assert 0 == ended.returncode, ended.stderr
    assert "counter: 1 event that had reached no view would reach one now; left parked" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), 2, ("name a view type, or say --all",)),
        (("counter", "--all"), 2, ("name a view type, or say --all",)),
        (("sales",), 2, ("manifest manifest.yaml has no view type 'sales'", "hint: it has: counter")),
        (("counter", "--storage", "none"), 2, ("there is no data folder of a node at none", "hint: ")),
        (("counter", "--dry-run", "--storage", "none"), 2, ("there is no data folder of a node at none", "hint: ")),
        (("counter", "--manifest", "none.yaml"), 2, ("none.yaml",)),
    ],
)
def test_what_cannot_be_adopted_is_told_in_one_sentence(site, arguments, status, said):
    refused(projection("adopt", *arguments, folder=site), status, *said)
    assert not (site / "none").exists()


def test_a_program_that_answers_already_a_changed_start_and_another_view_are_refused(site):
    deploy(site, COUNTER, stream=site.name)
    refused(projection("adopt", "counter", folder=site), 2, "is folded by this program already", "nothing to adopt")
    deploy(site, CORRECTED, stream=site.name, start={"sequence": 3})
    refused(projection("adopt", "counter", folder=site), 2, "start (first → sequence 3) changed", "--new-build")
    deploy(site, CORRECTED.replace("total: int", "total: decimal(2)"), stream=site.name)
    refused(projection("adopt", "counter", folder=site), 2, "total was int and is decimal(2)", "--new-build")
    deploy(site, CORRECTED, stream=site.name, on_error="halt")
    refused(projection("adopt", "counter", folder=site), 1, "sequence 5: R710 at counter.proj:", "hint: ")
    assert ["1"] == builds(site)


def test_while_another_process_has_the_folder_only_a_dry_run_is_possible(site):
    with Catalog.open(site / "data"):
        said = f"data is in use by another node or command: process {os.getpid()}"
        refused(projection("adopt", "counter", folder=site), 1, said, "hint: ")
        assert 0 == projection("adopt", "counter", "--dry-run", folder=site).returncode


def test_events_that_come_after_an_adoption_are_folded_by_the_new_program(nats_server, tmp_path):
    site = left_behind(tmp_path / f"later-{os.getpid()}", nats_server.url)  # the stream of the others stays as it is
    deploy(site, CORRECTED, stream=site.name)
    assert 0 == projection("adopt", "counter", folder=site).returncode
    fill(nats_server.url, site.name, [counted("later", -1)])
    run = ("run", "--until-caught-up", "--url", nats_server.url, "--stream", site.name)
    ran = projection(*run, folder=site, PROJECTION_NODE="third")
    assert 0 == ran.returncode, ran.stderr
    assert -1 == total(site, "later")
