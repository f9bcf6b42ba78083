"""Bearer tokens: JSON Web Tokens (RFC 7519) that somebody else signs, and keys that say who that may be."""

from __future__ import annotations

import json
from time import monotonic, time
from typing import TYPE_CHECKING, Any, NamedTuple

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from projection.errors import ConfigurationError
from projection.model.ids import TenantId
from projection.ops.http.credentials import Principal, only
from projection.ops.http.problems import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from projection.model.http_settings import AccessSettings
    from projection.ops.http.credentials import Headers

log = structlog.get_logger()

_REMEMBERED = 1024  # tokens: to verify one takes as long as ten answers
_LOOK_EVERY_S = 1.0  # at the file of keys
_LEAST_RSA_BITS = 2048
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidIssuerError, "the token is of another issuer"),
    (jwt.MissingRequiredClaimError, "the token lacks a claim that it needs"),
    (jwt.InvalidAlgorithmError, "the token is signed by an algorithm that is not accepted here"),
    (jwt.InvalidSignatureError, "the token's signature does not verify"),
)


class _Key(NamedTuple):
    key: Any
    algorithms: Sequence[str]  # that a token of this key may be signed by


class Tokens:
    """The way in by bearer tokens; see `Way`."""

    def __init__(self, settings: AccessSettings, secret: bytes | None) -> None:
        """Tokens by these settings.

        Raises:
            ConfigurationError: a key cannot be used.
        """
        self._settings = settings
        self._known: dict[bytes, tuple[Principal, float]] = {}  # by token; until when
        self._looked = monotonic()
        self._stamp: object = None
        if secret is not None:
            self._keys: Mapping[str | None, _Key] = {None: _Key(secret, settings.algorithms)}
        elif settings.key_file is not None:
            self._keys = {None: _key_of(settings.key_file, settings.algorithms)}
        else:
            assert settings.jwks_file is not None  # noqa: S101 - the settings see to it
            self._stamp = _stamp(settings.jwks_file)
            self._keys = _keys_of(settings.jwks_file, settings.algorithms)

    def principal(self, headers: Headers) -> Principal:
        """See `Way`."""
        shown = only(headers, b"authorization")
        if shown is None:
            raise RequestError(
                "access.missing",
                "the request has no bearer token",
                hint="send `Authorization: Bearer TOKEN`",
                headers={"www-authenticate": "Bearer"},
            )
        scheme, _, token = shown.partition(b" ")
        if scheme.lower() != b"bearer":
            raise _denied("the Authorization header is no bearer token")
        token = token.strip()
        self._look_at_keys()
        if (known := self._known.get(token)) is not None and time() < known[1]:
            return known[0]
        claims, until = self._claims(token)
        principal = self._principal(claims)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[token] = principal, until
        return principal

    def _claims(self, token: bytes) -> tuple[dict[str, Any], float]:
        """What a token says, and until when."""
        settings = self._settings
        try:
            key = self._key(jwt.get_unverified_header(token).get("kid"))
            claims = jwt.decode(
                token,
                key.key,
                algorithms=key.algorithms,
                issuer=settings.issuer,
                audience=settings.audience,
                leeway=settings.leeway_s,
                options={"require": ["exp"]},
            )
            until = float(claims["exp"]) + settings.leeway_s
        except RequestError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a stranger's token brings about, it is not accepted
            reason = next((text for kind, text in _REASONS if isinstance(error, kind)), "the token cannot be verified")
            raise _denied(reason) from None
        return claims, until

    def _key(self, key_id: object) -> _Key:
        keys = self._keys
        if None in keys:
            return keys[None]
        if isinstance(key_id, str) and (key := keys.get(key_id)) is not None:
            return key
        if key_id is None and len(keys) == 1:
            return next(iter(keys.values()))
        raise _denied("the token is signed by a key that is not known here")

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        tenant, scopes = _at(claims, self._settings.tenant_claim), _at(claims, self._settings.scope_claim)
        try:
            tenant_id = None if tenant is None else TenantId(tenant)
        except (TypeError, ValueError):
            raise RequestError(
                "access.forbidden", f"the token's claim {self._settings.tenant_claim!r} is no tenant id"
            ) from None
        named = scopes.split() if isinstance(scopes, str) else scopes if isinstance(scopes, list) else ()
        return Principal(tenant_id, frozenset(one for one in named if isinstance(one, str)))

    def _look_at_keys(self) -> None:
        """Take the keys anew where their file has changed; what cannot be read leaves the keys as they were."""
        path = self._settings.jwks_file
        if path is None or monotonic() - self._looked < _LOOK_EVERY_S:
            return
        self._looked = monotonic()
        stamp = _stamp(path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = _keys_of(path, self._settings.algorithms)
        except ConfigurationError as error:  # its sentence says it all
            log.warning("the new keys of tokens cannot be read; the former ones are kept", reason=str(error))
            return
        self._known.clear()
        log.info("the keys of tokens were read anew", keys=len(self._keys))


def _denied(reason: str) -> RequestError:
    return RequestError("access.denied", reason, headers={"www-authenticate": 'Bearer error="invalid_token"'})


def _at(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name: as it stands, or by steps into objects."""
    if name in claims:
        return claims[name]
    here: Any = claims
    for step in name.split("."):
        here = here.get(step) if isinstance(here, dict) else None
    return here


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino


def _key_of(path: Path, algorithms: Sequence[str]) -> _Key:
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"http.access.key_file: {path} holds no public key: {type(error).__name__}",
            hint="it must be PEM: -----BEGIN PUBLIC KEY-----",
        ) from None
    fitting = _fitting(key, algorithms)
    if len(fitting) < len(algorithms):
        raise ConfigurationError(f"http.access.key_file: the key in {path} does not fit {', '.join(algorithms)}")
    return _checked(_Key(key, fitting), path)


def _keys_of(path: Path, algorithms: Sequence[str]) -> dict[str | None, _Key]:
    """The keys of a set that these algorithms can use, by their ids."""
    try:
        described = json.loads(path.read_bytes())["keys"]
        usable = [(str(one.get("kid", at)), _usable(one, algorithms)) for at, one in enumerate(described)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"http.access.jwks_file: {path} is no JSON Web Key Set that can be read: {type(error).__name__}"
        ) from None
    found: dict[str | None, _Key] = {key_id: _checked(key, path) for key_id, key in usable if key is not None}
    if not found:
        raise ConfigurationError(f"http.access.jwks_file: {path} holds no public key for {', '.join(algorithms)}")
    return found


def _usable(fields: dict[str, Any], algorithms: Sequence[str]) -> _Key | None:
    """A key of a set; None where it is a secret, is not for signatures, or is of no kind that is wanted."""
    if fields.get("kty") not in ("RSA", "EC", "OKP") or fields.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(fields).key
    except jwt.PyJWTError:
        return None
    fitting = _fitting(key, [name for name in algorithms if fields.get("alg", name) == name])
    return _Key(key, fitting) if fitting else None


def _fitting(key: Any, algorithms: Sequence[str]) -> tuple[str, ...]:
    """Those algorithms that this kind of key is for."""
    fitting = []
    for name in algorithms:
        try:
            jwt.get_algorithm_by_name(name).prepare_key(key)
        except (TypeError, ValueError, jwt.PyJWTError):
            continue
        fitting.append(name)
    return tuple(fitting)


def _checked(key: _Key, path: Path) -> _Key:
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < _LEAST_RSA_BITS:
        raise ConfigurationError(
            f"{path} holds an RSA key of {key.key.key_size} bits; {_LEAST_RSA_BITS} are needed to be safe"
        )
    return key
