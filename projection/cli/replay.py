"""`projection replay`: fold a file of events, with no server and no store."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from projection.cli.console import note, print_json, print_json_lines, progress
from projection.cli.options import Config, ManifestFile
from projection.cli.parameters import Argument, Option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.engine.replay import Replay
    from projection.engine.summary import Summary
    from projection.model.parked import ParkedEvent
    from projection.model.settings import Settings

EXAMPLES = (
    "projection replay --manifest manifest.yaml events.jsonl",
    "projection replay --manifest manifest.yaml events.jsonl.gz --summary",
)


def replay(
    file: Annotated[Path, Argument(help="One JSON envelope per line, .gz if compressed; or a folder of such files.")],
    *,
    manifest: ManifestFile = None,
    summary: Annotated[
        bool, Option("--summary", help="Print one JSON object of numbers and state digests instead of views.")
    ] = False,
    config: Config = None,
) -> None:
    """Fold the events of a file, and print the views.

    There is one JSON line for each view, in key order. The result is the same, byte for byte, as that of a node that
    reads the same events from a stream. Parked and unhandled events are reported on stderr. Exit status: 0 done, even
    if events were parked, because a node continues then, too; 1 a policy says halt.
    """
    from projection.model.settings import Settings
    from projection.query.reading import view_lines

    fold, numbers = folded(file, Settings.load(config, {"manifest": manifest}))
    for text in _notes(fold):
        note(f"note: {text}")
    if summary:
        print_json({**asdict(numbers), "digests": fold.digests()})
        return
    print_json_lines(view_lines({lane.view_type: lane.store for lane in fold.lanes}))


def _notes(fold: Replay) -> Iterator[str]:
    """What the views do not show: events that are in none of them."""
    from projection.cli.unhandled_notes import unhandled_notes

    for lane in fold.lanes:
        first: dict[tuple[str, str], ParkedEvent] = {}  # by what became of it and its code
        count: Counter[tuple[str, str]] = Counter()
        for event in lane.store.parked():
            key = event.disposition.value, event.code
            count[key] += 1
            first.setdefault(key, event)
        for key, event in sorted(first.items()):
            became, code = key
            what = "1 event is" if count[key] == 1 else f"{count[key]:,} events are"
            yield f"{lane.view_type}: {what} {became} with {code}; the first is event {event.sequence}: {event.message}"
    yield from unhandled_notes(fold.unhandled)


def folded(file: Path, settings: Settings) -> tuple[Replay, Summary]:
    """The fold of a file's events through the programs of the manifest that the settings name.

    Raises:
        ConfigurationError: there is no such file or manifest.
        ProgramsInvalidError: with the diagnostics of all programs.
        LaneHaltedError: a policy says halt, and an event made it.
    """
    from projection.engine.deployment import load_deployment
    from projection.engine.replay import Replay
    from projection.lang.run.executors import Execution
    from projection.model.manifest import Manifest
    from projection.stream.file_feed import read_lines

    deployed = load_deployment(
        Manifest.load(settings.manifest), settings.tenancy, settings.subjects, Execution(settings.execution)
    )
    fold = Replay(deployed, settings.tenancy)
    with progress("folding", None) as advance:
        return fold, fold.run((line.data for line in read_lines(file)), advance)
