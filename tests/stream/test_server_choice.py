"""A server that is connected and of no use is left for another one; what it says that has lost the others is no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from patience import eventually
from stream_support import Log, read, sequences
from wire import Wire

from projection.errors import StreamError
from projection.stream import server_choice
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import StreamCluster, StreamCopy, StreamInfo, StreamState
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from asyncio import StreamWriter

    import pytest

    from projection.stream.embedded import EmbeddedServer

S = 1_000_000_000
API = b"$JS.API."
NOWHERE = b"$JS.APX."  # as long; nobody listens there


class CutOff(Wire):
    """A proxy that may be to a server which has no way to the others: nothing that is asked there has an answer."""

    is_cut_off = False

    def _to_server(self, data: bytes, _client: StreamWriter) -> bytes | None:
        return data.replace(API, NOWHERE) if self.is_cut_off else data


async def test_a_server_that_gives_no_answers_is_left_for_another_one(
    log: Log, nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_choice, "_PATIENCE_S", 0.1)
    await log.publish(10)
    async with (
        CutOff(nats_server.url) as one,
        CutOff(nats_server.url) as other,
        await Nats.connect(NatsConnection(f"{one.url},{other.url}")) as nats,
    ):
        connected, another = (one, other) if one.connections else (other, one)
        connected.is_cut_off = True
        feed = log.feed(nats=nats)
        assert log.ours == sequences(await read(feed, 10))
        assert another.connections
        await feed.close()


async def test_whoever_publishes_leaves_it_as_well(log: Log, nats_server: EmbeddedServer) -> None:
    async with (
        CutOff(nats_server.url) as one,
        CutOff(nats_server.url) as other,
        await Nats.connect(NatsConnection(f"{one.url},{other.url}")) as nats,
    ):

        async def messages():
            yield Outgoing(f"{log.name}.ours.1", b"{}")
            next_one = other if one.connections else one
            next_one.is_cut_off = True
            nats._client._transport.close()
            await eventually(lambda: next_one.connections)
            yield Outgoing(f"{log.name}.ours.1", b"{}")

        published = await publish_all(nats, log.name, messages())
    assert 2 == published.count


copies = st.builds(StreamCopy, active=st.integers(0, 20 * S), offline=st.booleans())


@given(others=st.lists(copies, max_size=4), leads=st.booleans())
def test_an_answer_is_one_where_a_majority_of_the_copies_is_heard_of(others: list[StreamCopy], leads: bool) -> None:
    cluster = StreamCluster("n0" if leads else None, tuple(others))
    heard = 1 + len([copy for copy in others if not copy.offline and copy.active < 5 * S])
    info = StreamInfo("", StreamState(1, 1, 1), cluster=cluster)
    assert info.is_current == (leads and heard > (1 + len(others)) / 2)


def test_a_server_that_is_in_no_cluster_is_believed() -> None:
    assert StreamInfo("", StreamState(1, 1, 1)).is_current


def test_a_refusal_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_choice, "_PATIENCE_S", 0.0)

    class Counting:
        losses, left = 0, 0

        def go_elsewhere(self) -> None:
            self.left += 1

    nats = Counting()
    choice = server_choice.ServerChoice(nats)
    for _ in range(3):
        choice.failed(StreamError("not permitted", code="stream.permissions"))
    assert 0 == nats.left
    for _ in range(2):
        choice.failed(StreamError("no leader", code="stream.10008"))
    assert 1 == nats.left
    choice.failed(StreamError("no answer"))
    nats.losses += 1  # somebody else has left it meanwhile
    choice.failed(StreamError("no answer"))
    assert 1 == nats.left
    choice.failed(StreamError("no answer"))
    assert 2 == nats.left
