"""The chain: messages are handed over as they were taken in, each batch with the reply that acknowledges its last."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.stream.chain import Chain

FORMS = ["$JS.ACK.S.C.{}", "$JS.ACK.hub.acc.S.C.{}", "$JS.ACK._.acc.S.C.{}.rnd"]
SID = b"7"


def reply(form: str, number: int, pending: int = 5) -> str:
    """Of the consumer's message `number`; only every third message of the stream is the consumer's."""
    return form.format(f"1.{3 * number}.{number}.{1_000 + number}.{pending}")


def delivery(form: str, number: int, size: int) -> SimpleNamespace:
    return SimpleNamespace(subject="a.b", reply=reply(form, number), data=b"x" * size, headers=None)


def frame(form: str, number: int, size: int, sid: bytes = SID) -> bytes:
    return b"MSG a.b %b %b %d\r\n%b\r\n" % (sid, reply(form, number).encode(), size, b"x" * size)


@given(
    st.sampled_from(FORMS),
    st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(1, 12), st.integers(1, 30)), max_size=20),
)
def test_batches_keep_to_their_limits_and_are_acknowledged_by_their_last_message(form, steps):
    chain, number, taken = Chain(), 0, []
    for count, in_bulk, most, most_bytes in steps:
        numbers = range(number + 1, number + count + 1)
        number += count
        if in_bulk and taken:
            data = b"".join(frame(form, one, one % 11) for one in numbers)
            assert len(data) == chain.add_frames(data, 0, SID)
        else:
            assert [chain.add(delivery(form, one, one % 11)) for one in numbers] == [None] * count
        assert number - len(taken) == len(chain.messages)
        if chain.messages:
            before = list(chain.messages)
            messages, acknowledges = chain.take(most, most_bytes)
            taken += messages
            last = messages[-1].sequence // 3
            assert before == messages + list(chain.messages)
            assert reply(form, last, pending=0) == acknowledges
            assert 1 <= len(messages) <= most
            assert sum(len(message.data) for message in messages) <= most_bytes or len(messages) == 1
            more = before[: len(messages) + 1]
            assert len(more) > most or more == messages or sum(len(one.data) for one in more) > most_bytes
        assert sum(len(message.data) for message in chain.messages) == chain.size
    assert [3 * one for one in range(1, len(taken) + 1)] == [message.sequence for message in taken]


@pytest.mark.parametrize("form", FORMS)
def test_frames_are_taken_up_to_the_first_that_is_no_next_message_of_the_consumer(form):
    for stranger in (
        b"PING\r\n",
        frame(form, 3, 5, sid=b"8"),
        frame(form, 3, 5, sid=b"77"),
        frame(form, 4, 5),
        frame(form, 2, 5),
        frame(form.replace("S.C", "S.D"), 3, 5),
        frame(form, 3, 5).replace(b".1.9.3.", b".2.9.3."),
        frame(form, 3, 5).replace(b".1.9.3.", b".1.6.3."),
        *(frame(form, 3, 5)[:end] for end in (0, 20, -9, -1)),
    ):
        chain = Chain()
        assert chain.add_frames(frame(form, 1, 5), 0, SID) == 0  # the form of the replies is not known yet
        assert chain.add(delivery(form, 1, 5)) is None
        first = frame(form, 2, 5)
        assert chain.add_frames(b"..." + first + stranger, 3, SID) == 3 + len(first)
        assert (len(chain.messages), chain.size, chain.sequence, chain.pending) == (2, 10, 6, 5)
        assert chain.add(delivery(form, 3, 5)) is None
