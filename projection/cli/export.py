"""`projection export`: the views of a type in a file, all of one position."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from projection.cli.console import counted, note, print_json
from projection.cli.options import Config, Storage
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from typing import BinaryIO

    from projection.query.schema import ViewSchema
    from projection.sink.export import Writer

EXAMPLES = (
    "projection export shop_orders orders.jsonl",
    "projection export shop_orders orders.csv --format csv --tenant north",
    "projection export shop_orders orders.parquet --format parquet",
)


class Format(StrEnum):
    """What a file is written as."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def export(
    view_type: Annotated[str, Argument(metavar="VIEW_TYPE", help="The view type, as the manifest names it.")],
    file: Annotated[Path, Argument(help="The file to write.")],
    *,
    format_: Annotated[
        Format, Option("--format", help="One JSON object per line, CSV, or Parquet with typed columns.")
    ] = Format.JSONL,
    tenant: Annotated[str | None, Option(metavar="TENANT", help="The views of one tenant (default: all).")] = None,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Write the views of a type to a file, as of one position.

    A node may be writing to the data folder meanwhile. The file appears once it is complete; an existing file is not
    overwritten. It needs little memory, however many views there are. The result is one JSON object on stdout, with the
    position.
    """
    from projection.model.ids import TenantId, ViewType
    from projection.model.settings import Settings
    from projection.query.freshness import age
    from projection.query.serving import Serving
    from projection.sink import export as exporting
    from projection.store.catalog import CatalogReader

    settings = Settings.load(config, {"storage": storage})
    try:
        wanted, whose = ViewType(view_type), None if tenant is None else TenantId(tenant)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    with CatalogReader.open(settings.storage) as catalog:
        serving = Serving(catalog)
        try:
            served = serving.of(wanted)
            with exporting.whole_file(file) as out:
                found = exporting.export(served, wanted, whose, _writer(format_, out, served.schema))
        finally:
            serving.close()
    note(f"wrote {counted(found.views, 'view')} to {file}")
    print_json(
        {
            "views": found.views,
            "build": served.number,
            "program": served.program,
            "scanned": found.position.scanned,
            "as_of": age(found.position, None).as_of,
        }
    )


def _writer(format_: Format, out: BinaryIO, schema: ViewSchema) -> Writer:
    from projection.sink import export as exporting

    match format_:
        case Format.JSONL:
            return exporting.JsonLines(out)
        case Format.CSV:
            return exporting.Csv(out, schema.record)
        case Format.PARQUET:
            from projection.sink.parquet import Parquet

            return Parquet(out, schema)
