"""`projection verify`: a store that holds something else than its commits left, and folders that should be equal."""

from __future__ import annotations

import json
import os

import pytest
from command_support import counted, deploy, fill, projection, refused, write_events
from operating_support import CORRECTED, EVENTS, copied, left_behind

from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.keys import ViewKey
from projection.store.lmdb_opening import open_to_write

KEY = ViewKey(TenantId("a"), ViewType("counter"), ViewId("x")).encode()


@pytest.fixture(scope="module")
def left(nats_server, tmp_path_factory):
    return left_behind(tmp_path_factory.mktemp("verified"), nats_server.url)


@pytest.fixture
def site(left, tmp_path):
    return copied(left, tmp_path / left.name)


def verified(folder, *arguments, status=0):
    ended = projection("verify", "--json", *arguments, folder=folder)
    assert status == ended.returncode, ended.stderr
    (told,) = map(json.loads, ended.stdout.splitlines())
    return told


def damage(folder, key, value):
    environment = open_to_write(folder / "data" / "counter" / "1" / "0")
    environment.update(lambda transaction: transaction.put(key, value) if value else transaction.delete(key))
    environment.close()


def run(folder, nats_server, node):
    arguments = ("run", "--until-caught-up", "--url", nats_server.url, "--stream", folder.name)
    ran = projection(*arguments, folder=folder, PROJECTION_NODE=node)
    assert 0 == ran.returncode, ran.stderr


def test_a_sound_store_has_the_digest_of_a_replay(left):
    told = verified(left)
    replayed = projection("replay", "--summary", write_events(left / "events.jsonl", EVENTS), folder=left)
    assert json.loads(replayed.stdout)["digests"] == {"counter": told["digest"]}
    del told["digest"], told["fold_identity"]
    expected = {"view_type": "counter", "build": 1, "scanned": 9, "applied": 9, "views": 2, "parked": 7, "problems": []}
    assert expected == told


def test_a_store_that_is_cut_is_a_problem_of_its_view_type_and_is_followed_by_no_command(site):
    data = site / "data" / "counter" / "1" / "0" / "data.mdb"
    os.truncate(data, data.stat().st_size // 2)
    told = verified(site, status=1)
    assert ("counter", 1) == (told["view_type"], told["build"])
    assert "data.mdb is not a store, or it is damaged: " in told["problems"][0]
    ended = projection("verify", folder=site)
    assert (1, "error: view type counter: ") == (ended.returncode, ended.stderr[:26])
    refused(projection("show", "counter", "x", "--tenant", "a", folder=site), 1, "is damaged", "restore a copy")


def test_people_get_a_table(left):
    ended = projection("verify", folder=left)
    assert (0, "") == (ended.returncode, ended.stderr)
    head, row = ended.stdout.splitlines()
    assert "view type  build  event  views  parked  digest begins" == head
    assert ["counter", "1", "9", "2", "7", verified(left)["digest"][:16]] == row.split()


@pytest.mark.parametrize(
    ("value", "said"), [(b'{"total":2}', "its digest is"), (None, "it counts 2 views, and holds 1")]
)
def test_a_view_that_no_commit_has_written_so_is_found(site, value, said):
    damage(site, KEY, value)
    ended = projection("verify", folder=site)
    assert 1 == ended.returncode
    assert "error: view type counter: its digest is" in ended.stderr
    assert said in ended.stderr
    assert "  hint: `projection repair counter` folds it from the stream" in ended.stderr


def test_a_store_of_another_fold_than_the_catalog_says_is_found(site):
    damage(site, b"lane:fold_identity", b"f" * 64)
    ended = projection("verify", folder=site)
    assert 1 == ended.returncode
    assert f"error: view type counter: it was folded by {'f' * 64}, and the catalog says" in ended.stderr


def test_folders_that_were_folded_alike_are_equal(left, site, nats_server):
    assert [] == verified(left, "--against", site / "data")["problems"]
    again = deploy(site, stream=site.name).parent
    (site / "data").rename(site / "former")
    run(again, nats_server, "again")
    assert [] == verified(left, "--against", site / "data")["problems"]


def test_what_keeps_folders_from_being_compared_is_told(left, site, nats_server):
    projection("parked", "drop", "counter", 9, "--alone", folder=site)
    (said,) = verified(left, "--against", site / "data", status=1)["problems"]
    assert said.startswith("they were folded by ")


def test_folders_at_different_events_are_not_called_equal(nats_server, tmp_path):
    left = left_behind(tmp_path / f"ahead-{os.getpid()}", nats_server.url)  # the stream of the others stays as it is
    site = copied(left, tmp_path / "copy" / left.name)
    fill(nats_server.url, site.name, [counted("new")])
    run(site, nats_server, "ahead")
    assert ["one is at event 9, the other at event 10"] == verified(left, "--against", site / "data", status=1)[
        "problems"
    ]


def test_equal_folds_that_hold_different_states_are_found(left, site):
    damage(site, KEY, b'{"total":2}')
    problems = verified(left, "--against", site / "data", status=1)["problems"]
    assert [True, True] == [
        problems[0].startswith(f"in {site / 'data'}, its digest is"),
        problems[1].startswith("they hold different states: "),
    ]


def test_a_view_type_that_only_one_folder_has_is_a_difference(left, site, nats_server):
    views = {name: {"program": "counter.proj"} for name in ("counter", "other")}
    (site / "counter.proj").write_text(CORRECTED)
    manifest = json.loads((site / "manifest.yaml").read_text())
    (site / "manifest.yaml").write_text(json.dumps({**manifest, "views": {"other": views["other"]}}))
    run(site, nats_server, "wider")
    ended = projection("verify", "--against", site / "data", folder=left)
    assert (1, "error: view type other: data has no such view type\n") == (ended.returncode, ended.stderr)
    ended = projection("verify", "--against", left / "data", folder=site)
    assert (1, f"error: view type other: {left / 'data'} has no such view type\n") == (ended.returncode, ended.stderr)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("sales",), 2, ("has no view type 'sales'",)),
        (("Sales!",), 2, ("view type 'Sales!'",)),
        (("--storage", "none"), 2, ("there is no data folder of a node at none",)),
        (("--against", "none"), 2, ("there is no data folder of a node at none",)),
    ],
)
def test_what_cannot_be_verified_is_told_in_one_sentence(left, arguments, status, said):
    refused(projection("verify", *arguments, folder=left), status, *said)
