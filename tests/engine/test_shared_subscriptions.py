"""Which lanes read together, by where they stand and what they cost: a policy that needs no node."""

from __future__ import annotations

import gc
import weakref
from itertools import combinations
from types import SimpleNamespace

from engine_support import deploy
from hypothesis import given
from hypothesis import strategies as st

from projection.engine import sharing as sharing_module
from projection.engine.lane import Lane
from projection.engine.sharing import Place, Sharing, alone_s, heaviest, largest_group, may_join
from projection.model.settings import BackPressure
from projection.store.memory import MemoryLaneStore

DETACHED = 1_100  # times: twice as long each time is no number of seconds any more
places = st.builds(Place, st.integers(0, 12), st.sampled_from("ab"), st.booleans())
withins = st.integers(0, 6)


def can_share(some, within):
    scanned = [one.scanned for one in some]
    return len({one.events for one in some}) <= 1 and max(scanned, default=0) - min(scanned, default=0) <= within


@given(st.lists(places, max_size=6), withins)
def test_no_more_lanes_can_share_a_subscription_than_those_that_do(given_places, within):
    found = largest_group(given_places, within)
    able = [one for one in given_places if not one.is_loading] or given_places
    sizes = [size for size in range(len(able) + 1) for some in combinations(able, size) if can_share(some, within)]
    assert len(found) == len({*found}) == max(sizes)
    chosen = [given_places[number] for number in found]
    assert can_share(chosen, within)
    assert all(one in able for one in chosen)


@given(places, places, withins)
def test_whoever_joins_could_have_begun_with_the_others(alone, shared, within):
    shared = shared._replace(is_loading=False)
    together = largest_group([alone, shared], within) == [0, 1]
    assert may_join(alone, shared, within) == (together and not alone.is_loading)


@given(st.lists(st.integers(0, 10**12), max_size=6), st.floats(0.1, 1_000.0))
def test_a_lane_holds_up_the_others_where_the_work_is_too_much_and_most_of_it_is_its_own(gas, seconds):
    is_too_much = 2 * sum(gas) * sharing_module._GAS_S >= seconds
    most = [number for number, one in enumerate(gas) if 2 * one > sum(gas)]
    found = heaviest(gas, seconds)
    assert (most if is_too_much and len(gas) > 1 else []) == ([] if found is None else [found])


@given(st.integers(1, 10_000), st.floats(0.1, 3_600.0))
def test_it_stays_alone_for_longer_each_time_up_to_a_bound(times, patience_s):
    longest = sharing_module._LONGEST_ALONE_S
    assert min(longest, 2 * patience_s) <= alone_s(times, patience_s) <= alone_s(times + 1, patience_s) <= longest


def test_a_lane_is_let_in_again_however_often_it_was_detached(tmp_path, monkeypatch):
    now, longest = 0.0, sharing_module._LONGEST_ALONE_S
    monkeypatch.setattr(sharing_module, "monotonic", lambda: now)
    sharing = Sharing(BackPressure())
    lanes = [Lane(deploy(tmp_path)[0], MemoryLaneStore()) for _ in range(2)]
    alone, shared = (SimpleNamespace(members=[SimpleNamespace(lane=lane)], position=0) for lane in lanes)
    for _ in range(DETACHED):
        sharing.detach(lanes[0])
        assert not sharing.may_join(alone, shared)
        now += longest
        assert sharing.may_join(alone, shared)


def test_a_lane_that_was_replaced_is_forgotten_with_all_that_it_holds(tmp_path):
    sharing, lane = Sharing(BackPressure()), Lane(deploy(tmp_path)[0], MemoryLaneStore())
    sharing.detach(lane)
    replaced = weakref.ref(lane)
    del lane
    gc.collect()
    assert replaced() is None
