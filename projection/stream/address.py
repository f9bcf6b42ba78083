"""Where a server is, and what to sign in there with."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from projection.errors import ConfigurationError
from projection.stream.sign_in import Credentials, NKey

if TYPE_CHECKING:
    from pathlib import Path

PORTS = {"nats": 4222, "tls": 4222, "ws": 80, "wss": 443}  # by scheme, where an URL names none
WEBSOCKET = frozenset({"ws", "wss"})


@dataclass(frozen=True, slots=True, repr=False)
class NatsConnection:
    """Where the server is and how to sign in; `repr` and errors show the hosts and never a secret.

    `url` may list several servers of one cluster, separated by commas. `tls://` in it means: TLS or nothing. `ws://`
    and `wss://` are WebSocket, without TLS and with it; all of them are, or none.
    """

    url: str
    user: str | None = None
    password: str | None = None
    token: str | None = None
    credentials: Path | None = None  # a `.creds` file with a JWT and its key
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_first: bool = False  # before the server says anything, as its `handshake_first` wants it
    nkey_seed: Path | None = None  # a file that holds a user's seed, `SU…`
    inbox_prefix: str = "_INBOX"
    api: str = "$JS.API"  # what the subjects of JetStream's API begin with, for this account

    @property
    def hosts(self) -> str:
        """The servers without what may be secret in their URLs.

        Raises:
            ConfigurationError: an URL cannot be read.
        """
        hosts = []
        for url in self.urls:
            try:
                parts = urlsplit(url)
                host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
            except ValueError:
                host = None
            if not host or parts.scheme not in PORTS:
                raise ConfigurationError(
                    "the NATS URL cannot be read", hint="write it like nats://127.0.0.1:4222 or tls://nats.example.org"
                )
            hosts.append(f"{parts.scheme}://{host}:{port}")
        return ", ".join(hosts)

    @property
    def urls(self) -> list[str]:
        """The servers' URLs, each with its scheme."""
        urls = [url.strip() for url in self.url.split(",")]
        return [url if "://" in url else f"nats://{url}" for url in urls]

    @property
    def wants_tls(self) -> bool:
        """Whether a connection without TLS is to be refused."""
        return self.tls_first or self.tls_ca is not None or self.tls_certificate is not None or self._names_tls

    @property
    def _names_tls(self) -> bool:
        return any(url.startswith(("tls://", "wss://")) for url in self.urls)

    @property
    def is_websocket(self) -> bool:
        """Whether the servers are spoken to over WebSocket.

        Raises:
            ConfigurationError: some are and others are not, or TLS is asked for without `wss://`.
        """
        schemes = {url.partition("://")[0] for url in self.urls}
        if not schemes & WEBSOCKET:
            return False
        if not schemes <= WEBSOCKET:
            raise ConfigurationError(
                f"the NATS URLs {self.hosts} are of WebSocket and others", hint="name servers of one kind"
            )
        if "ws" in schemes and self.wants_tls:
            raise ConfigurationError(
                f"{self.hosts}: `ws://` has no TLS, and the settings ask for it", hint="use wss://"
            )
        return True

    def __repr__(self) -> str:
        return f"NatsConnection({self.hosts!r})"

    def check_files(self) -> None:
        """Make sure that the files which signing in needs are there.

        Raises:
            ConfigurationError: one is missing or does not hold what it should, or the URLs do not go with them.
        """
        _ = self.is_websocket
        if self.credentials is not None:
            Credentials.read(self.credentials)
        if self.nkey_seed is not None:
            NKey.read(self.nkey_seed)
        self.ssl_context()

    def ssl_context(self) -> ssl.SSLContext | None:
        """The context for TLS; None where the defaults hold.

        Raises:
            ConfigurationError: a certificate or key cannot be read.
        """
        if not self.wants_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.tls_ca)
            if self.tls_certificate is not None:
                context.load_cert_chain(self.tls_certificate, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"the TLS files for {self.hosts} cannot be read: {error}") from None
        return context
