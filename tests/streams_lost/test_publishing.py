"""What publishers do: each message that the log holds is an event, once; what the log does not hold is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engine_support import Log, deploy, feed
from lost_support import (
    RECORDS,
    call,
    caught_up,
    config_of,
    held,
    noted,
    open_stream,
    recorded,
    recorders,
    records,
    some,
)
from patience import eventually

from projection.engine.lane import Lane
from projection.store.memory import MemoryLaneStore
from projection.stream.port import Message

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from node_support import Site

WINDOW_S = 0.2  # in which the server knows a message id again; 100 ms is the least that it takes


async def publish_with_id(site: Site, data: bytes, message_id: str) -> bool:
    """Publish one message with an id of the publisher's; whether the server knew it already."""
    answer = await site.nats._client.jetstream().publish(
        site.subject_of(data), data, headers={"Nats-Msg-Id": message_id}
    )
    return bool(answer.duplicate)


async def test_the_same_event_published_twice_is_two_events(site: Site) -> None:
    """Also with one event id: it is kept, and de-duplicates nothing."""
    twice = [noted("x"), noted("x")]
    await site.publish([*twice, *some(3), *twice])
    assert {("a", "x"): [1, 2, 6, 7]}.items() <= (await caught_up(site, recorders(site))).items()
    assert recorded(await held(site)) == await caught_up(site, recorders(site))


async def test_a_message_id_that_the_server_knows_is_stored_once_and_is_one_event(site: Site) -> None:
    assert [False, True, True] == [await publish_with_id(site, noted("x"), "one") for _ in range(3)]
    assert not await publish_with_id(site, noted("x"), "another")
    assert {("a", "x"): [1, 2]} == await caught_up(site, recorders(site))


async def test_a_message_id_that_the_server_has_forgotten_makes_another_event(site: Site) -> None:
    await open_stream(site)
    assert [False, True] == [await publish_with_id(site, noted("x"), "one") for _ in range(2)]
    await call(site, "STREAM.UPDATE", **config_of(site, duplicate_window=int(WINDOW_S * 1e9)))

    async def is_forgotten() -> bool:
        return not await publish_with_id(site, noted("x"), "one")

    await eventually(is_forgotten)
    assert {("a", "x"): [1, 2]} == await caught_up(site, recorders(site))


@pytest.mark.parametrize(
    "time_of",
    [lambda number: 0, lambda number: -number, lambda number: number * (-1) ** number, lambda number: number // 50],
    ids=["standing still", "running backwards", "jumping", "running slowly"],
)
def test_the_clock_of_the_server_decides_nothing(tmp_path: Path, time_of: Callable[[int], int]) -> None:
    """The log is ordered by its sequences; when it stored a message is kept, and compared for being equal."""
    log = Log(*some(200))
    deployed = deploy(tmp_path, {"records": RECORDS})
    usual = feed(Lane(deployed[0], MemoryLaneStore()), log.messages, commit_every=10)
    other = [Message(one.sequence, one.subject, one.data, str(10**18 + time_of(one.sequence))) for one in log.messages]
    unusual = feed(Lane(deployed[0], MemoryLaneStore()), other, commit_every=10)
    assert records(usual) == records(unusual)
    assert usual.store.digest() == unusual.store.digest()
