"""Whatever is damaged in a store, a repair of it leaves what a replay comes to, and its digest."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from secrets import randbits
from tempfile import TemporaryDirectory

import pytest
from history_support import ACCOUNT, VIEW_TYPE, deployed, event, log_of, moved, opened, replayed

from projection.engine.lane import Lane
from projection.engine.replay import FileEvents
from projection.engine.verification import _disagreements
from projection.history.aside import FoldAside
from projection.history.mending import differences, digest_after
from projection.model.ids import DEFAULT_TENANT, TenantId, ViewId
from projection.model.keys import ViewKey, encoded_view_key
from projection.model.manifest import Limits, Policy
from projection.model.parked import Suspension
from projection.model.state_digest import entry_digest
from projection.store.indexes import ENTRIES, index_prefix
from projection.store.lmdb_store import LmdbLaneStore
from projection.store.port import Commit
from projection.store.ranges import after
from projection.store.records import encode_parked, encode_suspension, parked_key, suspended_key, unreached_key

INDEXED = ACCOUNT.replace("on Opened", "index by balance\nindex by moves, owner\n\non Opened", 1)
TENANTS = (DEFAULT_TENANT, TenantId("t"))
IDS = ("a", "b", "c")
ROUNDS = 8


def life(dice, count=40) -> list[bytes]:
    kinds = (
        lambda tenant: opened(dice.choice(IDS), tenant, owner=dice.choice(("ann", "bob"))),
        lambda tenant: moved(dice.choice((1, 60, 190)), dice.choice(IDS), dice.choice(IDS), tenant),
        lambda tenant: moved(dice.choice((1, 60, 190)), dice.choice(IDS), dice.choice(IDS), tenant),
        lambda tenant: event("Closed", dice.choice(IDS), tenant) if dice.random() < 0.3 else opened("a", tenant),
        lambda tenant: event("Moved", dice.choice(IDS), tenant, to="b", amount="much"),
        lambda _: b"no envelope",
    )
    weights = (4, 4, 4, 1, 1, 0.3)
    return [dice.choices(kinds, weights)[0](dice.choice(("", "t"))) for _ in range(count)]


def built(path, one, given) -> LmdbLaneStore:
    store = LmdbLaneStore.open(path, one.fold_identity, durability="process")
    lane = Lane(one, store)
    for made in FileEvents(one.entry, one.tenancy).read(given):
        lane.apply(made)
    lane.commit(None)
    return store


def raw(store, change) -> None:
    """Change a store below its commits, as a disk may."""
    store._environment.update(change)


def damage(dice, store, tenant_id, kinds=("below", "by a commit", "entries", "parked", "suspended")) -> None:
    """Something that no fold would leave, of one tenant."""
    key = encoded_view_key(tenant_id, VIEW_TYPE, dice.choice(IDS))
    stored, wrong = store.get(key), dice.choice((b'{"balance":7,"moves":[],"owner":"eve"}', b'{"balan', None))
    parked = [each for each in store.parked() if each.tenant_id == tenant_id]
    match dice.choice(kinds):
        case "below":
            raw(store, lambda change: change.delete(key) if wrong is None else change.put(key, wrong))
        case "by a commit":
            gained = sum(
                sign * entry_digest(key, view) for sign, view in ((1, wrong), (-1, stored)) if view is not None
            )
            position, digest = store.position(), store.digest().plus(gained)
            store.commit(Commit(store.claim(), position, position, views={key: wrong}, digest=digest))
        case "parked" if parked:
            lost = dice.choice(parked)
            raw(store, lambda change: change.delete(parked_key(lost)))
            if dice.random() < 0.5:
                more = lost.model_copy(update={"sequence": lost.sequence + 100})
                raw(store, lambda change: change.put(parked_key(more), encode_parked(more)))
        case "unreached":
            raw(store, lambda change: change.put(unreached_key(tenant_id), dice.choice((b"0", b"9"))))
        case "entries":
            with store.snapshot() as snapshot:
                found = [*snapshot.entries(ENTRIES, after(ENTRIES))]
                prefixes = tuple(index_prefix(index.number, tenant_id) for index in snapshot.indexes)
            mine = [entry for entry, _ in found if entry.startswith(prefixes)]
            if mine and dice.random() < 0.5:
                lost = dice.choice(mine)
                raw(store, lambda change: change.delete(lost))
            elif found:
                entry, value = dice.choice(found)
                body = entry.split(b":", 3)[3]
                raw(store, lambda change: change.put(dice.choice(prefixes) + b"\x01" + body, value))
        case "suspended":
            target = Suspension(tenant_id, dice.choice((None, ViewId("a"))), dice.randrange(1, 40))
            raw(store, lambda change: change.put(suspended_key(*target[:2]), encode_suspension(target)))


async def repaired(store, one, given, tenant_id, view_id=None):
    whole = [each.sequence for each in store.suspensions() if each[:2] == (tenant_id, None)]
    fold = FoldAside(one, tenant_id, view_id, suspended_at=min(whole, default=None) if view_id else None)
    await fold.read(log_of(given), len(given))
    found = differences(store, fold)
    audit = store.audit()
    if found.any or (fold.is_whole and not audit.agrees):
        digest, count = digest_after(found, audit), audit.views + found.grown
        store.commit(replace(found.commit, epoch=store.claim(), digest=digest, view_count=count))
    return found


def is_right(store, one, given, *, is_told=False) -> None:
    """Whether it holds what a replay comes to; where damage came both ways, digest and count may go on telling."""
    (expected,) = (lane.store for lane in replayed(one, given).lanes)
    assert list(expected.scan(None, VIEW_TYPE)) == list(store.scan(None, VIEW_TYPE))
    assert [each.sequence for each in expected.parked()] == [each.sequence for each in store.parked()]
    assert expected.suspensions() == store.suspensions()
    audit = store.audit()
    assert expected.digest() == audit.recomputed
    assert expected.count_views() == audit.views
    assert is_told or (expected.digest(), expected.count_views()) == (store.digest(), audit.view_count)
    with store.snapshot() as snapshot, expected.snapshot() as wanted:
        assert [] == _disagreements(snapshot, one.program)
        for tenant_id in TENANTS:
            assert wanted.is_incomplete(tenant_id) == snapshot.is_incomplete(tenant_id)


@pytest.mark.parametrize("policy", [Policy.PARK, Policy.SKIP])
@pytest.mark.parametrize("limits", [Limits(), Limits(parked_per_view=2, parked_per_tenant=6)])
async def test_whatever_is_damaged_of_a_tenant_its_repair_leaves_what_a_replay_comes_to(limits, policy) -> None:
    await damaged_and_repaired(limits, policy, ROUNDS)


@pytest.mark.long
@pytest.mark.parametrize("policy", [Policy.PARK, Policy.SKIP])
async def test_however_often_something_is_damaged_its_repair_leaves_what_a_replay_comes_to(policy) -> None:
    await damaged_and_repaired(Limits(parked_per_view=2, parked_per_tenant=6), policy, 400)


async def damaged_and_repaired(limits, policy, rounds) -> None:
    seed = randbits(32)
    print(f"{rounds} rounds, seed {seed}")
    dice = random.Random(seed)
    one = deployed(INDEXED, policy, limits=limits)
    for _ in range(rounds):
        given, tenant_id = life(dice), dice.choice(TENANTS)
        with TemporaryDirectory() as folder, built(Path(folder) / "lane", one, given) as store:
            is_right(store, one, given)
            kinds = dice.choice(
                ((), ("by a commit",), ("below", "parked", "suspended", "unreached"), ("by a commit", "below"))
            )
            if policy is Policy.SKIP:  # what was skipped is looked at where everything is
                kinds = tuple(kind for kind in kinds if kind in ("by a commit", "below"))
            kinds += ("entries",) if kinds else ()
            for _ in range(dice.randrange(4) if kinds else 0):
                damage(dice, store, tenant_id, kinds)
            await repaired(store, one, given, tenant_id)
            is_right(store, one, given, is_told={"by a commit", "below"} <= {*kinds})
            again = await repaired(store, one, given, dice.choice((tenant_id, None)))
            assert (False, 0) == (again.any, again.views)
            for tenant_id in (*TENANTS, *TENANTS) if kinds else ():
                damage(dice, store, tenant_id, (*kinds, "parked"))
            await repaired(store, one, given, None)
            is_right(store, one, given)


async def test_one_view_is_put_right_and_all_else_stays_as_it_is(tmp_path) -> None:
    given = [opened(), moved(5), moved(500), moved(1), opened("b"), opened("a", "t")]
    given += [event("Moved", "a", to="b", amount="much"), event("Moved", "c", to="b", amount="much"), b"no envelope"]
    one = deployed(INDEXED)
    with built(tmp_path / "lane", one, given) as store:
        assert not (await repaired(store, one, given, DEFAULT_TENANT, ViewId("a"))).any
        for key in (ViewKey(DEFAULT_TENANT, VIEW_TYPE, ViewId(view_id)).encode() for view_id in "ab"):
            raw(store, lambda change, key=key: change.put(key, b'{"balance":1,"moves":[9],"owner":"eve"}'))
        found = await repaired(store, one, given, DEFAULT_TENANT, ViewId("a"))
        (view,) = found.shown
        assert (1, 1, ("balance", "moves[0]", "owner")) == (found.compared, found.views, view.fields)
        audit = store.audit()
        assert audit.digest != audit.recomputed, "the other one is damaged still, and goes on telling"
        assert 1 == (await repaired(store, one, given, DEFAULT_TENANT, ViewId("b"))).views
        is_right(store, one, given)


async def test_an_id_that_is_too_long_for_a_view_has_nothing_to_put_right(tmp_path) -> None:
    one = deployed(INDEXED)
    with built(tmp_path / "lane", one, [opened()]) as store:
        found = await repaired(store, one, [opened()], DEFAULT_TENANT, ViewId("x" * 900))
        assert (False, 0) == (found.any, found.compared)
