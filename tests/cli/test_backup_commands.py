"""`projection backup`, `restore` and `verify --backup`, with a node that runs on the folder and without one."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest
from command_support import (
    COUNTER,
    counted,
    deploy,
    eventually,
    fill,
    in_this_process,
    projection,
    refused,
    scanned,
    started,
)
from operating_support import EVENTS, copied, left_behind, total

from projection.store import folder_lock
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats


@pytest.fixture(scope="module")
def server(nats_server):
    return nats_server.url


@pytest.fixture(scope="module")
def left(server, tmp_path_factory):
    return left_behind(tmp_path_factory.mktemp("backed"), server)


@pytest.fixture
def site(left, tmp_path):
    return copied(left, tmp_path / left.name)


def done(*arguments, folder):
    ended = projection(*arguments, folder=folder)
    assert 0 == ended.returncode, ended.stderr
    return ended.stdout


def restored(site, url, *arguments):
    return ("restore", "backups", "--stream", site.name, "--url", url, *arguments)


def test_without_a_node_the_folder_is_backed_up_listed_checked_and_restored(site, server):
    told = done("backup", "backups", "--reason", "before the move", folder=site)
    assert told.startswith(f"backed up 1 build to {site}/backups/"), told
    made = json.loads(done("backup", "backups", "--keep", "1", "--json", folder=site))
    assert 1 == len(made["deleted"])
    assert made["copied"] < made["bytes"], "the build did not change"
    assert ["counter 1"] == [
        line.split("  ")[-1].strip() for line in done("backup", "backups", "--list", folder=site).splitlines()[1:]
    ]
    (listed,) = map(json.loads, done("backup", "backups", "--list", "--json", folder=site).splitlines())
    assert (made["name"], len(EVENTS)) == (listed["backup"], listed["about"]["builds"][0]["scanned"])
    assert made["name"] in done("verify", "--backup", "backups", folder=site)
    (checked,) = map(json.loads, done("verify", "--backup", made["at"], "--json", folder=site).splitlines())
    assert {"backup": made["name"], "bytes": made["bytes"], "problems": []} == checked
    assert "restored 1 build" in done(*restored(site, server, "--data", "elsewhere"), folder=site)
    done("verify", "--storage", "elsewhere", "--against", "data", folder=site)
    records = [json.loads(line) for line in done("audit", "--json", folder=site).splitlines()]
    assert [("backup", "offline", "before the move"), ("backup", "offline", "")] == [
        (one["operation"], one["author"]["door"], one["author"]["reason"]) for one in records
    ]
    assert "backup (backup " in done("audit", folder=site)


def test_the_same_command_reaches_a_node_and_what_it_made_goes_on_elsewhere(site, server):
    stream = f"{site.name}live"
    deploy(site, stream=stream)
    fill(server, stream, [*EVENTS, counted("x", 4)])
    arguments = ("run", "--url", server, "--stream", stream, "--storage", "live")
    with started(*arguments, folder=site) as node:
        eventually(lambda: scanned(site / "live", "counter") == len(EVENTS) + 1, node)
        eventually((site / "live" / "control.sock").exists, node)
        made = json.loads(done("backup", "backups", "--storage", "live", "--json", folder=site))
        fill(server, stream, [counted("x", 100)])
        eventually(lambda: scanned(site / "live", "counter") == len(EVENTS) + 2, node)
        (record,) = map(json.loads, done("audit", "--storage", "live", "--json", folder=site).splitlines())
        assert ("backup", "socket", made["at"]) == (
            record["operation"],
            record["author"]["door"],
            record["details"]["backup"],
        )
        done("restore", made["at"], "--stream", stream, "--url", server, "--data", "elsewhere", folder=site)
        with started("run", "--url", server, "--stream", stream, "--storage", "elsewhere", folder=site) as other:
            eventually(lambda: scanned(site / "elsewhere", "counter") == len(EVENTS) + 2, other)
            assert node.poll() is None, "both run: the restored folder has a name of its own"
            done("verify", "--storage", "live", "--against", "elsewhere", folder=site)
            other.send_signal(signal.SIGTERM)
            assert 0 == other.wait()
    assert total(site, "x") is not None


def test_from_another_container_a_node_is_asked_to_verify_and_to_back_up(site, server, monkeypatch):
    with started("run", "--url", server, "--stream", site.name, folder=site) as node:
        eventually((site / "data" / "control.sock").exists, node)
        here = done("verify", "--json", folder=site)
        monkeypatch.setattr(folder_lock, "pid_namespace", lambda: "of another container")
        refused(in_this_process("verify", "--against", "data", folder=site), 1, "of another container")
        assert here == in_this_process("verify", "--json", folder=site).stdout
        assert json.loads(here)["digest"][:16] in in_this_process("verify", "counter", folder=site).stdout
        assert "backed up 1 build" in in_this_process("backup", "backups", folder=site).stdout


def test_an_object_store_is_a_place_for_backups(site, server):
    settings = {"nats": {"url": server}, "stream": site.name}
    (site / "projection.yaml").write_text(json.dumps(settings))
    bucket = ("--object-store", f"b{site.name}")
    refused(projection("restore", *bucket, "--data", "elsewhere", folder=site), 2, "there is no backup in object store")
    first = json.loads(done("backup", *bucket, "--json", folder=site))
    made = json.loads(done("backup", *bucket, "--json", folder=site))
    assert made["copied"] < first["copied"]
    listed = [json.loads(line) for line in done("backup", *bucket, "--list", "--json", folder=site).splitlines()]
    assert [first["name"], made["name"]] == [one["backup"] for one in listed]
    assert 2 == len(done("verify", *bucket, "--json", folder=site).splitlines())
    done("restore", first["name"], *bucket, "--data", "elsewhere", folder=site)
    done("verify", "--storage", "elsewhere", "--against", "data", folder=site)
    refused(projection("restore", "other", *bucket, "--data", "more", folder=site), 2, "there is no backup other in")
    refused(projection("backup", "there", *bucket, folder=site), 2, "to a directory or a bucket")
    refused(projection("backup", "--object-store", "a.b", folder=site), 2, "'a.b' is no bucket's name")
    (site / "projection.yaml").write_text(json.dumps({"nats": {"url": "nats://127.0.0.1:9"}}))
    refused(projection("backup", *bucket, folder=site), 1, "object store", "127.0.0.1:9")


def test_what_is_damaged_is_told_with_status_1(site, server):
    made = json.loads(done("backup", "backups", "--json", folder=site))
    store = site / "backups" / made["name"] / "counter" / "1" / "0" / "data.mdb"
    content = bytearray(store.read_bytes())
    content[9000] ^= 4
    store.write_bytes(content)
    ended = projection("verify", "--backup", "backups", folder=site)
    assert (1, True) == (
        ended.returncode,
        f"error: backup {made['name']}: counter/1/0/data.mdb has changed" in ended.stderr,
    )
    refused(
        projection(*restored(site, server, "--data", "elsewhere"), folder=site), 1, "has changed since it was written"
    )
    again = projection("backup", "backups", folder=site)
    assert (0, f"warning: the earlier backup {made['name']} is damaged") == (
        again.returncode,
        again.stderr.partition(";")[0],
    )


def test_what_does_not_belong_to_the_node_is_refused_with_a_word(site, server):
    done("backup", "backups", folder=site)
    elsewhere = ("--data", "elsewhere")
    other = ("restore", "backups", "--url", server, *elsewhere)
    refused(projection(*other, "--stream", "other", folder=site), 2, "was folded from stream", "and not from 'other'")
    (site / "counter.proj").write_text(COUNTER.replace("total += e.n", "total += e.n * 2"))
    refused(projection(*restored(site, server, *elsewhere), folder=site), 2, "the program changed", "--any-program")
    refused(projection(*restored(site, "nats://127.0.0.1:9", "--any-program", *elsewhere), folder=site), 1, "--offline")
    nowhere = ("--manifest", "nowhere.yaml", "--offline", *elsewhere)
    refused(projection(*restored(site, server, *nowhere), folder=site), 2, "there is no manifest at", "--any-program")
    done(*restored(site, "nats://127.0.0.1:9", "--any-program", "--offline", *elsewhere), folder=site)
    refused(projection(*restored(site, server, "--any-program"), folder=site), 2, "is not empty")


def test_a_stream_that_was_made_anew_is_refused(site, server):
    stream = f"{site.name}anew"
    deploy(site, stream=stream)
    fill(server, stream, EVENTS[:3])
    ran = projection("run", "--until-caught-up", "--url", server, "--stream", stream, "--storage", "own", folder=site)
    assert 0 == ran.returncode, ran.stderr
    done("backup", "backups", "--storage", "own", folder=site)

    async def delete():
        async with await Nats.connect(NatsConnection(server)) as nats:
            await nats.request(f"$JS.API.STREAM.DELETE.{stream}", b"")

    asyncio.run(delete())
    fill(server, stream, EVENTS[:3])
    restore = ("restore", "backups", "--stream", stream, "--url", server, "--data", "elsewhere")
    refused(projection(*restore, folder=site), 1, "is not the log that was read up to 3", "--offline")
    assert not list((site / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("backup",), 2, "no place for backups is named"),
        (("backup", "--list"), 2, "no place for backups is named"),
        (("backup", "nowhere", "--list"), 2, "there is no backup in"),
        (("backup", "data/backups"), 2, "is in the data folder"),
        (("backup", "."), 2, "is not a directory of backups: it contains"),
        (("verify", "--backup", "nowhere"), 2, "there is no backup at"),
        (("verify", "--backup", "."), 2, "there is no backup in"),
        (("restore", "nowhere", "--offline"), 2, "there is no backup at"),
        (("restore", ".", "--offline"), 2, "there is no backup in"),
        (("restore", "--offline"), 2, "no backup is named"),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence(left, arguments, status, said):
    refused(projection(*arguments, folder=left), status, said)


def test_the_settings_say_where_and_how_many(site):
    (site / "projection.yaml").write_text("backup: {directory: kept, keep: 2}\n")
    names = [json.loads(done("backup", "--json", folder=site))["name"] for _ in range(3)]
    assert sorted([".lock", *names[1:]]) == sorted(path.name for path in (site / "kept").iterdir())
    (site / "projection.yaml").write_text("backup: {every_h: 1}\n")
    refused(projection("backup", "there", folder=site), 2, "every_h needs directory or object_store")
