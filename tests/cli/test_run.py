"""`projection run`: the node as a process, from its start to its end, and everything that keeps it from starting."""

from __future__ import annotations

import json
import signal
import socket
from contextlib import closing

import pytest
from command_support import (
    COUNTER,
    counted,
    deploy,
    deploy_shop,
    eventually,
    fill,
    line,
    projection,
    refused,
    scanned,
    started,
    write_events,
)
from patience import WITHIN_S

from projection.store.format import _KEY, FORMAT_VERSION
from projection.store.lmdb_opening import open_to_write
from projection.testing.shop import shop_lines


@pytest.fixture
def at(nats_server, stream_name):
    """The options that say where the stream is."""
    return ("--url", nats_server.url, "--stream", stream_name)


def test_until_caught_up_ends_with_the_summary_and_the_views_of_a_replay(tmp_path, nats_server, stream_name, at):
    deploy_shop(tmp_path, stream_name)
    lines = list(shop_lines(2_000, faults=10))
    fill(nats_server.url, stream_name, lines)
    ran = projection("run", "--until-caught-up", *at, folder=tmp_path)
    told = {(line["component"], line.get("like", line["event"])) for line in map(json.loads, ran.stderr.splitlines())}
    assert (0, {("fold", "an event is parked")}) == (ran.returncode, told)
    events = write_events(tmp_path / "e.jsonl", lines)
    summary, expected = (
        json.loads(one) for one in (ran.stdout, projection("replay", "--summary", events, folder=tmp_path).stdout)
    )
    assert list(summary) == [name for name in expected if name != "digests"]
    del summary["seconds"], expected["seconds"], expected["digests"]
    assert expected == summary
    shown = projection("show", "shop_orders", "--all-tenants", folder=tmp_path).stdout
    replayed = projection("replay", events, folder=tmp_path).stdout
    assert [one for one in replayed.splitlines() if '"view_type":"shop_orders"' in one] == shown.splitlines()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_after_its_batch_and_a_restart_goes_on(tmp_path, nats_server, stream_name, at, signum):
    deploy(tmp_path, stream=stream_name)
    lines = [counted(f"{number % 100}") for number in range(12_000)]
    fill(nats_server.url, stream_name, lines)
    with started("run", *at, folder=tmp_path, PROJECTION_BACK_PRESSURE__BATCH="100") as node:
        eventually(lambda: scanned(tmp_path / "data", "counter") > 0, node)
        node.send_signal(signum)
        out, _ = node.communicate(timeout=WITHIN_S)
    first = json.loads(out)
    told = [json.loads(one)["event"] for one in (tmp_path / "stderr.txt").read_text().splitlines()]
    assert (0, ["serving", "the node is stopping"]) == (node.returncode, told)
    assert 0 < first["events"] == scanned(tmp_path / "data", "counter") < len(lines)
    second = json.loads(projection("run", "--until-caught-up", *at, folder=tmp_path).stdout)
    assert len(lines) == first["events"] + second["events"]
    events = write_events(tmp_path / "e.jsonl", lines)
    expected = json.loads(projection("replay", "--summary", events, folder=tmp_path).stdout)
    assert (expected["views"], expected["gas"]) == (second["views"], first["gas"] + second["gas"])


def test_what_cannot_be_taken_is_parked_and_the_node_ends_well(tmp_path, nats_server, stream_name, at):
    """Not JSON, no `event_type`, a view of 2 MB, a failing program: each with its code; the views are as without them."""
    program = COUNTER.replace("n: int }", "n: int, texts: list<string(65536)>(100) = [] }").replace(
        "view Counter { total: int = 0 }", "view Counter { total: int = 0, texts: list<string(65536)>(100) = [] }"
    )
    deploy(tmp_path, program.replace("total += e.n }", "total += e.n, texts: e.texts }"), stream=stream_name)
    large = json.loads(counted("large"))
    large["payload"]["texts"] = ["t" * 65_536] * 32
    fill(nats_server.url, stream_name, [counted("x")])
    fill(nats_server.url, stream_name, [b"not JSON"], subject=f"{stream_name}.a.aggregate.counter.1")
    untyped = counted("x").replace(b"event_type", b"event_typ")
    fill(nats_server.url, stream_name, [untyped, json.dumps(large).encode(), counted("n", -1), counted("x")])
    ran = projection("run", "--until-caught-up", *at, folder=tmp_path)
    summary = json.loads(ran.stdout)
    assert (0, 6, 1, 4) == (ran.returncode, summary["events"], summary["views"], summary["parked"])
    told = [json.loads(one) for one in ran.stderr.splitlines()]
    assert {(n, "an event is parked", code) for n, code in ((2, "D101"), (3, "D102"), (4, "R712"), (5, "R710"))} == {
        (one["sequence"], one["event"], one["code"]) for one in told
    }
    shown = projection("parked", "list", "--tenant", "a", "--json", folder=tmp_path).stdout
    found = {one["sequence"]: (one["code"], one["view_id"]) for one in map(json.loads, shown.splitlines())}
    assert {2: ("D101", None), 3: ("D102", None), 4: ("R712", "large"), 5: ("R710", "n")} == found
    only = projection("show", "counter", "--tenant", "a", folder=tmp_path).stdout
    assert line("x", 2).replace('"total"', '"texts":[],"total"') == only


