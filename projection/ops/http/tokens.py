"""Bearer tokens: JSON Web Tokens (RFC 7519) that somebody else signs, and keys that say who that may be."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

import jwt

from projection.model.ids import TenantId
from projection.ops.http.credentials import Principal, only
from projection.ops.http.problems import RequestError
from projection.ops.http.token_keys import Key, KeySet, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projection.model.http_settings import AccessSettings
    from projection.ops.http.credentials import Headers

_REMEMBERED = 1024  # tokens: to verify one takes as long as ten answers
_MOMENTS = ("exp", "nbf", "iat")  # numbers of seconds, if they are there
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidIssuerError, "the token is of another issuer"),
    (jwt.MissingRequiredClaimError, "the token lacks a claim that it needs"),
    (jwt.InvalidAlgorithmError, "the token is signed by an algorithm that is not accepted here"),
    (jwt.InvalidSignatureError, "the token's signature does not verify"),
)


class Tokens:
    """The way in by bearer tokens; see `Way`."""

    def __init__(self, settings: AccessSettings, secret: bytes | None) -> None:
        """Tokens by these settings.

        Raises:
            ConfigurationError: a key cannot be used.
        """
        self._settings = settings
        self._known: dict[bytes, tuple[Principal, float]] = {}  # by token; until when
        self._set: KeySet | None = None
        self._key: Key | None = None  # the one that there is, where there is no set
        if secret is not None:
            self._key = Key(secret, settings.algorithms)
        elif settings.key_file is not None:
            self._key = key_of(settings.key_file, settings.algorithms)
        else:
            assert settings.jwks_file is not None  # noqa: S101 - the settings see to it
            self._set = KeySet(settings.jwks_file, settings.algorithms, self._known.clear)

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
        if (known := self._known.get(token)) is not None and time() < known[1]:
            return known[0]
        claims, until = self._claims(token)
        principal = self._principal(claims)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[token] = principal, until
        return principal

    async def look(self) -> None:
        """See `Way`."""
        if self._set is not None:
            await self._set.look()

    def _claims(self, token: bytes) -> tuple[dict[str, Any], float]:
        """What a token says, and until when."""
        try:
            claims = self._verified(token, self._keys_for(jwt.get_unverified_header(token).get("kid")))
            _require_moments(claims)
            until = float(claims["exp"]) + self._settings.leeway_s
        except RequestError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a stranger's token brings about, it is not accepted
            reason = next((text for kind, text in _REASONS if isinstance(error, kind)), "the token cannot be verified")
            raise _denied(reason) from None
        return claims, until

    def _verified(self, token: bytes, keys: Sequence[Key]) -> dict[str, Any]:
        """What a token says that is signed with one of these keys."""
        settings = self._settings
        failed: Exception | None = None
        for key in keys:
            try:
                return dict(
                    jwt.decode(
                        token,
                        key.key,
                        algorithms=key.algorithms,
                        issuer=settings.issuer,
                        audience=settings.audience,
                        leeway=settings.leeway_s,
                        options={"require": ["exp"]},
                    )
                )
            except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError) as error:  # it may be the next one's
                failed = failed or error
        raise failed or _denied("the token is signed by a key that is not known here")

    def _keys_for(self, key_id: object) -> Sequence[Key]:
        if self._key is not None:
            return (self._key,)
        assert self._set is not None  # noqa: S101 - there is the one or the other
        return self._set.of(key_id)

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


def _require_moments(claims: Mapping[str, Any]) -> None:
    """Refuse moments that are no numbers: the library takes texts for them (RFC 7519, 2: NumericDate)."""
    for name in _MOMENTS:
        if name in claims and type(claims[name]) not in (int, float):
            raise _denied(f"the token's claim {name!r} is no number")


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
