"""`projection adopt`: a corrected program takes over what a build has come to, parked events included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from projection.cli.console import counted, note, print_json
from projection.cli.options import Config, ManifestFile, Reason, Storage
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from projection.engine.deployment import DeployedView
    from projection.engine.outcomes import AdoptCame
    from projection.model.settings import Settings
    from projection.store.catalog import Catalog, CatalogReader

EXAMPLES = (
    "projection adopt shop_orders --dry-run",
    "projection adopt shop_orders",
    "projection adopt --all --json",
)


def adopt(
    view_type: Annotated[str | None, Argument(help="The view type, as the manifest names it.")] = None,
    *,
    every: Annotated[bool, Option("--all", help="Every view type that the manifest now folds differently.")] = False,
    reason: Reason = "",
    dry_run: Annotated[bool, Option("--dry-run", help="Write nothing; preview the result.")] = False,
    json: Annotated[bool, Option("--json", help="One JSON object for each view type.")] = False,
    manifest: ManifestFile = None,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Let a corrected program take over the existing views.

    The build that answers is copied, and stays unchanged. The parked events are applied to the copy, in order and only
    to their views; the copy answers once it is complete. A node may be running on the data folder: it continues with
    the copy. By its next start, its manifest must name the same program.
    """
    import msgspec

    from projection.cli.door import door_to, whoever
    from projection.engine.adoption import preview
    from projection.engine.orders import AdoptOrder
    from projection.engine.outcomes import AdoptCame
    from projection.engine.recipes import recipe_of
    from projection.model.settings import Settings
    from projection.store.catalog import CatalogReader

    if every == (view_type is not None):
        raise ConfigurationError("name a view type, or say --all")
    settings = Settings.load(config, {"manifest": manifest, "storage": storage})
    deployed = _deployed(settings, view_type)
    came: list[AdoptCame] = []

    def tell(adoption: AdoptCame) -> None:
        came.append(adoption)
        if json:
            print_json(msgspec.structs.asdict(adoption))

    with CatalogReader.open(settings.storage) as reader:
        chosen = _changed(reader, deployed) if every else list(deployed)
        if dry_run:
            for one in chosen:
                tell(AdoptCame.of(preview(reader, one)))
    if not dry_run and chosen:
        with door_to(settings.storage) as door:
            for one in chosen:
                recipe = recipe_of(one).encode()
                order = AdoptOrder(view_type=str(one.entry.view_type), by=whoever(), reason=reason, recipe=recipe)
                tell(door.adopt(order))
    if not came:
        note("there is nothing to adopt: every view type is folded by the program that the manifest names")
    elif not json:
        _print_table(came)


def _deployed(settings: Settings, view_type: str | None) -> tuple[DeployedView, ...]:
    from projection.engine.deployment import load_deployment
    from projection.lang.run.executors import Execution
    from projection.model.manifest import Manifest

    manifest = Manifest.load(settings.manifest)
    chosen = [one for one in manifest.views if view_type in (None, one.view_type)]
    if not chosen:
        known = ", ".join(one.view_type for one in manifest.views)
        raise ConfigurationError(f"manifest {manifest.path} has no view type {view_type!r}", hint=f"it has: {known}")
    manifest = manifest.replaced(views=tuple(chosen))
    return load_deployment(manifest, settings.tenancy, settings.subjects, Execution(settings.execution))


def _changed(catalog: Catalog | CatalogReader, deployed: tuple[DeployedView, ...]) -> list[DeployedView]:
    return [
        one
        for one in deployed
        if (build := catalog.serving(one.entry.view_type)) and build.base_identity != one.base_identity
    ]


def _print_table(came: list[AdoptCame]) -> None:
    from projection.cli.tables import print_table

    print_table(
        ("view type", "build", "at", "views changed", "taken", "gone", "still parked"),
        [
            (
                one.view_type,
                f"{one.former_build} → {'new' if one.build is None else one.build}",
                one.scanned,
                one.views_changed,
                one.taken,
                one.gone,
                ", ".join(f"{count:,} {code}" for code, count in one.parked.items()) or "none",
            )
            for one in came
        ],
    )
    for one in came:
        if one.skipped:
            note(f"{one.view_type}: {counted(sum(one.skipped.values()), 'event')} recorded and skipped")
        if one.suspended:
            note(
                f"{one.view_type}: {one.suspended:,} views or tenants stay suspended, because later events are "
                "missing from the build; `projection run --new-build` folds them from the start"
            )
        if one.late:
            note(
                f"{one.view_type}: {counted(one.late, 'event')} that had reached no view would reach one now; left "
                "parked, because later events are applied already; `projection run --new-build` folds all in order"
            )
