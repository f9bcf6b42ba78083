"""A node reads its own manifest anew and deploys it; where the file is gone, what was deployed last goes on."""

from __future__ import annotations

import json

import pytest
from ops_support import PROGRAM, fine, served
from patience import eventually
from test_live_operations import DOUBLED, EVENTS, FINES, deployed_as, n_of, numbers, serving

from projection.model.ids import ViewType

OTHERS = PROGRAM.replace("projection fines", "projection others")


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    """Opens a node whose own manifest is `manifest.yaml` in the test's folder."""

    def opened(events=EVENTS, **more):
        return served(nats_server.url, stream_name, tmp_path, events, manifest=tmp_path / "manifest.yaml", **more)

    return opened


def write(folder, one, **programs):
    for name, text in programs.items():
        (folder / f"{name}.proj").write_text(text)
    views = {name: {"program": f"{name}.proj"} for name in programs}
    manifest = {"manifest": 1, "subject_template": one.site.template, "views": views}
    (folder / "manifest.yaml").write_text(json.dumps(manifest))


async def reloaded(one, status=200, **more):
    answer = await one.post("/v1/operations/reload", {"by": "alice", "reason": "as the ticket says", **more})
    assert status == answer.status_code, answer.text
    return answer.json() if status != 200 else changes_of(answer.json()["steps"])


def changes_of(steps):
    return {step["view_type"]: (step["change"], step["build"]) for step in steps}


async def test_a_changed_manifest_is_read_anew_and_deployed_with_its_gate(site, tmp_path):
    async with site() as one:
        write(tmp_path, one, fines=DOUBLED, others=OTHERS)
        came = await reloaded(one, promote="manual")
        assert {"fines": ("folds anew", 2), "others": ("is new", 1)} == came
        await eventually(lambda: FINES in one.node.health.waiting)
        assert ("manual", 3) == (one.node.health.waiting[FINES].gate, await n_of(one, "b"))
        record = one.site.catalog.audit()[0]
        assert ("deploy", "alice", "http", "as the ticket says") == (
            record.operation, record.author.name, record.author.door, record.author.reason,
        )  # fmt: skip
        assert {"fines": ("is under way", 2), "others": ("goes on", 1)} == await reloaded(one)


async def test_what_does_not_check_changes_nothing(site, tmp_path):
    async with site() as one:
        for text in ("proj 1\nnonsense", None):
            if text is None:
                (tmp_path / "manifest.yaml").write_text("manifest: 1\nviews: 7\n")
            else:
                write(tmp_path, one, fines=DOUBLED, others=text)
            refused = await reloaded(one, 409)
            assert "operation.refused" == refused["code"]
            assert ("others" if text else "views") in refused["detail"]
        assert ([1], [], 3) == (numbers(one), one.site.catalog.audit(), await n_of(one, "b"))
        await one.publish([fine("b", 7)])
        assert 7 == await n_of(one, "b")


async def test_without_a_file_what_was_deployed_last_goes_on_and_what_was_left_out_stays_so(site, tmp_path):
    async with site() as one:
        assert {"fines": ("goes on", 1)} == await reloaded(one)
        both = {"fines": DOUBLED, "others": OTHERS}
        await deployed_as(one, tmp_path, both)
        await eventually(lambda: serving(one) == 2)
        assert {"fines": ("goes on", 2), "others": ("goes on", 1)} == await reloaded(one)
        await deployed_as(one, tmp_path, {"fines": DOUBLED})
        assert {"fines": ("goes on", 2), "others": ("is left out", None)} == await reloaded(one)
        one.node.roster.hold([FINES])
        one.node.roster.hold = one.node.roster.release = lambda _: None
        await deployed_as(one, tmp_path, {"fines": DOUBLED.replace("* 2", "* 3")})
        assert ("is under way", 3) == (await reloaded(one))["fines"]
        assert ViewType("others") in one.node.roster.paused
        one.node._cutovers.held.clear()
        await eventually(lambda: serving(one) == 3)
