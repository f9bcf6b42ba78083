"""`projection show`: views out of a data folder, also while a node is writing it."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

from projection.cli.console import print_json_lines
from projection.cli.options import Config, Storage
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError, ProjectionError

EXAMPLES = (
    "projection show shop_orders O000001 --tenant north",
    "projection show shop_orders --tenant north --limit 10",
    "projection show shop_orders --all-tenants",
)


def show(
    view_type: Annotated[str, Argument(help="The view type, as the manifest names it.")],
    view_id: Annotated[str | None, Argument(help="One view (default: all of the tenant).")] = None,
    *,
    tenant: Annotated[
        str | None, Option(metavar="TENANT", help="The tenant of the views (default: the default tenant).")
    ] = None,
    all_tenants: Annotated[bool, Option("--all-tenants", help="The views of every tenant.")] = False,
    limit: Annotated[int | None, Option(metavar="N", min=1, help="At most N lines.")] = None,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Print views, one JSON line each, in key order."""
    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.model.settings import Settings
    from projection.query.reading import one_view, serving_reader, view_lines

    if all_tenants and (tenant is not None or view_id is not None):
        raise ConfigurationError("--all-tenants goes with neither --tenant nor a view id")
    settings = Settings.load(config, {"storage": storage})
    try:
        wanted = ViewType(view_type)
        whose = None if all_tenants else TenantId(tenant) if tenant is not None else settings.default_tenant
        one = None if view_id is None else ViewId(view_id)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    with serving_reader(settings.storage, wanted) as reader:
        if one is not None and whose is not None:
            line = one_view(reader, whose, wanted, one)
            if line is None:
                raise ViewMissingError(
                    f"tenant {str(whose)!r} has no {wanted} with the id {view_id!r}",
                    hint="name another tenant with --tenant, or see the views of all with --all-tenants",
                )
            print_json_lines([line])
        else:
            print_json_lines(islice(view_lines({wanted: reader}, whose), limit))


class ViewMissingError(ProjectionError):
    """The view that was asked for does not exist."""

    error_class = ConfigurationError.error_class
    default_code = "view.missing"
