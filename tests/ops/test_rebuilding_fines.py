"""The real events, folded anew beside the build that answers, while more of them come and views are asked for."""

from __future__ import annotations

import asyncio
import gzip
import random
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import randbits

import pytest
from node_support import folded, replayed
from ops_support import served
from patience import eventually

from projection.bundled import bundled
from projection.model.ids import ViewType

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "road_traffic_fines.jsonl.gz"
FINES = ViewType("fine_summary")
LIVE = 20_000  # events that come during each rebuild, in as many pieces as it takes
PIECE = 200
READ = 40  # views that are asked for, in turn

pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"{DATA.name} is not beside this checkout")


@asynccontextmanager
async def under_load(one, coming, keys):
    """Events come, and views are asked for; each answer is one whole view, of one build that is never an earlier one."""
    over, answers = asyncio.Event(), []

    async def publish():
        while not over.is_set() and coming:
            piece, coming[:PIECE] = coming[:PIECE], []
            await one.site.publish(piece)

    async def read():
        while not over.is_set():
            key = keys[len(answers) % len(keys)]
            answer = await one.get(f"/v1/views/{FINES}/{key.view_id}", key.tenant_id)
            assert answer.status_code == 200, answer.text
            answers.append(answer.json())

    tasks = [asyncio.create_task(publish()), asyncio.create_task(read())]
    try:
        yield answers
        await tasks[0]
    finally:
        over.set()
        await asyncio.gather(*tasks)
    assert {str(key.view_id) for key in keys} <= {answer["id"] for answer in answers}
    builds = [answer["build"] for answer in answers]
    assert builds == sorted(builds)
    positions = [(answer["build"], answer["scanned"]) for answer in answers]
    assert positions == sorted(positions)


async def rebuilt_twice(nats_server, stream_name, folder, count):
    seed = randbits(32)
    print(f"seed {seed}")
    with gzip.open(DATA) as file:
        events = [line.rstrip(b"\n") for _, line in zip(range(count), file, strict=False)]
    live = min(LIVE, len(events) // 10)
    given, coming = events[: -2 * live], [events[-2 * live : -live], events[-live:]]
    program = {str(FINES): bundled("projections/fines/fine_summary.proj").read_text()}
    async with served(nats_server.url, stream_name, folder, given, programs=program) as one:
        keys = [key for key, _ in one.node.lanes[0].store.scan(None, FINES)]
        keys = random.Random(seed).sample(keys, READ)
        for build, some in enumerate(coming, start=2):
            async with under_load(one, some, keys) as answers:
                ordered = await one.post("/v1/operations/rebuild", {"view_type": str(FINES), "by": "alice"})
                assert ordered.status_code == 200, ordered.text
                await eventually(lambda build=build: one.site.catalog.serving_number(FINES) == build)
                asked = len(answers)
                await eventually(lambda asked=asked, answers=answers: len(answers) > asked + READ)
            assert {build - 1, build} == {answer["build"] for answer in answers}
            assert not some
        await one.until(len(events))
        (lane,) = one.node.lanes
        (expected,) = replayed((lane.deployed,), events).values()
        assert expected == folded(lane.store, FINES)
        assert lane.store.audit().agrees
        return lane.store.count_views()


async def test_a_part_of_the_fines_is_rebuilt_twice_under_live_events_and_queries(nats_server, stream_name, tmp_path):
    assert await rebuilt_twice(nats_server, stream_name, tmp_path, 4_000) > 0


@pytest.mark.long
async def test_all_fines_are_rebuilt_twice_under_live_events_and_queries(nats_server, stream_name, tmp_path):
    assert 150_370 == await rebuilt_twice(nats_server, stream_name, tmp_path, 600_000)


async def test_a_view_type_without_events_is_rebuilt_twice(nats_server, stream_name, tmp_path):
    program = {str(FINES): bundled("projections/fines/fine_summary.proj").read_text()}
    async with served(nats_server.url, stream_name, tmp_path, programs=program) as one:
        for build in (2, 3):
            ordered = await one.post("/v1/operations/rebuild", {"view_type": str(FINES), "by": "alice"})
            assert ordered.status_code == 200, ordered.text
            await eventually(lambda build=build: one.site.catalog.serving_number(FINES) == build)
        assert 0 == one.node.lanes[0].store.count_views()
