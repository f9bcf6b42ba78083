"""A stream that drops what its consumers have had is no log: the node touches no consumer of it, and says what to do."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from lost_support import (
    all_consumers,
    at,
    call,
    caught_up,
    config_of,
    consumers,
    elsewhere,
    held,
    open_stream,
    recorded,
    recorders,
    records,
    running,
    some,
)
from patience import eventually

from projection.errors import StreamError
from projection.history.logs import StreamLog
from projection.model.checkpoint import LanePosition
from projection.stream.opening import Opening

if TYPE_CHECKING:
    from node_support import Site
    from structlog.typing import EventDict

FOLDED, LATER = 500, 300
RETENTIONS = pytest.mark.parametrize("retention", ["interest", "workqueue"])


def breaks(opening: Opening) -> None:
    opening.broken = "the test broke it"


async def consumer_of_another(site: Site) -> None:
    """Somebody's durable consumer, without whose interest the stream keeps nothing."""
    config = {"durable_name": "theirs", "ack_policy": "explicit"}
    await call(site, "CONSUMER.CREATE theirs", stream_name=site.stream, config=config)


@RETENTIONS
async def test_a_node_that_folded_a_log_touches_nothing_of_one_that_is_none(site: Site, retention: str) -> None:
    """The stream was made anew beside a consumer that keeps the events for the node, as one would be told to do."""
    deployed = recorders(site)
    await open_stream(site, retention=retention)
    await consumer_of_another(site)
    await site.publish(some(FOLDED))
    before = await all_consumers(site)
    with pytest.raises(StreamError, match="has the retention"):
        await caught_up(site, deployed)
    await site.publish(some(LATER))
    async with site.node(deployed) as node, running(node):
        await eventually(lambda: "stream" in node.health.troubles())
        assert not node.is_ready
        assert f"stream {site.stream!r} has the retention {retention!r}" in node.health.troubles()["stream"]
        assert 0 == node.lanes[0].position.scanned
    assert [(one["name"], one["created"]) for one in before] == [
        (one["name"], one["created"]) for one in await all_consumers(site)
    ]
    assert FOLDED + LATER == len(await held(site))


async def test_a_log_that_becomes_another_kind_under_a_node_is_left_alone(site: Site) -> None:
    """A stream of limits can be made one of interest: then the node's next opening would delete the only interest."""
    deployed = recorders(site)
    await open_stream(site)
    await site.publish(some(FOLDED))
    async with site.node(deployed) as node, running(node) as task:
        await at(node, FOLDED, task)
        await call(site, "STREAM.UPDATE", **config_of(site, retention="interest"))
        made = [one["name"] for one in await consumers(site)]
    await consumer_of_another(site)
    await site.publish(some(LATER))
    with pytest.raises(StreamError, match="has the retention"):
        await caught_up(site, deployed)
    assert {*made, "theirs"} == {one["name"] for one in await all_consumers(site)}
    assert set(range(FOLDED + 1, FOLDED + LATER + 1)) <= {sequence for sequence, _ in await held(site)}


async def test_an_opening_that_breaks_once_the_log_is_none_takes_no_consumer_with_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer of the opening that broke may be the only interest there is."""
    deployed = recorders(site)
    await open_stream(site)
    await site.publish(some(FOLDED))
    async with site.node(deployed) as node, running(node) as task:
        await at(node, FOLDED, task)
        await call(site, "STREAM.UPDATE", **config_of(site, retention="interest"))
        made = {one["name"] for one in await consumers(site)}
        with monkeypatch.context() as broken:
            broken.setattr(Opening, "check", breaks)
            await eventually(lambda: "stream" in node.health.troubles())
        await eventually(lambda: "has the retention" in node.health.troubles().get("stream", ""))
    await site.publish(some(LATER))
    assert made <= {one["name"] for one in await all_consumers(site)}
    assert LATER <= len(await held(site))


@RETENTIONS
async def test_who_reads_the_past_makes_no_consumer_of_such_a_stream(site: Site, retention: str) -> None:
    """Repairs, views of the past and the commands that read a stream: none asks for more than what the stream is."""
    deployed = recorders(site)
    await open_stream(site, retention=retention)
    await consumer_of_another(site)
    await site.publish(some(FOLDED))
    log = StreamLog(site.nats, site.stream, "repair")
    folded = LanePosition(scanned=FOLDED, messages=FOLDED)
    with pytest.raises(StreamError, match="has the retention"):
        await log.whole_from(deployed[0], folded)
    with pytest.raises(StreamError, match="has the retention"):
        async with aclosing(log.messages([">"], 0, FOLDED)) as batches:
            await anext(batches)
    assert ["theirs"] == [one["name"] for one in await all_consumers(site)]
    assert FOLDED == len(await held(site))


@RETENTIONS
async def test_the_way_out_is_a_log_that_copies_it(site: Site, retention: str, logged: list[EventDict]) -> None:
    deployed = recorders(site)
    await open_stream(site, retention=retention)
    copy = elsewhere(site, "copy")
    copy.stream = f"{site.stream}_log"
    if retention == "interest":  # what is published before the copying has begun is kept for this one
        await consumer_of_another(site)
    await site.publish(some(FOLDED))
    await call(copy, "STREAM.CREATE", name=copy.stream, sources=[{"name": site.stream}])

    async def copied() -> bool:
        return (await copy.jetstream.stream_info(copy.stream)).state.messages == FOLDED

    await eventually(copied)
    async with copy.node(deployed) as node, running(node) as task:
        await at(node, FOLDED, task)
        assert recorded(await held(copy)) == records(node.lanes[0])
    assert not [line for line in logged if line["log_level"] == "error"]
