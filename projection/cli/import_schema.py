"""`projection import-schema`: event declarations out of JSON Schemas, or of a sample of real events."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from projection.cli.console import note, say
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError
from projection.inputs import read_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.lang.schemas.shapes import EventShape

EXAMPLES = (
    "projection import-schema events.jsonl.gz > orders.proj",
    "projection import-schema placed.schema.json paid.schema.json --scale 2",
    "projection import-schema events.jsonl --name orders > orders.proj",
    "projection import-schema dumped.jsonl --manifest manifest.yaml",
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_SUFFIXES = (".schema.json", ".json")


def import_schema(
    files: Annotated[
        list[Path], Argument(metavar="FILE...", help="JSON Schemas (.json), or events (.jsonl, .jsonl.gz).")
    ],
    *,
    manifest: Annotated[
        Path | None,
        Option(metavar="FILE", help="The manifest whose `events` describe messages that `projection dump` wrote."),
    ] = None,
    name: Annotated[str | None, Option(metavar="NAME", help="Begin with the head of a program of this name.")] = None,
    scale: Annotated[
        int | None,
        Option(metavar="N", min=0, max=18, help="Digits behind the point of numbers of which a schema does not tell."),
    ] = None,
) -> None:
    """Write `event` declarations from JSON Schemas or events.

    An event is called as its schema's title, or as its file; of samples, as its type. What had to be guessed, or cannot
    be said in the language, stands behind the field as a comment: look there before you rely on it. Messages that
    `projection dump` wrote are read as the manifest's `events` say; without one, they hold envelopes. Exit status: 0
    done, 2 a file cannot be read, or holds neither schemas nor events.
    """
    from projection.lang.schemas.declarations import declarations

    if name is not None and _NAME.fullmatch(name) is None:
        raise ConfigurationError(f"{name!r} cannot name a program", hint="use letters, digits and `_`")
    if manifest is not None and any(file.suffix == ".json" for file in files):
        raise ConfigurationError(
            "--manifest describes messages, and these are schemas", hint="leave --manifest out, or name a .jsonl file"
        )
    schemas = [file for file in files if file.suffix == ".json"]
    samples = [file for file in files if file not in schemas]
    if schemas and samples:
        raise ConfigurationError("schemas and samples do not go together", hint="import them one after the other")
    events, notes = _of_samples(samples, manifest) if samples else (_of_schemas(schemas, scale), [])
    say(declarations(events, notes, name).removesuffix("\n"))
    note(f"{len(events)} event{'' if len(events) == 1 else 's'}")


def _of_schemas(files: Sequence[Path], scale: int | None) -> list[EventShape]:
    import msgspec

    from projection.lang.schemas.from_json_schema import events_of

    decoder = msgspec.json.Decoder(float_hook=Decimal)
    found: dict[str, EventShape] = {}
    for file in files:
        try:
            document: Any = decoder.decode(read_input(file))
        except OSError as error:
            raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigurationError(f"{file} is not JSON: {error}") from None
        suffix = next((one for one in _SUFFIXES if file.name.endswith(one)), file.suffix)
        for event in events_of(document, file.name.removesuffix(suffix), scale):
            if event.wire in found:
                raise ConfigurationError(f"{file} declares the event {event.wire!r}, as another file does")
            found[event.wire] = event
    return list(found.values())


def _of_samples(files: Sequence[Path], manifest: Path | None) -> tuple[list[EventShape], list[str]]:
    import msgspec

    from projection.lang.schemas.from_samples import Sample
    from projection.model.envelope import Tenancy
    from projection.testing.finding import manifest_of
    from projection.testing.given import given_events, recorded_by

    decode = msgspec.json.Decoder(float_hook=Decimal).decode
    described = manifest_of(manifest or Path("imported.proj"))  # a program that has no manifest: the defaults
    recorded = recorded_by(described.views[0], Tenancy())
    sample, count = Sample(), 0
    for file in files:
        for event in given_events(file, Path(), lambda _type: "aggregate", recorded=recorded):
            sample.add(event.event_type, decode(event.envelope.payload))
            count += 1
    if not count:
        raise ConfigurationError(f"{', '.join(map(str, files))}: there is no event")
    events = sample.events()
    return events, [
        f"Read off {count:,} events by `projection import-schema`. Decimals have as many digits as were seen,",
        "texts have no bound, and what else was guessed has a comment.",
    ]
