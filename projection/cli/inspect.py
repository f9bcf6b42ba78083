"""`projection inspect`: what is in a stream, and a draft of a manifest that reads it."""

from __future__ import annotations

import re
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from projection.cli.console import note, say
from projection.cli.options import Config, NatsUrl, Stream
from projection.cli.parameters import Option
from projection.errors import ConfigurationError, ProjectionError

if TYPE_CHECKING:
    from projection.history.drafting import Draft
    from projection.history.inspection import Inspection, Seen
    from projection.model.envelope import Envelope
    from projection.model.settings import Settings
    from projection.stream.jetstream import StreamInfo

EXAMPLES = (
    "projection inspect --stream ORDERS",
    "projection inspect --stream ORDERS --sample 20000 --write orders",
)


def inspect(
    *,
    stream: Stream = None,
    url: NatsUrl = None,
    config: Config = None,
    sample: Annotated[int, Option(metavar="N", min=1, max=1_000_000, help="How many messages to look at.")] = 1_000,
    values: Annotated[bool, Option("--values", help="Show and write values of messages as well.")] = False,
    write: Annotated[Path | None, Option(metavar="DIR", help="Write a manifest and a program to begin with.")] = None,
) -> None:
    """Look at the messages of a stream, and what is in them.

    It shows subjects, encodings, headers, fields, types of events, and what may be an event in them. Half of the sample
    are the first messages, half the last. The stream is left as it is. Apart from names of types, no value of a message
    is shown or written unless asked for. With --write, a manifest and event declarations are drafted into a folder: a
    person has to look at them before they are relied on.
    """
    import asyncio

    from projection.history.drafting import drafted
    from projection.model.settings import Settings

    settings = Settings.load(config, {"stream": stream, "nats.url": url})
    if write is not None and write.exists() and any(write.iterdir()):
        raise ConfigurationError(f"{write} is not empty", hint="name a folder that is not there yet")
    info, inspection = asyncio.run(_inspected(settings, sample))
    if not inspection.count:
        raise ConfigurationError(f"stream {settings.stream!r} holds no message", hint="publish one, or name another")
    draft = drafted(inspection)
    reading = _reading(inspection, draft)
    _tell_stream(settings.stream, info, inspection)
    _tell_messages(inspection, show_values=values)
    _tell_types(reading, show_values=values)
    _tell_draft(draft)
    _tell_refused(reading, show_values=values)
    if write is not None:
        _write(write, settings.stream, inspection, draft, reading, show_values=values)


