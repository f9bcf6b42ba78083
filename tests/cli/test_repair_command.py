"""`projection repair`, `compact` and `operations` on a folder: what is told, and with which exit status."""

from __future__ import annotations

import json

import pytest
from command_support import projection, refused
from operating_support import copied, left_behind, total

from projection.engine.tasks import TaskRecord, encoded
from projection.store.catalog import Catalog
from projection.store.lmdb_opening import MAP_SIZE, open_to_write


@pytest.fixture(scope="module")
def left(nats_server, tmp_path_factory):
    return left_behind(tmp_path_factory.mktemp("toberepaired"), nats_server.url)


@pytest.fixture
def site(left, tmp_path):
    return copied(left, tmp_path)


def repair(site, left, nats_server, *arguments):
    return projection(
        "repair", "counter", "--url", nats_server.url, "--stream", left.name, *arguments, folder=site
    )  # fmt: skip


def change(site, view_id, view) -> None:
    environment = open_to_write(site / "data" / "counter" / "1" / "0", map_size=MAP_SIZE)
    key = f"view:a:counter:{view_id}".encode()
    environment.update(lambda transaction: transaction.put(key, view) if view else transaction.delete(key))
    environment.close()


def test_what_differs_is_shown_and_put_right(site, left, nats_server):
    before = total(site, "x")
    change(site, "x", b'{"total":77}')
    change(site, "odd", b'{"total":1}')
    would = repair(site, left, nats_server, "--tenant", "a", "--dry-run")
    assert 1 == would.returncode, would.stderr
    assert "x: differed in total\n" in would.stdout
    assert "odd: should not be there\n" in would.stdout
    assert "views differed, and nothing was written\n" in would.stdout
    assert 77 == total(site, "x")
    done = repair(site, left, nats_server, "--reason", "the disk was replaced")
    assert 0 == done.returncode, done.stderr
    assert done.stdout.endswith("views differed, and all are correct now\n")
    assert (before, None) == (total(site, "x"), total(site, "odd"))
    audit = projection("audit", folder=site).stdout
    assert "repair counter (build 1, views 2, parked 0, entries 0), by" in audit
    assert "(offline): the disk was replaced" in audit
    assert 0 == projection("verify", folder=site).returncode


def test_a_view_that_is_missing_is_made_again_and_told_as_json(site, left, nats_server):
    before = total(site, "x")
    change(site, "x", None)
    done = repair(site, left, nats_server, "--id", "x", "--tenant", "a", "--json")
    assert 0 == done.returncode, done.stderr
    came = json.loads(done.stdout)
    assert [{"view_id": "x", "fields": [], "was": False, "ought": True}] == came["views"]
    assert (True, True, before) == (came["written"], came["sound"], total(site, "x"))
    again = repair(site, left, nats_server, "--id", "x", "--tenant", "a")
    assert (0, True) == (again.returncode, again.stdout.endswith(": nothing differed\n"))


def test_a_view_that_is_neither_stored_nor_in_the_log_is_told_to_be_none(site, left, nats_server):
    for more in ((), ("--dry-run",), ("--json",)):
        none = repair(site, left, nats_server, "--id", "TYPO", "--tenant", "a", *more)
        told = "tenant 'a' has no counter with the id 'TYPO', neither in build 1 nor in the log"
        refused(none, 1, told)
        assert "nothing differed" not in none.stdout
    change(site, "TYPO", b'{"total":1}')
    done = repair(site, left, nats_server, "--id", "TYPO", "--tenant", "a")
    assert (0, True) == (done.returncode, "TYPO: should not be there" in done.stdout)


def test_where_no_node_runs_operations_are_listed_and_none_is_canceled(site):
    assert "there are no long operations yet\n" == projection("operations", "list", folder=site).stdout
    refused(projection("operations", "watch", "none", folder=site), 2, "there is no operation 'none'")
    refused(projection("operations", "cancel", "none", folder=site), 2, "no node runs on data")


def test_free_pages_are_given_back_and_a_damaged_store_is_passed_over(site):
    environment = open_to_write(site / "data" / "counter" / "1" / "0", map_size=MAP_SIZE)
    junk = [b"junk:%05d" % number for number in range(3_000)]
    environment.update(lambda transaction: [transaction.put(key, bytes(900)) for key in junk])
    environment.update(lambda transaction: [transaction.delete(key) for key in junk])
    environment.close()

    def free():
        (one,) = (json.loads(line) for line in projection("builds", "list", "--json", folder=site).stdout.splitlines())
        assert one["free"] < one["bytes"]
        return one["free"]

    assert free() > 2_000_000
    done = projection("compact", "counter", "--reason", "the disk is small", folder=site)
    assert 0 == done.returncode, done.stderr
    assert "counter" in done.stdout
    assert " MiB " in done.stdout
    assert free() < 200_000
    assert 0 == projection("verify", folder=site).returncode
    assert "compact counter (builds 1, given_back " in projection("audit", folder=site).stdout
    with (site / "data" / "counter" / "1" / "0" / "data.mdb").open("r+b") as file:
        file.write(bytes(4096))
    passed_over = projection("compact", folder=site)
    assert 1 == passed_over.returncode
    assert "warning: build 1 of view type counter was passed over" in passed_over.stderr


def test_the_list_of_operations_fits_80_columns_and_tells_what_failed_and_what_no_node_is_at(site):
    def record(second: int, operation: str, view_type: str, state: str, **more):
        began = f"2026-11-30T17:51:{second:02}.834Z"
        told = {"id": f"b9f9e32d21{second:02}", "by": "ada", "reason": "", "began": began}
        return TaskRecord(**told, operation=operation, view_type=view_type, state=state, **more)

    some = [
        record(1, "rebuild", "shop_orders", "done", done=9, total=10),
        record(2, "repair", "counter", "failed", error="no log"),
        record(3, "rebuild", "counter", "running", done=3, total=8),
    ]
    with Catalog.open(site / "data") as catalog:
        for one in some:
            catalog.put_task(one.id, encoded(one), 200)
    ended = projection("operations", "list", folder=site, COLUMNS="80")
    assert [
        "id            operation  view type    began              state    done  left",
        "b9f9e32d2101  rebuild    shop_orders  2026-11-30T17:51Z  done     100%  -",
        "b9f9e32d2102  repair     counter      2026-11-30T17:51Z  failed   -     -",
        "b9f9e32d2103  rebuild    counter      2026-11-30T17:51Z  running  37%   -",
    ] == ended.stdout.splitlines()
    failed, stopped = ended.stderr.splitlines()
    assert "b9f9e32d2102 failed: no log" == failed
    assert stopped.startswith("note: no node runs on data")
