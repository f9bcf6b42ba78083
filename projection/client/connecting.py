"""What both clients give httpx: where the node is, who asks, how long to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from projection.client.calls import Answer
from projection.client.errors import UnreachableError
from projection.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from projection.client.calls import Call

SECRET_HEADER = "x-projection-secret"  # noqa: S105 - the name of the header
_HEARTBEATS_WITHIN_S = 45.0  # a change feed says something every 15 s; three times that is silence


def options(
    url: str,
    token: str | Callable[[], str] | None,
    tenant: str | None,
    secret: str | None,
    headers: Mapping[str, str] | None,
    timeout_s: float,
    tls: ssl.SSLContext | None,
    connections: int,
) -> dict[str, Any]:
    """The arguments of `httpx.Client` and `httpx.AsyncClient`.

    Raises:
        ConfigurationError: the URL is none of a node, or a value cannot be put into a header.
    """
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"the URL {url!r} cannot be used: {error}") from None
    if base.scheme not in ("http", "https") or not base.host or "%" in base.host:
        raise ConfigurationError(f"the URL {url!r} is not the URL of a node", hint="write it as http://host:port")
    sent = {"user-agent": "projection-client", **(headers or {})}
    if tenant is not None:
        sent["x-tenant-id"] = tenant
    if secret is not None:
        sent[SECRET_HEADER] = secret
    try:
        encoded = [(name.lower().encode("ascii"), value.encode()) for name, value in sent.items()]
    except UnicodeEncodeError:
        encoded = [(b"", b"\n")]
    for name, value in encoded:
        if not name or value != value.strip() or any(byte < 32 or byte == 127 for byte in value):
            raise ConfigurationError(
                "a tenant, secret or header cannot be sent: it contains control characters, or spaces at an end",
                hint="a bearer token can name any tenant",
            )
    return {
        "base_url": base,
        "headers": encoded,
        "auth": None if token is None else _Bearer(token),
        "timeout": timeout_s,
        "limits": httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        "verify": True if tls is None else tls,
    }


class _Bearer(httpx.Auth):
    """A token, or what gives the one of the moment: those that end soon are asked for at each request."""

    def __init__(self, token: str | Callable[[], str]) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Any:
        token = self._token if isinstance(self._token, str) else self._token()
        request.headers["authorization"] = f"Bearer {token}"
        yield request


def arguments(call: Call[Any], timeout_s: float) -> dict[str, Any]:
    """What `request` of either client of httpx takes for a call."""
    read = timeout_s + call.patience_s
    headers = dict(call.headers)
    if call.body is not None:
        headers["content-type"] = "application/json"
    return {
        "method": "GET" if call.body is None else "POST",
        "url": call.path,
        "params": list(call.params) or None,
        "headers": headers,
        "content": call.body,
        "timeout": httpx.Timeout(timeout_s, read=read),
    }


def stream_arguments(call: Call[Any], timeout_s: float, last_event_id: str | None) -> dict[str, Any]:
    """The same for a change feed, which has no end."""
    taken = arguments(call, timeout_s)
    if last_event_id is not None:
        taken["headers"]["last-event-id"] = last_event_id
    return {**taken, "timeout": httpx.Timeout(timeout_s, read=_HEARTBEATS_WITHIN_S)}


def answer(response: httpx.Response) -> Answer:
    """A response that has been read."""
    return Answer(response.status_code, response.headers, response.content)


def unreachable(url: httpx.URL, error: httpx.TransportError) -> UnreachableError:
    """What a caller is told of a connection that failed."""
    if isinstance(error, httpx.TimeoutException):
        why = "no answer in time" if not isinstance(error, httpx.ConnectTimeout) else "no connection in time"
    else:
        why = str(error) or type(error).__name__
    return UnreachableError(
        f"the node at {url.scheme}://{url.netloc.decode()} cannot be asked: {why}",
        hint="is the URL right, and does the node run there?",
    )
