"""The chain of one consumer: what it delivered, checked to be whole, until it is taken."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projection.model.event_format.headers import headers_block
from projection.stream.frames import FrameDelivery
from projection.stream.markers import no_event, no_event_in
from projection.stream.port import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.stream.frames import Delivery


class Chain:
    """Messages in order: the consumer's own sequences run 1, 2, 3 …, the stream's increase, nothing comes twice.

    Where each message stands in the chain is said by its reply subject, whose first part is the same for all of one
    consumer: `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer's>.<time>.<pending>`, or a longer form with
    `<domain>.<account>` before the stream and a random token at its end.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []  # received and not yet taken
        self.size = 0  # bytes of them
        self.sequence = 0  # of the last message
        self.pending = 0  # how many messages the server held back when the last one came
        self._number = 0  # the consumer's sequence of the last message
        self._reply = ("", "")  # what is the same in all replies: the beginning, and the end
        self._match: Callable[[bytes, int], re.Match[bytes] | None] | None = None

    def add(self, delivery: Delivery) -> str | None:
        """Add a message; or what is wrong with it."""
        reply = delivery.reply
        tokens = reply.split(".")
        head = 4 if len(tokens) == 9 else 6
        try:
            delivered, sequence_token, number_token, time, pending_token, *tail = tokens[head:]
            sequence, number, pending = int(sequence_token), int(number_token), int(pending_token)
        except ValueError:
            return f"a message came with the reply subject {reply!r}"
        if number != self._number + 1 or sequence <= self.sequence or delivered != "1":
            return (
                f"message {sequence} came as the consumer's {number}, delivery {delivered}, after {self.sequence}, "
                f"which was its {self._number}"
            )
        self._reply = ".".join((*tokens[:head], "1.")), "".join(f".{token}" for token in tail)
        self._number, self.sequence, self.pending = number, sequence, pending
        kind = no_event(delivery.headers, is_empty=not delivery.data)
        headers = delivery.block if isinstance(delivery, FrameDelivery) else headers_block(delivery.headers or {})
        self.messages.append(Message(sequence, delivery.subject, delivery.data, time, kind, headers))
        self.size += len(headers) + len(delivery.data)
        return None

    def add_frames(self, data: bytes, position: int, sid: bytes) -> int:
        """Add the messages that stand whole in a buffer and go on with the chain; where the first other frame begins.

        The first message of all is not among them: the form of the replies is learned from it.
        """
        if (match := self._match or self._matcher(sid)) is None:
            return position
        # Once a message: what is done here decides how fast the feed reads.
        length, append = len(data), self.messages.append
        number, last, size = self._number, self.sequence, self.size
        pending = None
        while (frame := match(data, position)) is not None:
            subject, sequence_digits, number_digits, time, held_back, first, second = frame.groups()
            headers = start = frame.end()
            if second is None:
                end = start + int(first)
            else:  # HMSG: of the headers, and of headers and data
                end = start + int(second)
                start += int(first)
            sequence = int(sequence_digits)
            if end + 2 > length or sequence <= last or int(number_digits) != number + 1:
                break
            try:
                if second is None:
                    message = Message(sequence, subject.decode(), data[start:end], time.decode())
                else:
                    kind = no_event_in(data, headers, start, is_empty=start == end)
                    message = Message(
                        sequence, subject.decode(), data[start:end], time.decode(), kind, data[headers:start]
                    )
            except UnicodeDecodeError:
                break
            append(message)
            number += 1
            last, pending = sequence, held_back
            size += end - headers
            position = end + 2
        if pending is not None:
            self._number, self.sequence, self.size, self.pending = number, last, size, int(pending)
        return position

    def take(self, count: int, size: int) -> tuple[list[Message], str]:
        """Messages from the front, at least one, at most so many and bytes of them; and where to acknowledge them."""
        messages = self.messages
        count = min(len(messages), count)
        if self.size > size:
            for index, message in enumerate(messages[:count]):
                size -= len(message.headers) + len(message.data)
                if size < 0:
                    count = max(1, index)
                    break
        if count == len(messages):
            taken, self.messages, self.size = messages, [], 0
        else:
            taken = messages[:count]
            del messages[:count]
            self.size -= sum(len(message.headers) + len(message.data) for message in taken)
        beginning, end = self._reply
        last = taken[-1]
        # The server reads the two sequences in it; how many messages were pending is only for us.
        return taken, f"{beginning}{last.sequence}.{self._number - len(self.messages)}.{last.time}.0{end}"

    def _matcher(self, sid: bytes) -> Callable[[bytes, int], re.Match[bytes] | None] | None:
        """What matches the first line of a frame of ours, delivered for the first time, up to its data or headers."""
        beginning, end = self._reply
        if beginning:
            tail = rb"\.[^. ]+" * end.count(".")
            self._match = re.compile(
                rb"H?MSG ([^ ]+) %b %b(\d+)\.(\d+)\.(\d+)\.(\d+)%b (\d+)(?: (\d+))?\r\n"
                % (sid, re.escape(beginning.encode()), tail)
            ).match
        return self._match
