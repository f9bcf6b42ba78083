"""A draft of the manifest's `events`, by what a sample of messages shows. It is for a person to look at."""

from __future__ import annotations

import re
from collections import Counter
from os.path import commonprefix
from typing import TYPE_CHECKING, Any, NamedTuple

from projection.errors import ProjectionError
from projection.history.inspection import FRAMED
from projection.model.envelope import decode_envelope
from projection.model.event_format.headers import chosen_headers
from projection.model.event_format.times import with_offset
from projection.model.timestamp import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from projection.history.inspection import Inspection, Seen
    from projection.stream.port import Message

# By which names each part goes, the likeliest first; what is no letter or digit does not count.
_NAMES = {
    "event_type": ("eventtype", "type", "eventname", "event", "messagetype", "name", "kind", "action"),
    "aggregate_id": ("aggregateid", "streamid", "entityid", "stream", "streamname", "aggregate", "key"),
    "aggregate_type": ("aggregatetype", "streamtype", "entitytype", "category", "aggregate"),
    "timestamp": (
        "timestamp", "time", "occurredat", "occurredon", "occurred", "eventtime", "createdat", "created", "at", "date",
        "ts", "when",
    ),
    "tenant_id": ("tenantid", "tenant", "xtenantid", "xtenant"),
    "payload": ("data", "payload", "body", "content", "event", "message"),
    "event_id": ("eventid", "messageid", "id", "uuid", "natsmsgid"),
    "correlation_id": ("correlationid", "correlation"),
    "traceparent": ("traceparent",),
}  # fmt: skip
_PLACES = {"event_type": "<event>", "aggregate_id": "<id>", "tenant_id": "<tenant>"}
_PREFIXES = ("ce", "x")  # that headers begin with
_TYPE = re.compile(r"\$>|\$?[A-Za-z][\w.:/$+-]*", re.ASCII)
_OF_THE_SYSTEM = "$"  # that types begin with in KurrentDB, links among them
_MOST_TYPES = 300
# What tells events from other messages: how such places are called, and what stands there.
_KINDS = ("kind", "messagekind", "messagetype", "messageclass", "recordkind", "recordtype", "category")
_EVENTS = {"event", "events", "domainevent", "integrationevent", "fact"}
_NO_EVENTS = {"command", "commands", "query", "queries", "request", "response", "reply", "snapshot", "heartbeat"}
_NEARLY_ALL = 0.98
_UNITS = (("epoch_s", 10**9), ("epoch_ms", 10**12), ("epoch_us", 10**15), ("epoch_ns", 10**18))
_TICKS = range(6 * 10**17, 8 * 10**17)  # of .NET: the years 1901 to 2535


class Candidate(NamedTuple):
    """One place that may hold a part."""

    source: str
    reason: str
    seen: Seen
    token: int | None = None  # of subjects, from 0, where it is one
    path: tuple[str, ...] = ()  # of a body, where it is a field


class Draft(NamedTuple):
    """What a manifest may say."""

    events: Any  # as `events` says it; None where the messages are envelopes
    candidates: dict[str, list[Candidate]]
    remarks: list[str]


def drafted(inspection: Inspection) -> Draft:
    """The draft for a sample."""
    if _share(inspection, _is_envelope) >= _NEARLY_ALL:
        return Draft(None, {}, ["the messages are envelopes: a manifest needs no `events`"])
    if _is_cloudevents(inspection):
        return _of_cloudevents(inspection)
    kinds = _kinds_of_messages(inspection)
    sources = {one.source for one in kinds}
    candidates = {
        part: found
        for part in _NAMES
        if (found := [one for one in _candidates(inspection, part) if one.source not in sources])
    }
    return _mapped(inspection, {**candidates, **({"ignore": kinds} if kinds else {})})


def names_of_types(types: Collection[str]) -> AbstractSet[str]:
    """Types of events whose names are no data: few in all, and each of them like an identifier."""
    return {one for one in types if _TYPE.fullmatch(one)} if len(types) <= _MOST_TYPES else set()


# --- candidates -------------------------------------------------------------------------------------------------------


