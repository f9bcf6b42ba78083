"""The part of JetStream's API that the node uses, as typed calls.

The library's own manager drops fields that it does not know and cuts times to microseconds; the stream's identity
needs both whole, so requests and answers are the server's JSON.
"""

from __future__ import annotations

from calendar import timegm
from time import strptime
from typing import TYPE_CHECKING, TypeVar

import msgspec

from projection.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projection.stream.connection import Nats

STREAM_NOT_FOUND = "stream.10059"
CONSUMER_NOT_FOUND = "stream.10014"
CONSUMER_EXISTS = "stream.10148"
_MESSAGE_NOT_FOUND = "stream.10037"
_STREAM_NAME_IN_USE = "stream.10058"
_NO_TIME = "0001-01-01T00:00:00Z"
_NANOSECONDS = 1_000_000_000
REQUEST_S = 5.0
_LOST_S = 5.0  # since a copy was heard of, as it is each second; it takes the server ten to see so itself
_OF_MANY_TOKENS = ("{{split", "{{slice")  # of a transform, whose result may have any number of tokens
_T = TypeVar("_T")


class _Error(msgspec.Struct):
    description: str = ""
    err_code: int = 0


class StreamState(msgspec.Struct, frozen=True):
    """What a stream holds; both sequences are 0 while it never held anything."""

    first_seq: int
    last_seq: int
    messages: int
    last_ts: str = ""  # when the last one was stored; RFC 3339, nanoseconds

    @property
    def last_time(self) -> str | None:
        """The same in nanoseconds since the epoch; None where the server does not know: a message that was deleted."""
        return None if self.last_ts in ("", _NO_TIME) else str(nanoseconds(self.last_ts))


class ConsumerLimits(msgspec.Struct, frozen=True):
    """What a stream allows its consumers; 0 where that is anything."""

    inactive_threshold: int = 0  # nanoseconds
    max_ack_pending: int = 0


class StreamMirror(msgspec.Struct, frozen=True):
    """Which stream another one copies, under the same sequences."""

    name: str = ""
    filter_subject: str = ""
    subject_transforms: tuple[dict[str, str], ...] = ()

    @property
    def is_partial(self) -> bool:
        """Whether it leaves messages out; their sequences are then missing, at the beginning as well."""
        return bool(self.filter_subject or self.subject_transforms)


class StreamConfig(msgspec.Struct, frozen=True):
    """What we read of a stream's configuration."""

    subjects: tuple[str, ...] = ()
    retention: str = "limits"
    discard: str = "old"
    max_msgs_per_subject: int = -1
    max_age: int = 0  # nanoseconds
    max_msgs: int = -1
    max_bytes: int = -1
    allow_msg_ttl: bool = False
    allow_rollup_hdrs: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    subject_transform: dict[str, str] | None = None  # messages are stored under other subjects than they are sent to
    mirror: StreamMirror | None = None
    sources: tuple[StreamMirror, ...] = ()
    consumer_limits: ConsumerLimits = ConsumerLimits()

    @property
    def stored_subjects(self) -> tuple[str, ...]:
        """Filters of the subjects that its messages may have; none where that is not to be told from here."""
        destination = (self.subject_transform or {}).get("dest", "")
        if self.mirror is not None or self.sources or any(one in destination.lower() for one in _OF_MANY_TOKENS):
            return ()
        transformed = ".".join("*" if "{{" in token else token for token in destination.split("."))
        return (*self.subjects, transformed) if transformed else self.subjects

    def inactive_s(self, wanted_s: float) -> float:
        """How long a consumer may be left alone until the server deletes it, as the stream allows it at most."""
        most = self.consumer_limits.inactive_threshold / _NANOSECONDS
        return min(wanted_s, most) if most else wanted_s


class StreamCopy(msgspec.Struct, frozen=True):
    """Another copy of a stream, as its leader sees it."""

    active: int = 0  # nanoseconds since it was heard of last
    offline: bool = False


