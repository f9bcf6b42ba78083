"""Headers of a message, out of the block in which NATS carries them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_VERSION = b"NATS/1.0\r\n"


def chosen_headers(block: bytes, names: Collection[str]) -> dict[str, str]:
    """Return the headers of these names, in small letters; of a name that stands there twice, the first.

    Args:
        block: as it stands in a frame, from `NATS/1.0` on; empty where there are none.
        names: in small letters; NATS itself tells large from small ones, and producers differ in what they write.
    """
    found: dict[str, str] = {}
    for line in block.decode(errors="backslashreplace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon and (known := name.lower()) in names and known not in found:
            found[known] = value.strip()
    return found


def all_headers(block: bytes) -> dict[str, str | list[str]]:
    """Return all headers as they are written; one that stands there more than once has a list."""
    found: dict[str, str | list[str]] = {}
    for line in block.split(b"\r\n")[1:]:
        name, colon, text = line.partition(b":")
        if not colon:
            continue
        key, value = name.decode(errors="backslashreplace"), text.strip().decode(errors="backslashreplace")
        before = found.get(key)
        found[key] = value if before is None else [*([before] if isinstance(before, str) else before), value]
    return found


def headers_block(headers: Mapping[str, str | Sequence[str]]) -> bytes:
    """Return the block of some headers.

    Raises:
        ValueError: one of them holds the end of a line, or its name a colon.
    """
    if not headers:
        return b""
    lines = []
    for name, values in headers.items():
        for value in (values,) if isinstance(values, str) else values:
            if "\r\n" in name + value or ":" in name:
                raise ValueError(f"the header {name!r:.80} holds the end of a line, or a colon in its name")
            lines.append(name + ": " + value + "\r\n")  # a name may be a member of the library's enum
    return _VERSION + "".join(lines).encode() + b"\r\n"
