"""`projection builds`: the builds of a data folder, and deleting those that no longer answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from projection.cli.console import print_json, say
from projection.cli.options import Config, Reason, Storage
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from projection.engine.inventory import BuildState
    from projection.model.ids import ViewType

EXAMPLES = (
    "projection builds list",
    "projection builds show shop_orders 2",
    "projection builds delete shop_orders 1",
)
EXAMPLES_OF_LIST = ("projection builds list", "projection builds list shop_orders --json")
EXAMPLES_OF_SHOW = ("projection builds show shop_orders 2",)
EXAMPLES_OF_DELETE = (
    "projection builds delete shop_orders 1",
    'projection builds delete shop_orders 3 --reason "slow"',
)

_ViewType = Annotated[str, Argument(help="The view type, as the manifest names it.")]
_Number = Annotated[int, Argument(help="The number of the build.", min=1)]


def builds() -> None:
    """List, show and delete the builds of view types.

    A build is the state that one program has folded. One build of each view type answers; another may be folded to
    replace it.
    """


def list_(
    view_type: Annotated[str | None, Argument(help="One view type (default: all).")] = None,
    *,
    json: Annotated[bool, Option("--json", help="One JSON object for each build.")] = False,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """List builds, with their position and disk space.

    The state says which build answers, and the last column why one waits. `free` is about what `projection compact`
    frees. Works while a node runs.
    """
    from projection.cli.tables import print_table, size
    from projection.engine.inventory import build_states
    from projection.model.settings import Settings
    from projection.store.catalog import CatalogReader

    with CatalogReader.open(Settings.load(config, {"storage": storage}).storage) as catalog:
        found = build_states(catalog, None if view_type is None else catalog.require(name_of(view_type)).view_type)
    if json:
        for one in found:
            print_json(_as_json(one))
        return
    print_table(
        ("view type", "build", "state", "at", "views", "parked", "disk", "free", "why"),
        [
            (
                one.build.view_type,
                one.build.number,
                one.state,
                "-" if one.scanned is None else one.scanned,
                "-" if one.views is None else one.views,
                "-" if one.parked is None else one.parked,
                size(one.bytes),
                "-" if one.free is None else size(one.free),
                _remark(one),
            )
            for one in found
        ],
        last_folds=True,
    )


def show(view_type: _ViewType, number: _Number, *, storage: Storage = None, config: Config = None) -> None:
    """Print all details of one build as a JSON object.

    That is its program, settings, decisions, lineage, and contents. Reads the whole store, to measure the bytes of
    views, indexes, changes and parked events. Works while a node runs.
    """
    from projection.engine.inventory import build_states, contents_of
    from projection.model.settings import Settings
    from projection.store.catalog import CatalogReader

    with CatalogReader.open(Settings.load(config, {"storage": storage}).storage) as catalog:
        found = {one.build.number: one for one in build_states(catalog, catalog.require(name_of(view_type)).view_type)}
    if number not in found:
        shown = ", ".join(map(str, found))
        raise ConfigurationError(f"view type {view_type} has no build {number}", hint=f"it has: {shown}")
    one = found[number]
    contents = None if one.problem is not None else contents_of(one.build)
    print_json(_as_json(one) | {"contents": contents} | one.made_of)


def delete(
    view_type: _ViewType, number: _Number, *, reason: Reason = "", storage: Storage = None, config: Config = None
) -> None:
    """Delete a build that does not answer, and its files.

    A build that is still being folded is abandoned. A node may be running on the data folder.
    """
    from projection.cli.door import door_to, whoever
    from projection.engine.orders import DeleteOrder
    from projection.model.settings import Settings

    order = DeleteOrder(view_type=view_type, by=whoever(), reason=reason, build=number)
    with door_to(Settings.load(config, {"storage": storage}).storage) as door:
        came = door.delete(order)
    say(f"deleted build {came.build} of view type {came.view_type}")


def name_of(text: str) -> ViewType:
    """The name of a view type as it was typed.

    Raises:
        ConfigurationError: it is none.
    """
    from projection.model.ids import ViewType

    try:
        return ViewType(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _remark(one: BuildState) -> str:
    """Why a build waits or is not folded; a paused view type's builds are served all the same."""
    if one.paused is None or one.state == "former":
        return one.why or one.problem or ""
    paused = f"paused: {one.paused}" if one.paused else "paused"
    return f"{paused}; {one.why}" if one.why else paused


def _as_json(one: BuildState) -> dict[str, Any]:
    return {
        "view_type": str(one.build.view_type),
        "build": one.build.number,
        "state": one.state,
        "why": one.why,
        "paused": one.paused,
        "fold_identity": one.build.fold_identity,
        "scanned": one.scanned,
        "views": one.views,
        "parked": one.parked,
        "bytes": one.bytes,
        "free": one.free,
        "problem": one.problem,
    }