class StreamCluster(msgspec.Struct, frozen=True):
    """Who has the copies of a stream."""

    leader: str | None = None
    replicas: tuple[StreamCopy, ...] = ()


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream as its leader knows it."""

    created: str
    state: StreamState
    config: StreamConfig = StreamConfig()
    cluster: StreamCluster | None = None

    @property
    def leader(self) -> str | None:
        """Who answered."""
        return None if self.cluster is None else self.cluster.leader

    @property
    def is_current(self) -> bool:
        """Whether whoever answered leads a majority of the copies; else the log may have gone on without it."""
        if self.cluster is None:
            return True
        copies = self.cluster.replicas
        heard = sum(not copy.offline and copy.active < _LOST_S * _NANOSECONDS for copy in copies)
        return bool(self.cluster.leader) and 2 * (1 + heard) > 1 + len(copies)


class ConsumerPosition(msgspec.Struct, frozen=True):
    """A place in the delivery of a consumer."""

    consumer_seq: int
    stream_seq: int


class ConsumerConfig(msgspec.Struct, frozen=True):
    """What we read of a consumer's configuration."""

    metadata: dict[str, str] = {}
    filter_subjects: tuple[str, ...] = ()


class ConsumerInfo(msgspec.Struct, frozen=True):
    """A consumer as its leader knows it."""

    name: str
    num_pending: int
    delivered: ConsumerPosition
    ack_floor: ConsumerPosition
    num_waiting: int = 0  # pulls that wait for messages
    config: ConsumerConfig = ConsumerConfig()


class StoredMessage(msgspec.Struct, frozen=True):
    """A message as the log holds it."""

    seq: int
    subject: str
    time: str  # RFC 3339, nanoseconds
    data: bytes = b""
    hdrs: bytes = b""  # the block, as it stands in a frame


class _MessageAnswer(msgspec.Struct):
    message: StoredMessage


class _Answer(msgspec.Struct):
    error: _Error | None = None


