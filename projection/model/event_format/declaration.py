"""What the manifest's `events` says of the messages of a stream that was not made for this node."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from projection.model.checkpoint import Frozen
from projection.model.event_format.encodings.declaration import JSON, Encoding
from projection.model.event_format.sources import STORED, Constant, Source, Sources, sources_of
from projection.model.event_format.subject_patterns import SubjectPattern
from projection.model.event_format.times import TimeForm  # noqa: TC001 - pydantic reads it
from projection.model.subjects import disjoint
from projection.model.timestamp import parse_timestamp

CLOUDEVENTS = "cloudevents"
# What the preset takes each part from, where the manifest says nothing else of it.
_CLOUDEVENTS_PARTS: dict[str, Any] = {
    "event_type": "attribute.type",
    "aggregate_type": "attribute.source",
    "aggregate_id": "attribute.subject",
    "timestamp": {"from": ["attribute.time", STORED]},
    "payload": "attribute.data",
    "event_id": "attribute.id",
    "traceparent": "attribute.traceparent",
}
PARTS = (
    "event_type",
    "aggregate_type",
    "aggregate_id",
    "timestamp",
    "tenant_id",
    "payload",
    "event_id",
    "correlation_id",
    "traceparent",
)


def _pattern(text: str) -> str:
    if (problem := SubjectPattern(text).problem) is not None:
        raise ValueError(problem)
    return text


def _pairs(value: Any) -> Any:
    return tuple(value.items()) if isinstance(value, dict) else value


def _frozen(value: Any) -> Any:
    """The same with tuples for lists: a strict model that has looked at its input takes nothing else."""
    if isinstance(value, dict):
        return {name: _frozen(one) for name, one in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value


def _offset(text: str) -> str:
    try:
        parse_timestamp(f"2000-01-01T00:00:00{text}")
    except ValueError:
        raise ValueError(f"{text!r:.40} is no offset from UTC; write it as in +01:00, or Z") from None
    return text


Values = Annotated[tuple[str, ...], Field(min_length=1, max_length=256)]


class TimestampSource(Frozen):
    """Where the timestamp of an event is, and how it is written."""

    sources: Annotated[Sources, Field(alias="from")]
    form: Annotated[TimeForm, Field(alias="as")] = "rfc3339"
    offset: Annotated[str, AfterValidator(_offset)] | None = None  # of those in RFC 3339 that name none

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return value if isinstance(value, dict) and "constant" not in value else {"from": value}


class EventFormat(Frozen):
    """Where each part of an event is found; a part with several sources is taken from the first that is there."""

    format: Literal["json", "cloudevents"] = "json"
    subjects: Annotated[tuple[Annotated[str, AfterValidator(_pattern)], ...], Field(min_length=1, max_length=64)] = (
        ">",
    )
    event_type: Sources
    aggregate_type: Sources = ()
    aggregate_id: Sources = ()
    timestamp: TimestampSource = TimestampSource.model_validate(STORED)
    tenant_id: Sources = ()
    payload: Sources = ("body",)
    event_id: Sources = ()
    correlation_id: Sources = ()
    traceparent: Sources = ()
    encoding: Encoding = JSON
    # What is no event: a message whose source has one of these values.
    ignore: Annotated[
        tuple[tuple[str, Values], ...],
        BeforeValidator(_pairs),
        Field(max_length=16),
    ] = ()

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        if value == CLOUDEVENTS:
            value = {"format": CLOUDEVENTS}
        if isinstance(value, dict) and value.get("format") == CLOUDEVENTS:
            value = {**_CLOUDEVENTS_PARTS, **value}
        return _frozen(value)

    @model_validator(mode="after")
    def _sources_exist(self) -> Self:
        places = {place for subject in self.subjects for place in SubjectPattern(subject).places}
        ignored = {f"ignore.{text}": (text,) for text, _ in self.ignore}
        for part, texts in {**{part: self.sources(part) for part in PARTS}, **ignored}.items():
            for source in sources_of(texts):
                where = f"{part}: {'.'.join((source.kind, *source.path))}"
                if source.kind == "subject" and source.path and source.path[0] not in places:
                    raise ValueError(f"{where} is in none of `subjects`")
                if source.kind == "attribute" and self.format != CLOUDEVENTS:
                    raise ValueError(f"{where} is of CloudEvents; say `format: cloudevents`")
                if source.kind == "body" and self.format == CLOUDEVENTS:
                    raise ValueError(f"{where}: what CloudEvents have in their body is an attribute: attribute.data")
                if part == "payload" and source.kind not in ("body", "attribute"):
                    raise ValueError(f"{where}: a payload is in the body")
                if source.kind == STORED and part != "timestamp":
                    raise ValueError(f"{where} is a time; only `timestamp` can be taken from it")
                is_late = part == "event_type" and source.kind == "body" and self.encoding.event_types
                if is_late:
                    raise ValueError(f'{where} is read by the schema of its type: name one for all types, `"*"`')
                if part in ignored and source in (Source("body"), Source("attribute", ("data",))):
                    raise ValueError(f"{where} is all of an event; name one field of it")
        return self

    def sources(self, part: str) -> Sources:
        """The sources of one of `PARTS`, as they were written."""
        return self.timestamp.sources if part == "timestamp" else getattr(self, part)

    @property
    def filters(self) -> tuple[str, ...]:
        """Subject filters that take every message which may be an event, none of them twice."""
        return disjoint((SubjectPattern(subject).filter for subject in self.subjects), (">",))

    def terms(self) -> dict[str, Any]:
        """All of it as JSON values, defaults left out, so that a key added later changes no fold's identity."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


__all__ = ["CLOUDEVENTS", "PARTS", "Constant", "EventFormat", "TimestampSource"]