def _kinds_of_messages(inspection: Inspection) -> list[Candidate]:
    """Places that tell events from other messages: all that stands there is known to be one or the other."""
    found = []
    for source, path, seen in _places(inspection):
        kinds = {_plain(value) for value in seen.values}
        if _plain(path[-1]) not in _KINDS or not kinds <= _EVENTS | _NO_EVENTS or not kinds & _NO_EVENTS:
            continue
        if kinds & _EVENTS or seen.count < inspection.count:
            found.append(Candidate(source, "tells events from other messages", seen))
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _candidates(inspection: Inspection, part: str) -> list[Candidate]:
    """Places that may hold a part, the likeliest first."""
    names, found = _NAMES[part], []
    for source, path, seen in _places(inspection):
        plain = _plain(path[-1])
        if plain not in names:
            plain = next((plain[len(one) :] for one in _PREFIXES if plain.startswith(one)), plain)
        if plain in names and seen.count >= _NEARLY_ALL * inspection.count and (reason := _fits(part, seen)):
            found.append(((names.index(plain), len(path)), Candidate(source, reason, seen, path=path)))
    return [one for _, one in sorted(found, key=lambda ranked: ranked[0])]


def _places(inspection: Inspection) -> Iterator[tuple[str, tuple[str, ...], Seen]]:
    for name, seen in inspection.headers.items():
        yield f"header.{name}", (name,), seen
    for path, seen in inspection.named_fields.items():
        yield body_source(path), path, seen


def body_source(path: Sequence[str]) -> str:
    """The source of a field, as a manifest writes it."""
    keys = (key if re.fullmatch(r"[^.\"\\\s\x00-\x1f]+", key) else f'"{key}"' for key in path)
    return ".".join(("body", *keys))


def _fits(part: str, seen: Seen) -> str:
    """Why the values of a place may be a part; empty where they cannot."""
    distinct = f"{len(seen.values):,} values"
    match part:
        case "event_type" | "aggregate_type":
            is_one = seen.kind == "text" and len(seen.values) <= _MOST_TYPES and all(map(_TYPE.fullmatch, seen.values))
            return distinct if is_one and (seen.count < 5 or len(seen.values) <= seen.count / 2) else ""
        case "timestamp":
            form = time_form(seen)
            return form if form is not None else ""
        case "payload":
            return "an object" if seen.kind == "object" else ""
        case "event_id":
            return "never twice" if seen.kind in ("text", "int") and seen.is_unique else ""
        case _:
            return distinct if seen.kind in ("text", "int") else ""


def time_form(seen: Seen) -> str | None:
    """How timestamps are written, as `as` of the manifest says it, or `local` for those without an offset."""
    values = list(seen.values)[:200]
    whole = [value.partition(".")[0] for value in values]
    if all(value.lstrip("-").isdigit() for value in whole):
        numbers = [int(value) for value in whole]
        if all(number in _TICKS for number in numbers):
            return "dotnet_ticks"
        return next((name for name, unit in _UNITS if all(unit / 2 <= number < 5 * unit for number in numbers)), None)
    if seen.kind != "text":
        return None
    if all(map(_is_timestamp, values)):
        return "rfc3339"
    return "local" if all(_is_timestamp(with_offset(value, "Z")) for value in values) else None


def _is_timestamp(text: str) -> bool:
    try:
        parse_timestamp(text)
    except ValueError:
        return False
    return True


# --- kinds of streams -------------------------------------------------------------------------------------------------


def _share(inspection: Inspection, holds: Callable[[bytes], bool]) -> float:
    return sum(holds(message.data) for message, _ in inspection.samples) / max(inspection.count, 1)


def _is_envelope(data: bytes) -> bool:
    try:
        decode_envelope(data)
    except ProjectionError:
        return False
    return True


def _is_cloudevents(inspection: Inspection) -> bool:
    counts = [
        seen.count
        for seen in (inspection.headers.get("ce-specversion"), inspection.fields.get(("specversion",)))
        if seen is not None
    ]
    return sum(counts) >= _NEARLY_ALL * inspection.count > 0


