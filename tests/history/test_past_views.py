"""A view as it was: after any event it is what a replay of the log up to there comes to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from history_support import OWN, VIEW_TYPE, deployed, event, events, log_of, moved, opened, replayed, view_of
from hypothesis import given, settings
from hypothesis import strategies as st

from projection.errors import ConfigurationError
from projection.history.aside import FoldAside
from projection.history.logs import StreamLog
from projection.history.past import Known, past_view, read_moment
from projection.model.checkpoint import LanePosition
from projection.model.ids import DEFAULT_TENANT, TenantId, ViewId
from projection.model.manifest import Limits, Policy, Start
from projection.model.subjects import SubjectTemplate
from projection.model.timestamp import just_after
from projection.query.errors import HistoryGoneError, NotFreshError, QueryInvalidError, QueryLimitError
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

A = ViewId("a")
TENANTS = (DEFAULT_TENANT, TenantId("t"))
TIGHT = Limits(parked_per_view=2, parked_per_tenant=3)
drops = st.frozensets(
    st.tuples(st.integers(1, 25), st.sampled_from(TENANTS), st.sampled_from([None, "a", "b"])), max_size=3
)


def known_of(replay, tenant_id) -> Known:
    """What a build tells that has folded all of it."""
    (lane,) = replay.lanes
    whole = [one.sequence for one in lane.store.suspensions() if (one.tenant_id, one.view_id) == (tenant_id, None)]
    return Known(lane.position, min(whole, default=None))


@pytest.mark.parametrize("limits", [Limits(), TIGHT])
@pytest.mark.parametrize("policy", [Policy.PARK, Policy.SKIP])
@settings(max_examples=40)
@given(given_events=events, at=st.integers(1, 25), dropped=drops)
async def test_after_any_event_a_view_is_what_a_replay_of_the_log_up_to_there_comes_to(
    policy, limits, given_events, at, dropped
) -> None:
    at = min(at, len(given_events))
    one = replace(deployed(policy=policy, limits=limits), drops=dropped)
    whole, expected = replayed(one, given_events), replayed(one, given_events[:at])
    for tenant_id in TENANTS if at else ():
        for view_id in (A, ViewId("b")):
            known = known_of(whole, tenant_id)
            found = await past_view(log_of(given_events), one, tenant_id, view_id, at, known=known)
            assert (at, view_of(expected, view_id, tenant_id)) == (found.sequence, found.view)
            with expected.lanes[0].store.snapshot() as snapshot:
                assert snapshot.is_degraded(tenant_id, view_id) == found.degraded


@pytest.mark.parametrize("limits", [Limits(), TIGHT])
@settings(max_examples=40)
@given(given_events=events, dropped=drops)
async def test_all_of_a_tenant_comes_to_what_a_replay_of_everything_holds_of_it(limits, given_events, dropped) -> None:
    one = replace(deployed(limits=limits), drops=dropped)
    expected = replayed(one, given_events).lanes[0].store
    for tenant_id in TENANTS:
        fold = FoldAside(one, tenant_id)
        await fold.read(log_of(given_events), len(given_events))
        assert list(expected.scan(tenant_id, VIEW_TYPE)) == list(fold.store.scan(None, VIEW_TYPE))
        assert [event for event in expected.parked() if event.tenant_id == tenant_id] == list(fold.store.parked())
        assert [one for one in expected.suspensions() if one.tenant_id == tenant_id] == fold.store.suspensions()


async def test_nothing_but_erasures_comes_to_a_view_of_a_tenant_that_is_suspended_for_others() -> None:
    refused, much = moved(500, account="b"), event("Moved", "a", to="b", amount="much")
    given_events = [opened(), opened("b"), refused, refused, moved(5), much, event("Closed")]
    one = deployed(limits=Limits(parked_per_tenant=1))
    whole = replayed(one, given_events)
    known = known_of(whole, DEFAULT_TENANT)
    assert 4 == known.suspended_at
    for at in range(1, 8):
        found = await past_view(log_of(given_events), one, DEFAULT_TENANT, A, at, known=known)
        expected = replayed(one, given_events[:at])
        assert (view_of(expected, "a"), at >= 4) == (found.view, found.degraded)
        assert (found.view is None) == (at == 7)
        fold = FoldAside(one, DEFAULT_TENANT, A, suspended_at=known.suspended_at)
        await fold.read(log_of(given_events), at)
        assert [] == list(fold.store.parked())


async def test_what_cannot_be_told_is_said_in_words() -> None:
    log, one = log_of([opened(), moved(5), moved(7)]), deployed()
    with pytest.raises(NotFreshError, match="the last event is 3, and not 4"):
        await past_view(log, one, DEFAULT_TENANT, A, 4)
    with pytest.raises(NotFreshError, match="has come to event 2, and not to 3"):
        await past_view(log, one, DEFAULT_TENANT, A, 3, known=Known(LanePosition(scanned=2)))
    with pytest.raises(QueryLimitError, match="more than 2 events"):
        await past_view(log, one, DEFAULT_TENANT, A, 3, most=2)
    with pytest.raises(ConfigurationError, match="does not say when"):
        await past_view(log, one, DEFAULT_TENANT, A, "2026-01-01T00:00:00Z")
    assert (await past_view(log, one, DEFAULT_TENANT, ViewId("none"), 3)).view is None
    later = deployed(start=Start(sequence=3))
    assert (2, None, 0) == (
        (found := await past_view(log, later, DEFAULT_TENANT, A, 2)).sequence,
        found.view,
        found.events,
    )


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1.5", "٣", "yesterday", "2026-01-01", "9" * 20, "9999-01-01T00:00:00Z"]
)
def test_what_is_no_moment_is_refused(text) -> None:
    with pytest.raises(QueryInvalidError):
        read_moment(text)


def test_the_moment_right_behind_another_is_a_nanosecond_later() -> None:
    assert 17 == read_moment("17")
    assert "2026-01-01T00:00:00.000000001Z" == just_after("2026-01-01T01:00:00+01:00")
    assert "2026-01-01T00:00:01.000000000Z" == just_after("2026-01-01T00:00:00.999999999Z")
    assert "2026-01-01T00:00:00.123456790Z" == just_after(read_moment("2026-01-01T00:00:00.1234567891Z"))


@pytest.fixture
async def nats(nats_server):
    async with await Nats.connect(NatsConnection(nats_server.url)) as connection:
        yield connection


async def test_of_a_stream_a_time_names_the_last_event_stored_by_then(nats, stream_name) -> None:
    template = SubjectTemplate.parse(f"{stream_name}.<tenant>.aggregate.<type>.<id>")
    jetstream = JetStream(nats)
    await jetstream.ensure_stream(stream_name, [f"{stream_name}.>"])
    given_events = [opened(), moved(5), opened("b"), event("Moved", to="b", amount=7)]
    accounts = ["a", "a", "b", "a"]
    for account, data in zip(accounts, given_events, strict=True):
        await publish_all(nats, stream_name, [Outgoing(template.subject("", "account", account), data)])
    one = deployed(OWN, subject_template=template, subjects=(template.filter(),))
    times = [(await jetstream.message(stream_name, sequence)).time for sequence in range(1, 5)]

    async def at(moment, **more):
        return await past_view(StreamLog(nats, stream_name, "past"), one, DEFAULT_TENANT, A, moment, **more)

    for sequence, time in enumerate(times, 1):
        found, expected = await at(time), replayed(one, given_events[:sequence])
        assert (sequence, view_of(expected, "a")) == (found.sequence, found.view)
        assert found == await at(sequence)
        assert (True, accounts[:sequence].count("a")) == (found.are_own, found.events)
    before = (datetime.fromisoformat(times[0][:19]) - timedelta(days=1)).replace(tzinfo=UTC).isoformat()
    assert (0, None) == ((found := await at(before)).sequence, found.view)
    with pytest.raises(NotFreshError):
        await at(5)


async def test_of_a_stream_that_has_lost_its_start_nothing_is_told(nats, stream_name) -> None:
    template = SubjectTemplate.parse(f"{stream_name}.<tenant>.aggregate.<type>.<id>")
    config = f'{{"name":"{stream_name}","subjects":["{stream_name}.>"],"max_msgs":2,"discard":"old"}}'
    await nats.request(f"$JS.API.STREAM.CREATE.{stream_name}", config.encode())
    await publish_all(nats, stream_name, [Outgoing(template.subject("", "account", "a"), opened()) for _ in range(3)])
    log = StreamLog(nats, stream_name, "past")
    one = deployed(subject_template=template, subjects=(template.filter(),))
    with pytest.raises(HistoryGoneError, match="begins at 2"):
        await past_view(log, one, DEFAULT_TENANT, A, 3)
    since = replace(one, entry=one.entry.replaced(start=Start(time="2020-01-01T00:00:00Z")))
    with pytest.raises(HistoryGoneError, match="not known whether it has lost"):
        await past_view(log, since, DEFAULT_TENANT, A, 3)
