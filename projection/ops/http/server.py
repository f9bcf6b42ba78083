"""The server's life: a socket before anything else starts, uvicorn in the node's event loop, an end with the node."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Self

import structlog
import uvicorn

from projection.engine.background import Background
from projection.engine.live_backups import LiveBackups
from projection.engine.operations import Operations
from projection.engine.retention import Retention
from projection.errors import ConfigurationError, StorageError
from projection.history.latest import LatestEvents
from projection.history.logs import StreamLog
from projection.history.past_views import PastViews
from projection.history.repairing import Repairs
from projection.model.http_settings import Address
from projection.ops.http.access import Access, Owner
from projection.ops.http.app import application
from projection.ops.http.connections import Connections
from projection.ops.http.handshake import TlsServer
from projection.ops.http.protocol import KEEP_ALIVE_S, BoundedProtocol
from projection.ops.http.service import Service
from projection.ops.long_operations import LongOperations
from projection.ops.metrics import Metrics
from projection.ops.new_builds import NewBuilds
from projection.query.change_feed import ChangeFeed
from projection.query.service import Queries
from projection.query.serving import Serving
from projection.store import control_socket
from projection.stream.configured import nats_connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from projection.engine.node import Node
    from projection.model.http_settings import HttpSettings, TlsSettings
    from projection.model.settings import Settings
    from projection.ops.http.front import Front
    from projection.ops.tracing.requests import RequestTraces
    from projection.store.catalog import Catalog

log = structlog.get_logger(component="http")

_BACKLOG = 2_048
_BATCH = 250  # messages of a log that are made events at once, while all else waits
_LAST_ANSWERS_S = 5  # for requests under way when the server is to end
_DEAD_PEER_MS = 30_000  # until the kernel gives up one that confirms nothing


class Listener:
    """A socket that listens, with what its connections need; nobody is answered until `serving`."""

    def __init__(
        self, settings: HttpSettings, access: Access, tls: ssl.SSLContext | None, bound: socket.socket
    ) -> None:
        self.settings = settings
        self.access = access
        self.tls = tls
        self.bound = bound

    @classmethod
    def open(cls, settings: Settings) -> Self | None:
        """Listen where the settings say; None where they say nowhere.

        Raises:
            ConfigurationError: the address cannot be listened at, or a key, secret or certificate cannot be used.
        """
        http = settings.http
        if http.listen is None:
            return None
        access = Access(http.access, settings.tenancy)
        tls = _tls(http.tls)
        return cls(http, access, tls, _bound(Address.parse(http.listen), must_be_here=http.access.mode == "none"))

    @property
    def url(self) -> str:
        """Where it listens; the port is the real one."""
        return f"{'https' if self.tls else 'http'}://{Address(*self.bound.getsockname()[:2])}"

    def close(self) -> None:
        """Give the address back; idempotent."""
        self.bound.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@asynccontextmanager
async def serving(
    listener: Listener | None,
    node: Node,
    catalog: Catalog,
    settings: Settings,
    traces: RequestTraces | None = None,
) -> AsyncIterator[Service]:
    """Answer queries about a node, and take operators' orders, until the end of the block.

    Then streams end, and what is under way is answered. Whoever has the data folder's files is answered at a socket
    there, as an operator.

    Args:
        listener: where queries are answered; it is closed at the end. None: nowhere else.
        node: open, and open still at the end.
        catalog: of its data folder.
        settings: of the node.
        traces: is told of requests that were answered.
    """
    limits = settings.http.limits
    queries = Queries(Serving(catalog, node.reader_of), settings.query, node)
    changes = ChangeFeed(
        queries.serving,
        catalog.cursor_key,
        settings.query,
        streams=limits.streams,
        streams_per_tenant=limits.streams_per_tenant,
    )
    backups = LiveBackups(node, catalog, settings.backup, nats_connection(settings.nats))
    owner = Access(settings.http.access, settings.tenancy, Owner(settings.http.access.operator_scope))
    operations = Operations(node, catalog, queries.serving.release, settings)

    def log_for(purpose: str) -> StreamLog:
        return StreamLog(node.opener.nats, settings.stream, purpose, batch=_BATCH)

    past = PastViews(node, catalog, queries.serving, log_for, settings.query)
    repairs, new_builds = Repairs(node, catalog, operations, log_for), NewBuilds(node, catalog, operations, settings)
    long = LongOperations(node, catalog, operations, repairs, backups, new_builds)
    long.restore()
    metrics = Metrics(node, queries, lambda: changes.streams, long.tasks, backups, catalog.data)
    latest = LatestEvents(node, settings.stream)
    service = Service(node, operations, long, queries, past, latest, owner, metrics, changes, settings.http, "socket")
    doors: list[tuple[_Server, socket.socket]] = []
    control = _control(catalog.data)
    if control is not None:
        doors.append((_Server(service, None), control))
    if listener is not None:
        service = replace(service, access=listener.access, door="http", traces=traces)
        doors.append((_Server(service, listener.tls), listener.bound))
        log.info("serving", url=listener.url, access=settings.http.access.mode)
    tasks = [asyncio.create_task(server.serve([bound])) for server, bound in doors]
    for task in tasks:
        task.add_done_callback(lambda _: node.stop() if not service.stopping.is_set() else None)  # it has failed
    background = Background()
    by_the_clock = [
        background.begin("making backups by the clock", backups.follow_schedule()),
        background.begin("looking after former builds", Retention(operations, catalog, settings.builds).run()),
    ]
    try:
        yield service
    finally:
        for one in by_the_clock:
            one.cancel()
        service.stopping.set()
        for server, _ in doors:
            server.should_exit = True
        try:
            await asyncio.gather(*tasks)
        finally:
            if control is not None:
                control_socket.remove(catalog.data)
            queries.close()


def _control(data: Path) -> socket.socket | None:
    """The socket of a data folder; None where the disk has no room for it, or the system none of that kind."""
    try:
        return control_socket.listen(data)
    except StorageError as error:
        log.warning("commands cannot reach this node", reason=error.message, hint="stop it to run operators' commands")
        return None


class _Server(uvicorn.Server):
    def __init__(self, service: Service, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._connections = Connections(service.settings.limits.connections)
        super().__init__(_config(application(service), partial(BoundedProtocol, self._connections)))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections; those that are to be encrypted by ourselves, so that they count from then on."""
        if self._tls is None or sockets is None:
            await super().startup(sockets)
            return
        protocol = partial(
            BoundedProtocol, self._connections, config=self.config, server_state=self.server_state, app_state={}
        )
        self.servers = [TlsServer(bound, self._tls, self._connections, protocol) for bound in sockets]  # type: ignore[misc]
        self.started = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the node's business."""
        yield