async def _inspected(settings: Settings, sample: int) -> tuple[StreamInfo, Inspection]:
    from projection.cli.connection import nats_connection
    from projection.history.inspection import Inspection
    from projection.history.logs import StreamLog
    from projection.stream.connection import Nats
    from projection.stream.jetstream import JetStream

    inspection = Inspection()
    async with await Nats.connect(nats_connection(settings.nats)) as nats:
        info = await JetStream(nats).stream_info(settings.stream)
        last = info.state.last_seq
        looked_at = max(info.state.first_seq, 1) - 1  # the first half may reach far, where sequences hold no message
        for after, most in ((looked_at, (sample + 1) // 2), (last - sample // 2, sample // 2)):
            if max(after, looked_at) >= last or not most:
                continue
            messages = StreamLog(nats, settings.stream, "inspect").messages([">"], max(after, looked_at))
            async with aclosing(messages) as batches:
                left = most
                async for batch in batches:
                    for message in batch[:left]:
                        inspection.add(message)
                        looked_at = message.sequence
                    left -= len(batch[:left])
                    if not left:
                        break
    return info, inspection


def _tell_stream(stream: str, info: StreamInfo, inspection: Inspection) -> None:
    from projection.stream.losses import losses

    state = info.state
    say(
        f"stream {stream}: {state.messages:,} messages, sequences {state.first_seq:,} to {state.last_seq:,}; "
        f"looked at {inspection.count:,}"
    )
    for setting, cost in losses(info.config):
        say(f"  {setting}: {cost}")
    say()


def _tell_messages(inspection: Inspection, *, show_values: bool) -> None:
    from projection.cli.tables import print_table
    from projection.history.drafting import body_source

    sizes = f"{inspection.median_size:,} bytes at the median, {max(inspection.sizes):,} at most"
    say(f"bodies: {', '.join(f'{n:,} {name}' for name, n in inspection.encodings.most_common())}; {sizes}")
    say()
    subjects = [(_shape(shape.tokens), f"{shape.messages:,}") for shape in inspection.shapes]
    print_table(("subjects", "messages"), subjects)
    say()
    places = [(f"header.{name}", seen) for name, seen in inspection.headers.items()]
    fields = inspection.fields if show_values else inspection.named_fields
    places += [(body_source(path), seen) for path, seen in fields.items()]
    rows = [_row(source, seen, show_values=show_values) for source, seen in places]
    if not show_values:
        maps = {body_source(path): f"({count:,} keys)" for path, count in inspection.maps.items()}
        rows = [(*row[:3], maps.get(row[0], row[3])) for row in rows]
        if "body" in maps:
            rows.append(("body", f"{sum(inspection.objects.values()):,}", "object", maps["body"]))
    head = ("place", "messages", "kind", "distinct", *(("values",) if show_values else ()))
    print_table(head, rows, last_folds=True)


def _shape(tokens: tuple[Seen, ...]) -> str:
    """The tokens of subjects: those that are the same in all, and how many values the others have."""
    return ".".join(next(iter(seen.values)) if len(seen.values) == 1 else f"({len(seen.values):,})" for seen in tokens)


def _row(source: str, seen: Seen, *, show_values: bool) -> tuple[str, ...]:
    from projection.history.inspection import MOST_DISTINCT

    many = "+" if len(seen.values) >= MOST_DISTINCT else ""
    row = (source, f"{seen.count:,}", seen.kind or "several", f"{len(seen.values):,}{many}" if seen.values else "")
    return (*row, ", ".join(list(seen.values)[:3])) if show_values else row


def _tell_types(reading: _Reading, *, show_values: bool) -> None:
    """The types of events; as one row those whose names may be data."""
    from projection.cli.tables import print_table
    from projection.history.drafting import names_of_types

    if not reading.events:
        return
    types = reading.types()
    shown = types.keys() if show_values else names_of_types(types)
    rows = [(name, *numbers) for name, numbers in types.items() if name in shown]
    if others := [numbers for name, numbers in types.items() if name not in shown]:
        rows.append(
            (f"({len(others):,} whose names may be data)", *(sum(column) for column in zip(*others, strict=True)))
        )
    say()
    print_table(("types of events", "messages", "bytes"), [(name, f"{n:,}", f"{size:,}") for name, n, size in rows])


def _tell_draft(draft: Draft) -> None:
    from projection.cli.tables import print_table

    say()
    if draft.candidates:
        rows = [(part, one.source, one.reason) for part, found in draft.candidates.items() for one in found]
        print_table(("may be the", "place", "because"), rows)
        say()
    for remark in draft.remarks:
        say(remark)
    if draft.events is not None:
        say()
        say(_manifest_text(draft.events))


def _tell_refused(reading: _Reading, *, show_values: bool) -> None:
    """What a node would make nothing of: their codes, and why only where values may be shown, for reasons name them."""
    if not reading.refused or not reading.events:
        return
    count = sum(len(sequences) for sequences in reading.refused.values())
    say()
    say(f"{count:,} of {count + len(reading.events):,} messages cannot be read by this, and a node would park them:")
    told: dict[str, list[int]] = {}
    for (code, reason), sequences in reading.refused.items():
        told.setdefault(f"{code}: {reason}" if show_values else code, []).extend(sequences)
    for what, sequences in told.items():
        say(f"  {what} ({len(sequences):,}; the first is message {min(sequences)})")
    why = "" if show_values else "--values shows why; "
    say(f"  {why}where they are no events, let `ignore` say how they are known, and leave them out")


def _manifest_text(events: Any) -> str:
    import yaml

    if isinstance(events, str):
        return f"events: {events}"
    return yaml.safe_dump({"events": events}, sort_keys=False, default_flow_style=False).rstrip("\n")


# --- writing ----------------------------------------------------------------------------------------------------------

_PROGRAM = """\

## A draft that counts the events of each {what}: replace it by the views that you want.
view {view} {{ events: int = 0 }}

on {events} to {route} =>
  let before = view ?? {{}};
  before with {{ events += 1 }}
"""


def _write(
    folder: Path, stream: str, inspection: Inspection, draft: Draft, reading: _Reading, *, show_values: bool
) -> None:
    """Write a manifest and its program, which check as they stand."""
    from projection.cli.findings import shown_path
    from projection.history.drafting import names_of_types
    from projection.lang.schemas.declarations import declarations
    from projection.lang.schemas.from_samples import Sample
    from projection.lang.source import Source
    from projection.lang.syntax.formatter import formatted

    name = _name(stream)
    sample, read = Sample(hides_values=not show_values), reading.events
    if not read:
        raise ConfigurationError(
            "none of the messages could be read by the draft, and nothing was written",
            hint=draft.remarks[-1] if draft.remarks else None,
        )
    types = reading.types()
    if not (declared := types.keys() if show_values else names_of_types(types)):
        raise ConfigurationError(
            f"the names of the {len(types):,} types of events may be data, and nothing was written",
            hint="pass --values as well, which writes them",
        )
    for event in read:
        if event.event_type in declared:
            sample.add(event.event_type, event.payload)
    has_ids = all(event.aggregate_id for event in read)
    left = len(types) - len(declared)
    notes = [
        f"Read off {len(read):,} of {inspection.count:,} messages of stream {stream} by `projection inspect`.",
        *([f"{left:,} types whose names may be data are left out; --values writes them."] if left else []),
        "Look at all that was guessed. Decimals have as many digits as were seen, and texts have no bound.",
    ]
    text = declarations(sample.events(), notes, name)
    text += _PROGRAM.format(
        what="aggregate" if has_ids else "type",
        view=name.title().replace("_", ""),
        events=", ".join(re.findall(r"^event (\w+)", text, re.MULTILINE)),
        route="meta.aggregate_id" if has_ids else "meta.type",
    )
    program, manifest = folder / f"{name}.proj", folder / "manifest.yaml"
    head = "" if draft.events is None else f"{_manifest_text(draft.events)}\n"
    folder.mkdir(parents=True, exist_ok=True)
    program.write_text(formatted(Source(program.name, text)), encoding="utf-8")
    manifest.write_text(f"manifest: 1\n{head}views:\n  {name}: {{ program: {program.name} }}\n", encoding="utf-8")
    for path in (program, manifest):
        note(f"wrote {shown_path(path)}")


class _Read(NamedTuple):
    """A message that the draft can read."""

    event_type: str
    payload: Any
    aggregate_id: str
    size: int  # of its body as it was stored, in bytes


class _Reading(NamedTuple):
    """What a draft makes of the messages of a sample."""

    events: list[_Read]
    refused: dict[tuple[str, str], list[int]]  # the sequences of the others, by code and reason

    def types(self) -> dict[str, tuple[int, int]]:
        """Of how many messages each type of event is, and how many bytes their bodies have; the most frequent first."""
        found: dict[str, tuple[int, int]] = {}
        for event in self.events:
            count, size = found.get(event.event_type, (0, 0))
            found[event.event_type] = count + 1, size + event.size
        return dict(sorted(found.items(), key=lambda one: (-one[1][0], one[0])))


def _reading(inspection: Inspection, draft: Draft) -> _Reading:
    import msgspec

    from projection.engine.event import DescribedReader
    from projection.model.envelope import Tenancy, decode_envelope
    from projection.model.event_format.declaration import EventFormat

    decode, found = msgspec.json.Decoder(float_hook=Decimal).decode, _Reading([], {})
    described = None if draft.events is None else DescribedReader(EventFormat.model_validate(draft.events), Tenancy())
    for message, _ in inspection.samples:
        envelope: Envelope | None = None
        error: ProjectionError | None = None
        if described is not None:
            event = described.read(message)
            envelope, error = event.envelope, event.error
        else:
            try:
                envelope = decode_envelope(message.data)
            except ProjectionError as refused:
                error = refused
        if error is not None:
            found.refused.setdefault((error.code, str(error)), []).append(message.sequence)
        elif envelope is not None:
            payload = decode(envelope.payload)
            found.events.append(_Read(envelope.event_type, payload, envelope.aggregate_id, len(message.data)))
    return found


def _name(stream: str) -> str:
    """What a view type may be called, of the name of a stream."""
    name = re.sub(r"[^a-z0-9]+", "_", stream.lower()).strip("_")
    return name if name[:1].isalpha() else f"stream_{name}".rstrip("_")