def test_with_until_caught_up_a_halted_view_type_ends_the_node_with_1_and_its_reason(
    tmp_path, nats_server, stream_name, at
):
    deploy(tmp_path, stream=stream_name, on_error="halt")
    fill(nats_server.url, stream_name, [counted("x"), counted("x", -1), counted("x")])
    ran = projection("run", "--until-caught-up", *at, folder=tmp_path)
    assert (1, 1) == (ran.returncode, json.loads(ran.stdout)["views"])
    *logged, error, hint = ran.stderr.splitlines()
    assert error.startswith("error: view type counter, sequence 2: R710 at counter.proj:")
    assert "  hint: correct the program and deploy it, or let the manifest park or skip such events" == hint
    halted, trouble = map(json.loads, logged)
    assert ("a view type halts in front of an event", 2, "R710") == tuple(
        halted[name] for name in ("event", "sequence", "code")
    )
    assert ("trouble", "view type counter") == (trouble["event"], trouble["at"])


# what keeps it from starting


def test_no_server_at_the_url_is_told(tmp_path):
    deploy(tmp_path)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{unused.getsockname()[1]}"
        refused(
            projection("run", "--until-caught-up", "--url", url, folder=tmp_path),
            1,
            f"no connection to a NATS server at {url}",
            "hint: ",
        )


def test_no_stream_is_told(tmp_path, nats_server, stream_name, at):
    deploy(tmp_path, stream=stream_name)
    refused(
        projection("run", "--until-caught-up", *at, folder=tmp_path),
        1,
        f"there is no stream '{stream_name}' at {nats_server.url}",
        "hint: ",
    )


def test_broken_programs_are_told_each_with_its_first_error(tmp_path, at):
    manifest = deploy(tmp_path, COUNTER.replace("e.n }", "e.m }"))
    (tmp_path / "other.proj").write_text("proj 1\nprojection other\n\nview {}\n")
    views = {"counter": {"program": "counter.proj"}, "other": {"program": "other.proj"}}
    manifest.write_text(json.dumps({"manifest": 1, "views": views}))
    ended = projection("run", *at, folder=tmp_path)
    refused(
        ended,
        1,
        "2 programs do not check: counter.proj: 1 error; the first: no field `m`",
        "; other.proj: ",
        "hint: `projection check`",
    )


def test_a_manifest_that_names_a_missing_program_is_told(tmp_path, at):
    (deploy(tmp_path).parent / "counter.proj").unlink()
    refused(projection("run", *at, folder=tmp_path), 2, "field views.counter.program: 'counter.proj' does not exist")


