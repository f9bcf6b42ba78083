"""`projection operations`: the long operations of a node, how far each is, and an early end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from projection.cli.console import note, print_json, progress, say
from projection.cli.options import Config, Reason, Storage
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED, ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from projection.engine.tasks import TaskRecord

EXAMPLES = (
    "projection operations list",
    "projection operations watch 5f3a9c0d1e2b",
    "projection operations cancel 5f3a9c0d1e2b",
)
EXAMPLES_OF_LIST = ("projection operations list", "projection operations list --json")
EXAMPLES_OF_WATCH = ("projection operations watch 5f3a9c0d1e2b",)
EXAMPLES_OF_CANCEL = ("projection operations cancel 5f3a9c0d1e2b",)
_LOOK_S = 0.5

_Id = Annotated[str, Argument(metavar="ID", help="The operation, as `operations list` names it.")]


def operations() -> None:
    """List, watch and cancel the long operations of a node.

    These are rebuilds and deployments, until the new build answers, adoptions, repairs, backups, compactions,
    verifications and comparisons.
    """


def list_(
    *,
    json: Annotated[bool, Option("--json", help="One JSON object for each operation.")] = False,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """List long operations, the oldest first.

    These are the ones in progress, and the last 200 that have ended. A node need not be running on the data folder.
    """
    from decimal import Decimal

    import msgspec

    from projection.cli.tables import print_table
    from projection.engine.tasks import State

    data = _data(config, storage)
    found, runs = _all(data)
    if json:
        for one in found:
            print_json(msgspec.to_builtins(one, builtin_types=(Decimal,)))
        return
    if not found:
        say("there are no long operations yet")
        return
    print_table(
        ("id", "operation", "view type", "began", "state", "done", "left"),
        [
            (one.id, one.operation, one.view_type or "-", f"{one.began[:16]}Z", one.state, _done(one), _left(one))
            for one in found
        ],
        last_folds=True,
    )
    for one in found:
        if one.error is not None:
            note(f"{one.id} {one.state}: {one.error}")
    if not runs and any(one.state == State.RUNNING for one in found):
        note(f"note: no node runs on {data}: its next start continues what was running, or gives it up")


def watch(task_id: _Id, *, storage: Storage = None, config: Config = None) -> None:
    """Follow a long operation until it has ended.

    Then it is printed as a JSON object. Exit status: 0 it is done, 1 it failed, was canceled or given up. If no node
    runs, it is printed as it is.
    """
    from decimal import Decimal
    from time import sleep

    import msgspec

    from projection.cli.door import running_node
    from projection.engine.tasks import State

    data = _data(config, storage)
    with running_node(data) as node:
        if node is None:
            found = _stored(data, task_id)
        else:
            with progress("working", None) as advance:
                why = None
                while not (found := node.task(task_id)).has_ended:
                    if found.done is not None:
                        advance(found.done, found.total)
                    if found.why is not None and found.why != why:
                        note(f"note: it waits: {found.why}")
                    why = found.why
                    sleep(_LOOK_S)
    print_json(msgspec.to_builtins(found, builtin_types=(Decimal,)))
    if found.state != State.DONE:
        raise Exit(EXIT_FAILED)


def cancel(task_id: _Id, *, reason: Reason = "", storage: Storage = None, config: Config = None) -> None:
    """Cancel a long operation of a running node.

    What it has not done by then is not done.
    """
    from projection.cli.door import running_node, whoever

    data = _data(config, storage)
    with running_node(data) as node:
        if node is None:
            raise ConfigurationError(
                f"no node runs on {data}, and nothing is running there",
                hint="its next start says how it ended",
            )
        found = node.cancel(task_id, whoever(), reason)
    what = f"{found.operation} of view type {found.view_type}" if found.view_type else found.operation
    say(f"operation {found.id}, {what}, ends as soon as it can")


def _all(data: Path) -> tuple[list[TaskRecord], bool]:
    """The long operations of a data folder, and whether a node runs there."""
    from projection.cli.door import running_node
    from projection.engine.tasks import stored_tasks
    from projection.store.catalog import CatalogReader

    with running_node(data) as node:
        if node is not None:
            return node.tasks(), True
    with CatalogReader.open(data) as catalog:
        return stored_tasks(catalog.task_records()), False


def _stored(data: Path, task_id: str) -> TaskRecord:
    from projection.engine.tasks import TaskUnknownError

    found = next((one for one in _all(data)[0] if one.id == task_id), None)
    if found is None:
        raise TaskUnknownError(f"there is no operation {task_id!r}", hint="`projection operations list`")
    return found


def _done(one: TaskRecord) -> Any:
    """How much of it is done: of what there is, where that is known."""
    from projection.engine.tasks import State

    if one.done is None:
        return "-"
    if one.total and one.state == State.DONE:  # events that nothing had to be read for are not counted
        return "100%"
    return f"{one.done:,}" if not one.total else f"{one.done * 100 // one.total}%"


def _left(one: TaskRecord) -> str:
    return "-" if one.left_s is None else f"{one.left_s:,.0f} s"


def _data(config: Path | None, storage: Path | None) -> Path:
    from projection.model.settings import Settings

    return Settings.load(config, {"storage": storage}).storage
