"""`projection adopt`: a corrected program takes over what a build has come to, parked events included."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from projection.cli.console import note, print_json
from projection.cli.options import Config, ManifestFile, Storage
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from projection.engine.adoption import Adoption
    from projection.engine.deployment import DeployedView
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
    every: Annotated[bool, Option("--all", help="Every view type that is folded differently by now.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Write nothing; show what would come of it.")] = False,
    json: Annotated[bool, Option("--json", help="One JSON object for each view type.")] = False,
    manifest: ManifestFile = None,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Let a corrected program take over the views as they are, and run the parked events.

    The build that answers is copied and stays as it is; the copy answers as soon as it is complete. No node may be
    running on the data folder, but for --dry-run.
    """
    from projection.cli.data_folder import taken
    from projection.engine.adoption import adopt as take_over
    from projection.engine.adoption import preview
    from projection.model.settings import Settings
    from projection.store.catalog import CatalogReader

    if every == (view_type is not None):
        raise ConfigurationError("name a view type, or say --all")
    settings = Settings.load(config, {"manifest": manifest, "storage": storage})
    deployed = _deployed(settings, view_type)
    came: list[Adoption] = []

    def tell(adoption: Adoption) -> None:
        came.append(adoption)
        if json:
            print_json(_as_json(adoption))

    if dry_run:
        with CatalogReader.open(settings.storage) as reader:
            for one in _changed(reader, deployed) if every else deployed:
                tell(preview(reader, one))
    else:
        with taken(settings.storage) as catalog:
            for one in _changed(catalog, deployed) if every else deployed:
                tell(take_over(catalog, one))
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
    manifest = manifest.model_copy(update={"views": tuple(chosen)})
    return load_deployment(manifest, settings.tenancy, settings.subjects, Execution(settings.execution))


def _changed(catalog: Catalog | CatalogReader, deployed: tuple[DeployedView, ...]) -> list[DeployedView]:
    return [
        one
        for one in deployed
        if (build := catalog.serving(one.entry.view_type)) and build.base_identity != one.base_identity
    ]


def _as_json(came: Adoption) -> dict[str, Any]:
    numbers = {name: value for name, value in asdict(came).items() if name not in ("former", "build")}
    return {
        "view_type": str(came.former.view_type),
        "former_build": came.former.number,
        "build": None if came.build is None else came.build.number,
        **numbers,
    }


def _print_table(came: list[Adoption]) -> None:
    from projection.cli.tables import print_table

    print_table(
        ("view type", "build", "at", "views changed", "taken", "gone", "still parked"),
        [
            (
                one.former.view_type,
                f"{one.former.number} → {'new' if one.build is None else one.build.number}",
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
            note(f"{one.former.view_type}: {sum(one.skipped.values()):,} events were recorded and skipped")
        if one.suspended:
            note(
                f"{one.former.view_type}: {one.suspended:,} views or tenants stay suspended, because later events are "
                "missing from the build; `projection run --new-build` folds them from the start"
            )
        if one.late:
            note(
                f"{one.former.view_type}: {one.late:,} events that had reached no view now would, and stay parked: "
                "they would come behind later events; `projection run --new-build` folds them where they belong"
            )