@pytest.mark.parametrize(
    ("options", "env", "said"),
    [
        (("--url", "http://x"), {}, "option --url: 'http://x' is not the URL of a NATS server"),
        (("--stream", "a b"), {}, "option --stream: 'a b' is not a stream's name"),
        ((), {"PROJECTION_NODE": "a_b"}, "environment variable PROJECTION_NODE: 'a_b' is not a node id"),
        ((), {"PROJECTION_SUBJECTS": "other.>"}, "'other.>' takes subjects that do not have the form"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_its_source(tmp_path, options, env, said):
    deploy(tmp_path)
    refused(projection("run", *options, folder=tmp_path, **env), 2, said)


def test_a_secret_is_never_shown(tmp_path):
    deploy(tmp_path)
    (tmp_path / "projection.yaml").write_text(
        "nats: {url: 'nats://127.0.0.1:1', user: me, password: s3cr3t, token: s3cr3t}"
    )
    ended = projection("run", folder=tmp_path)
    refused(ended, 2, "name one way in")
    assert "s3cr3t" not in ended.stderr


def test_a_start_behind_the_end_of_the_stream_is_told(tmp_path, nats_server, stream_name, at):
    deploy(tmp_path, stream=stream_name, start={"sequence": 9})
    fill(nats_server.url, stream_name, [counted("x")])
    ended = projection("run", "--until-caught-up", *at, folder=tmp_path)
    said = f"error: view type counter starts at sequence 9, but stream '{stream_name}' ends at 1"
    assert (2, 0) == (ended.returncode, json.loads(ended.stdout)["events"])
    assert said in ended.stderr


@pytest.mark.parametrize("part", ["catalog", "counter/1/0"])
def test_a_store_of_another_format_version_is_told_and_left_as_it_is(tmp_path, nats_server, stream_name, at, part):
    deploy(tmp_path, stream=stream_name)
    fill(nats_server.url, stream_name, [counted("x")])
    assert 0 == projection("run", "--until-caught-up", *at, folder=tmp_path).returncode
    with closing(open_to_write(tmp_path / "data" / part)) as environment:
        stamp = json.loads(environment.get(_KEY)) | {"version": FORMAT_VERSION + 1}
        environment.update(lambda transaction: transaction.put(_KEY, json.dumps(stamp).encode()))
    said = f"was written in store format {FORMAT_VERSION + 1}, and this program reads and writes {FORMAT_VERSION}"
    refused(projection("run", *at, folder=tmp_path), 1, said, "hint: ")
    refused(projection("show", "counter", folder=tmp_path), 1, said, "hint: ")


def test_a_data_folder_that_is_none_is_told(tmp_path, at):
    deploy(tmp_path)
    (tmp_path / "file").touch()
    refused(projection("run", "--storage", "file", *at, folder=tmp_path), 1, "the data folder file cannot be made")


def test_a_second_node_on_one_data_folder_is_refused_and_the_first_goes_on(tmp_path, nats_server, stream_name, at):
    deploy(tmp_path, stream=stream_name)
    fill(nats_server.url, stream_name, [counted("x")])
    with started("run", *at, folder=tmp_path) as node:
        eventually(lambda: scanned(tmp_path / "data", "counter") == 1, node)
        said = f"data is in use by another node or command: process {node.pid}"
        refused(projection("run", *at, folder=tmp_path), 1, said, "hint: ")
        last = fill(nats_server.url, stream_name, [counted("x")])
        eventually(lambda: scanned(tmp_path / "data", "counter") == last, node)


def test_a_second_node_of_the_same_name_on_another_data_folder_is_told_of(tmp_path, nats_server, stream_name, at):
    """They would fight over one consumer: the later one ends with the reason, and the earlier one goes on."""
    deploy(tmp_path, stream=stream_name)
    fill(nats_server.url, stream_name, [counted("x")])
    one, other = (("run", "--storage", name, *at) for name in ("one", "other"))
    with started(*one, folder=tmp_path, PROJECTION_NODE="n") as first:
        eventually(lambda: scanned(tmp_path / "one", "counter") == 1, first)
        said = f"another node reads stream '{stream_name}' as consumer 'n_"
        refused(projection(*other, folder=tmp_path, PROJECTION_NODE="n"), 1, said, "hint: ")
        last = fill(nats_server.url, stream_name, [counted("x")])
        eventually(lambda: scanned(tmp_path / "one", "counter") == last, first)


def test_another_stream_under_the_same_name_is_told(tmp_path, nats_server, stream_name, at):
    deploy(tmp_path, stream=stream_name)
    fill(nats_server.url, stream_name, [counted("x")])
    assert 0 == projection("run", "--until-caught-up", *at, folder=tmp_path).returncode
    deploy(tmp_path, stream=f"{stream_name}-2")
    deploy(tmp_path, stream=stream_name)
    fill(nats_server.url, f"{stream_name}-2", [counted("x")])
    other = ("--url", nats_server.url, "--stream", f"{stream_name}-2")
    said = f"the data was folded from stream '{stream_name}' and not from '{stream_name}-2'"
    ran = projection("run", "--until-caught-up", *other, folder=tmp_path)
    assert (1, 0) == (ran.returncode, json.loads(ran.stdout)["events"])
    assert f"error: {said}" in ran.stderr
    assert "  hint: name that stream in the settings, or use another data folder" in ran.stderr
