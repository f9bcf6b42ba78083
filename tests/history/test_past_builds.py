"""A whole view type as it was: folded on from a backup, it is what a replay of the log up to there comes to."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import pytest
from history_support import OWN, VIEW_TYPE, deployed, event, events, log_of, moved, opened, replayed
from hypothesis import given, settings
from hypothesis import strategies as st

from projection.engine.backup import back_up
from projection.engine.backup_bucket import BackupBucket
from projection.engine.builds import begun, open_store
from projection.engine.decisions import drop
from projection.engine.lane import Lane
from projection.engine.recipes import deployed_by
from projection.engine.replay import FileEvents
from projection.engine.requeue import parked_in
from projection.errors import ConfigurationError, StorageDamagedError
from projection.history.logs import StreamLog
from projection.history.past_builds import Answering, past_build, past_of_file
from projection.model.checkpoint import StreamIdentity
from projection.model.manifest import Limits, Policy
from projection.model.parked import Drop
from projection.model.subjects import SubjectTemplate
from projection.query.errors import HistoryGoneError, NotFreshError
from projection.store.backup_directory import BackupDirectory
from projection.store.catalog import Catalog
from projection.store.lmdb_folder import DATA
from projection.store.restored import CATALOG
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

TIGHT = Limits(parked_per_view=2, parked_per_tenant=3)


class Site:
    """A data folder that is folded piece by piece, with backups in between."""

    def __init__(self, folder, one, given_events):
        self.one = one
        self.events = given_events
        self.data, self.directory = folder / "data", BackupDirectory(folder / "backups")
        self.backups = {}  # how far each of them is, and with which decisions
        with Catalog.open(self.data) as catalog:
            begun(catalog, one, None)

    def fold(self, until):
        with Catalog.open(self.data) as catalog:
            build = catalog.require(VIEW_TYPE)
            with open_store(build, self.one.within(build), durability="process") as store:
                lane = Lane(self.one.within(build), store)
                for each in FileEvents(self.one.entry, self.one.tenancy).read(self.events[:until]):
                    lane.apply(each)
                lane.move_to(until)
                lane.commit(None)

    def back_up(self):
        answers = self.answers()
        with Catalog.open(self.data) as catalog:
            with open_store(answers.build, answers.deployed, durability="process") as store:
                parked = {Drop(one.sequence, one.tenant_id, one.view_id) for one in parked_in(store)}
            made = back_up(catalog, self.directory)
        self.backups[made.name] = (answers.position.scanned, {*answers.build.drops}, parked)
        return made.name

    def drop(self, which):
        """Leave one parked event out, where there is any."""
        with Catalog.open(self.data) as catalog:
            build = catalog.require(VIEW_TYPE)
            with open_store(build, self.one.within(build), durability="process") as store:
                parked = list(parked_in(store))
            if parked:
                chosen = parked[which % len(parked)]
                with suppress(ConfigurationError):  # it is suspended, or not the first
                    drop(catalog, VIEW_TYPE, chosen.tenant_id, chosen.sequence, chosen.view_id)

    def answers(self):
        with Catalog.open(self.data) as catalog:
            build = catalog.require(VIEW_TYPE)
            with open_store(build, self.one.within(build), durability="process") as store:
                return Answering(build, deployed_by(build), store.position())

    def has_fitting(self, at, answers):
        """Whether a backup is not beyond an event, and has not taken one that was dropped since."""
        return any(
            scanned <= at and all(each.sequence > scanned or each in parked for each in {*answers.build.drops} - drops)
            for scanned, drops, parked in self.backups.values()
        )

    async def past(self, folder, at, *, from_start=False):
        backups = None if from_start else (self.directory, self.directory.names())
        return await past_build(log_of(self.events), self.answers(), at, folder, backups=backups)


def held(store):
    return (
        list(store.scan(None, VIEW_TYPE)), list(store.parked()), store.suspensions(), store.digest(),
        store.position().scanned,
    )  # fmt: skip


def written(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# How far it is folded, and which parked event is dropped before it is backed up.
steps = st.lists(st.tuples(st.integers(1, 25), st.none() | st.integers(0, 9)), min_size=2, max_size=4)


@pytest.mark.parametrize(("limits", "policy"), [(Limits(), Policy.PARK), (TIGHT, Policy.PARK), (TIGHT, Policy.SKIP)])
@settings(max_examples=5, deadline=None)
@given(given_events=events.filter(lambda given: len(given) > 5), schedule=steps)
async def test_whatever_backup_it_is_folded_on_from_it_is_what_a_replay_up_to_there_comes_to(
    tmp_path_factory, limits, policy, given_events, schedule
):
    folder, end = tmp_path_factory.mktemp("past"), len(given_events)
    site = Site(folder, deployed(limits=limits, policy=policy), given_events)
    for until, which in sorted(schedule, key=lambda one: one[0]):
        site.fold(min(until, end))
        if which is not None:
            site.drop(which)
        site.back_up()
    site.fold(end)
    site.drop(0)
    answers, before = site.answers(), written(folder / "backups")
    one = replace(site.one, drops=frozenset(answers.build.drops))
    moments = {scanned + more for scanned, _, _ in site.backups.values() for more in (-1, 0, 2)}
    for at in sorted(moment for moment in moments if 0 < moment <= end)[-4:]:
        expected = held(replayed(one, given_events[:at]).lanes[0].store)
        if site.has_fitting(at, answers):
            found = await site.past(folder / uuid4().hex, at)
            assert site.backups[found.backup][0] == found.behind <= at
        else:
            with pytest.raises(ConfigurationError, match="no backup"):
                await site.past(folder / uuid4().hex, at)
            found = await site.past(folder / uuid4().hex, at, from_start=True)
        with found.store:
            assert expected == held(found.store), (at, found.backup)
    assert before == written(folder / "backups")


async def test_the_newest_backup_before_the_moment_is_taken_and_only_what_is_behind_it_is_read(tmp_path):
    given_events = [opened(), *(moved(1) for _ in range(9))]
    site = Site(tmp_path, deployed(), given_events)
    names = {}
    for until in (3, 6, 9):
        site.fold(until)
        names[until] = site.back_up()
    site.fold(10)
    for at, until, read in ((3, 3, 0), (5, 3, 2), (6, 6, 0), (8, 6, 2), (10, 9, 1)):
        found = await site.past(tmp_path / f"at{at}", at)
        found.store.close()
        assert (names[until], until, read, at) == (found.backup, found.behind, found.events, found.sequence)


async def test_several_decisions_about_events_behind_a_store_have_their_effect(tmp_path):
    much = event("Moved", "a", to="b", amount="much")
    given_events = [opened(), opened("b"), moved(500), moved(1), moved(500, "a", "b"), much, moved(2)]
    site = Site(tmp_path, deployed(), given_events)
    site.fold(2)
    site.back_up()
    site.fold(len(given_events))
    for _ in range(3):
        site.drop(0)
    answers = site.answers()
    assert len(answers.build.drops) > 1
    found = await site.past(tmp_path / "past", len(given_events))
    one = replace(site.one, drops=frozenset(answers.build.drops))
    with found.store:
        assert held(replayed(one, given_events).lanes[0].store) == held(found.store)
        assert answers.build.fold_identity == found.store.fold_identity()


async def test_an_event_that_waited_and_was_dropped_first_is_left_out_though_what_was_before_it_is_dropped_too(
    tmp_path,
):
    given_events = [opened(), moved(500), moved(1), moved(2)]
    site = Site(tmp_path, deployed(), given_events)
    site.fold(4)
    name = site.back_up()
    site.drop(1)
    site.drop(0)
    answers = site.answers()
    assert [2, 3] == sorted(each.sequence for each in answers.build.drops)
    found = await site.past(tmp_path / "past", 4)
    with found.store:
        expected = replayed(replace(site.one, drops=frozenset(answers.build.drops)), given_events)
        assert (name, held(expected.lanes[0].store)) == (found.backup, held(found.store))


async def test_where_no_backup_fits_it_is_said_of_each_why(tmp_path):
    refused, much = moved(500), event("Moved", "a", to="b", amount="much")
    site = Site(tmp_path, deployed(), [opened(), refused, moved(1), much, moved(2), moved(3)])
    site.fold(3)
    with pytest.raises(ConfigurationError, match="there is none"):
        await site.past(tmp_path / "none", 1)
    name = site.back_up()
    with pytest.raises(
        ConfigurationError, match=f"can be folded on to event 2 of view type account .*{name}: it is at event 3"
    ):
        await site.past(tmp_path / "early", 2)
    with pytest.raises(NotFreshError, match="has come to event 3, and not to 4"):
        await site.past(tmp_path / "late", 4)
    other = replace(site.answers(), build=replace(site.answers().build, base_identity="other"))
    with pytest.raises(ConfigurationError, match="changed since"):
        await past_build(log_of(site.events), other, 3, tmp_path / "other", backups=(site.directory, [name]))
    stored = next(site.directory.folder(name).rglob(f"account/**/{DATA}"))
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")
    with pytest.raises(StorageDamagedError, match="has changed since it was written"):
        await site.past(tmp_path / "damaged", 3)
    (site.directory.folder(name) / "backup.json").write_text("{")
    with pytest.raises(ConfigurationError, match=f"{name}: it cannot be read"):
        await site.past(tmp_path / "unreadable", 3)


async def test_a_bucket_is_a_place_for_backups_as_well(nats_server, stream_name, tmp_path, monkeypatch):
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    site, names = Site(tmp_path, deployed(), [opened(), moved(500), moved(1), moved(2), moved(3)]), {}
    with BackupBucket(NatsConnection(nats_server.url), stream_name) as bucket:
        for until in (1, 3, 4):
            site.fold(until)
            with Catalog.open(site.data) as catalog:
                names[until] = back_up(catalog, bucket).name
        site.fold(5)
        site.drop(0)  # the second event, which later backups hold as one that is parked
        answers = site.answers()
        assert [2] == [each.sequence for each in answers.build.drops]
        one = replace(site.one, drops=frozenset(answers.build.drops))

        async def is_as_replayed(at, until):
            where = (bucket, bucket.names())
            found = await past_build(log_of(site.events), answers, at, tmp_path / uuid4().hex, backups=where)
            with found.store:
                assert (names[until], until) == (found.backup, found.behind)
                assert held(replayed(one, site.events[:at]).lanes[0].store) == held(found.store)

        for at, until in ((1, 1), (2, 1), (3, 3), (5, 4)):
            await is_as_replayed(at, until)
        bucket.run(bucket.objects.delete(bucket.places(names[4])[f"{CATALOG}/{DATA}"]))
        await is_as_replayed(5, 3)  # one that cannot be read is passed over
    assert [] == list(temporary.iterdir())


async def test_a_file_of_events_is_folded_up_to_there(tmp_path):
    given_events = [opened(), moved(5), moved(7)]
    for at in (1, 2, 3):
        found = await past_of_file(log_of(given_events), deployed(), at)
        assert held(replayed(deployed(), given_events[:at]).lanes[0].store) == held(found.store)
    with pytest.raises(NotFreshError, match="the last event is 3, and not 4"):
        await past_of_file(log_of(given_events), deployed(), 4)


@pytest.fixture
async def nats(nats_server):
    async with await Nats.connect(NatsConnection(nats_server.url)) as connection:
        yield connection


async def identity_of(jetstream, stream):
    return StreamIdentity(stream, (await jetstream.stream_info(stream)).created)


async def test_of_a_stream_that_lost_its_start_a_backup_tells_the_past_if_all_behind_it_is_there(
    nats, stream_name, tmp_path
):
    template = SubjectTemplate.parse(f"{stream_name}.<tenant>.aggregate.<type>.<id>")
    jetstream, given_events = JetStream(nats), [opened(), moved(5), moved(7), moved(9), moved(11)]
    config = f'{{"name":"{stream_name}","subjects":["{stream_name}.>"]}}'  # which may be purged
    await nats.request(f"$JS.API.STREAM.CREATE.{stream_name}", config.encode())
    sent = [Outgoing(template.subject("", "account", "a"), data) for data in given_events]
    await publish_all(nats, stream_name, sent)
    one = deployed(OWN, subject_template=template, subjects=(template.filter(),))
    site, identity = Site(tmp_path, one, given_events), await identity_of(jetstream, stream_name)

    async def fold(until):
        with Catalog.open(site.data) as catalog:
            build = catalog.require(VIEW_TYPE)
            with open_store(build, one.within(build), durability="process") as store:
                lane, log = Lane(one.within(build), store), StreamLog(nats, stream_name, "fold")
                async for batch in log.read(one, one.entry.subjects, lane.scanned, until):
                    for each in batch:
                        lane.apply(each)
                lane.commit(identity)

    await fold(2)
    site.back_up()
    await fold(5)
    times = [(await jetstream.message(stream_name, sequence)).time for sequence in range(1, 6)]
    answers, names = site.answers(), site.directory.names()

    async def past(moment, backups=(site.directory, names), **position):
        known = replace(answers, position=answers.position.model_copy(update=position))
        log = StreamLog(nats, stream_name, "past")
        return await past_build(log, known, moment, tmp_path / uuid4().hex, backups=backups)

    await nats.request(f"$JS.API.STREAM.PURGE.{stream_name}", b'{"seq":3}')
    for moment in (2, 3, 4, 5, times[3]):
        found = await past(moment)
        with found.store:
            at = 4 if moment == times[3] else moment
            assert held(replayed(one, given_events[:at]).lanes[0].store)[:4] == held(found.store)[:4]
    with pytest.raises(HistoryGoneError, match="begins at 3"):
        await past(4, None)
    with pytest.raises(HistoryGoneError, match="holds 3 messages by now of the 4"):
        await past(4, messages=6)
    await nats.request(f"$JS.API.STREAM.PURGE.{stream_name}", b'{"seq":4}')
    with pytest.raises(HistoryGoneError, match="begins at 4"):
        await past(4)
