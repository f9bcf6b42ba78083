"""`projection query`: the views that a filter takes, out of a data folder, a file of events, or from a running node."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from projection.cli.console import note, say
from projection.cli.options import Config, Storage
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.cli.query_sources import Source
    from projection.client.answers import Found, PastView

EXAMPLES = (
    "projection query shop_orders --tenant north --filter 'total > 100'",
    "projection query shop_orders --tenant north --sort -total --format csv",
    "projection query shop_orders --tenant north --filter 'total > 100' --count",
    "projection query shop_orders --tenant north --events events.jsonl",
    "projection query shop_orders --url http://127.0.0.1:7070 --tenant north",
    "projection query shop_orders --id O000001 --at 2026-03-02T08:00:00Z",
    "projection query shop_orders --at 2026-03-02T08:00:00Z --backup /backups",
)
_MOST_A_PAGE = 1_000  # views; a limit that the settings may lower


class Format(StrEnum):
    """How views are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def query(
    view: Annotated[str, Argument(metavar="VIEW", help="The view type, as the manifest names it.")],
    *,
    filter_: Annotated[
        str | None,
        Option("--filter", metavar="CONDITION", help="The filter: in the projection language, or structured as JSON."),
    ] = None,
    sort: Annotated[
        list[str] | None,
        Option(metavar="PATHS", help="The order: paths, separated by commas; `-` in front for descending."),
    ] = None,
    select: Annotated[
        list[str] | None, Option(metavar="PATHS", help="The fields, separated by commas (default: all).")
    ] = None,
    id_: Annotated[str | None, Option("--id", metavar="ID", help="Only the view with this id.")] = None,
    at: Annotated[
        str | None,
        Option(metavar="MOMENT", help="The views as they were after this event, or at this time (RFC 3339)."),
    ] = None,
    backup: Annotated[
        Path | None,
        Option(metavar="DIR", help="With --at: start from a backup there (default: the settings' backup.directory)."),
    ] = None,
    object_store: Annotated[
        str | None,
        Option(metavar="BUCKET", help="With --at: start from a backup in this bucket of a JetStream object store."),
    ] = None,
    from_start: Annotated[
        bool, Option("--from-start", help="With --at: fold the whole log, without a backup.")
    ] = False,
    limit: Annotated[int | None, Option(metavar="N", min=1, help="At most N views (default: one page).")] = None,
    all_: Annotated[bool, Option("--all", help="All views that match, page by page.")] = False,
    count: Annotated[bool, Option("--count", help="Print only how many views match.")] = False,
    explain: Annotated[bool, Option("--explain", help="Print only how the query is executed.")] = False,
    format_: Annotated[Format, Option("--format", help="A table, one JSON object per line, or CSV.")] = Format.TABLE,
    tenant: Annotated[
        str | None,
        Option(metavar="TENANT", help="The tenant of the views (default: that of the token, or the default tenant)."),
    ] = None,
    storage: Storage = None,
    events: Annotated[
        Path | None,
        Option(metavar="FILE", help="Fold the events of this file in memory, and query the result."),
    ] = None,
    manifest: Annotated[
        Path | None, Option(metavar="FILE", help="With --events: the manifest (default: that of the settings).")
    ] = None,
    url: Annotated[
        str | None, Option(metavar="URL", help="Query the node at this URL instead of a data folder.")
    ] = None,
    token_file: Annotated[Path | None, Option(metavar="FILE", help="With --url: a file with a bearer token.")] = None,
    secret_file: Annotated[
        Path | None, Option(metavar="FILE", help="With --url: a file with the secret of a gateway.")
    ] = None,
    ca_file: Annotated[
        Path | None, Option(metavar="FILE", help="With --url: a file with the authorities to trust.")
    ] = None,
    config: Config = None,
) -> None:
    """Print the views of a tenant that match a filter.

    They come from a data folder or from a node, sorted and page by page. A data folder can be read while a node writes
    to it. With --events neither is needed: a file's events are folded in memory, and the answer is that of a node that
    has folded the same. Notes on stderr say whether there are more views, and which of them have parked events.

    With --id and --at, one view is folded again from its own events, with the program of the build that answers, from
    the stream of the settings, from the file, or by the node that --url names. With --at alone, all views of the view
    type are folded, starting from the newest backup before that point, in a temporary folder.
    """
    from projection.cli import query_formats as formats
    from projection.cli.query_past import local_view_at, past_views
    from projection.cli.query_sources import client_of, data_folder, events_file, given_filter, node

    if url is None and (token_file or secret_file or ca_file):
        raise ConfigurationError("--token-file, --secret-file and --ca-file go with --url")
    if manifest is not None and events is None:
        raise ConfigurationError("--manifest goes with --events")
    places = {"--url": url, "--storage": storage, "--events": events}
    if len(named := [option for option, place in places.items() if place is not None]) > 1:
        raise ConfigurationError(f"{' and '.join(named)} are different places; name one")
    if all_ and limit is not None:
        raise ConfigurationError("--all and --limit contradict each other; name one")
    if id_ is not None and filter_ is not None:
        raise ConfigurationError("--id and --filter contradict each other; name one")
    begins = [
        option
        for option, given in (("--backup", backup), ("--object-store", object_store), ("--from-start", from_start))
        if given
    ]
    _require_moment(at, id_, begins, url, events)
    if at is not None and id_ is not None and not begins:
        if sort or select or count or explain or all_ or limit:
            raise ConfigurationError("--id and --at name one view; no other option says which views, or how many")
        if url is not None:
            with client_of(url, tenant, token_file, secret_file, ca_file) as client:
                _print_past(client.view_at(view, id_, at), format_)
        else:
            _print_past(local_view_at(view, id_, at, tenant, events, manifest, storage, config), format_)
        return
    selected = _paths(select)
    of_id = None if id_ is None else {"field": "$id", "op": "eq", "value": id_}
    terms = {"view": view, "filter": of_id or given_filter(filter_), "sort": _paths(sort), "select": selected}
    if url is not None:
        opened = node(url, tenant, token_file, secret_file, ca_file)
    elif at is not None:
        where = (tenant, events, manifest, storage, config)
        opened = past_views(view, at, *where, backup=backup, bucket=object_store, from_start=from_start)
    elif events is not None:
        opened = events_file(events, manifest, config, tenant)
    else:
        opened = data_folder(storage, config, tenant)
    with opened as source:
        if explain:
            formats.print_explanation(source.explain({**terms, "limit": limit}), as_json=format_ is Format.JSON)
            return
        if count:
            say(str(source.query({**terms, "limit": 1, "count": True}).count))
            return
        views = _Views(source, terms, limit, is_all=all_)
        if format_ is Format.JSON:
            formats.print_lines(views)
        else:
            columns = selected or source.fields(view)
            (formats.print_csv if format_ is Format.CSV else formats.print_views)(columns, views)
        whose = "" if tenant is None else f" --tenant {shlex.quote(tenant)}"
        views.note_what_is_left("" if events or at else f"; see `projection parked list{whose}`")
        if views.found_none and tenant is None and url is None:
            note("note: no view of the default tenant matches; --tenant selects another")


