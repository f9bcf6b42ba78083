"""CloudEvents 1.0 in NATS messages: the two modes of its NATS binding, and what an attribute is in each."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from projection.errors import DecodeError
from projection.model.event_format.sources import Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONTENT_TYPE = "content-type"
VERSION = "ce-specversion"
DATA_TYPE = "ce-datacontenttype"  # as the binding for NATS has it; that for HTTP says it as the content type
MODE_HEADERS = (CONTENT_TYPE, VERSION, DATA_TYPE)
VERSION_IN_HEADERS, VERSION_IN_BODY = Source("ce", (VERSION,)), Source("body", ("specversion",))
_STRUCTURED = "application/cloudevents"
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_JSON = re.compile(r"[^/;\s]+/(?:[^/;\s]+\+)?json\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether the attributes of a message stand in its headers, and not in its body.

    Raises:
        DecodeError: D102, it is a batch, or of another format than JSON.
    """
    content = headers.get(CONTENT_TYPE, "").lower()
    if content.startswith(_STRUCTURED):
        kind = content[len(_STRUCTURED) :].partition(";")[0].strip()
        if kind not in ("", "+json"):
            what = "a batch of CloudEvents" if kind.startswith("-batch") else f"a CloudEvent as {content}"
            raise DecodeError(f"the message is {what}; one CloudEvent as JSON, or in binary mode, is read", code="D102")
        return False
    return VERSION in headers  # servers older than headers had the body only


def data_type(headers: Mapping[str, str]) -> str:
    """The type that a message in binary mode says its data has, in small letters; empty where it says none."""
    return (unescaped(headers.get(DATA_TYPE)) or headers.get(CONTENT_TYPE, "")).strip().lower()


def require_readable(headers: Mapping[str, str], media_types: Sequence[str]) -> None:
    """Refuse data of a message in binary mode whose type is not read.

    Args:
        headers: of the message.
        media_types: how its data may be written instead of JSON.

    Raises:
        DecodeError: D102.
    """
    content = data_type(headers)
    if content and not is_json(content) and content.partition(";")[0].strip() not in media_types:
        read = " and ".join(("JSON", *media_types[:1]))
        raise DecodeError(f"the data of the CloudEvent is {content:.80}; {read} is read", code="D102")


def is_json(content_type: str) -> bool:
    """Whether a content type says that something is JSON."""
    return _JSON.fullmatch(content_type) is not None


def require_version(version: str | None) -> None:
    """Refuse another version than 1.

    Raises:
        DecodeError: D102.
    """
    if version is None:
        raise DecodeError("the message is no CloudEvent: it has no specversion", code="D102")
    if version.partition(".")[0] != "1":
        raise DecodeError(f"the message is a CloudEvent of version {version[:16]!r}; 1.0 is read", code="D102")


def in_headers(parts: Mapping[str, Sequence[Source]]) -> dict[str, list[Source]]:
    """The sources of messages in binary mode."""
    return {part: [_in_headers(source) for source in sources] for part, sources in parts.items()}


def in_body(parts: Mapping[str, Sequence[Source]]) -> dict[str, list[Source]]:
    """The sources of messages in structured mode."""
    return {part: [one for source in sources for one in _in_body(source)] for part, sources in parts.items()}


def _in_headers(source: Source) -> Source:
    if source.kind != "attribute":
        return source
    (name,) = source.path
    return Source("data") if name == "data" else Source("ce", (f"ce-{name}",))


def _in_body(source: Source) -> tuple[Source, ...]:
    if source.kind != "attribute":
        return (source,)
    if source.path == ("data",):
        return Source("body", source.path), Source("base64", ("data_base64",)), Source("nothing")
    return (Source("body", source.path),)


def unescaped(text: str | None) -> str | None:
    """What a header says: double quotes are taken off, then percent-escapes are read.

    Raises:
        DecodeError: D102, the escapes are no UTF-8.
    """
    if text is None or not ("%" in text or text[:1] == '"'):
        return text
    if (quoted := _QUOTED.fullmatch(text)) is not None:
        text = re.sub(r"\\(.)", r"\1", quoted[1])
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise DecodeError(f"the header {text[:80]!r} of the CloudEvent cannot be read: {error}", code="D102") from None


def data_of(base64: str) -> bytes:
    """The data of a structured CloudEvent that holds it as base64.

    Raises:
        DecodeError: D102, it is no base64.
    """
    try:
        return b64decode(base64, validate=True)
    except ValueError:
        raise DecodeError("the data_base64 of the CloudEvent is no base64", code="D102") from None