def _of_cloudevents(inspection: Inspection) -> Draft:
    remarks = ["the messages are CloudEvents"]
    tenants = _candidates(inspection, "tenant_id")
    encoding = _encoding(inspection, remarks)
    if not tenants:
        return Draft({"format": "cloudevents", **encoding} if encoding else "cloudevents", {}, remarks)
    name = tenants[0].source.partition(".")[2]
    attribute = name.removeprefix("ce-")
    is_attribute = tenants[0].source.startswith("body.") or attribute != name
    source = f"attribute.{attribute}" if is_attribute else tenants[0].source
    return Draft({"format": "cloudevents", "tenant_id": source, **encoding}, {"tenant_id": tenants}, remarks)


def _mapped(inspection: Inspection, candidates: dict[str, list[Candidate]]) -> Draft:
    events: dict[str, Any] = {}
    remarks: list[str] = []
    best = {part: found[0] for part, found in candidates.items()}
    for part in ("event_type", "aggregate_id"):
        if part not in best and (place := _in_subjects(inspection, part)) is not None:
            best[part] = place
            candidates = {part: [place], **candidates}
    if "tenant_id" not in best and (place := _tenant_in_subjects(inspection, best)) is not None:
        best["tenant_id"] = place
        candidates = {**candidates, "tenant_id": [place]}
        remarks.append("`tenant_id` is a guess: check that the place in the subject is not a region or an environment")
    tokens = {one.token: _PLACES[part] for part, one in best.items() if one.token is not None}
    if tokens:
        events["subjects"] = _templates(inspection, tokens)
    if "event_type" not in best:
        remarks.append("no place was found that holds the type of an event: `event_type` is a guess")
        events["event_type"] = {"constant": "Event"}
    for part in _NAMES:
        if (one := best.get(part)) is None or (part == "event_id" and one == best.get("aggregate_id")):
            continue
        events[part] = one.source
        if part == "timestamp" and one.reason != "rfc3339":
            form = {"offset": "Z"} if one.reason == "local" else {"as": one.reason}
            events[part] = {"from": one.source, **form}
            if one.reason == "local":
                remarks.append("timestamps name no offset from UTC: `offset` is a guess")
    ignored = {
        one.source: [v for v in one.seen.values if _plain(v) in _NO_EVENTS] for one in candidates.get("ignore", ())
    }
    if of_the_system := sorted(one for one in _values(best, "event_type") if one.startswith(_OF_THE_SYSTEM)):
        ignored[best["event_type"].source] = of_the_system
    if ignored:
        events["ignore"] = ignored
    if "timestamp" not in best:
        remarks.append("no place was found that holds when an event happened: the time when it was stored counts")
    return Draft(events | _encoding(inspection, remarks), candidates, remarks)


def _values(best: dict[str, Candidate], part: str) -> Iterable[str]:
    return best[part].seen.values if part in best else ()


def _encoding(inspection: Inspection, remarks: list[str]) -> dict[str, str]:
    """What a manifest says of the encoding; what else bodies are becomes remarks."""
    ((encoding, count),) = inspection.objects.most_common(1) or [("json", 0)]
    names = {"json": "JSON object"}
    others = [name for name in inspection.encodings if not name.endswith(names.get(encoding, encoding))]
    if others:
        what = "JSON" if encoding == "json" else encoding
        remarks.append(f"not all bodies are objects of {what}: {', '.join(sorted(others))}")
    binary = sum(number for name, number in inspection.encodings.items() if name.endswith("binary"))
    if binary > (1 - _NEARLY_ALL) * inspection.count:  # a few are what parks, or is ignored
        remarks.append(
            "what is binary may be protobuf or Avro; a manifest reads these by their descriptors or schemas: "
            "encoding: {protobuf: {descriptors: FILE, messages: {EVENT_TYPE: package.Message}}}, "
            "or {avro: {schemas: {EVENT_TYPE: FILE}}}"
        )
    if any(name.endswith(FRAMED) for name in others):
        remarks.append(f"what is {FRAMED} (a zero byte and the id of a schema) is not read")
    if any("without a header" in name for name in others):
        remarks.append(
            "a node decompresses what the header content-encoding says; without it, such bodies are not read"
        )
    if any(seen.kinds["float"] for seen in inspection.fields.values()):
        remarks.append("binary floats are no exact numbers: a program has to say how they are rounded")
    return {} if encoding == "json" or not count else {"encoding": encoding}


