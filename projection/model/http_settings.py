"""The settings of the server for queries: where it listens, who is let in, and how much it takes."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, FilePath, SecretStr, model_validator

from projection.model.checkpoint import Frozen
from projection.model.setting_types import ByCommas, Count

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:\s]+):(\d{1,5})")
_LEAST_SECRET = 16  # characters; a shared secret can be guessed at leisure
_LEAST_KEY = 32  # bytes of a key for HS algorithms: as long as the shortest of their hashes
_CLAIM = re.compile(r"[^\s.]+(\.[^\s.]+)*")

Mode = Literal["none", "header", "jwt"]
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"
]


class Address(NamedTuple):
    """A host and a port to listen at; port 0 is any that is free."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The address that a text such as `127.0.0.1:7070` or `[::1]:7070` means.

        Raises:
            ValueError: it is none.
        """
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match[2]) > 65_535:
            raise ValueError(f"{text!r:.80} is not an address to listen at, like 127.0.0.1:7070 or [::1]:7070")
        return cls(match[1].strip("[]"), int(match[2]))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it; names other than `localhost` may mean anything."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"  # names have no case (RFC 9110, 4.2.3)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _address(text: str) -> str:
    Address.parse(text)
    return text


def _or_off(text: object) -> object:
    return None if text == "off" else text


def _claim(name: str) -> str:
    if not _CLAIM.fullmatch(name):
        raise ValueError(f"{name!r:.80} is not the name of a claim; steps into objects are separated by dots")
    return name


Claim = Annotated[str, AfterValidator(_claim)]


class AccessSettings(Frozen):
    """How the server learns whose request it is (docs/http.md#access)."""

    mode: Mode = "none"
    secret: SecretStr | None = None  # header: the gateway's; jwt: the key of HS algorithms
    secret_file: FilePath | None = None  # instead of `secret`: a file that holds it
    key_file: FilePath | None = None  # jwt: PEM, the public key of whoever signs tokens
    jwks_file: FilePath | None = None  # jwt: or all its public keys, as a JSON Web Key Set
    algorithms: Annotated[tuple[Algorithm, ...], *ByCommas] = ()  # jwt: those that a token may be signed with
    issuer: str | None = None  # jwt: what `iss` must be; None: anything
    audience: str | None = None  # jwt: what `aud` must hold; None: a token that names an audience is refused
    leeway_s: Annotated[Count, Field(ge=0, le=600)] = 30  # jwt: how far clocks may be apart
    tenant_claim: Claim = "tenant_id"  # jwt
    scope_claim: Claim = "scope"  # jwt: a text with spaces, or a list
    operator_scope: Annotated[str, Field(pattern=r"^[^\s\"\\]+$")] = "operator"  # for /metrics and more of /ready

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        secrets = [name for name in ("secret", "secret_file") if getattr(self, name) is not None]
        keys = [name for name in ("key_file", "jwks_file") if getattr(self, name) is not None]
        if self.mode == "none" and (secrets or keys or self.algorithms):
            raise ValueError("mode is none, but keys are named; name a mode: header or jwt")
        if self.mode == "header":
            if keys or self.algorithms:
                raise ValueError("mode header takes a secret, and neither keys nor algorithms")
            if len(secrets) != 1:
                raise ValueError("mode header needs the gateway's secret: secret, or better secret_file")
        if self.mode == "jwt":
            if len(secrets) + len(keys) != 1:
                raise ValueError("mode jwt needs one of jwks_file, key_file, secret_file and secret")
            if not self.algorithms:
                raise ValueError("mode jwt needs the algorithms that tokens may be signed with, such as RS256")
            if any(name.startswith("HS") != bool(secrets) for name in self.algorithms):
                raise ValueError("HS algorithms need a secret, and all others a key; both at once would be confused")
        if self.secret is not None:
            self._check_secret(self.secret.get_secret_value())
        return self

    def read_secret(self) -> bytes:
        """The secret, wherever it stands; modes that have one only.

        Raises:
            ValueError: it is too short.
            OSError: its file cannot be read.
        """
        if self.secret is not None:
            return self.secret.get_secret_value().encode()
        assert self.secret_file is not None  # noqa: S101 - checked above
        text = self.secret_file.read_text().strip()
        self._check_secret(text)
        return text.encode()

    def _check_secret(self, secret: str) -> None:
        if self.mode == "jwt" and len(secret.encode()) < _LEAST_KEY:
            raise ValueError(f"the secret (not shown) is shorter than {_LEAST_KEY} bytes")
        if len(secret) < _LEAST_SECRET or not secret.isascii() or not secret.isprintable():
            raise ValueError(f"the secret (not shown) must be {_LEAST_SECRET} printable ASCII characters or more")


class TlsSettings(Frozen):
    """The certificate that the server shows; without one it speaks plain HTTP."""

    certificate_file: FilePath | None = None  # PEM, with its chain
    key_file: FilePath | None = None  # PEM, without a passphrase

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together; one of them is missing")
        return self


class HttpLimits(Frozen):
    """How much the server takes at once; beyond it, requests are refused with 413, 429 or 503."""

    body_bytes: Annotated[Count, Field(ge=1024, le=1024**3)] = 1024**2  # of a request
    connections: Annotated[Count, Field(ge=1, le=1_000_000)] = 2_000  # with a request
    requests: Annotated[Count, Field(ge=1, le=1_000_000)] = 256  # under way at once; streams and those that wait apart
    streams: Annotated[Count, Field(ge=0, le=1_000_000)] = 1_000  # of changes
    streams_per_tenant: Annotated[Count, Field(ge=0, le=1_000_000)] = 100


class HttpSettings(Frozen):
    """Where the server listens, if it does."""

    listen: Annotated[Annotated[str, AfterValidator(_address)] | None, BeforeValidator(_or_off)] = "127.0.0.1:7070"
    access: AccessSettings = AccessSettings()
    tls: TlsSettings = TlsSettings()
    limits: HttpLimits = HttpLimits()
    access_log: bool = True  # a line a request
    ready_max_lag_s: Annotated[Count, Field(ge=2, le=31_536_000)] | None = None  # with which the node is ready

    drain_s: Annotated[Count, Field(ge=0, le=3_600)] = 0  # that it answers on, unready, when the node is to stop

    @model_validator(mode="after")
    def _closed_by_default(self) -> Self:
        if self.listen is not None and self.access.mode == "none" and not Address.parse(self.listen).is_loopback:
            raise ValueError(
                f"{self.listen} can be reached from other machines, and http.access.mode is none; "
                "choose header or jwt, or listen at 127.0.0.1"
            )
        return self
