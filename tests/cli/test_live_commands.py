"""The commands of operators while a node runs on the data folder: each is carried out by it, and the views are served."""

from __future__ import annotations

import json
import signal

import pytest
from command_support import COUNTER, counted, deploy, eventually, fill, projection, refused, started
from operating_support import CORRECTED, left_behind, listed, total


@pytest.fixture
def running(nats_server, tmp_path):
    """A node on a folder with parked events."""
    site = left_behind(tmp_path / f"live{tmp_path.name[-12:].replace('_', '')}", nats_server.url)
    with started("run", "--url", nats_server.url, "--stream", site.name, folder=site) as node:
        eventually((site / "data" / "control.sock").exists, node)
        yield site, node, nats_server.url


def done(*arguments, folder):
    ended = projection(*arguments, folder=folder)
    assert 0 == ended.returncode, ended.stderr
    return ended.stdout


def states(site):
    found = map(json.loads, done("builds", "list", "--json", folder=site).splitlines())
    return {one["build"]: one["state"] for one in found}


def test_what_is_parked_is_dropped_adopted_and_folded_anew_and_the_audit_tells(running):
    site, node, url = running
    event = next(sequence for _, view_id, sequence, code in listed(site) if (view_id, code) == ("bad", "R710"))
    told = done("parked", "drop", "counter", event, "--id", "bad", "--reason", "sent twice", folder=site)
    assert f"dropped event {event} of tenant 'a' for the view 'bad'" in told
    (site / "counter.proj").write_text(CORRECTED)
    would = json.loads(done("adopt", "counter", "--dry-run", "--json", folder=site))
    assert (1, None) == (would["former_build"], would["build"])
    done("adopt", "counter", folder=site)
    assert {1: "former", 2: "answers"} == states(site)
    before = total(site, "bad")
    fill(url, site.name, [counted("bad", 100)])
    eventually(lambda: total(site, "bad") in (before, before + 100), node)
    assert "build 3 of view type counter is being folded" in done("rebuild", "counter", folder=site)
    eventually(lambda: states(site)[3] == "answers", node)
    refused(projection("builds", "delete", "counter", "3", folder=site), 2, "answers, and is not deleted")
    done("builds", "delete", "counter", "1", folder=site)
    assert {2: "follows", 3: "answers"} == states(site)
    told = done("compare", "counter", "--url", url, "--stream", site.name, folder=site)
    assert "build 2 of view type counter at event" in told
    assert "views: all equal" in told
    found = json.loads(done("compare", "counter", "2", "3", "--stored-only", "--format", "json", folder=site))
    assert (True, 2, 3) == (found["equal"], found["old"]["build"], found["new"]["build"])
    refused(projection("compare", "counter", "1", "3", folder=site), 2, "has no build 1")
    assert "build 2 of view type counter answers again" in done("rollback", "counter", folder=site)
    assert {2: "answers", 3: "follows"} == states(site)
    assert "build 3 of view type counter answers" in done("promote", "counter", folder=site)
    assert "build 2 of view type counter is folded no longer" in done("retire", "counter", folder=site)
    assert {2: "former", 3: "answers"} == states(site)
    assert "counter with { total += e.n }" in done("builds", "show", "counter", "3", folder=site)
    refused(projection("builds", "show", "counter", "1", folder=site), 2, "has no build 1", "it has: 2, 3")
    compacted = [json.loads(line) for line in done("compact", "--json", folder=site).splitlines()]
    assert [("counter", 2, None), ("counter", 3, None)] == [
        (one["view_type"], one["build"], one["problem"]) for one in compacted
    ]
    records = [json.loads(line) for line in done("audit", "--json", folder=site).splitlines()]
    by_hand = ["drop", "adopt", "rebuild", "switch", "delete build", "rollback", "promote", "retire", "compact"]
    assert by_hand == [one["operation"] for one in records]
    assert {("socket", False), ("node", True)} == {
        (one["author"]["door"], one["operation"] == "switch") for one in records
    }
    assert "(socket): sent twice" in done("audit", folder=site)


def test_a_view_type_is_paused_and_a_manifest_deployed_by_command_and_by_signal(running):
    site, node, url = running
    assert "view type counter is paused" in done("pause", "counter", "--reason", "moving", folder=site)
    done("pause", "counter", folder=site)  # without a reason, the former one stays
    assert "paused: moving" in done("builds", "list", folder=site)
    fill(url, site.name, [counted("new", 3)])
    (paused,) = (json.loads(line) for line in done("builds", "list", "--json", folder=site).splitlines())
    assert "moving" == paused["paused"]
    assert total(site, "new") is None
    done("resume", "counter", folder=site)
    eventually(lambda: total(site, "new") == 3, node)
    doubled = COUNTER.replace("total += e.n", "total += e.n * 2")
    assert doubled != COUNTER
    deploy(site, doubled, stream=site.name)
    assert "folds anew" in done("deploy", "--dry-run", folder=site)
    server = ("--url", url, "--stream", site.name)
    would = json.loads(done("plan", "--sample", "100", "--json", *server, folder=site))
    assert ("folds anew", "the program") == (would["change"], would["why"])
    assert would["events"] >= 1
    assert would["bytes"] > 0
    assert "new" in [one["view_id"] for one in would["differing"]]
    assert ["Counted"] == [one["event_type"] for one in would["reach"]["event_types"]]
    assert would["touched"]["views"] == would["sampled"] > 0
    assert would["seconds"] > 0
    assert "were folded in memory" in would["seconds_rest_on"]
    told = done("plan", "--sample", "1", *server, folder=site)
    assert "would differ" in told
    assert "only views that had events of these types can differ: Counted" in told
    assert "time: not known, because no build of it was measured" in done("plan", *server, folder=site)
    unreached = projection("plan", "--url", "nats://127.0.0.1:1", folder=site)
    assert ("unknown" in unreached.stdout, 0) == (True, unreached.returncode), unreached.stderr
    assert {1: "answers"} == states(site)
    deployed = projection("deploy", folder=site)
    assert ("folds anew" in deployed.stdout, "`projection builds list` shows the progress" in deployed.stderr) == (
        True,
        True,
    )
    eventually(lambda: total(site, "new") == 6, node)
    deploy(site, stream=site.name)
    node.send_signal(signal.SIGHUP)
    eventually(lambda: total(site, "new") == 3, node)
    assert "goes on" in done("reload", folder=site)
    deploy(site, "proj 1\nnonsense", stream=site.name)
    refused(projection("reload", folder=site), 2, "counter.proj", "projection check")
    node.send_signal(signal.SIGHUP)
    eventually(lambda: "the manifest was not deployed" in (site / "stderr.txt").read_text(), node)
    assert 3 == total(site, "new")
    node.send_signal(signal.SIGTERM)
    assert 0 == node.wait()
    assert not (site / "data" / "control.sock").exists()
    refused(
        projection("reload", folder=site), 2, "no node runs on data, so there is nothing to reload", "projection run"
    )
