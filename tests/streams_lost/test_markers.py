"""Delete markers, tombstones and counters are no events: they are passed over, counted and told, and nothing is parked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lost_support import at, call, caught_up, config_of, noted, open_stream, recorders, records, running, some
from patience import eventually

from projection.stream import connection as connection_module
from projection.stream.markers import no_event, no_event_in

if TYPE_CHECKING:
    from node_support import Site
    from structlog.typing import EventDict

COUNT = 40


async def say(site: Site, view_id: str, headers: dict[str, str], data: bytes = b"") -> None:
    """Publish something that is no event, where events of a view come from."""
    await site.nats._client.request(site.subject_of(noted(view_id)), data, headers=headers)


@pytest.mark.parametrize("by_frames", [True, False])
async def test_they_are_passed_over_counted_and_told_once(
    site: Site, logged: list[EventDict], monkeypatch: pytest.MonkeyPatch, *, by_frames: bool
) -> None:
    if not by_frames:
        monkeypatch.setattr(connection_module, "read_frames", lambda client: None)
    await open_stream(site, allow_rollup_hdrs=True)
    await site.publish(some(COUNT))
    for number in range(COUNT):
        await say(site, f"x{number}", {"KV-Operation": ("DEL", "PURGE")[number % 2]})
    await site.publish(some(COUNT))
    async with (
        site.node(recorders(site, "records", "again"), back_pressure={"batch": 30}) as node,
        running(node) as task,
    ):
        await at(node, 3 * COUNT, task)
        assert [0, 0] == [lane.parked for lane in node.lanes]
        assert 2 * COUNT == sum(map(len, records(node.lanes[0]).values()))
        assert {"tombstone": COUNT} == node.unhandled.markers
    assert 1 == len([line for line in logged if line.get("kind") == "tombstone"])


async def test_what_a_server_leaves_where_a_subject_ran_out_is_no_event(site: Site) -> None:
    """A real marker: the subject's last message had come to its age."""
    config = {"allow_msg_ttl": True, "subject_delete_marker_ttl": 3_600 * 10**9, "allow_rollup_hdrs": True}
    await open_stream(site, max_age=10**9, **config)
    await site.publish([noted("gone")])

    async def is_marked() -> bool:
        return (await site.jetstream.stream_info(site.stream)).state.last_seq == 2

    await eventually(is_marked)
    await call(site, "STREAM.UPDATE", **config_of(site, **config))
    await site.publish(some(COUNT))
    async with site.node(recorders(site, start={"sequence": 2})) as node, running(node) as task:
        await at(node, COUNT + 2, task)
        assert 0 == node.lanes[0].parked
        assert {"delete marker": 1} == node.unhandled.markers


async def test_counters_are_no_events(site: Site) -> None:
    await open_stream(site, allow_msg_counter=True)
    for number in range(COUNT):
        await say(site, f"c{number % 3}", {"Nats-Incr": "+1"})
    assert {} == await caught_up(site, recorders(site))
    message = await site.jetstream.message(site.stream, COUNT)
    assert message is not None
    assert "val" in json.loads(message.data)


async def test_an_empty_message_without_such_a_header_is_parked_as_ever(site: Site) -> None:
    await site.nats.request(site.subject_of(noted("x")))
    async with site.node(recorders(site)) as node, running(node) as task:
        await at(node, 1, task)
        assert 1 == node.lanes[0].parked


NAMES = st.sampled_from(
    ["Nats-Marker-Reason", "KV-Operation", "Nats-Incr", "Nats-Msg-Id", "X-Nats-Incr", "kv-operation"]
)
VALUES = st.sampled_from(["DEL", "PURGE", "PUT", "MaxAge", "+1", ""])


@given(headers=st.dictionaries(NAMES, VALUES, max_size=1), is_empty=st.booleans())
def test_headers_say_the_same_in_a_buffer(headers: dict[str, str], *, is_empty: bool) -> None:
    written = b"NATS/1.0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items()) + b"\r\n"
    buffer = b"\r\nNats-Incr: 1\r\n" + written + b"\r\nNats-Incr: 1\r\n"
    start = len(b"\r\nNats-Incr: 1\r\n")
    found = no_event_in(buffer, start, start + len(written), is_empty=is_empty)
    assert no_event(headers, is_empty=is_empty) == found