class JetStream:
    """JetStream behind one connection.

    Every method raises StreamError when the server does not answer or refuses; a refusal carries the server's own
    number in its code, as `stream.10059`.
    """

    def __init__(self, nats: Nats) -> None:
        self.nats = nats
        self.timeout_s = REQUEST_S  # within which an answer has to come, where a call says nothing else

    async def stream_info(self, stream: str) -> StreamInfo:
        """What the stream's leader says of it; where there is none, STREAM_NOT_FOUND is raised.

        What a server says that has lost the other copies is no answer: they may have gone on without it.
        """
        try:
            info = await self._call(f"STREAM.INFO.{stream}", {}, StreamInfo)
        except StreamError as error:
            if error.code != STREAM_NOT_FOUND:
                raise
            raise StreamError(
                f"there is no stream {stream!r} at {self.nats.hosts}",
                hint="`projection load --create` creates one",
                code=STREAM_NOT_FOUND,
            ) from None
        if not info.is_current:
            raise StreamError(f"stream {stream!r} at {self.nats.hosts} has lost the majority of its copies")
        return info

    async def ensure_stream(self, stream: str, subjects: Sequence[str]) -> StreamInfo:
        """The stream, made when there is none of this name; one that exists is left as it is.

        A log keeps what it was given: nothing in the middle can be deleted or purged.
        """
        config = {
            "name": stream,
            "subjects": list(subjects),
            "retention": "limits",
            "storage": "file",
            "deny_delete": True,
            "deny_purge": True,
            "allow_direct": True,
        }
        try:
            return await self.stream_info(stream)
        except StreamError as error:
            if error.code != STREAM_NOT_FOUND:
                raise
        try:
            return await self._call(f"STREAM.CREATE.{stream}", config, StreamInfo)
        except StreamError as error:
            if error.code != _STREAM_NAME_IN_USE:  # another process made it in between
                raise
            return await self.stream_info(stream)

    async def message_time(self, stream: str, sequence: int) -> str | None:
        """When the log stored this message, in nanoseconds since the epoch; None where it holds it no longer."""
        message = await self.message(stream, sequence)
        return None if message is None else str(nanoseconds(message.time))

    async def message(self, stream: str, sequence: int) -> StoredMessage | None:
        """One message of the log; None where it holds it no longer."""
        return await self._message(stream, {"seq": sequence})

    async def last_message(self, stream: str, subject: str) -> StoredMessage | None:
        """The last message of the subject (wildcards allowed); None where the log holds none."""
        return await self._message(stream, {"last_by_subj": subject})

    async def next_sequence(self, stream: str, subject: str, start: int) -> int | None:
        """The first message of the subject (wildcards allowed) at or after a sequence, by the log itself."""
        message = await self.next_message(stream, start, subject)
        return None if message is None else message.seq

    async def next_message(self, stream: str, start: int, subject: str = ">") -> StoredMessage | None:
        """The first message of the subject (wildcards allowed) at or after a sequence; None where there is none."""
        return await self._message(stream, {"seq": start, "next_by_subj": subject})

    async def stored(self, subject: str, data: bytes, answer_type: type[_T]) -> _T:
        """Have a stream store a message, and return what it answers."""
        return self._understood(subject, await self.nats.request(subject, data, timeout_s=self.timeout_s), answer_type)

    async def call(self, subject: str, body: Mapping[str, object], answer_type: type[_T]) -> _T:
        """The answer to a request of the API; the subject is what follows its prefix."""
        return await self._call(subject, body, answer_type)

    async def last_sequence_before(self, stream: str, time: str) -> int:
        """The last sequence that was stored before a time (RFC 3339); the stream's last where nothing came after."""
        last = (await self.stream_info(stream)).state.last_seq
        message = await self._message(stream, {"start_time": time, "next_by_subj": ">"})
        return last if message is None else message.seq - 1

    def next_subject(self, stream: str, consumer: str) -> str:
        """Where messages of a consumer are asked for."""
        return f"{self.nats.api}.CONSUMER.MSG.NEXT.{stream}.{consumer}"

    async def create_consumer(
        self, stream: str, name: str, config: Mapping[str, object], *, timeout_s: float | None = None
    ) -> ConsumerInfo:
        """Make a consumer; refused as CONSUMER_EXISTS where one of this name and another configuration exists."""
        body = {"stream_name": stream, "action": "create", "config": {**config, "name": name, "durable_name": name}}
        return await self._call(f"CONSUMER.CREATE.{stream}.{name}", body, ConsumerInfo, timeout_s)

    async def consumer_info(self, stream: str, name: str, *, timeout_s: float | None = None) -> ConsumerInfo | None:
        """What the consumer's leader says of it; None where there is none."""
        try:
            return await self._call(f"CONSUMER.INFO.{stream}.{name}", {}, ConsumerInfo, timeout_s)
        except StreamError as error:
            if error.code != CONSUMER_NOT_FOUND:
                raise
            return None

    async def delete_consumer(self, stream: str, name: str, *, timeout_s: float | None = None) -> None:
        """Delete a consumer, if there is one."""
        try:
            await self._call(f"CONSUMER.DELETE.{stream}.{name}", {}, _Answer, timeout_s)
        except StreamError as error:
            if error.code != CONSUMER_NOT_FOUND:
                raise

    async def _message(self, stream: str, body: Mapping[str, object]) -> StoredMessage | None:
        # MSG.GET and not DIRECT.GET: the leader answers, a replica that lags does not.
        try:
            return (await self._call(f"STREAM.MSG.GET.{stream}", body, _MessageAnswer)).message
        except StreamError as error:
            if error.code != _MESSAGE_NOT_FOUND:
                raise
            return None

    async def _call(
        self, subject: str, body: Mapping[str, object], answer_type: type[_T], timeout_s: float | None = None
    ) -> _T:
        request = msgspec.json.encode(body) if body else b""
        answer = await self.nats.request(f"{self.nats.api}.{subject}", request, timeout_s=timeout_s or self.timeout_s)
        return self._understood(subject, answer, answer_type)

    def _understood(self, subject: str, answer: bytes, answer_type: type[_T]) -> _T:
        try:
            error = msgspec.json.decode(answer, type=_Answer).error
            if error is None:
                return msgspec.json.decode(answer, type=answer_type)
        except msgspec.MsgspecError as problem:
            raise StreamError(
                f"{self.nats.hosts} answers {subject} in a way that is not understood: {problem}"
            ) from None
        raise StreamError(
            f"{self.nats.hosts} refuses {subject}: {error.description}",
            code=f"{StreamError.default_code}.{error.err_code}",
        )


def seconds(value: float) -> int:
    """Seconds as JetStream writes durations."""
    return int(value * _NANOSECONDS)


def nanoseconds(time: str) -> int:
    """Nanoseconds since the epoch of a server's time, `2000-01-01T00:00:00.123456789Z`."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return timegm(strptime(whole, "%Y-%m-%dT%H:%M:%S")) * _NANOSECONDS + int(f"{fraction or '0':0<9}")
