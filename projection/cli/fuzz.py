"""`projection fuzz`: events that a program's author has not thought of."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from projection.cli.console import note, say
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.engine.deployment import DeployedView
    from projection.testing.fuzz.findings import Finding
    from projection.testing.fuzz.fuzzing import Report

EXAMPLES = (
    "projection fuzz accounts.proj",
    "projection fuzz manifest.yaml orders --events 20000 --seconds 60",
    "projection fuzz accounts.proj --seed 7 --write found.scenario.yaml",
)
_SEEDS = 10**6
_SCENARIO = ".scenario.yaml"


def fuzz(
    path: Annotated[Path, Argument(help="A program (.proj), a manifest, or a folder with either.")],
    view_type: Annotated[str | None, Argument(help="The view type of a manifest (default: all).")] = None,
    *,
    events: Annotated[int, Option(metavar="N", min=1, help="The number of events per view type.")] = 2_000,
    seconds: Annotated[
        float | None, Option(metavar="S", min=0, help="End after this many seconds, even if events are left.")
    ] = None,
    seed: Annotated[
        int | None, Option(metavar="N", min=0, help="Generate the same events again; each run prints its seed.")
    ] = None,
    write: Annotated[
        Path | None, Option(metavar="FILE", help="Write each finding as a scenario (*.scenario.yaml).")
    ] = None,
    strict: Annotated[bool, Option("--strict", help="Fail on notes, too.")] = False,
    on_purpose: Annotated[
        bool, Option("--on-purpose", help="Also report events that the program refuses by fail(…), as notes.")
    ] = False,
) -> None:
    """Search for events that a program handles wrongly.

    The events are generated from the program's declarations. Faults are events that fail, and results that depend on
    how a node commits. Notes are about order, duplicate events, views that grow, and gas near its limit. Each is shown
    with the fewest events that reproduce it. Exit status: 0 no fault, 1 a fault, 2 there is nothing to search.
    """
    from random import Random

    from projection.testing.folding import Projection

    _require_hypothesis()
    if write is not None and not write.name.endswith(_SCENARIO):
        raise ConfigurationError(f"{write} is no name of a scenario", hint=f"let it end in {_SCENARIO}")
    from projection.testing.fuzz.fuzzing import fuzz as search

    seed = Random().randrange(_SEEDS) if seed is None else seed  # noqa: S311 - no secret
    projection = Projection.load(path, view_type)
    if not projection.deployed:
        known = ", ".join(str(one.entry.view_type) for one in Projection.load(path).deployed)
        raise ConfigurationError(f"{path} has no view type {view_type!r}", hint=f"it has: {known}")
    found: list[tuple[DeployedView, Finding]] = []
    with _hypothesis_at_home():
        for deployed in projection.deployed:
            report = search(projection, deployed, seed=seed, budget=events, seconds=seconds, on_purpose=on_purpose)
            _show(deployed, report, seed)
            found += [(deployed, finding) for finding in report.findings]
    if write is not None:
        _write(write, path, found)
    faults = sum(finding.is_fault for _, finding in found)
    note(f"{_plural(faults, 'fault')}, {_plural(len(found) - faults, 'note')}")
    if faults or (strict and found):
        raise Exit(EXIT_FAILED)


def _require_hypothesis() -> None:
    from importlib.util import find_spec

    if find_spec("hypothesis") is None:
        raise ConfigurationError(
            "`projection fuzz` makes events with hypothesis, which is not installed",
            hint="install `projection-node[testing]`",
        )


@contextmanager
def _hypothesis_at_home() -> Iterator[None]:
    """Have hypothesis keep its notes elsewhere than in the author's folder."""
    import tempfile

    from hypothesis import configuration

    with tempfile.TemporaryDirectory() as folder:
        configuration.set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(None)


def _show(deployed: DeployedView, report: Report, seed: int) -> None:
    from projection.testing.fuzz.observing import ON_PURPOSE

    source, counts = deployed.program.checked.source, report.counts
    looked_at = f"{_plural(counts.events, 'event')} in {_plural(counts.sequences, 'sequence')}"
    say(f"{source.name} as {deployed.entry.view_type}: {looked_at}, seed {seed}")
    for finding in report.findings:
        say("\n".join(finding.lines()))
    if refused := counts.failures[ON_PURPOSE]:
        say(f"{_plural(refused, 'event')} failed on purpose, by `fail(…)`")
    if report.unreached:
        lines = [str(source.position(span.start)[0]) for span in report.unreached]
        say(f"no event changed a view through the handler{'s' * (len(lines) > 1)} in line {', '.join(lines)}")
    if report.is_late:
        note("time was up before all events were looked at; another run may find more")


def _write(file: Path, path: Path, found: Sequence[tuple[DeployedView, Finding]]) -> None:
    """Write each finding to a file of its own, the second to `NAME-2.scenario.yaml`."""
    from projection.testing.finding import manifest_of
    from projection.testing.folding import Projection
    from projection.testing.fuzz.findings import scenario_text

    name = file.name.removesuffix(_SCENARIO)
    for number, (deployed, finding) in enumerate(found, 1):
        target = file if number == 1 else file.with_name(f"{name}-{number}{_SCENARIO}")
        manifest = manifest_of(path).path
        folded_by = manifest if manifest.is_file() and path.suffix != ".proj" else deployed.entry.program
        try:
            with target.open("x", encoding="utf-8") as out:
                out.write(scenario_text(finding, Projection.load(folded_by), folded_by, target.parent))
        except OSError as error:
            raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from None
        note(f"wrote {target}")


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
