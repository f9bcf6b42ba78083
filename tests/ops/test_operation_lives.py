"""Whatever operators do to a node, in whatever order, with restarts in between: the views are those of a replay."""

from __future__ import annotations

from random import Random

import pytest
from engine_support import TENANCY
from node_support import folded
from ops_support import PROGRAM, fine, served
from patience import eventually
from sampling import sampled

from projection.engine.replay import Replay
from projection.model.ids import ViewType

FINES = ViewType("fines")
OTHERS = ViewType("others")
BY = {"by": "alice", "reason": ""}
STEPS = 18
ORDERS = (
    "pause",
    "resume",
    "rebuild",
    "rebuild",
    "drop",
    "delete",
    "promote",
    "rollback",
    "retire",
    "compare",
    "repair",
)
SEEDS = 24


def is_switch(record) -> bool:
    """Whether another build answers by it."""
    return record.operation in ("switch", "rollback") or record.details.get("answers") is True


class Life:
    """One data folder, and what it should hold."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.log: list[bytes] = []

    def events(self) -> list[bytes]:
        """Some more events; each tenth cannot be taken by its view."""
        found = []
        for _ in range(self.random.randrange(1, 30)):
            n = -1 if self.random.random() < 0.1 else self.random.randrange(1_000)
            found.append(fine(self.random.choice("abcdefgh"), n))
        self.log += found
        return found

    async def step(self, one) -> None:
        """Give an order that may be refused, or publish."""
        view_type = self.random.choice((FINES, OTHERS))
        match self.random.choice(("publish", "publish", *ORDERS)):
            case "rebuild":
                gate = self.random.choice((None, "when_caught_up", "when_equal", "manual"))
                await self.order(one, view_type, "rebuild", promote=gate)
            case "compare":
                answer = await one.post("/v1/operations/compare", {"view_type": str(view_type)})
                assert answer.status_code in (200, 409), answer.text
                # One program and no parked event that only one of them has: what differs is what was decided.
                told = answer.json()
                decided = {build.drops for build in one.site.catalog.builds(view_type)}
                assert answer.status_code == 409 or told["equal"] or not told["at_one_event"] or len(decided) > 1
            case "promote":
                await self.order(one, view_type, "promote", although_parked=self.random.random() < 0.5)
            case "publish":
                await one.site.publish(self.events())
            case "drop":
                lane = self.random.choice(one.node.roster.of(view_type))
                if parked := list(lane.store.parked()):
                    event = self.random.choice(parked)
                    order = {"sequence": event.sequence, "tenant_id": event.tenant_id, "view_id": event.view_id}
                    await self.order(one, view_type, "drop", **order)
            case "repair":
                number = one.site.catalog.serving(view_type).number
                lane = next(lane for lane in one.node.roster.of(view_type) if lane.build == number)
                views = [key for key, _ in lane.store.scan(None, view_type)]
                if views:
                    self.damage(lane.store, self.random.choice(views), self.random.choice(views))
                    await self.order(one, view_type, "repair", tenant_id=self.random.choice(("t", None)))
            case "delete":
                builds = one.site.catalog.builds(view_type)
                await self.order(one, view_type, "delete", build=self.random.choice(builds).number)
            case name:
                await self.order(one, view_type, name)

    @staticmethod
    def damage(store, view, other) -> None:
        """A view holds what another one does, and no commit knows of it."""
        wrong = store.get_view(other)
        store._environment.update(lambda change: change.put(view.encode(), wrong))

    async def order(self, one, view_type, name, **order) -> None:
        answer = await one.post(f"/v1/operations/{name}", {**BY, "view_type": str(view_type), **order})
        assert answer.status_code in (200, 409), answer.text

    async def end(self, one) -> None:
        """All goes on, until every build that is under way answers, but for those that wait to be promoted."""
        for view_type in (FINES, OTHERS):
            await self.order(one, view_type, "resume")
        last = await one.site.publish([fine("z", 1)])
        self.log.append(fine("z", 1))
        await eventually(lambda: all(lane.position.scanned >= last for lane in one.node.lanes))
        await eventually(
            lambda: {each.new.view_type for each in one.node.roster.cutovers.pending} <= {*one.node.health.waiting}
        )
        assert {} == one.node.health.troubles()

    def is_right(self, one) -> None:
        """Each lane holds what a replay comes to that knew the decisions from its start; the audit says who answers."""
        for lane in one.node.lanes:
            build = one.site.catalog.build(lane.view_type, lane.build)
            replay = Replay((lane.deployed.within(build),), TENANCY)
            replay.run(self.log)
            (expected,) = replay.lanes
            assert folded(expected.store, lane.view_type) == folded(lane.store, lane.view_type)
            assert expected.store.digest() == lane.store.digest()
        for view_type in (FINES, OTHERS):
            told = [one for one in one.site.catalog.audit() if one.view_type == view_type and is_switch(one)]
            answers = one.site.catalog.serving(view_type).number
            assert answers == (told[-1].details["build"] if told else 1)
            assert one.node.roster.lane_of(view_type, answers) is not None


@pytest.mark.parametrize("seed", sampled(range(SEEDS), 2))
async def test_the_views_are_those_of_a_replay_with_the_decisions(nats_server, stream_name, tmp_path, seed):
    life, builds = Life(seed), {"retire_after_h": Random(seed).choice((0, 24))}
    programs = {"fines": PROGRAM, "others": PROGRAM.replace("projection fines", "projection others")}
    for round_ in range(3):
        events = life.events() if round_ == 0 else ()
        async with served(nats_server.url, stream_name, tmp_path, events, programs=programs, builds=builds) as one:
            for _ in range(STEPS // 3):
                await life.step(one)
            if round_ == 2:
                await life.end(one)
                life.is_right(one)
