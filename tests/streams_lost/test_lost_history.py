"""A stream that is no longer the log it was: the node goes on where nothing is missing, else it halts and says why.

Each halt leaves the stores as they were, and what its hint says to do is done, and works.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from lost_support import (
    Backup,
    at,
    call,
    caught_up,
    config_of,
    elsewhere,
    everything,
    halted,
    held,
    open_stream,
    our_consumer,
    reachable,
    recorded,
    recorders,
    records,
    refused,
    running,
    some,
)
from node_support import Site
from patience import WITHIN_S, eventually

from projection.errors import StreamError

if TYPE_CHECKING:
    from pathlib import Path

    from projection.stream.embedded import EmbeddedServer

FOLD_ANEW = "restore the stream, or rebuild the views in an empty data folder"


async def folded_anew(site: Site) -> None:
    """What most hints say: another data folder, and the views are those of the log as it is now."""
    assert recorded(await held(site)) == await caught_up(elsewhere(site, "empty"), recorders(site))


# --- purged ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept_from", [1, 50, 100, 101])
async def test_a_purge_of_what_was_folded_already_is_nothing(site: Site, kept_from: int) -> None:
    await open_stream(site)
    await site.publish(some(100))
    log = await held(site)
    await caught_up(site, recorders(site))
    await call(site, "STREAM.PURGE", seq=kept_from)
    await site.publish(some(10))
    assert recorded([*log, *(await held(site))[-10:]]) == await caught_up(site, recorders(site))


async def test_a_purge_of_everything_is_nothing_to_a_node_that_had_read_it_all(site: Site) -> None:
    await open_stream(site)
    await site.publish(some(100))
    log = await held(site)
    async with site.node(recorders(site)) as node, running(node) as reading:
        await at(node, 100, reading)
        await call(site, "STREAM.PURGE")
        last = await site.publish(some(10))
        await at(node, last, reading)
        assert recorded(log + await held(site)) == records(node.lanes[0])


async def test_a_purge_beyond_the_checkpoint_halts_and_a_start_behind_the_hole_is_the_way_out(site: Site) -> None:
    await open_stream(site)
    await site.publish(some(50))
    await caught_up(site, recorders(site))
    await site.publish(some(50))
    await call(site, "STREAM.PURGE", seq=71)
    error = await refused(site, recorders(site))
    assert (
        "stream.identity",
        f"stream {site.stream!r} begins at 71: the messages 51 to 70, which are still to be read, are gone",
        "restore them, or rebuild from sequence 71 on",
    ) == (error.code, error.message, error.hint)
    later = recorders(site, start={"sequence": 71})
    assert recorded(await held(site)) == await caught_up(elsewhere(site, "from 71"), later)


async def test_a_new_build_needs_the_log_from_its_start(site: Site) -> None:
    await open_stream(site)
    await site.publish(some(100))
    await call(site, "STREAM.PURGE", seq=21)
    error = await refused(site, recorders(site))
    assert "begins at 21: the messages 1 to 20" in error.message
    later = recorders(site, start={"sequence": 21})
    assert recorded(await held(site)) == await caught_up(elsewhere(site, "from 21"), later)


@pytest.mark.parametrize(("purged_to", "first"), [(131, 131), (0, 151)], ids=["in part", "of everything"])
async def test_a_purge_in_front_of_a_reading_node_halts_it_and_is_not_read_over(
    site: Site, purged_to: int, first: int
) -> None:
    """The server goes on behind the hole as if nothing had been there, and the consumer's own count does not show it."""
    await open_stream(site)
    await site.publish(some(100))
    async with site.node(recorders(site), back_pressure={"batch": 10}) as node:
        reading = asyncio.create_task(node.run())
        await at(node, 100, reading)
        before = everything(node)
        pause = f"CONSUMER.PAUSE {(await our_consumer(site))['name']}"
        await call(site, pause, pause_until="2999-01-01T00:00:00Z")
        await site.publish(some(50))
        await call(site, "STREAM.PURGE", seq=purged_to)
        await call(site, pause)  # it goes on
        error = await halted(node, reading)
        missing = f"begins at {first}: the messages 101 to {first - 1}, which are still to be read, are gone"
        assert missing in error.message
        assert before == everything(node)


# --- retention -------------------------------------------------------------------------------------------------------


async def test_retention_that_overtook_a_stopped_node_halts_it(site: Site) -> None:
    await open_stream(site, max_msgs=40)
    await site.publish(some(30))
    await caught_up(site, recorders(site))
    await site.publish(some(60))
    error = await refused(site, recorders(site))
    assert "begins at 51: the messages 31 to 50, which are still to be read, are gone" in error.message
    later = recorders(site, start={"sequence": 51})
    assert recorded(await held(site)) == await caught_up(elsewhere(site, "from 51"), later)


