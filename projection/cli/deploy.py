"""`projection deploy`: have a node fold what a manifest says from here on, while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from projection.cli.console import note, print_json, say
from projection.cli.options import AlthoughParked, Config, ManifestFile, Reason, Storage, WhenPromoted
from projection.cli.parameters import Option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.engine.outcomes import StepCame

EXAMPLES = (
    "projection deploy --dry-run",
    "projection deploy --manifest manifest.yaml --promote manual",
    'projection deploy --reason "long visits count"',
)


def deploy(
    *,
    manifest: ManifestFile = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Write nothing; show what would be done, and why.")] = False,
    promote: WhenPromoted = None,
    although_parked: AlthoughParked = False,
    reason: Reason = "",
    json: Annotated[bool, Option("--json", help="One JSON object for each view type.")] = False,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Make a node fold what a manifest says.

    All its programs are checked first. View types that are now folded differently are rebuilt, while the former build
    answers until the new one has caught up. If only views that had certain events can differ, only these are folded,
    and the rest are copied. Other view types continue, with the indexes that the program names now. A node that is
    running on the data folder starts at once, otherwise at its next start. Change the node's own manifest, too, by its
    next start.
    """
    from projection.cli.door import door_to, whoever
    from projection.engine.deploying import FoldsAnew, plan_deployment
    from projection.engine.deployment import load_deployment
    from projection.engine.orders import DeployOrder
    from projection.engine.outcomes import StepCame
    from projection.engine.recipes import recipe_of
    from projection.model.manifest import Manifest
    from projection.model.settings import Settings
    from projection.store.catalog import CatalogReader

    settings = Settings.load(config, {"manifest": manifest, "storage": storage})
    deployed = load_deployment(Manifest.load(settings.manifest), settings.tenancy, settings.subjects)
    if dry_run:
        with CatalogReader.open(settings.storage) as catalog:
            steps: Sequence[StepCame] = [StepCame.of(one) for one in plan_deployment(catalog, deployed)]
    else:
        order = DeployOrder(
            recipes=[recipe_of(one).encode() for one in deployed],
            by=whoever(),
            reason=reason,
            promote=None if promote is None else promote.value,
            although_parked=although_parked,
        )
        with door_to(settings.storage) as door:
            steps = door.deploy(order).steps
    print_steps(steps, as_json=json)
    if dry_run:
        note("note: nothing was done")
    elif any(one.change == FoldsAnew.change for one in steps):
        note("note: `projection builds list` shows the progress of each new build")


def print_steps(steps: Sequence[StepCame], *, as_json: bool) -> None:
    """Print what a deployment does with each view type."""
    from msgspec.structs import asdict

    from projection.cli.tables import print_table

    if as_json:
        for one in steps:
            print_json(asdict(one))
        return
    rows = [(one.view_type, one.change, "-" if one.build is None else one.build, one.why or "-") for one in steps]
    print_table(("view type", "action", "build", "what is different"), rows, last_folds=True)
    for one in steps:
        if one.folds is not None:
            say(f"{one.view_type}: {one.folds}")
