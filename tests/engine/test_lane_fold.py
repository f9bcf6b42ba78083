"""After every commit the store is the fold of the events up to there: for any events, batches, restarts and caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from engine_support import (
    TEMPLATE,
    TENANCY,
    TOO_MUCH,
    Log,
    added,
    broken,
    contents,
    deploy,
    envelope,
    erased,
    feed,
    folded,
    parked,
    shared,
    views,
)
from fold_model import Model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projection.engine import view_cache
from projection.engine.event import EventReader
from projection.engine.lane import Lane
from projection.model.ids import TenantId, ViewType
from projection.model.keys import CheckpointKey
from projection.store.lmdb_store import LmdbLaneStore
from projection.store.memory import MemoryLaneStore

if TYPE_CHECKING:
    from projection.engine.deployment import DeployedView

ids = st.sampled_from(["1", "2", "3", "4"])
several = st.lists(ids, min_size=2, max_size=4, unique=True)
tenants = st.sampled_from(["a", "b"])
amounts = st.sampled_from([1, 2, 5, TOO_MUCH])
events = st.one_of(
    st.builds(added, ids, amounts, tenants),
    st.builds(lambda some, n, tenant: shared(*some, n=n, tenant=tenant), several, amounts, tenants),
    st.builds(lambda some, tenant: broken(*some, tenant=tenant), several, tenants),
    st.builds(lambda some, tenant: erased(*some, tenant=tenant), several, tenants),
    st.builds(lambda one, tenant: erased(one, tenant=tenant), ids, tenants),
    st.sampled_from([b"{", envelope("Added", {"id": "1", "n": "1"})]),
)
logs = st.lists(events, min_size=1, max_size=40)
# After how many events the lane commits, and whether it is then opened anew; again and again.
schedules = st.lists(st.tuples(st.integers(1, 8), st.booleans()), min_size=1, max_size=10)

relaxed = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> tuple[DeployedView, ...]:
    return deploy(tmp_path_factory.mktemp("deployed"))


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[DeployedView, ...]]:
    return {policy: deploy(tmp_path_factory.mktemp(policy), on_error=policy) for policy in ("skip", "halt")}


@pytest.fixture(params=[100_000, 2])
def cached_views(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(view_cache, "CACHED_VIEWS", request.param)
    return request.param


def checkpoints(store: Any) -> list[Any]:
    return [store.get_checkpoint(CheckpointKey(TenantId(tenant), ViewType("tallies"))) for tenant in "ab"]


@relaxed
@given(logs, schedules)
def test_the_store_is_the_fold_after_every_commit_whatever_the_batches_restarts_and_cache(
    deployed, cached_views, happened, schedule
):
    log, store = Log(*happened), MemoryLaneStore()
    reader, lane, done, turn = EventReader(TEMPLATE, TENANCY), Lane(deployed[0], store), 0, 0
    while done < log.last:
        count, reopened = schedule[turn % len(schedule)]
        for message in log.messages[done : done + count]:
            lane.apply(reader.read(message))
        lane.commit(None)
        done, turn = min(done + count, log.last), turn + 1
        model = Model(log.messages[:done])
        assert model.views == views(store)
        assert sorted(model.parked(), key=repr) == sorted(parked(store), key=repr)
        assert (done, len(model.views)) == (store.position().scanned, store.count_views())
        assert len(lane._cache._views) <= cached_views
        if reopened:
            lane = Lane(deployed[0], store)
    at_once = folded(deployed, log)
    assert contents(at_once.store) == contents(store)
    assert checkpoints(at_once.store) == checkpoints(store)
    assert at_once.parked == lane.parked


@settings(relaxed, max_examples=25)
@given(logs, schedules)
def test_a_store_on_disk_holds_the_same_bytes_as_one_in_memory(
    deployed, cached_views, tmp_path_factory, happened, schedule
):
    log, folder = Log(*happened), tmp_path_factory.mktemp("lane")
    done = 0
    while done < log.last:
        with LmdbLaneStore.open(folder / "0", deployed[0].fold_identity) as store:
            count = 3 * schedule[done % len(schedule)][0]
            feed(Lane(deployed[0], store), log.messages[done : done + count], commit_every=2)
            done += count
    at_once = folded(deployed, log)
    with LmdbLaneStore.open(folder / "0", deployed[0].fold_identity) as store:
        assert contents(at_once.store) == contents(store)
        assert checkpoints(at_once.store) == checkpoints(store)


@relaxed
@given(logs, st.sampled_from(["skip", "halt"]))
def test_under_the_other_policies_batches_and_restarts_make_no_difference_either(policies, happened, policy):
    log, store = Log(*happened), MemoryLaneStore()
    for cut in range(0, log.last, 3):
        feed(Lane(policies[policy][0], store), log.messages[: cut + 3], commit_every=2)
    assert contents(folded(policies[policy], log).store) == contents(store)