async def test_retention_behind_a_running_node_is_nothing(site: Site) -> None:
    await open_stream(site, max_msgs=20)
    published: list[bytes] = []
    async with site.node(recorders(site)) as node, running(node) as reading:
        for _ in range(10):
            published += some(20, first=len(published))
            await at(node, await site.publish(published[-20:]), reading)
        assert recorded(enumerate(published, 1)) == records(node.lanes[0])


# --- made anew -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 30, 50, 90])
async def test_a_stream_made_anew_halts_a_node_however_long_it_is(site: Site, count: int) -> None:
    await open_stream(site)
    await site.publish(some(50))
    await caught_up(site, recorders(site))
    await open_stream(site)
    await site.publish(some(count))
    error = await refused(site, recorders(site))
    assert ("stream.identity", FOLD_ANEW) == (error.code, error.hint)
    await folded_anew(site)


async def test_a_stream_made_anew_under_a_running_node_halts_it(site: Site) -> None:
    await open_stream(site)
    await site.publish(some(50))
    async with site.node(recorders(site)) as node:
        reading = asyncio.create_task(node.run())
        await at(node, 50, reading)
        before = everything(node)
        await open_stream(site)
        await site.publish(some(90))
        assert FOLD_ANEW == (await halted(node, reading)).hint
        assert before == everything(node)
    await folded_anew(site)


async def test_a_deleted_stream_is_waited_for_and_its_like_is_not_taken_for_it(site: Site, logged: list) -> None:
    await open_stream(site)
    await site.publish(some(50))
    async with site.node(recorders(site)) as node:
        reading = asyncio.create_task(node.run())
        await at(node, 50, reading)
        before = everything(node)
        await call(site, "STREAM.DELETE")
        await eventually(lambda: [one for one in logged if "there is no stream" in str(one)], reading)
        assert before == everything(node)
        await open_stream(site)
        assert FOLD_ANEW == (await halted(node, reading)).hint
        assert before == everything(node)


async def test_a_stream_that_is_not_there_is_named_at_the_start(site: Site) -> None:
    await call(site, "STREAM.DELETE")
    async with site.node(recorders(site)) as node:
        with pytest.raises(StreamError, match=f"there is no stream '{site.stream}'") as told:
            await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
    assert "`projection load --create` creates one" == told.value.hint


async def test_the_data_of_another_stream_is_refused_and_that_stream_is_the_way_out(site: Site) -> None:
    await open_stream(site)
    await site.publish(some(50))
    deployed = recorders(site)
    await caught_up(site, deployed)
    other = Site(site.nats, site.url, f"{site.stream}-other", site.folder)
    other.template, other._subjects = site.template, site._subjects
    await call(site, "STREAM.UPDATE", **config_of(site, subjects=["not.any.more"]))
    await call(other, "STREAM.CREATE", name=other.stream, subjects=[f"{site.stream}.>"])
    await other.publish(some(90))
    error = await refused(other, deployed)
    assert f"the data was folded from stream {site.stream!r} and not from {other.stream!r}" == error.message
    assert "name that stream in the settings, or use another data folder" == error.hint
    assert recorded(await held(site)) == await caught_up(site, deployed)
    other.data = site.folder / "empty"
    assert recorded(await held(other)) == await caught_up(other, deployed)


# --- restored --------------------------------------------------------------------------------------------------------


async def test_a_stream_restored_to_what_was_folded_or_more_is_the_same_log(
    own_server: EmbeddedServer, own_site: Site, tmp_path: Path
) -> None:
    site, backup = own_site, Backup(own_server, tmp_path / "backup")
    await site.publish(some(50))
    await caught_up(site, recorders(site))
    await site.publish(some(20))
    backup.take()
    await eventually(lambda: reachable(site))
    await site.publish(some(30))
    backup.put_back()
    await eventually(lambda: reachable(site))
    assert 70 == len(await held(site))
    await site.publish(some(10, first=7))
    assert recorded(await held(site)) == await caught_up(site, recorders(site))


