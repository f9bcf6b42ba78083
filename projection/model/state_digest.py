"""The state digest: one number of 256 bits that says whether two stores hold the same."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import ClassVar, Self

_MODULUS = 1 << 256
_HEX_DIGITS = 64


def entry_digest(key: bytes, value: bytes) -> int:
    """What one entry of a store adds to the digest: the BLAKE2b-256 of key and value, below 2**256.

    No key holds a NUL, so that this one tells where the value begins.
    """
    return int.from_bytes(blake2b(key + b"\0" + value, digest_size=32).digest())


@dataclass(frozen=True, slots=True)
class StateDigest:
    """The sum of all entries' digests, modulo 2**256.

    A sum does not depend on the order of the entries, nor on what was there before them: it follows a change by taking
    away the entry that was and adding the one that is. It finds what went wrong by itself; it is no seal against
    somebody who may choose all views and wants two states to have one digest.
    """

    total: int = 0  # at least 0, below 2**256
    EMPTY: ClassVar[StateDigest]

    def plus(self, difference: int) -> StateDigest:
        """The digest after a change: sums of `entry_digest`, those of entries taken away being negative."""
        return StateDigest((self.total + difference) % _MODULUS)

    def __str__(self) -> str:
        return f"{self.total:0{_HEX_DIGITS}x}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The digest that this text is; the inverse of `str`.

        Raises:
            ValueError: it is not 64 hexadecimal digits.
        """
        if len(text) != _HEX_DIGITS or not set(text) <= set("0123456789abcdef"):
            raise ValueError(f"{text[:100]!r} is not a state digest")
        return cls(int(text, 16))


StateDigest.EMPTY = StateDigest()
