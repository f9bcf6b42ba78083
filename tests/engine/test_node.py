"""The node on a real stream and real stores: whatever way it comes to its end, its views are those of a replay."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from engine_support import CORRECTED, TALLIES, Log, added, broken, deploy, envelope, parked, totals
from node_support import SHOP, contents_of, folded, replayed
from patience import WITHIN_MS, WITHIN_S, eventually

from projection.errors import ConfigurationError, StorageError, StreamError, StreamIdentityError
from projection.model.ids import ViewType
from projection.store.catalog import CatalogReader
from projection.store.lmdb_reader import LmdbViewReader
from projection.store.lmdb_store import LmdbLaneStore
from projection.stream.feed import JetStreamFeed
from projection.testing.shop import shop_lines

if TYPE_CHECKING:
    from projection.engine.node import Node

EVENTS = 1_500
LINES = list(shop_lines(EVENTS, faults=20))


@pytest.mark.parametrize("batch", [7, 500, 20_000])
async def test_a_node_that_caught_up_holds_what_a_replay_makes_byte_for_byte(site, batch):
    lines = [*LINES[:900], b"not JSON", b'{"no":"envelope"}', *LINES[900:]]
    await site.publish(lines)
    deployed = deploy(site.folder, SHOP, template=site.template)
    back_pressure = {"batch": batch, "patience_ms": WITHIN_MS}  # who goes on by itself reads some events again
    summary, found = await site.catch_up(deployed, back_pressure=back_pressure)
    assert replayed(deployed, lines) == found
    assert (len(lines), sum(len(views) for views, *_ in found.values())) == (summary.events, summary.views)
    assert sum(len(parked) for _, parked, *_ in found.values()) == summary.parked > 20


async def test_a_node_stopped_on_its_way_goes_on_where_it_was(site):
    await site.publish(LINES)
    deployed = deploy(site.folder, SHOP, template=site.template)
    read = []
    while sum(read) < EVENTS:
        async with site.node(deployed, back_pressure={"batch": 300}) as node:

            def stop_soon(_progress, node=node):
                node.stop()

            summary = await asyncio.wait_for(node.run(on_progress=stop_soon), WITHIN_S)
            assert {lane.position.scanned for lane in node.lanes} == {sum(read) + summary.events}
            found = contents_of(node)
        read.append(summary.events)
    assert (EVENTS, replayed(deployed, LINES)) == (sum(read), found)
    assert len(read) > 2


async def test_progress_says_how_much_was_folded_of_how_much_wherever_the_rest_is(site):
    """All of it has long been fetched when the first batch is being folded."""
    await site.publish(LINES)
    deployed = deploy(site.folder, SHOP, template=site.template)
    told = []
    async with site.node(deployed, back_pressure={"batch": 100, "work_ms": 1}) as node:
        await asyncio.wait_for(node.run(until_caught_up=True, on_progress=told.append), WITHIN_S)
    known = [one for one in told if one.left is not None]
    assert {EVENTS} == {one.events + one.left for one in known}
    assert [one.events for one in known] == sorted(one.events for one in known)
    assert (EVENTS, 0) == (known[-1].events, known[-1].left)


async def test_the_smallest_settings_still_commit_many_events_at_once(site):
    await site.publish(LINES)
    deployed = deploy(site.folder, SHOP, template=site.template)
    smallest = {"batch": 1, "batch_bytes": 1024, "linger_ms": 0, "work_ms": 1, "patience_ms": 0, "cached_bytes": 0}
    async with site.node(deployed, back_pressure={**smallest, "in_flight": 2}) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        commits = {lane: sum(durations.counts) for lane, durations in node.durations.items()}
    assert commits
    assert all(0 < count < EVENTS / 2 for count in commits.values()), commits


async def test_a_node_at_the_end_of_its_stream_reads_nothing_again(site):
    last = await site.publish(LINES)
    deployed = deploy(site.folder, SHOP, template=site.template)
    _, found = await site.catch_up(deployed)
    summary, again = await site.catch_up(deployed)
    assert (0, 0, found) == (summary.events, summary.gas, again)
    assert {last} == {scanned for *_, scanned, _ in again.values()}


async def test_a_node_follows_what_is_published_while_it_runs(site):
    deployed = deploy(site.folder, SHOP, template=site.template)
    async with site.node(deployed) as node:
        running = asyncio.create_task(node.run())
        for cut in range(0, EVENTS, 300):
            last = await site.publish(LINES[cut : cut + 300])
            await eventually(lambda last=last: all(lane.position.scanned == last for lane in node.lanes), running)
        node.stop()
        await asyncio.wait_for(running, WITHIN_S)
        assert replayed(deployed, LINES) == contents_of(node)


async def test_what_others_publish_beside_the_subjects_moves_an_idle_node_on(site):
    await site.publish([added("x")])
    deployed = deploy(site.folder, subjects=[f"{site.stream}.*.aggregate.tally.*"], template=site.template)
    async with site.node(deployed) as node:
        running = asyncio.create_task(node.run())
        last = await site.publish([b"x"] * 10, subject=f"{site.stream}.something.else")
        await eventually(lambda: node.lanes[0].position.scanned == last, running)
        node.stop()
        await asyncio.wait_for(running, WITHIN_S)
        assert (1, []) == (node.lanes[0].store.position().applied, parked(node.lanes[0].store))


# several view types on one feed


async def test_a_view_type_added_later_is_folded_from_its_start_and_the_others_do_nothing_twice(site):
    await site.publish(LINES)
    orders = {"shop_orders": SHOP["shop_orders"]}
    await site.catch_up(deploy(site.folder / "1", orders, template=site.template))
    deployed = deploy(site.folder / "2", SHOP, template=site.template)
    async with site.node(deployed, back_pressure={"batch": 200}) as node:
        summary = await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        gas = {lane.view_type: lane.gas for lane in node.lanes}
        assert replayed(deployed, LINES) == contents_of(node)
    assert 0 == gas["shop_orders"]
    assert 0 < gas["shop_sales"]
    assert EVENTS <= summary.events


async def test_view_types_at_different_places_each_take_what_they_lack(site):
    await site.publish(LINES[:500])
    await site.catch_up(deploy(site.folder / "1", {"shop_orders": SHOP["shop_orders"]}, template=site.template))
    await site.publish(LINES[500:1_000])
    two = {name: SHOP[name] for name in ("shop_orders", "shop_sales")}
    await site.catch_up(deploy(site.folder / "2", two, template=site.template))
    await site.publish(LINES[1_000:])
    del two["shop_orders"]
    await site.catch_up(deploy(site.folder / "3", two, template=site.template))
    deployed = deploy(site.folder / "4", SHOP, template=site.template)
    summary, found = await site.catch_up(deployed, back_pressure={"batch": 300})
    assert replayed(deployed, LINES) == found
    assert EVENTS <= summary.events <= EVENTS + 1_000  # each by itself until it is level with the furthest


async def test_overlapping_subjects_of_two_view_types_are_each_read_once(site):
    await site.publish(LINES)
    narrow = {"subjects": [f"{site.stream}.north.aggregate.*.*"]}
    wide = {"subjects": [f"{site.stream}.*.aggregate.order.*"]}
    deployed = deploy(site.folder, SHOP, template=site.template, entries={"shop_orders": narrow, "shop_sales": wide})
    summary, found = await site.catch_up(deployed, back_pressure={"batch": 300})
    assert (EVENTS, replayed(deployed, LINES)) == (summary.events, found)
    assert {"north"} == {key.tenant_id for key, _ in found["shop_orders"][0]}


async def test_a_view_type_that_handles_nothing_of_the_log_stands_at_its_end_all_the_same(site):
    last = await site.publish([added("x")] * 30)
    other = TALLIES.replace("projection tallies", "projection other")
    for event in ("Added", "Shared", "Grown", "Broken", "Erased", "ErasedAll", "Nowhere"):
        other = other.replace(f"event {event} ", f"event Other{event} ").replace(f"on {event} ", f"on Other{event} ")
    deployed = deploy(site.folder, {"tallies": TALLIES, "other": other}, template=site.template)
    _, found = await site.catch_up(deployed, back_pressure={"batch": 5})
    assert {"other": (last, 0), "tallies": (last, last)} == {name: one[2:] for name, one in found.items()}


async def test_a_halted_view_type_stays_where_it_is_and_the_others_go_on(site, logged):
    events = [added("x"), broken("x"), *([added("x")] * 30)]
    await site.publish(events)
    deployed = deploy(
        site.folder,
        {"tallies": TALLIES, "strict": TALLIES.replace("projection tallies", "projection strict")},
        template=site.template,
        entries={"strict": {"on_error": "halt"}},
    )
    async with site.node(deployed, back_pressure={"batch": 5}) as node:
        summary = await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        found = {lane.view_type: lane.store.position().scanned for lane in node.lanes}
    assert ({"strict": 1, "tallies": 32}, 32) == (found, summary.events)
    (halted,) = [one for one in logged if one["log_level"] == "error"]
    assert ("view type strict", True) == (halted["at"], "R710" in halted["reason"])


async def test_a_node_whose_view_types_have_all_halted_runs_on_and_is_not_ready(site):
    await site.publish([added("x"), broken("x"), added("x")])
    deployed = deploy(site.folder, template=site.template, on_error="halt")
    async with site.node(deployed) as node:
        running = asyncio.create_task(node.run())
        await eventually(lambda: node.lanes[0].halted and not node._subscriptions.readings, running)
        await eventually(lambda: node.lanes[0].store.position().scanned == 1, running)
        assert "R710" == node.lanes[0].halted.code
        assert not node.is_ready
        assert {"view type tallies"} == node.health.unready().keys()
        assert {("a", "x"): 1} == totals(node.lanes[0].store)
        node.stop()
        await asyncio.wait_for(running, WITHIN_S)


async def test_with_until_caught_up_a_node_ends_when_every_view_type_has_halted(site):
    await site.publish([added("x"), broken("x"), added("x")])
    deployed = deploy(site.folder, template=site.template, on_error="halt")
    async with site.node(deployed) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        assert (1, "R710") == (node.lanes[0].store.position().scanned, node.lanes[0].halted.code)


# builds


async def test_a_changed_program_is_refused_until_it_may_have_a_build_of_its_own(site):
    events = [added("x"), broken("x"), added("x"), added("x")]
    await site.publish(events)
    first = deploy(site.folder / "1", template=site.template)
    second = deploy(site.folder / "2", CORRECTED, template=site.template)
    _, before = await site.catch_up(first)
    assert [2, 3, 4] == [one.sequence for one in before["tallies"][1]]
    with pytest.raises(ConfigurationError, match="the program changed since build 1 of view type tallies") as refused:
        await site.catch_up(second)
    assert "--new-build" in refused.value.hint
    assert "projection adopt" in refused.value.hint
    await site.publish([added("y")])
    _, after = await site.catch_up(second, new_build=True)
    assert replayed(second, [*events, added("y")]) == after
    assert [] == after["tallies"][1]
    with CatalogReader.open(site.data) as catalog:
        old, new = catalog.builds(ViewType("tallies"))
        assert new == catalog.serving(ViewType("tallies"))
    assert after == (await site.catch_up(second))[1]
    with LmdbViewReader.open(old.lane_path()) as reader:  # it went on until the new one was level
        assert replayed(first, [*events, added("y")])["tallies"] == folded(reader, ViewType("tallies"))


async def test_the_former_build_goes_on_and_answers_until_the_new_one_is_level(site):
    await site.publish([added("x")] * 2_000)
    await site.catch_up(deploy(site.folder / "1", template=site.template))
    second = deploy(site.folder / "2", CORRECTED, template=site.template)
    async with site.node(second, new_build=True, back_pressure={"batch": 100}) as node:
        running = asyncio.create_task(node.run())
        tallies = ViewType("tallies")
        assert 1 == site.catalog.serving(tallies).number
        last = await site.publish([added("x")] * 50)
        await eventually(lambda: site.catalog.serving(tallies).number == 2, running)
        assert [2] == [int(lane.store._environment.path.parent.name) for lane in node.lanes]
        await eventually(lambda: node.lanes[0].position.scanned == last, running)
        node.stop()
        await asyncio.wait_for(running, WITHIN_S)
        assert {("a", "x"): 2_050} == totals(node.lanes[0].store)


# where to begin


async def test_a_view_type_can_start_at_a_sequence(site):
    await site.publish(LINES)
    deployed = deploy(site.folder, SHOP, template=site.template, entries={"shop_sales": {"start": {"sequence": 700}}})
    _, found = await site.catch_up(deployed, back_pressure={"batch": 100})
    assert replayed(deployed, LINES) == found
    assert found["shop_sales"] != replayed(deploy(site.folder, SHOP, template=site.template), LINES)["shop_sales"]


async def test_a_view_type_can_start_at_a_time_which_is_when_an_event_was_stored(site):
    await site.publish(LINES[:700])
    first = await site.publish(LINES[700:701])
    await site.publish(LINES[701:])
    time = (await site.jetstream.message(site.stream, first)).time
    # The manifest knows microseconds, the server nanoseconds: whole ones let the event before be cut off as well.
    start = {"time": time.partition(".")[0] + f".{time.partition('.')[2][:6]}Z"}
    by_time = deploy(site.folder / "time", SHOP, template=site.template, start=start)
    _, found = await site.catch_up(by_time)
    by_sequence = deploy(site.folder / "sequence", SHOP, template=site.template, start={"sequence": first})
    assert views_of(replayed(by_sequence, LINES)) == views_of(found)


def views_of(contents):
    return {view_type: views for view_type, (views, *_) in contents.items()}


async def test_a_view_type_that_starts_at_the_end_waits_for_what_comes(site):
    last = await site.publish([added("x")] * 3)
    deployed = deploy(site.folder, template=site.template, start={"sequence": last + 1})
    assert 0 == (await site.catch_up(deployed))[0].events
    await site.publish([added("y")])
    async with site.node(deployed) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        assert {("a", "y"): 1} == totals(node.lanes[0].store)


async def test_a_start_in_the_future_is_refused_with_the_view_type_before_anything_is_asked(site):
    deployed = deploy(site.folder, template=site.template, start={"time": "2999-01-01T00:00:00Z"})
    with pytest.raises(ConfigurationError) as refused:
        await site.catch_up(deployed)
    assert "view type tallies starts at 2999-01-01T00:00:00Z, which is in the future" == refused.value.message


async def test_a_view_type_that_starts_behind_the_end_of_the_stream_halts_and_the_others_go_on(site):
    await site.publish([added("x")] * 3)
    two = {"tallies": TALLIES, "later": TALLIES.replace("projection tallies", "projection later")}
    deployed = deploy(site.folder, two, template=site.template, entries={"later": {"start": {"sequence": 100}}})
    async with site.node(deployed) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        found = {lane.view_type: (lane.position.scanned, lane.halted and lane.halted.message) for lane in node.lanes}
    said = f"view type later starts at sequence 100, but stream '{site.stream}' ends at 3"
    assert {"tallies": (3, None), "later": (0, said)} == found


async def test_a_stream_that_lost_its_beginning_is_refused(site):
    await site.publish([added("x")] * 5)
    limited = {
        "name": site.stream,
        "subjects": [f"{site.stream}.>"],
        "max_msgs": 3,
        "deny_delete": True,
        "deny_purge": True,
    }
    await site.jetstream._call(f"STREAM.UPDATE.{site.stream}", limited, object)
    async with site.node(deploy(site.folder, template=site.template)) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        assert isinstance(node.lanes[0].halted, StreamIdentityError)
        assert "begins at 3: the messages 1 to 2" in node.lanes[0].halted.message
    deployed = deploy(site.folder, template=site.template, start={"sequence": 3})
    assert 3 == (await site.catch_up(deployed, new_build=True))[0].events


# commit, then acknowledge


def acknowledgements(node: Node, monkeypatch) -> list[tuple[int, int]]:
    """Each sequence that the node acknowledges from here on, and what all its view types had committed by then."""
    acknowledged: list[tuple[int, int]] = []
    to_server = JetStreamFeed.acknowledge

    async def acknowledge(self, sequence: int) -> None:
        acknowledged.append((sequence, min(lane.store.position().scanned for lane in node.lanes)))
        await to_server(self, sequence)

    monkeypatch.setattr(JetStreamFeed, "acknowledge", acknowledge)
    return acknowledged


async def test_nothing_is_acknowledged_that_is_not_committed_by_every_view_type(site, monkeypatch):
    last = await site.publish(LINES)
    deployed = deploy(site.folder, SHOP, template=site.template)
    async with site.node(deployed, back_pressure={"batch": 100}) as node:
        acknowledged = acknowledgements(node, monkeypatch)
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        (reading,) = node._subscriptions.readings
        consumer = reading.feed.consumer
    assert len(acknowledged) >= EVENTS / 100
    assert all(sequence <= committed for sequence, committed in acknowledged)
    assert last == acknowledged[-1][0]
    await site.nats.request(f"$JS.API.CONSUMER.INFO.{site.stream}.{consumer}")  # behind the acknowledgement
    info = await site.jetstream.consumer_info(site.stream, consumer)
    assert last == info.ack_floor.stream_seq


async def test_a_store_that_cannot_be_written_for_a_while_stops_nothing_and_nothing_is_done_twice(
    site, monkeypatch, logged
):
    await site.publish(LINES)
    deployed = deploy(site.folder, SHOP, template=site.template)
    commits, write = [], LmdbLaneStore.commit

    def failing(self, commit, on_written=None):
        commits.append(commit)
        if len(commits) % 8 == 0:
            raise StorageError("the disk is full")
        write(self, commit, on_written)

    monkeypatch.setattr(LmdbLaneStore, "commit", failing)
    async with site.node(deployed, back_pressure={"batch": 200}) as node:
        acknowledged = acknowledgements(node, monkeypatch)
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        assert replayed(deployed, LINES) == contents_of(node)
    assert all(sequence <= committed for sequence, committed in acknowledged)
    assert {"the disk is full"} == {
        one["reason"] for one in logged if one["event"] == "trouble" and one["at"] != "node"
    }


# the stream's identity


async def recreate(site) -> None:
    await site.jetstream._call(f"STREAM.DELETE.{site.stream}", {}, object)
    await site.create()


@pytest.mark.parametrize("count", [0, 5, 10, 50])
async def test_a_stream_made_anew_is_refused_and_nothing_is_written(site, count):
    await site.publish([added("x")] * 10)
    deployed = deploy(site.folder, template=site.template)
    _, before = await site.catch_up(deployed)
    await recreate(site)
    if count:
        await site.publish([added("y")] * count)
    async with site.node(deployed) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        assert isinstance(node.lanes[0].halted, StreamIdentityError)
        assert before == contents_of(node)


async def test_a_stream_made_anew_is_refused_for_what_knew_the_old_and_read_by_a_new_view_type_beside_it(site):
    await site.publish([added("x")] * 10)
    await site.catch_up(deploy(site.folder / "1", template=site.template))
    await recreate(site)
    await site.publish([added("y")] * 20)
    two = {"tallies": TALLIES, "anew": TALLIES.replace("projection tallies", "projection anew")}
    async with site.node(deploy(site.folder / "2", two, template=site.template)) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        assert {"tallies"} == {lane.view_type for lane in node.lanes if isinstance(lane.halted, StreamIdentityError)}
        assert {"anew": 20, "tallies": 10} == {lane.view_type: lane.store.position().scanned for lane in node.lanes}


async def test_a_stream_made_anew_under_a_running_node_halts_and_nothing_is_written(site):
    last = await site.publish([added("x")] * 10)
    deployed = deploy(site.folder, template=site.template)
    async with site.node(deployed) as node:
        running = asyncio.create_task(node.run())
        await eventually(lambda: node.lanes[0].position.scanned == last, running)
        before = contents_of(node)
        await recreate(site)
        await site.publish([added("y")] * 20)
        await eventually(lambda: node.lanes[0].halted, running)
        assert isinstance(node.lanes[0].halted, StreamIdentityError)
        assert before == contents_of(node)
        node.stop()
        await asyncio.wait_for(running, WITHIN_S)


async def test_no_stream_is_told_and_the_stores_are_given_back(site):
    deployed = deploy(site.folder, template=site.template, start={"time": "2020-01-01T00:00:00Z"})
    await site.jetstream._call(f"STREAM.DELETE.{site.stream}", {}, object)
    with pytest.raises(StreamError) as refused:  # with its traceback, and all that hangs on that
        await site.catch_up(deployed)
    assert f"there is no stream '{site.stream}'" in refused.value.message
    await site.create()
    await site.publish([added("x")])
    assert 1 == (await site.catch_up(deployed))[0].events


async def test_messages_that_are_no_events_of_ours_are_parked_and_harm_nothing(site):
    deployed = deploy(site.folder, subjects=[f"{site.stream}.*.aggregate.*.*"], template=site.template)
    mine = f"{site.stream}.a.aggregate.tally.1"
    log = Log(added("x"), added("x"))
    await site.publish([log.messages[0].data])
    await site.publish([b"", b"\x00\xff", b"null", envelope("Added", {}, tenant="b")], subject=mine)
    await site.publish([added("x", tenant="b")], subject=f"{site.stream}.%zz.aggregate.tally.1")
    await site.publish([log.messages[1].data])
    async with site.node(deployed) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        store = node.lanes[0].store
        assert {("a", "x"): 2} == totals(store)
        assert [
            ("", None, 6, "D103"),
            ("a", None, 2, "D101"),
            ("a", None, 3, "D101"),
            ("a", None, 4, "D102"),
            ("a", None, 5, "D103"),
        ] == parked(store)
        assert 7 == folded(store, ViewType("tallies"))[3]


@pytest.mark.parametrize("gate", ["when_caught_up", "when_equal", "manual"])
async def test_a_run_until_caught_up_ends_where_a_gate_holds_the_new_build(site, gate):
    await site.publish([added("x"), broken("x"), added("y")])
    await site.catch_up(deploy(site.folder / "1", CORRECTED, template=site.template))
    second = deploy(site.folder / "2", TALLIES, template=site.template)  # parks the second event
    async with site.node(second, new_build=True, builds={"promote": gate}) as node:
        await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
        assert ("manual" if gate == "manual" else "parked") == node.health.waiting[ViewType("tallies")].gate
        assert 1 == site.catalog.serving(ViewType("tallies")).number