@pytest.mark.parametrize("more", [0, 15, 30, 60], ids=["shorter", "shorter and going on", "as long", "longer"])
async def test_a_stream_restored_to_before_the_checkpoint_halts_even_where_its_numbers_were_used_again(
    own_server: EmbeddedServer, own_site: Site, tmp_path: Path, more: int
) -> None:
    site, backup = own_site, Backup(own_server, tmp_path / "backup")
    await site.publish(some(50))
    backup.take()
    await eventually(lambda: reachable(site))
    await site.publish(some(30))
    await caught_up(site, recorders(site))
    backup.put_back()
    await eventually(lambda: reachable(site))
    await site.publish(some(more, first=7))
    error = await refused(site, recorders(site))
    assert ("stream.identity", FOLD_ANEW) == (error.code, error.hint)
    await folded_anew(site)


async def test_a_stream_restored_under_a_running_node_halts_it(
    own_server: EmbeddedServer, own_site: Site, tmp_path: Path
) -> None:
    site, backup = own_site, Backup(own_server, tmp_path / "backup")
    await site.publish(some(50))
    backup.take()
    await eventually(lambda: reachable(site))
    async with site.node(recorders(site)) as node:
        reading = asyncio.create_task(node.run())
        last = await site.publish(some(30))
        await at(node, last, reading)
        before = everything(node)
        backup.put_back()
        await eventually(lambda: reachable(site))
        await site.publish(some(60, first=7))
        assert FOLD_ANEW == (await halted(node, reading)).hint
        assert before == everything(node)


async def test_numbers_used_again_are_noticed_where_the_node_had_only_looked_and_folded_nothing(
    own_server: EmbeddedServer, own_site: Site, tmp_path: Path
) -> None:
    """Its last event is there still. What was stored behind it, and looked over, was other messages."""
    site, backup = own_site, Backup(own_server, tmp_path / "backup")
    deployed = recorders(site, subjects=[f"{site.stream}.*.aggregate.tally.*"])
    other = f"{site.stream}.a.aggregate.other.1"
    await site.publish(some(20))
    await site.publish([b"{}"] * 10, subject=other)
    backup.take()
    await eventually(lambda: reachable(site))
    await site.publish([b"{}"] * 20, subject=other)
    async with site.node(deployed) as node:
        running = asyncio.create_task(node.run())
        await eventually(lambda: node.lanes[0].position.scanned == 50)
        node.stop()
        await running
    backup.put_back()
    await eventually(lambda: reachable(site))
    await site.publish(some(40))  # 31 to 70; the node looked up to 50
    error = await refused(site, deployed)
    assert ("stream.identity", FOLD_ANEW) == (error.code, error.hint)


async def test_a_restored_backup_is_the_way_out_where_the_hint_says_restore(
    own_server: EmbeddedServer, own_site: Site, tmp_path: Path
) -> None:
    site, backup = own_site, Backup(own_server, tmp_path / "backup")
    await open_stream(site)
    await site.publish(some(50))
    await caught_up(site, recorders(site))
    await site.publish(some(30))
    backup.take()
    await eventually(lambda: reachable(site))
    await call(site, "STREAM.PURGE")
    error = await refused(site, recorders(site))
    assert error.hint.startswith("restore them")
    backup.put_back()
    await eventually(lambda: reachable(site))
    assert recorded(await held(site)) == await caught_up(site, recorders(site))


# --- holes in the middle ---------------------------------------------------------------------------------------------


async def test_a_message_deleted_before_it_is_read_is_no_event_and_one_deleted_later_has_had_its_effect(
    site: Site,
) -> None:
    await open_stream(site)
    await site.publish(some(20))
    await call(site, "STREAM.MSG.DELETE", seq=7)
    log = await held(site)
    assert recorded(log) == await caught_up(site, recorders(site))
    await call(site, "STREAM.MSG.DELETE", seq=9)
    await site.publish(some(5))
    more = await held(site)
    assert recorded([*log, *more[-5:]]) == await caught_up(site, recorders(site))
    await folded_anew(site)  # a rebuild knows neither


async def test_deleting_the_last_folded_message_does_not_make_another_log_of_it(site: Site) -> None:
    await open_stream(site)
    await site.publish(some(20))
    log = await held(site)
    await caught_up(site, recorders(site))
    await call(site, "STREAM.MSG.DELETE", seq=20)
    await site.publish(some(5))
    assert recorded(log + (await held(site))[-5:]) == await caught_up(site, recorders(site))


async def test_the_stream_that_load_makes_lets_nobody_take_a_message_out(site: Site) -> None:
    await site.publish(some(20))
    for what, body in (("STREAM.MSG.DELETE", {"seq": 7}), ("STREAM.PURGE", {})):
        with pytest.raises(StreamError, match="not permitted"):
            await call(site, what, **body)
    with pytest.raises(StreamError, match="can not"):
        await call(site, "STREAM.UPDATE", **config_of(site, deny_delete=False, deny_purge=False))
    assert 20 == len(await held(site))
