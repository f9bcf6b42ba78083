"""Access: whose request it is. The tenant comes from the credentials, and from nowhere else."""

from __future__ import annotations

import hmac
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, NamedTuple

from fastapi import Depends, Request

from projection.errors import ConfigurationError
from projection.model.http_settings import Address
from projection.model.ids import TenantId
from projection.ops.http.admission import STREAMS, place_of
from projection.ops.http.credentials import Principal, only
from projection.ops.http.problems import RequestError
from projection.ops.http.tokens import Tokens

if TYPE_CHECKING:
    from projection.model.envelope import Tenancy
    from projection.model.http_settings import AccessSettings
    from projection.ops.http.credentials import Headers, Way

TENANT = "x-tenant-id"
SECRET = "x-projection-secret"  # noqa: S105 - the header's name
SCOPES = "x-projection-scopes"


class Reader(NamedTuple):
    """Who asks for views."""

    tenant_id: TenantId


class Access:
    """Who may do what: by the mode of the settings, and by whether tenants exist."""

    def __init__(self, settings: AccessSettings, tenancy: Tenancy, way: Way | None = None) -> None:
        """Access by these settings, or in another way than they say.

        Raises:
            ConfigurationError: a key or a secret cannot be used.
        """
        self._operator_scope = settings.operator_scope
        self._tenancy = tenancy
        self._way = way or _way(settings)

    async def look(self) -> None:
        """Take in what has changed outside; see `Way.look`."""
        await self._way.look()

    def principal(self, headers: Headers) -> Principal:
        """Who asks; see `Way`."""
        return self._way.principal(headers)

    def reader(self, headers: Headers) -> Reader:
        """Who asks for views, which only a tenant has.

        Raises:
            RequestError: the credentials are missing, not accepted, or name no tenant.
        """
        tenant_id = self._way.principal(headers).tenant_id
        if not self._tenancy.enabled:
            return Reader(self._tenancy.default)
        if tenant_id is None:
            raise RequestError(
                "access.forbidden", "the credentials name no tenant", hint="views belong to a tenant: sign in for one"
            )
        return Reader(tenant_id or self._tenancy.default)  # as with events: empty names the default

    def is_operator(self, headers: Headers) -> bool:
        """Whether an operator asks; credentials that are not accepted are nobody's."""
        try:
            return self._operator_scope in self._way.principal(headers).scopes
        except RequestError:
            return False

    def require_operator(self, headers: Headers) -> None:
        """Let an operator go on.

        Raises:
            RequestError: the credentials are missing, not accepted, or not an operator's.
        """
        if self._operator_scope not in self._way.principal(headers).scopes:
            raise RequestError(
                "access.forbidden", "this is for operators", hint=f"it needs the scope {self._operator_scope!r}"
            )


def _way(settings: AccessSettings) -> Way:
    if settings.mode == "none":
        return _Loopback(settings.operator_scope)
    try:
        secret = settings.read_secret() if settings.secret or settings.secret_file else None
    except (OSError, ValueError) as error:  # neither quotes what the file holds
        raise ConfigurationError(f"http.access.secret_file: {error}") from None
    if settings.mode == "header":
        assert secret is not None  # noqa: S101 - the settings see to it
        return _Gateway(secret)
    return Tokens(settings, secret)


class _Unchanging:
    async def look(self) -> None:
        """See `Way`: nothing changes."""


class _Loopback(_Unchanging):
    """Whoever is on this machine: an operator, and the tenant that they name."""

    def __init__(self, operator_scope: str) -> None:
        self._scopes = frozenset({operator_scope})

    def principal(self, headers: Headers) -> Principal:
        """See `Way`. A page in a browser may have its own name lead here; so only names of this machine count."""
        host = only(headers, b"host")
        if host is not None and not _is_here(host):
            raise RequestError(
                "access.host", "in access mode none the server answers to localhost, 127.0.0.1 and [::1] only"
            )
        return Principal(_tenant(only(headers, TENANT.encode()) or b""), self._scopes)


class Owner(_Unchanging):
    """Whoever may open a socket in the data folder, and so its stores: an operator, and the tenant that they name."""

    def __init__(self, operator_scope: str) -> None:
        self._scopes = frozenset({operator_scope})

    def principal(self, headers: Headers) -> Principal:
        """See `Way`."""
        return Principal(_tenant(only(headers, TENANT.encode()) or b""), self._scopes)


class _Gateway(_Unchanging):
    """A gateway that knows the secret, and says for whom it asks."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def principal(self, headers: Headers) -> Principal:
        """See `Way`."""
        shown = only(headers, SECRET.encode())
        challenge = {"www-authenticate": "Gateway"}
        if shown is None:
            raise RequestError("access.missing", f"the request has no {SECRET} header", headers=challenge)
        if not hmac.compare_digest(shown, self._secret):
            raise RequestError("access.denied", f"the {SECRET} header is not the gateway's", headers=challenge)
        named = only(headers, TENANT.encode())
        scopes = (only(headers, SCOPES.encode()) or b"").decode("latin-1")
        return Principal(None if named is None else _tenant(named), frozenset(scopes.split()))


@lru_cache(maxsize=1024)
def _tenant(named: bytes) -> TenantId:
    try:
        return TenantId(named.decode())
    except ValueError:  # the value is a stranger's: it is not repeated
        raise RequestError(
            "http.invalid", f"the {TENANT} header is no tenant id: UTF-8, at most 200 bytes as a key"
        ) from None


@lru_cache(maxsize=64)
def _is_here(host: bytes) -> bool:
    text = host.decode("latin-1")
    try:
        return Address.parse(text if text.rpartition("]")[2].count(":") else f"{text}:80").is_loopback
    except ValueError:
        return False


async def reader_of(request: Request) -> Reader:
    """Who asks for views; see `Access.reader`."""
    access: Access = request.app.state.service.access
    reader = access.reader(request.scope["headers"])
    request.scope["state"]["tenant"] = str(reader.tenant_id)  # for the log
    if request.scope["path"] not in STREAMS:
        place_of(request).belongs_to(reader.tenant_id)
    return reader


async def _anyone(request: Request) -> Principal:
    access: Access = request.app.state.service.access
    return access.principal(request.scope["headers"])


async def _operator(request: Request) -> None:
    access: Access = request.app.state.service.access
    access.require_operator(request.scope["headers"])


OfTenant = Annotated[Reader, Depends(reader_of)]  # what an endpoint takes that answers with views
OfAnyone = Annotated[Principal, Depends(_anyone)]
OfOperator = Depends(_operator)
