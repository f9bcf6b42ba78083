"""A JetStream server that is one object: streams, consumers, and the API as the door calls it.

What it answers is what nats-server 2.15 answers to the same; `test_simulation_agrees.py` holds the two together.
"""

from __future__ import annotations

import base64
import calendar
import json
import time
from typing import TYPE_CHECKING, Any

from simulated_consumer import Consumer, Delivery
from simulated_nats import SimulatedNats
from simulated_stream import Stream, filter_of, rfc3339

if TYPE_CHECKING:
    import asyncio

    from simulated_stream import Stored

_EPOCH_S = 1_700_000_000
_STREAM_NOT_FOUND = (404, 10059, "stream not found")
_CONSUMER_NOT_FOUND = (404, 10014, "consumer not found")
_CONSUMER_EXISTS = (400, 10148, "consumer already exists")
_NO_MESSAGE = (404, 10037, "no message found")


class _RefusedError(Exception):
    def __init__(self, error: tuple[int, int, str]) -> None:
        self.answer = {"error": dict(zip(("code", "err_code", "description"), error, strict=True))}


class SimulatedServer:
    """Everything that a test may do to a server is a method or an attribute here."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.streams: dict[str, Stream] = {}
        self.consumers: dict[tuple[str, str], Consumer] = {}
        self.up = True
        self.frozen = False
        self._clients: list[SimulatedNats] = []
        self._tick = 0

    # what happens to it

    def connect(self) -> SimulatedNats:
        client = SimulatedNats(self)
        self._clients.append(client)
        return client

    def create(self, stream: str, subjects: list[str]) -> Stream:
        made = self.streams[stream] = Stream(stream, subjects, self.now)
        return made

    def delete(self, stream: str) -> None:
        for consumer in self._consumers_of(stream):
            self.delete_consumer(stream, consumer.name)
        del self.streams[stream]

    def delete_consumer(self, stream: str, name: str) -> None:
        self.consumers.pop((stream, name)).deleted()

    def publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> dict[str, Any] | None:
        """Store a message; what the publisher is told, None where no stream takes the subject."""
        for stream in self.streams.values():
            if stream.takes(subject):
                before = stream.last
                answer = stream.store(subject, data, headers)
                if stream.last > before:
                    for consumer in self._consumers_of(stream.name):
                        consumer.stored(stream.messages[stream.last])
                return answer
        return None

    def purge(self, stream: str, below: int | None = None) -> int:
        count = self.streams[stream].purge(below)
        for consumer in self._consumers_of(stream):
            consumer.purged()
        return count

    def kill(self) -> None:
        """Consumers in memory are lost with it; streams are not."""
        self.up = self.frozen = False
        for consumer in self.consumers.values():
            consumer.forget()
        self.consumers.clear()
        for client in self._clients:
            client.lose()

    def start(self) -> None:
        self.up = True

    def freeze(self) -> None:
        """Nothing is taken and nothing is sent; connections stay."""
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False
        for client in self._clients:
            self.loop.call_soon(client.pump)

    def gone(self, client: SimulatedNats) -> None:
        self._clients.remove(client)

    def now(self) -> int:
        """Nanoseconds since the epoch; no two are the same."""
        self._tick += 1
        return _EPOCH_S * 1_000_000_000 + int(self.loop.time() * 1e9) + self._tick

    # what clients send

    def take(
        self, client: SimulatedNats, subject: str, body: bytes, reply: str, headers: dict[str, str] | None
    ) -> None:
        """One message of a client; the answer, if there is one, is sent to its reply subject."""
        if subject.startswith("$JS.ACK."):
            _, _, stream, name, *_ = subject.split(".")
            if (consumer := self.consumers.get((stream, name))) is not None:
                consumer.acknowledge(subject)
            return
        if subject.startswith("$JS.API.CONSUMER.MSG.NEXT."):
            _, _, _, _, _, stream, name = subject.split(".")
            if (consumer := self.consumers.get((stream, name))) is not None:
                consumer.ask(client, reply, json.loads(body or b"{}"))
                return
        elif subject.startswith("$JS.API."):
            answer = self._api(subject.removeprefix("$JS.API."), json.loads(body or b"{}"))
            client.send(reply, Delivery(reply, "", json.dumps(answer).encode(), None))
            return
        else:
            answer = self.publish(subject, body, headers)
            if answer is not None:
                if reply:
                    client.send(reply, Delivery(reply, "", json.dumps(answer).encode(), None))
                return
        if reply:
            client.send(reply, Delivery(reply, "", b"", {"Status": "503", "Nats-Subject": subject}))

    def _api(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            match call.split("."):
                case ["STREAM", "INFO", stream]:
                    return self._info(self._stream(stream))
                case ["STREAM", "CREATE", stream]:
                    return self._info(self.streams.get(stream) or self.create(stream, body["subjects"]))
                case ["STREAM", "DELETE", stream]:
                    self._stream(stream)
                    self.delete(stream)
                    return {"success": True}
                case ["STREAM", "PURGE", stream]:
                    self._stream(stream)
                    return {"success": True, "purged": self.purge(stream, body.get("seq"))}
                case ["STREAM", "MSG", "GET", stream]:
                    return {"message": _told(_wanted(self._stream(stream), body))}
                case ["CONSUMER", "CREATE", stream, name]:
                    return self._made(self._stream(stream), name, body["config"])
                case ["CONSUMER", "INFO", stream, name]:
                    return self._consumer(stream, name).info
                case ["CONSUMER", "DELETE", stream, name]:
                    self._consumer(stream, name)
                    self.delete_consumer(stream, name)
                    return {"success": True}
        except _RefusedError as refused:
            return refused.answer
        raise NotImplementedError(call)

    def _made(self, stream: Stream, name: str, config: dict[str, Any]) -> dict[str, Any]:
        found = self.consumers.get((stream.name, name))
        if found is None:
            found = self.consumers[stream.name, name] = Consumer(stream, name, config, self.loop, self.now())
        elif found.config != config:
            raise _RefusedError(_CONSUMER_EXISTS)
        return found.info

    def _info(self, stream: Stream) -> dict[str, Any]:
        config = {"name": stream.name, "subjects": stream.subjects}
        state = {
            "first_seq": stream.first,
            "last_seq": stream.last,
            "last_ts": stream.last_time,
            "messages": len(stream.messages),
        }
        return {"created": stream.created, "config": config, "state": state}

    def _stream(self, name: str) -> Stream:
        if (found := self.streams.get(name)) is None:
            raise _RefusedError(_STREAM_NOT_FOUND)
        return found

    def _consumer(self, stream: str, name: str) -> Consumer:
        self._stream(stream)
        if (found := self.consumers.get((stream, name))) is None:
            raise _RefusedError(_CONSUMER_NOT_FOUND)
        return found

    def _consumers_of(self, stream: str) -> list[Consumer]:
        return [consumer for (name, _), consumer in self.consumers.items() if name == stream]


def _wanted(stream: Stream, body: dict[str, Any]) -> Stored:
    if "next_by_subj" not in body:
        found = stream.messages.get(body["seq"])
    else:
        found = stream.after(body.get("seq", 1), filter_of([body["next_by_subj"]]), _since(body.get("start_time")))
    if found is None:
        raise _RefusedError(_NO_MESSAGE)
    return found


def _told(message: Stored) -> dict[str, Any]:
    data = base64.b64encode(message.data).decode()
    return {"subject": message.subject, "seq": message.sequence, "data": data, "time": rfc3339(message.time)}


def _since(start_time: str | None) -> int:
    if start_time is None:
        return 0
    whole, _, fraction = start_time.removesuffix("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 1_000_000_000 + int(f"{fraction:0<9}")