def _require_moment(
    at: str | None, id_: str | None, begins: Sequence[str], url: str | None, events: Path | None
) -> None:
    """Make sure that the options which say of what time the views are go together.

    Args:
        at: the moment.
        id_: the view that is asked for.
        begins: the options that say what the fold starts from.
        url: the node that is asked.
        events: the file that is folded.

    Raises:
        ConfigurationError: they do not.
    """
    if begins and at is None:
        raise ConfigurationError(f"{begins[0]} goes with --at")
    if len(begins) > 1 and "--from-start" in begins:
        raise ConfigurationError(f"{begins[0]} and --from-start contradict each other; name one")
    if begins and (url is not None or events is not None):
        raise ConfigurationError(f"{begins[0]} is for a data folder, and not for --url or --events")
    if url is not None and at is not None and id_ is None:
        raise ConfigurationError(
            "a node is asked for one view of the past: name it with --id",
            hint="all views of a view type are folded on the node's machine, by `projection query --at` without --url",
        )


def _print_past(found: PastView, format_: Format) -> None:
    from projection.cli import query_formats as formats
    from projection.client.answers import Found

    views = [Found(id=found.id, view=found.view)]
    if format_ is Format.JSON:
        formats.print_lines(views)
    else:
        (formats.print_csv if format_ is Format.CSV else formats.print_views)([*found.view], views)
    which = f" by build {found.build}" if found.build else ""
    read = f"{found.events:,} event{'' if found.events == 1 else 's'}"
    note(f"note: as of event {found.at:,}, folded{which} from {read}")
    if found.degraded:
        note("note: events of it were parked by then, so their effect is missing")
    if found.incomplete:
        note("note: some events of this tenant had reached no view by then, so it may lack one")


def _paths(given: Sequence[str] | None) -> list[str] | None:
    """The paths of an option that may be repeated, and hold several each."""
    return None if given is None else [path for one in given for path in one.split(",")]


class _Views:
    """The views to print, fetched as they are printed; and what is to be told of them in the end."""

    def __init__(self, source: Source, terms: dict[str, Any], limit: int | None, *, is_all: bool) -> None:
        self._source = source
        self._terms = terms
        self._limit = limit
        self._is_all = is_all
        self._has_more = False
        self._found = 0
        self._degraded: list[str] = []
        self._incomplete = False

    def __iter__(self) -> Iterator[Found]:
        left, cursor = self._limit, None
        while True:
            wanted = _MOST_A_PAGE if self._is_all else None if left is None else min(left, _MOST_A_PAGE)
            page = self._source.query({**self._terms, "limit": wanted, "cursor": cursor})
            self._found += len(page.views)
            self._degraded += page.degraded
            self._incomplete |= page.incomplete
            yield from page.views
            cursor = page.next
            if left is not None:
                left -= len(page.views)
            if cursor is None or left == 0 or not (self._is_all or left is not None):
                self._has_more = cursor is not None
                return

    @property
    def found_none(self) -> bool:
        """Whether there was nothing to print."""
        return not self._found

    def note_what_is_left(self, see: str) -> None:
        """Say on stderr what the views alone do not say."""
        if self._has_more:
            note("note: there are more; --limit or --all prints them")
        if self._degraded:
            ids = ", ".join(map(repr, self._degraded[:5])) + (", …" if len(self._degraded) > 5 else "")
            note(f"note: events are parked for {ids}, so their effect is missing{see}")
        if self._incomplete:
            note(f"note: some events of this tenant have reached no view, so any view may lack one{see}")
