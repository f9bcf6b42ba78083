"""Pseudonyms: a keyed stand-in for each text and number, of the same shape, and for equal values the same one.

A value of few possibilities, such as a number of four digits, is mapped by a keyed permutation of them, so that two
values never share a pseudonym. One of many is mapped by a keyed hash, in which that does not happen either.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from datetime import date
from functools import lru_cache
from math import isqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_KEY_BYTES = 16
_ROUNDS = 8  # of the permutation
_FEW = 2**128  # possibilities, up to which they are permuted
_SHORT = 256  # characters of a text whose pseudonym is remembered
_BYTES = 4  # of the hash, for each character
_UUID = re.compile(r"([0-9a-f]{8})(-?)([0-9a-f]{4})\2([0-9a-f]{4})\2([0-9a-f]{4})\2([0-9a-f]{12})")
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})((?:[Tt ][0-9:.]+(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?)?)")
_NUMBER = re.compile(r"(-?)([0-9.]+)((?:[eE][+-]?[0-9]+)?)")
_HEX = "0123456789abcdef"
_DIGITS, _SMALL, _LARGE = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LAST_OF_ASCII, _PAGE = 127, 256
_OTHERS = frozenset("PSZC")  # categories of characters that stay: punctuation, symbols, separators, controls
_UNASSIGNED = "Cn"
_unicode = unicodedata.ucd_3_2_0  # which is the same in every version of Python


class Pseudonyms:
    """Stand-ins for values; equal ones for equal values and an equal key, wherever and whenever they are asked for.

    Args:
        key: secret; whoever knows it can recover the values.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._short = lru_cache(65_536)(self._of_text)

    def text(self, text: str) -> str:
        """The pseudonym of a text.

        A UUID becomes one of the same version, a date one of the same decade. Of any other text, letters become letters
        and digits become digits of the same alphabet, and all else stays: an e-mail address remains one.
        """
        return self._short(text) if len(text) <= _SHORT else self._of_text(text)

    def number(self, text: str) -> str:
        """The pseudonym of a number as JSON writes it; its sign, point, exponent and count of digits stay."""
        sign, digits, exponent = _NUMBER.fullmatch(text).groups()  # type: ignore[union-attr]  # it is one
        return f"{sign}{self.text(digits)}{exponent}"

    def _of_text(self, text: str) -> str:
        small = text.lower()
        uuid = None if text.isdigit() or text not in (small, text.upper()) else _UUID.fullmatch(small)
        if uuid is not None:
            return self._uuid(text, uuid)
        if (found := _DATE.fullmatch(text)) is not None:
            try:
                return self._date(date.fromisoformat(found[1])).isoformat() + found[2]
            except ValueError:
                pass  # it only looks like one
        alphabets = [_alphabet(character) for character in text]
        for at, character in enumerate(text):
            if character.isalnum():
                if character in _DIGITS:  # no number begins with a zero that did not
                    alphabets[at] = "0" if character == "0" else _DIGITS[1:]
                break
        return "".join(self._mapped(text, alphabets, "text"))

    def _uuid(self, text: str, parts: re.Match[str]) -> str:
        digits = "".join(parts.group(1, 3, 4, 5, 6))
        alphabets = [_HEX] * 32
        alphabets[12], alphabets[16] = digits[12], digits[16]  # the version and the variant
        found = "".join(self._mapped(digits, alphabets, "uuid"))
        found = parts[2].join((found[:8], found[8:12], found[12:16], found[16:20], found[20:]))
        return found if text == text.lower() else found.upper()

    def _date(self, day: date) -> date:
        first = date(max(1, day.year // 10 * 10), 1, 1).toordinal()
        last = date(day.year // 10 * 10 + 9, 12, 31).toordinal()
        return date.fromordinal(first + self._permuted(day.toordinal() - first, last - first + 1, f"date {first}"))

    def _mapped(self, text: str, alphabets: Sequence[str], kind: str) -> Sequence[str]:
        """The characters of a pseudonym, each of the alphabet at its place."""
        size = 1
        for alphabet in alphabets:
            size *= len(alphabet)
            if size > _FEW:
                return self._hashed(text, alphabets, kind)
        shape = "".join(alphabet if len(alphabet) == 1 else _sample(alphabet) for alphabet in alphabets)
        number = 0
        for character, alphabet in zip(text, alphabets, strict=True):
            number = number * len(alphabet) + alphabet.index(character)
        number = self._permuted(number, size, f"{kind} {shape}")
        found = []
        for alphabet in reversed(alphabets):
            number, index = divmod(number, len(alphabet))
            found.append(alphabet[index])
        return found[::-1]

    def _hashed(self, text: str, alphabets: Sequence[str], kind: str) -> Sequence[str]:
        stream = hashlib.shake_256(self._hash(f"{kind} {text}")).digest(_BYTES * len(alphabets))
        return [
            alphabet[int.from_bytes(stream[_BYTES * at : _BYTES * (at + 1)]) % len(alphabet)]
            for at, alphabet in enumerate(alphabets)
        ]

    def _permuted(self, number: int, size: int, domain: str) -> int:
        """Another number below `size`, by a Feistel network over a rectangle that is a little larger."""
        high = isqrt(size - 1) + 1
        low = -(-size // high)
        while True:
            left, right = divmod(number, low)
            for round_ in range(_ROUNDS):
                left = (left + self._round(domain, round_, "left", right)) % high
                right = (right + self._round(domain, round_, "right", left)) % low
            number = left * low + right
            if number < size:
                return number

    def _round(self, domain: str, round_: int, half: str, other: int) -> int:
        return int.from_bytes(self._hash(f"{half} {round_} {other} {domain}"))

    def _hash(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")


@lru_cache(4_096)
def _alphabet(character: str) -> str:
    """What a character may become: of its kind, and of its part of Unicode."""
    for alphabet in (_DIGITS, _SMALL, _LARGE):
        if character in alphabet:
            return alphabet
    category = _unicode.category(character)
    if character.isascii() or (category[0] in _OTHERS and category != _UNASSIGNED):
        return character
    page = ord(character) // _PAGE * _PAGE
    others = (chr(one) for one in range(page, page + _PAGE) if one > _LAST_OF_ASCII)
    return "".join(one for one in others if _unicode.category(one) == category)


def _sample(alphabet: str) -> str:
    return f"[{alphabet[0]}{len(alphabet)}]"