def _config(app: Front, protocol: Callable[..., BoundedProtocol]) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        loop="none",
        http=protocol,  # type: ignore[arg-type] # it is called and nothing else
        ws="none",
        lifespan="off",
        interface="asgi3",
        workers=1,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )
    logger = logging.getLogger("uvicorn.error")
    logger.propagate = False
    logger.handlers = [_Forward(logging.ERROR)]  # warnings are about what strangers send
    config.load()
    return config


class _Forward(logging.Handler):
    """Hands uvicorn's errors to our log."""

    def emit(self, record: logging.LogRecord) -> None:
        """One of them."""
        log.error("the server has a fault", reason=record.getMessage().strip(), exc_info=record.exc_info)


def _bound(address: Address, *, must_be_here: bool) -> socket.socket:
    """A socket that listens at an address.

    Raises:
        ConfigurationError: it is taken, is none of this machine's, or is not for us.
    """
    shown = str(address)
    hint = "name another one with --listen or http.listen; port 0 picks a free one, and `off` disables HTTP"
    try:
        family, kind, protocol, _, found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigurationError(f"http.listen: {shown} is no address: {error.strerror}", hint=hint) from None
    if must_be_here and not Address(str(found[0]), address.port).is_loopback:
        raise ConfigurationError(
            f"http.listen: {shown} is {found[0]}, which other machines may reach, and http.access.mode is none",
            hint="listen at 127.0.0.1",
        )
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # accepted connections have it from here
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MS)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(found)
        bound.listen(_BACKLOG)  # now, so that nobody else takes it while the node opens
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        reason = {
            errno.EADDRINUSE: "is in use by another process",
            errno.EACCES: "is not permitted for this user",
            errno.EADDRNOTAVAIL: "is not an address of this machine",
        }.get(error.errno or 0, f"cannot be listened at: {os.strerror(error.errno or 0)}")
        raise ConfigurationError(f"http.listen: {shown} {reason}", hint=hint) from None
    return bound


def _tls(settings: TlsSettings) -> ssl.SSLContext | None:
    """What connections are encrypted with; None where they are not.

    Raises:
        ConfigurationError: certificate or key cannot be used.
    """
    if settings.certificate_file is None or settings.key_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])

    def no_passphrase() -> str:
        raise ValueError("it has a passphrase")  # OpenSSL would ask for it on the terminal

    try:
        context.load_cert_chain(settings.certificate_file, settings.key_file, no_passphrase)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise ConfigurationError(
            f"http.tls: {settings.certificate_file} and {settings.key_file} are not a certificate and a key: {reason}",
            hint="both must be PEM, the certificate with its chain, the key without a passphrase",
        ) from None
    return context
