"""A server in operator mode: its accounts and users as JWTs, signed here as `nsc` would."""

from __future__ import annotations

import base64
import json
import os
import time
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from projection.stream.sign_in import _checksum

if TYPE_CHECKING:
    from pathlib import Path

_OF_A_SEED = 18 << 3
_KINDS = {"operator": 14 << 3, "account": 0, "user": 20 << 3}  # what nkeys puts before a key
_ANY = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1) | {"wildcards": True}
_ANY_OF_A_TIER = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)


class Identity:
    """An operator, an account or a user, with a key of its own."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._seed = os.urandom(32)
        self._key = Ed25519PrivateKey.from_private_bytes(self._seed)
        self.public = _text(bytes([_KINDS[kind]]) + self._key.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        kind = _KINDS[self._kind]
        return _text(bytes([_OF_A_SEED | kind >> 5, (kind & 31) << 3]) + self._seed)

    def vouch_for(self, other: Identity, **more: Any) -> str:
        """A JWT of another one, or of itself."""
        claims = {
            "jti": other.public,
            "iat": int(time.time()),
            "iss": self.public,
            "name": other._kind,
            "sub": other.public,
            "nats": {"version": 2, "type": other._kind, **more},
        }
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        signed = ".".join(_base64(json.dumps(one).encode()) for one in (head, claims))
        return f"{signed}.{_base64(self._key.sign(signed.encode()))}"


def account_of_tiers(credentials: Path, *tiers: str) -> dict[str, Any]:
    """A server's configuration with one account, whose JetStream has these tiers only, as `R3`.

    Its user's credentials are written into the file.
    """
    operator, system, account, user = (Identity(kind) for kind in ("operator", "account", "account", "user"))
    limits = {**_ANY, "tiered_limits": dict.fromkeys(tiers, _ANY_OF_A_TIER)}
    jwt = account.vouch_for(user, subs=-1, data=-1, payload=-1)
    credentials.write_text(
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
    return {
        "operator": operator.vouch_for(operator, system_account=system.public),
        "system_account": system.public,
        "resolver": "MEMORY",
        "resolver_preload": {
            system.public: operator.vouch_for(system, limits=_ANY),
            account.public: operator.vouch_for(account, limits=limits),
        },
    }


def _text(key: bytes) -> str:
    return base64.b32encode(key + _checksum(key)).rstrip(b"=").decode()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
