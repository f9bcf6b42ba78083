"""What clients keep for us and bring back, such as cursors: readable for anyone, and of use only where it was given."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from hmac import compare_digest

_MAC_BYTES = 16


class Seal:
    """Seals payloads with a data folder's key, each for what it may be used with: a tenant, a query."""

    def __init__(self, key: bytes, purpose: str) -> None:
        """A seal.

        Args:
            key: of the data folder, 32 bytes.
            purpose: at most 16 bytes; what is sealed for one purpose is not taken for another.
        """
        self._key = key
        self._purpose = purpose.encode()

    def close(self, payload: bytes, *bound_to: bytes) -> str:
        """The payload as a text of letters, digits, `-` and `_`, of use only together with these."""
        return _text(self._mac(payload, bound_to) + payload)

    def open(self, sealed: str, *bound_to: bytes) -> bytes | None:
        """The payload; None where the text was not sealed here, for this purpose and with these."""
        try:
            data = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
        except ValueError:
            return None
        mac, payload = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not compare_digest(mac, self._mac(payload, bound_to)) or _text(data) != sealed:  # base64 has many spellings
            return None
        return payload

    def _mac(self, payload: bytes, bound_to: tuple[bytes, ...]) -> bytes:
        seal = blake2b(key=self._key, digest_size=_MAC_BYTES, person=self._purpose)
        for part in (*bound_to, payload):  # each with its length: none can lend bytes to another
            seal.update(b"%d:" % len(part))
            seal.update(part)
        return seal.digest()


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
