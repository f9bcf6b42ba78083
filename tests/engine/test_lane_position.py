"""How far a lane says it is: what it has seen, what it has applied, for whom; and who may write it."""

from __future__ import annotations

import pytest
from engine_support import Log, added, broken, contents, deploy, envelope, erased, feed, folded, parked, totals

from projection.engine.event import EventReader
from projection.engine.lane import Lane
from projection.errors import StaleCommitError, StorageError
from projection.model.checkpoint import LanePosition, StreamIdentity
from projection.model.envelope import Tenancy
from projection.model.ids import TenantId, ViewType
from projection.model.keys import CheckpointKey, ViewKey
from projection.store.memory import MemoryLaneStore
from projection.store.port import Commit

UNKNOWN = envelope("SomethingElse", {})


def checkpoint(store, tenant: str):
    return store.get_checkpoint(CheckpointKey(TenantId(tenant), ViewType("tallies")))


def test_events_that_the_lane_does_not_handle_move_what_it_has_scanned_and_not_what_it_has_applied(lane):
    log = Log(added("x"), UNKNOWN, UNKNOWN)
    feed(lane, log.messages)
    position = lane.store.position()
    assert (3, 1, log.messages[0].time) == (position.scanned, position.applied, position.applied_time)


def test_a_batch_of_nothing_that_the_lane_handles_is_committed_too(lane):
    log = Log(UNKNOWN)
    feed(lane, log.messages)
    assert LanePosition(scanned=1, scanned_time=log.messages[0].time, messages=1) == lane.store.position()


def test_subjects_outside_the_filters_are_passed_over(tmp_path):
    mine = "tenant.*.aggregate.mine.*"
    log = Log().add(added("x"), subject="tenant.a.aggregate.mine.1").add(added("x"), b"{", added("x"))
    lane = folded(deploy(tmp_path, subjects=[mine]), log)
    position = lane.store.position()
    assert ({("a", "x"): 1}, [], 4, 1) == (totals(lane.store), parked(lane.store), position.scanned, position.applied)


def test_the_feed_moves_a_lane_on_without_events_and_never_back(lane):
    feed(lane, Log(added("x")).messages)
    lane.move_to(7)
    lane.move_to(3)
    lane.commit(None)
    assert (7, 1) == (lane.store.position().scanned, lane.store.position().applied)


def test_a_sequence_that_was_scanned_is_never_applied_again(deployed, store):
    log = Log(added("x"), UNKNOWN, added("x"), broken("x"), added("y"))
    lane = feed(Lane(deployed[0], store), log.messages)
    before = contents(store)
    feed(lane, log.messages)
    feed(Lane(deployed[0], store), log.messages)
    assert before == contents(store)


def test_a_sequence_that_was_only_passed_over_is_not_applied_later(deployed, store):
    log = Log(added("x"), added("x"), added("x"))
    lane = Lane(deployed[0], store)
    lane.move_to(2)
    feed(lane, log.messages)
    assert {("a", "x"): 1} == totals(store)


def test_a_parked_event_counts_as_applied(lane):
    feed(lane, Log(added("x"), broken("x"), UNKNOWN).messages)
    assert (3, 2) == (lane.store.position().scanned, lane.store.position().applied)


def test_each_tenant_has_a_checkpoint_of_its_last_applied_event(lane):
    log = Log(
        added("x"),
        added("x", tenant="b"),
        envelope("Added", {"id": "x", "n": 2}, timestamp="2024-02-01T00:00:00+01:00"),
    )
    log.add(UNKNOWN).add(b"{", subject="tenant.c.aggregate.tally.1").add(broken("x", tenant="b"))
    feed(lane, log.messages, commit_every=2)
    assert (3, {"event_type": "Added", "timestamp": "2024-02-01T00:00:00+01:00"}) == (
        checkpoint(lane.store, "a").sequence,
        checkpoint(lane.store, "a").metadata,
    )
    assert (6, 5) == (checkpoint(lane.store, "b").sequence, checkpoint(lane.store, "c").sequence)
    assert checkpoint(lane.store, "d") is None


def test_the_stream_of_a_commit_is_kept_with_the_position(lane):
    stream = StreamIdentity("events", "2024-01-01T00:00:00Z")
    lane.apply(EventReader(lane.deployed.entry.subject_template, Tenancy()).read(Log(added("x")).messages[0]))
    lane.commit(stream)
    assert stream == lane.store.position().stream == lane.position.stream


def test_a_commit_of_nothing_writes_nothing(lane):
    feed(lane, Log(added("x")).messages)
    commits = []
    lane.store.commit = commits.append
    lane.commit(None)
    lane.move_to(1)
    lane.commit(None)
    assert [] == commits


def test_a_commit_holds_what_its_own_batch_changed_and_no_more(deployed):
    store, commits = MemoryLaneStore(), []
    write = store.commit

    def commit(one: Commit, on_written=None) -> None:
        commits.append(
            (
                sorted(ViewKey.parse(key.decode()).view_id for key in one.views),
                [event.sequence for event in one.parked],
                [view_id for _, view_id in one.released],
                [checkpoint.sequence for checkpoint in one.checkpoints.values()],
            )
        )
        write(one, on_written)

    store.commit = commit
    feed(
        Lane(deployed[0], store),
        Log(added("x"), broken("y"), erased("y"), added("z"), added("z"), UNKNOWN).messages,
        commit_every=1,
    )
    assert [
        (["x"], [], [], [1]),
        ([], [2], [], [2]),
        ([], [], ["y"], [3]),
        (["z"], [], [], [4]),
        (["z"], [], [], [5]),
        ([], [], [], []),
    ] == commits


# who may write


def test_a_lane_whose_store_has_a_new_owner_can_commit_nothing(deployed, store):
    log = Log(added("x"))
    old = Lane(deployed[0], store)
    new = Lane(deployed[0], store)
    with pytest.raises(StaleCommitError):
        feed(old, log.messages)
    assert {} == totals(store)
    feed(new, log.messages)
    assert {("a", "x"): 1} == totals(store)


def test_a_batch_computed_from_another_position_than_the_stored_one_is_not_committed(deployed, store):
    """The same owner, and yet something moved the store: what was computed from the old state must not be written."""
    lane = feed(Lane(deployed[0], store), Log(added("x")).messages)
    store.commit(Commit(epoch=1, base=lane.position, position=LanePosition(scanned=5, applied=5)))
    before = contents(store)
    with pytest.raises(StaleCommitError):
        feed(lane, Log(added("x"), added("x")).messages)
    assert before == contents(store)


class Faulty(MemoryLaneStore):
    """Fails at its next commit, before anything is written."""

    fails = False

    def commit(self, commit: Commit, on_written=None) -> None:
        if self.fails:
            raise StorageError("the disk is full")
        super().commit(commit, on_written)


def test_a_failed_commit_leaves_the_batch_to_be_committed_later(deployed):
    store, log = Faulty(), Log(added("x"), broken("y"), added("z"))
    lane = Lane(deployed[0], store)
    store.fails = True
    with pytest.raises(StorageError):
        feed(lane, log.messages)
    assert ({}, LanePosition(), LanePosition()) == (totals(store), store.position(), lane.position)
    store.fails = False
    lane.commit(None)
    assert contents(folded(deployed, log).store) == contents(store)
