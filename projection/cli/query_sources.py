"""Where `projection query` gets views from: a data folder, a node or a file of events, which answer alike."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from projection.client.answers import Catalog, Explanation, Page, decoded
from projection.client.errors import UnknownViewTypeError
from projection.errors import ConfigurationError
from projection.inputs import read_input

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from projection.client.client import Client
    from projection.model.ids import TenantId
    from projection.model.settings import Settings
    from projection.query.folder import FolderQueries


_Kind = TypeVar("_Kind")


class Source(Protocol):
    """What a query can be put to; its terms are those of the query form, None where one is not given."""

    def query(self, terms: Mapping[str, Any]) -> Page: ...  # noqa: D102
    def explain(self, terms: Mapping[str, Any]) -> Explanation: ...  # noqa: D102
    def fields(self, view_type: str) -> list[str]: ...  # noqa: D102


def given_filter(text: str | None) -> str | dict[str, Any] | None:
    """A filter as it was typed: a condition, or the JSON of a structured one."""
    if text is None or not text.lstrip().startswith("{"):
        return text
    try:
        return decoded(text.encode(), dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"option --filter: it begins like JSON, but is not valid JSON: {error}") from None


@contextmanager
def data_folder(storage: Path | None, config: Path | None, tenant: str | None) -> Iterator[Source]:
    """The views of a tenant in a data folder.

    Raises:
        ConfigurationError: there is no such folder, or no such tenant can be.
        StorageError: it cannot be read.
    """
    from projection.model.settings import Settings
    from projection.query.folder import FolderQueries

    settings = Settings.load(config, {"storage": storage})
    whose = whose_views(tenant, settings)
    with FolderQueries.open(settings.storage, settings.query) as queries:
        yield _Folder(queries, whose)


@contextmanager
def events_file(file: Path, manifest: Path | None, config: Path | None, tenant: str | None) -> Iterator[Source]:
    """The views of a tenant that the events of a file come to, folded in memory.

    Raises:
        ConfigurationError: there is no such file or manifest, or no such tenant can be.
        ProgramsInvalidError: with the diagnostics of all programs.
        LaneHaltedError: a policy says halt, and an event made it.
    """
    from projection.cli.replay import folded
    from projection.engine.replayed import queries_on
    from projection.model.settings import Settings

    settings = Settings.load(config, {"manifest": manifest})
    whose = whose_views(tenant, settings)
    replay, _ = folded(file, settings)
    with queries_on(replay, settings.query) as queries:
        yield _Folder(queries, whose)


def whose_views(tenant: str | None, settings: Settings) -> TenantId:
    """The tenant that is named, or the default one.

    Raises:
        ConfigurationError: there can be no such tenant.
    """
    from projection.model.ids import TenantId

    try:
        return TenantId(tenant) if tenant is not None else settings.default_tenant
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def folder_source(queries: FolderQueries, tenant_id: TenantId) -> Source:
    """The views of a tenant of which queries are asked in this process."""
    return _Folder(queries, tenant_id)


class _Folder:
    def __init__(self, queries: FolderQueries, tenant_id: TenantId) -> None:
        self._queries = queries
        self._tenant_id = tenant_id

    def query(self, terms: Mapping[str, Any]) -> Page:
        from projection.query.form import Query

        return _as_told(Page, self._queries.query(self._tenant_id, Query.read(_given(terms))))

    def explain(self, terms: Mapping[str, Any]) -> Explanation:
        from projection.query.form import Query

        return _as_told(Explanation, self._queries.explain(self._tenant_id, Query.read(_given(terms))))

    def fields(self, view_type: str) -> list[str]:
        return _fields(_as_told(Catalog, self._queries.catalog()), view_type)


@contextmanager
def node(
    url: str, tenant: str | None, token_file: Path | None, secret_file: Path | None, ca_file: Path | None
) -> Iterator[Source]:
    """The views of a tenant that a node serves.

    Raises:
        ConfigurationError: the URL is none, or a file cannot be read.
    """
    with client_of(url, tenant, token_file, secret_file, ca_file) as client:
        yield _Node(client)


@contextmanager
def client_of(
    url: str, tenant: str | None, token_file: Path | None, secret_file: Path | None, ca_file: Path | None
) -> Iterator[Client]:
    """A client of a node; raises as `node`."""
    import ssl

    from projection.client.client import Client

    tls = None
    if ca_file is not None:
        try:
            tls = ssl.create_default_context(cafile=ca_file)
        except OSError as error:  # what OpenSSL has against it as well
            raise ConfigurationError(f"option --ca-file: {str(ca_file)!r} cannot be used: {error.strerror}") from None
    token, secret = _text("--token-file", token_file), _text("--secret-file", secret_file)
    with Client(url, token=token, tenant=tenant, secret=secret, tls=tls) as client:
        yield client


class _Node:
    def __init__(self, client: Client) -> None:
        self._client = client

    def query(self, terms: Mapping[str, Any]) -> Page:
        return self._client.query(terms["view"], **_without_view(terms))

    def explain(self, terms: Mapping[str, Any]) -> Explanation:
        return self._client.explain(terms["view"], **_without_view(terms))

    def fields(self, view_type: str) -> list[str]:
        return _fields(self._client.catalog(), view_type)


def _text(option: str, file: Path | None) -> str | None:
    """What stands in a file: a secret, which no command line should show to other users of the machine."""
    if file is None:
        return None
    try:
        return read_input(file).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigurationError(f"option {option}: {str(file)!r} cannot be read: {why}") from None


def _given(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in terms.items() if value is not None}


def _without_view(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in terms.items() if name != "view"}


def _fields(catalog: Catalog, view_type: str) -> list[str]:
    """The fields of a view type, in name order as in its views."""
    for one in catalog.views:
        if one.view == view_type:
            return sorted(one.json_schema.get("properties", {}))
    known = ", ".join(sorted(one.view for one in catalog.views))
    raise UnknownViewTypeError(f"there is no view type {view_type!r}", hint=f"there are: {known}")


def _as_told(kind: type[_Kind], answer: msgspec.Struct) -> _Kind:
    """An answer as it would come from a node."""
    return decoded(msgspec.json.encode(answer), kind)
