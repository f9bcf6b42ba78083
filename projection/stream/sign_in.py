"""What a node signs in with: the credentials files of nsc, and seeds of nkeys."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

_JWT = re.compile(rb"-+BEGIN NATS USER JWT-+\s+(\S+)\s")
_SEED = re.compile(rb"-+BEGIN USER NKEY SEED-+\s+(\S+)\s")
_SEED_LENGTH = 36
_OF_A_SEED, _OF_A_USER = 18 << 3, 20 << 3  # what nkeys puts before a key, so that its text begins with S and U
_WRITE_CREDENTIALS = "write it again: `nsc generate creds --name USER > FILE`"


@dataclass(frozen=True, slots=True, repr=False)
class NKey:
    """A key that answers what a server wants to have signed; it shows its public part only."""

    seed: bytes
    public: str

    @classmethod
    def of(cls, text: bytes, path: Path) -> Self:
        """The key of a seed as nsc writes it: base 32 of two bytes of its kinds, the seed and a checksum.

        Raises:
            ConfigurationError: it is none of a user.
        """
        try:
            raw = base64.b32decode(text + b"=" * (-len(text) % 8))
        except binascii.Error:
            raw = b""
        if len(raw) != _SEED_LENGTH or _checksum(raw[:-2]) != raw[-2:] or raw[0] & 0xF8 != _OF_A_SEED:
            raise ConfigurationError(f"{str(path)!r} contains no valid nkey seed", hint="a user's begins with SU")
        kind = (raw[0] & 7) << 5 | raw[1] >> 3
        if kind != _OF_A_USER:
            raise ConfigurationError(
                f"{str(path)!r} contains an nkey seed that is not a user's", hint="a user's begins with SU"
            )
        seed = raw[2:-2]
        public = bytes([kind]) + Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        return cls(seed, base64.b32encode(public + _checksum(public)).rstrip(b"=").decode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """The key whose seed a file holds.

        Raises:
            ConfigurationError: the file cannot be read, or holds none.
        """
        return cls.of(_read(path, "nkey seed file").strip(), path)

    def sign(self, nonce: str) -> bytes:
        """The signature, as the protocol writes it."""
        return base64.b64encode(Ed25519PrivateKey.from_private_bytes(self.seed).sign(nonce.encode()))


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """A user's JWT and its key."""

    jwt: bytes
    key: NKey

    @classmethod
    def read(cls, path: Path) -> Self:
        """What a `.creds` file holds.

        Raises:
            ConfigurationError: the file cannot be read, or holds no credentials.
        """
        text = _read(path, "credentials file") + b"\n"
        if not text.strip():
            raise ConfigurationError(f"the credentials file {str(path)!r} is empty", hint=_WRITE_CREDENTIALS)
        jwt, seed = _JWT.search(text), _SEED.search(text)
        for found, what in ((jwt, "NATS USER JWT"), (seed, "USER NKEY SEED")):
            if found is None:
                raise ConfigurationError(
                    f"the credentials file {str(path)!r} holds no {what}: the line `-----BEGIN {what}-----` with one "
                    "behind it is missing",
                    hint=_WRITE_CREDENTIALS,
                )
        assert jwt is not None  # noqa: S101 - for the type checker
        assert seed is not None  # noqa: S101
        return cls(jwt[1], NKey.of(seed[1], path))


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(f"the {what} {str(path)!r} does not exist") from None
    except OSError as error:
        raise ConfigurationError(f"the {what} {str(path)!r} cannot be read: {error.strerror}") from None


def _checksum(data: bytes) -> bytes:
    return binascii.crc_hqx(data, 0).to_bytes(2, "little")
