"""`projection reload`: have a node read its own manifest anew and deploy it, while it runs."""

from __future__ import annotations

from typing import Annotated

from projection.cli.options import AlthoughParked, Config, Reason, Storage, WhenPromoted
from projection.cli.parameters import Option
from projection.errors import ConfigurationError

EXAMPLES = ("projection reload", 'projection reload --promote when_equal --reason "only comments changed"')


def reload(
    *,
    promote: WhenPromoted = None,
    although_parked: AlthoughParked = False,
    reason: Reason = "",
    json: Annotated[bool, Option("--json", help="One JSON object for each view type.")] = False,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Let the running node read and deploy its manifest again.

    It does what `projection deploy` does, with the manifest that the node was started with, as SIGHUP does. If that
    file is missing, the node deploys what was deployed last. Nothing changes unless everything is valid.
    """
    from projection.cli.deploy import print_steps
    from projection.cli.door import running_node, whoever
    from projection.engine.orders import ReloadOrder
    from projection.model.settings import Settings

    data = Settings.load(config, {"storage": storage}).storage
    order = ReloadOrder(
        by=whoever(),
        reason=reason,
        promote=None if promote is None else promote.value,
        although_parked=although_parked,
    )
    with running_node(data) as node:
        if node is None:
            raise ConfigurationError(
                f"no node runs on {data}, so there is nothing to reload",
                hint="`projection run` reads the manifest at its start; `projection deploy` deploys one to the folder",
            )
        steps = node.reload(order).steps
    print_steps(steps, as_json=json)