def _in_subjects(inspection: Inspection, part: str) -> Candidate | None:
    """The token of subjects that may hold a part, where all subjects are equally long."""
    if len(inspection.shapes) != 1:
        return None
    tokens = inspection.shapes[0].tokens
    types = [
        (number, seen)
        for number, seen in enumerate(tokens)
        if 1 < len(seen.values) <= _MOST_TYPES
        and all(map(_TYPE.fullmatch, seen.values))
        and not any(any(letter.isdigit() for letter in value) for value in seen.values)
    ]
    if part == "event_type" and types:
        number, seen = types[-1]
        return Candidate(f"subject.{_PLACES[part]}", f"{len(seen.values):,} values", seen, number)
    ids = [(len(seen.values), number, seen) for number, seen in enumerate(tokens) if (number, seen) not in types]
    if part == "aggregate_id" and ids and max(ids, key=lambda one: one[:2])[0] > 1:
        distinct, number, seen = max(ids, key=lambda one: one[:2])
        return Candidate(f"subject.{_PLACES[part]}", f"{distinct:,} values", seen, number)
    return None


def _tenant_in_subjects(inspection: Inspection, best: dict[str, Candidate]) -> Candidate | None:
    """The token of subjects that may be the tenant: the first that varies, under whose values types of events recur.

    What stands just before the id is the type of the aggregate more often.
    """
    event_type, aggregate_id = best.get("event_type"), best.get("aggregate_id")
    if len(inspection.shapes) != 1 or event_type is None or aggregate_id is None or aggregate_id.token is None:
        return None
    tokens = inspection.shapes[0].tokens
    number = next(number for number, seen in enumerate(tokens) if len(seen.values) > 1)
    distinct = len(tokens[number].values)
    if number >= aggregate_id.token - 1 or number == event_type.token or distinct * 2 > inspection.count:
        return None
    values: dict[object, Counter[str]] = {}
    for message, body in inspection.samples:
        subject = message.subject.split(".")
        values.setdefault(_value_at(event_type, message, body, subject), Counter())[subject[number]] += 1
    shared = sum(found.total() for found in values.values() if len(found) > 1)
    if shared < _NEARLY_ALL * inspection.count:
        return None
    reason = f"{distinct:,} values, and events have the same types under them"
    return Candidate(f"subject.{_PLACES['tenant_id']}", reason, tokens[number], number)


def _value_at(place: Candidate, message: Message, body: Any, subject: Sequence[str]) -> object:
    """What a message has at a place that holds a text."""
    if place.token is not None:
        return subject[place.token]
    if place.source.startswith("header."):
        return chosen_headers(message.headers, (name := place.source.partition(".")[2],)).get(name)
    for key in place.path:
        body = body.get(key) if isinstance(body, dict) else None
    return body if isinstance(body, str) else None


def _templates(inspection: Inspection, places: dict[int, str]) -> list[str]:
    """Templates of all subjects: the places that hold a part, what is the same in all, and `*`."""
    named = [seen.values.keys() for seen in (*inspection.headers.values(), *inspection.fields.values())]
    return [
        ".".join(_token(seen, places.get(number), named) for number, seen in enumerate(shape.tokens))
        for shape in inspection.shapes
    ]


def _token(seen: Seen, place: str | None, named: Sequence[AbstractSet[str]]) -> str:
    if place is None:
        return next(iter(seen.values)) if len(seen.values) == 1 else "*"
    if place == _PLACES["tenant_id"] or any(
        seen.values.keys() <= values for values in named
    ):  # so the messages call it, prefix and all
        return place
    same = commonprefix(list(seen.values))  # noqa: RUF071 - of any texts
    return same[: max(same.rfind("-"), same.rfind("_")) + 1] + place
