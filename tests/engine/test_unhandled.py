"""Events of types that no program handles leave a trace: a count, and a line for each type."""

from __future__ import annotations

import asyncio

from engine_support import TALLIES, TENANCY, added, deploy, envelope
from node_support import WITHIN_S

from projection.engine.replay import Replay
from projection.engine.unhandled import MAX_TYPES
from projection.lang.handled import MAX_SHOWN

SAID = "no program handles events of this type"


def told(logged):
    return [
        (one["log_level"], one["aggregate_type"], one["event_type"], one.get("hint"))
        for one in logged
        if one["event"] == SAID
    ]


async def test_a_node_counts_them_and_tells_each_type_once_with_what_may_be_meant(site, logged):
    wrong = [
        envelope("Aded", {"id": "x", "n": 1}),
        envelope("Paid", {}),
        envelope("Added2", {}, aggregate_type="Tally"),
    ]
    await site.publish([added("x"), *wrong * 20, b"not JSON"])
    two = {"tallies": TALLIES, "other": TALLIES.replace("projection tallies", "projection other")}
    summary, _ = await site.catch_up(deploy(site.folder, two, template=site.template), back_pressure={"batch": 7})
    assert (62, 60, 2) == (summary.events, summary.unhandled, summary.parked)
    assert [
        ("info", "tally", "Paid", None),
        ("warning", "Tally", "Added2", "did you mean 'Added'?"),
        ("warning", "tally", "Aded", "did you mean 'Added'?"),
    ] == sorted(told(logged), key=lambda one: (one[0], one[1]))


async def test_what_another_view_type_handles_is_not_unhandled_however_they_read(site, logged):
    """The two begin at different places, so each reads by itself."""
    other = TALLIES.replace("projection tallies", "projection other").replace("Added", "Put")
    await site.publish([added("x"), envelope("Put", {"id": "x", "n": 1})] * 20)
    deployed = deploy(
        site.folder,
        {"tallies": TALLIES, "other": other},
        template=site.template,
        entries={"other": {"start": {"sequence": 30}}},
    )
    summary, _ = await site.catch_up(deployed, back_pressure={"batch": 5})
    assert (0, []) == (summary.unhandled, told(logged))


async def test_a_stream_of_other_subjects_than_the_manifest_reads_is_warned_of(site, logged):
    deployed = deploy(site.folder)  # with the default template
    async with site.node(deployed) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
    (said,) = [one for one in logged if "no event can come" in one["event"]]
    assert (f"{site.stream}.>", "tenant.*.aggregate.*.*", site.stream) == (said["has"], said["read"], said["stream"])
    logged.clear()
    await site.catch_up(deploy(site.folder, template=site.template), new_build=True)
    assert not [one for one in logged if "no event can come" in one["event"]]


def test_a_replay_counts_them_and_bounds_what_it_keeps(tmp_path):
    replay = Replay(deploy(tmp_path), TENANCY)
    types = [f"T{number}" for number in range(MAX_TYPES)] + ["x" * 200]
    summary = replay.run([added("x"), *(envelope(one, {}) for one in types * 2), b"{}"])
    assert (2 * len(types), 1) == (summary.unhandled, summary.parked)
    assert MAX_TYPES == len(replay.unhandled.types)
    assert MAX_SHOWN >= max(len(name) for _, name in replay.unhandled.types)


def test_unhandled_events_change_nothing_of_the_fold(tmp_path):
    deployed = deploy(tmp_path)
    one, other = Replay(deployed, TENANCY), Replay(deployed, TENANCY)
    one.run([envelope("Unknown", {}), added("x"), envelope("Unknown", {})])
    other.run([envelope("Unheard", {}), added("x"), envelope("Unheard", {})])
    assert one.digests() == other.digests()
