"""The simulated server answers as the real one does: the same calls, through the same door, tell the same."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import WITHIN_S, eventually
from simulated_server import SimulatedServer
from simulated_time import SimulatedLoop

from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream, nanoseconds, seconds

if TYPE_CHECKING:
    from projection.stream.connection import Delivery
    from projection.stream.embedded import EmbeddedServer

STREAM = "AGREED"
Step = tuple[Any, ...]


class Caller:
    """Does the steps of a script through a door and writes down what comes back, without what is never twice alike."""

    def __init__(self, nats: Nats, expected: Caller | None = None) -> None:
        self.told: list[Any] = []
        self.heard: dict[str, list[Any]] = defaultdict(list)
        self.counts: list[tuple[int, int]] = []  # after each step: what was heard, and pulls that wait
        self.replies: list[str] = []  # where to acknowledge what was heard
        self._nats = nats
        self._expected = expected
        self._inbox = nats.new_inbox()
        self._pulls = 0

    async def run(self, script: list[Step]) -> Caller:
        subscription = await self._nats.subscribe(f"{self._inbox}.*", self._hear)
        await self._do("delete stream")  # another script's
        for step in [("create stream",), *script, ("delete consumer", "c"), ("delete consumer", "d")]:
            self.told.append((step, await self._do(*step)))
            await self._settle()
        await subscription.end()
        return self

    async def _hear(self, delivery: Delivery) -> None:
        if delivery.reply:
            self.replies.append(delivery.reply)
            *which, _, _ = delivery.reply.split(".")  # what is pending then is, for a moment, another count
            inbox = which[3]  # two consumers serve in no order
            found: Any = (delivery.subject, which, delivery.data, dict(delivery.headers or {}))
        else:
            inbox = delivery.subject.removeprefix(self._inbox)
            headers = {
                str(name.value if hasattr(name, "value") else name): value
                for name, value in (delivery.headers or {}).items()
            }
            if headers.get("Status") == "503":
                headers.pop("Description", None)
            found = (delivery.data and json.loads(delivery.data), headers)
            if headers.get("Status") == "100" and self.heard[inbox] and self.heard[inbox][-1] == found:
                return  # how many there are is a matter of time
        self.heard[inbox].append(found)

    async def _settle(self) -> None:
        """Until all came that came to the other one, and consumers know what was asked of them."""
        deadline = monotonic() + WITHIN_S
        expected = self._expected.counts[len(self.counts)] if self._expected else None
        while True:
            waiting = await self._waiting("c") + await self._waiting("d")
            count = sum(map(len, self.heard.values())), waiting
            if expected in (count, None) or monotonic() > deadline:
                self.counts.append(count)
                return
            await asyncio.sleep(0.001)

    async def _do(self, what: str, *rest: Any) -> Any:
        match (what, *rest):
            case ("hear",):
                await eventually(lambda: self.replies)
            case ("create stream",):
                return await self._call(
                    f"STREAM.CREATE.{STREAM}", name=STREAM, subjects=[f"{STREAM}.>"], storage="memory"
                )
            case ("delete stream",):
                return await self._call(f"STREAM.DELETE.{STREAM}")
            case ("publish", subject, size, headers):
                await self._nats.publish(
                    f"{STREAM}.{subject}", b"x" * size, reply=f"{self._inbox}.ack", headers=headers
                )
            case ("purge", None):
                return await self._call(f"STREAM.PURGE.{STREAM}")
            case ("purge", below):
                return await self._call(f"STREAM.PURGE.{STREAM}", seq=below)
            case ("get", sequence):
                return await self._call(f"STREAM.MSG.GET.{STREAM}", seq=sequence)
            case ("next", sequence, subject):
                return await self._call(f"STREAM.MSG.GET.{STREAM}", seq=sequence, next_by_subj=f"{STREAM}.{subject}")
            case ("create consumer", name, start, filters, more):
                config = {
                    "name": name,
                    "durable_name": name,
                    "deliver_policy": "by_start_sequence",
                    "opt_start_seq": start,
                    "ack_policy": "all",
                    "ack_wait": seconds(60),
                    "max_ack_pending": -1,
                    "max_deliver": -1,
                    "filter_subjects": [f"{STREAM}.{one}" for one in filters],
                    "num_replicas": 1,
                    "mem_storage": True,
                    "metadata": {"who": "me"},
                    **more,
                }
                body = {"stream_name": STREAM, "action": "create", "config": config}
                return await self._call(f"CONSUMER.CREATE.{STREAM}.{name}", **body)
            case ("consumer info", name):
                return await self._call(f"CONSUMER.INFO.{STREAM}.{name}")
            case ("delete consumer", name):
                return await self._call(f"CONSUMER.DELETE.{STREAM}.{name}")
            case ("pull", name, body):
                self._pulls += 1
                subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{name}"
                await self._nats.publish(subject, json.dumps(body).encode(), reply=f"{self._inbox}.{self._pulls}")
            case ("acknowledge", which):
                if self.replies:
                    await self._nats.publish(self.replies[which % len(self.replies)], b"+ACK")
            case ("wait", seconds_):
                await asyncio.sleep(seconds_)
        return None

    async def _waiting(self, name: str) -> int:
        answer = await self._nats.request(f"$JS.API.CONSUMER.INFO.{STREAM}.{name}")
        return int(json.loads(answer).get("num_waiting", 0))

    async def _call(self, subject: str, **body: Any) -> Any:
        answer = json.loads(await self._nats.request(f"$JS.API.{subject}", json.dumps(body).encode() if body else b""))
        if "error" in answer:
            return answer["error"]
        if "message" in answer:
            return {name: answer["message"].get(name, "") for name in ("subject", "seq", "data")}
        if "state" in answer:
            state = {name: answer["state"][name] for name in ("first_seq", "last_seq", "messages")}
            return state, answer["config"]["name"], answer["config"]["subjects"]
        if "delivered" in answer:
            # How far it looked past what is not for it is a matter of time, and its count of what is pending runs
            # behind the stream, on a real server.
            places = [answer[name]["consumer_seq"] for name in ("delivered", "ack_floor")]
            counts = [answer[name] for name in ("num_ack_pending", "num_redelivered")]
            return answer["stream_name"], answer["name"], answer["config"]["metadata"]["who"], places, counts
        return {name: value for name, value in answer.items() if name != "type"}


def simulated(script: list[Step]) -> Caller:
    loop = SimulatedLoop()
    try:
        server = SimulatedServer(loop)
        return loop.run_until_complete(Caller(server.connect()).run(script))
    finally:
        loop.close()


def real(server: EmbeddedServer, script: list[Step], expected: Caller) -> Caller:
    async def run() -> Caller:
        async with await Nats.connect(NatsConnection(server.url)) as nats:
            return await Caller(nats, expected).run(script)

    return asyncio.run(run())


def assert_agreement(server: EmbeddedServer, script: list[Step]) -> None:
    told = simulated(script)
    found = real(server, script, told)
    assert found.told == told.told
    assert dict(found.heard) == dict(told.heard)


LIFE: list[Step] = [
    ("get", 1),
    *[("publish", subject, 10, None) for subject in ("ours.1", "theirs.1", "ours.2", "ours.3") for _ in range(3)],
    ("publish", "ours.1", 1, {"Nats-Msg-Id": "a"}),
    ("publish", "ours.1", 1, {"Nats-Msg-Id": "a"}),
    ("publish", "ours.1", 1, {"Nats-Expected-Last-Sequence": "5"}),
    ("get", 13),
    ("next", 4, "ours.>"),
    ("next", 13, "theirs.>"),
    ("consumer info", "c"),
    ("pull", "c", {"batch": 1}),
    ("create consumer", "c", 3, ["ours.>"], {}),
    ("create consumer", "c", 3, ["ours.>"], {}),
    ("create consumer", "c", 4, ["ours.>"], {}),
    ("create consumer", "d", 100, ["ours.1", "theirs.*"], {}),
    ("pull", "c", {"batch": 2, "expires": seconds(60)}),
    ("pull", "c", {"batch": 2, "max_bytes": 1000, "expires": seconds(60)}),
    ("acknowledge", 1),
    ("consumer info", "c"),
    ("acknowledge", 0),
    ("consumer info", "c"),
    ("pull", "c", {"batch": 9, "max_bytes": 170, "expires": seconds(60)}),
    ("pull", "c", {"batch": 3, "expires": seconds(60)}),
    ("pull", "c", {"batch": 2, "max_bytes": 50, "expires": seconds(60)}),
    *[("publish", "ours.1", 10, None)] * 3,
    ("consumer info", "c"),
    ("purge", 12),
    ("consumer info", "c"),
    ("create consumer", "d", 1, ["ours.>"], {}),
    ("delete consumer", "d"),
    ("create consumer", "d", 1, ["ours.>"], {}),
    ("pull", "d", {"batch": 100, "expires": seconds(60)}),
    ("purge", None),
    ("consumer info", "d"),
    ("publish", "ours.1", 10, None),
    ("delete stream",),
    ("pull", "c", {"batch": 1}),
    ("consumer info", "c"),
    ("publish", "ours.1", 10, None),
]


def test_one_life_of_a_stream_is_told_the_same(nats_server: EmbeddedServer) -> None:
    assert_agreement(nats_server, LIFE)


def test_what_waits_is_told_so_and_comes_again_the_same(nats_server: EmbeddedServer) -> None:
    script: list[Step] = [
        *[("publish", "ours.1", 10, None)] * 3,
        ("create consumer", "c", 1, ["ours.>"], {"ack_wait": seconds(0.3)}),
        ("pull", "c", {"batch": 2, "expires": seconds(60)}),
        ("acknowledge", 0),
        ("wait", 0.6),
        ("pull", "c", {"batch": 2, "expires": seconds(60)}),
        ("acknowledge", -1),
        ("consumer info", "c"),
        ("pull", "c", {"batch": 5, "max_bytes": 10_000, "expires": seconds(1.0), "idle_heartbeat": seconds(0.4)}),
        ("wait", 1.5),
        ("consumer info", "c"),
    ]
    assert_agreement(nats_server, script)


_names, _subjects = st.sampled_from("cd"), st.sampled_from(["ours.1", "ours.2", "theirs.1"])
_sequences = st.integers(1, 12)
STEPS = st.one_of(
    st.tuples(st.just("publish"), _subjects, st.integers(0, 40), st.none() | st.sampled_from([{"Nats-Msg-Id": "a"}])),
    st.tuples(st.just("publish"), _subjects, st.integers(0, 40), st.none()),
    st.tuples(
        st.just("create consumer"),
        _names,
        _sequences,
        st.lists(st.sampled_from(["ours.1", "ours.2", "theirs.>"]), min_size=1, unique=True),
        st.just({}),
    ),
    st.tuples(
        st.just("pull"),
        _names,
        st.builds(
            lambda batch, size: {"batch": batch, **size, "expires": seconds(60)},
            st.integers(1, 5),
            st.sampled_from([{}, {"max_bytes": 64}, {"max_bytes": 150}, {"max_bytes": 5_000}]),
        ),
    ),
    st.tuples(st.just("acknowledge"), st.integers(0, 9)),
    st.tuples(st.just("consumer info"), _names),
    st.tuples(st.just("delete consumer"), _names),
    st.tuples(st.just("purge"), st.none() | _sequences),
    st.tuples(st.just("get"), _sequences),
    st.tuples(st.just("next"), _sequences, _subjects),
    st.sampled_from([("delete stream",), ("create stream",)]),
)
BEGUN: list[Step] = [
    *[("publish", subject, 10, None) for subject in ("ours.1", "theirs.1", "ours.2") for _ in range(4)],
    ("create consumer", "c", 2, ["ours.1", "theirs.>"], {}),
]
SCRIPTS = st.builds(lambda begun, steps: begun + steps, st.sampled_from([[], BEGUN]), st.lists(STEPS, max_size=40))


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(script=SCRIPTS)
def test_any_calls_are_answered_the_same(nats_server: EmbeddedServer, script: list[Step]) -> None:
    assert_agreement(nats_server, script)


@pytest.mark.long
@settings(max_examples=1_000, suppress_health_check=list(HealthCheck))
@given(script=SCRIPTS)
def test_many_calls_are_answered_the_same(nats_server: EmbeddedServer, script: list[Step]) -> None:
    assert_agreement(nats_server, script)


@pytest.mark.parametrize("side", ["simulated", "real"])
async def test_a_message_carries_the_time_that_the_log_tells(nats_server: EmbeddedServer, side: str) -> None:
    if side == "simulated":
        nats = SimulatedServer(asyncio.get_running_loop()).connect()
    else:
        nats = await Nats.connect(NatsConnection(nats_server.url))
    published = [("publish", "ours.1", 1, None), ("create consumer", "c", 1, ["ours.1"], {})]
    caller = await Caller(nats).run([*published, ("pull", "c", {"batch": 1}), ("hear",)])
    log = JetStream(nats)
    assert caller.replies[0].split(".")[-2] == await log.message_time(STREAM, 1)
    info = await log.stream_info(STREAM)
    assert caller.replies[0].split(".")[-2] == str(nanoseconds(info.state.last_ts))
    assert nanoseconds(info.created) < int(caller.replies[0].split(".")[-2])
    await nats.close()
