"""`projection sink`: views as tables in PostgreSQL, kept up to date."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

from projection.cli.console import note, print_json
from projection.cli.options import Config, ManifestFile, Storage
from projection.cli.parameters import Argument, Option
from projection.errors import EXIT_SIGNAL, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from projection.model.ids import ViewType
    from projection.model.settings import Settings

EXAMPLES = (
    "projection sink postgres://sink@db.internal/reports",
    "projection sink postgres://sink@db.internal/reports shop_orders shop_sales",
    "projection sink postgres:///reports --schema read --metrics-port 9187",
    "projection sink postgres:///reports --until-level",
)


def sink(
    database: Annotated[
        str, Argument(metavar="URL", help="postgres://USER@HOST:PORT/DATABASE; the password best in PGPASSWORD.")
    ],
    view_types: Annotated[
        list[str] | None, Argument(metavar="[VIEW_TYPE]...", help="The view types (default: all that keep changes).")
    ] = None,
    *,
    schema: Annotated[
        str, Option(metavar="NAME", help="The schema for all tables of the sink; created if it does not exist.")
    ] = "projection",
    until_level: Annotated[
        bool, Option("--until-level", help="End when the tables contain everything that the node has committed.")
    ] = False,
    metrics_port: Annotated[
        int | None,
        Option(
            metavar="PORT", min=0, max=65_535, help="Serve Prometheus metrics at 127.0.0.1:PORT; 0 picks a free port."
        ),
    ] = None,
    storage: Storage = None,
    manifest: ManifestFile = None,
    config: Config = None,
) -> None:
    """Keep tables in PostgreSQL up to date with the views.

    There is one table for each view type, written until the command is stopped. Reads the data folder of a node that
    may be running, for all tenants; the view types need `changes: true`. Rows and position are committed together, so a
    kill at any moment loses nothing and duplicates nothing. A new build is written to a new table, which replaces the
    former one in one step.
    """
    from projection.cli.logs import configure_logs
    from projection.model.settings import Settings
    from projection.sink.database import Address
    from projection.sink.process import Sink

    settings = Settings.load(config, {"storage": storage, "manifest": manifest})
    address = Address(database)
    wanted = _view_types(view_types or ())
    keeping = Sink(settings.storage, address, schema, wanted, _columns(settings, given=manifest is not None))
    configure_logs(settings, address.password)
    stopping = _stopped_by_signals()
    with ExitStack() as opened:
        if metrics_port is not None:
            from projection.ops.sink_metrics import metrics_served

            port = opened.enter_context(metrics_served(keeping, metrics_port))
            note(f"metrics at http://127.0.0.1:{port}/metrics")
        keeping.run(stopping, until_level=until_level)
    written = {str(name): one.rows_written for name, one in keeping.fillings.items()}
    print_json({"rows_written": written, "scanned": {str(name): lag.scanned for name, lag in keeping.lags.items()}})


def _view_types(names: Sequence[str]) -> list[ViewType]:
    from projection.model.ids import ViewType

    try:
        return [ViewType(name) for name in dict.fromkeys(names)]
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _columns(settings: Settings, *, given: bool) -> dict[ViewType, tuple[str, ...]]:
    """What the manifest says of columns; without one that was named, there need be none on this machine."""
    from projection.model.manifest import Manifest

    if not given and not settings.manifest.exists():
        return {}
    return {entry.view_type: entry.columns for entry in Manifest.load(settings.manifest).views}


def _stopped_by_signals() -> Event:
    """Set by the first signal; the second one ends the process at once."""
    from threading import Event

    stopping = Event()

    def receive(number: int, _: object) -> None:
        if stopping.is_set():
            os._exit(EXIT_SIGNAL + number)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, receive)
    return stopping
