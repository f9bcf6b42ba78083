"""`projection log-level`: have a running node write more of its log, or less."""

from __future__ import annotations

from typing import Annotated

from projection.cli.console import say
from projection.cli.options import Config, Reason, Storage
from projection.cli.parameters import Argument
from projection.errors import ConfigurationError

EXAMPLES = (
    "projection log-level info,stream=debug",
    "projection log-level warning,http=error",
    "projection log-level info",
)


def log_level(
    level: Annotated[
        str,
        Argument(help="A level, and others of components: `info,stream=debug`; levels: debug, info, warning, error."),
    ],
    *,
    reason: Reason = "",
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Have the running node write its log from another level on.

    Components: backup, builds, fold, http, node, sink, store, stream. The change takes effect at once and lasts until
    the node ends; its next start goes by the setting log.level.
    """
    from projection.cli.door import running_node, whoever
    from projection.engine.orders import LogLevelOrder
    from projection.model.log_settings import LogLevels
    from projection.model.settings import Settings

    try:
        LogLevels.parse(level)
    except ValueError as error:
        raise ConfigurationError(f"argument LEVEL: {error}") from None
    data = Settings.load(config, {"storage": storage}).storage
    with running_node(data) as node:
        if node is None:
            raise ConfigurationError(
                f"no node runs on {data}, so there is no log to change",
                hint="`projection run` reads the setting `log.level` at its start",
            )
        came = node.log_level(LogLevelOrder(by=whoever(), reason=reason, level=level))
    say(f"the log level is {came.level}; it was {came.was}")
