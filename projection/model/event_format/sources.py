"""A source: the place of one part of an event in its message, as the manifest names it."""

from __future__ import annotations

import re
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, PlainValidator

from projection.model.checkpoint import Frozen

_FORMS = "`body.FIELD`, `header.NAME`, `subject.<PLACE>`, `subject`, or `{constant: TEXT}`"
_KEY = re.compile(r'"([^"\\\x00-\x1f]*)"|([^."\\\s\x00-\x1f]+)')
_HEADER = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token of RFC 9110
_PLACE = re.compile(r"<[a-z][a-z0-9_]*>")
_ATTRIBUTE = re.compile(r"[a-z0-9]+")
STORED = "stored"  # when the log stored the message; a source of timestamps only


class Source(NamedTuple):
    """A source that was read: what it is of, and where in there."""

    kind: str  # body, header, subject, attribute, stored, constant; a reader may know more
    path: tuple[str, ...] = ()  # of a body: the keys that lead there, none for all of it; else the one name, if any

    def __str__(self) -> str:
        return ".".join((self.kind, *self.path))


class Constant(Frozen):
    """A part that is the same in every event."""

    constant: Annotated[str, Field(max_length=1024)]


def parse_source(text: str) -> Source:
    """Read a source that is written as text.

    Raises:
        ValueError: it is none; says what there is.
    """
    kind, dot, rest = text.partition(".")
    problem = ""
    if text in ("body", "subject", STORED):
        return Source(text)
    if kind == "body" and dot:
        if (path := _body_path(rest)) is not None:
            return Source(kind, path)
        problem = '; a key with a dot or a blank is written in quotes: body."a.b".c'
    elif kind == "header" and _HEADER.fullmatch(rest):
        return Source(kind, (rest.lower(),))
    elif kind == "subject":
        if _PLACE.fullmatch(rest):
            return Source(kind, (rest,))
        problem = f"; a place of the subject is written as in `subjects`: subject.<{rest.strip('<>') or 'id'}>"
    elif kind == "attribute" and _ATTRIBUTE.fullmatch(rest):
        return Source(kind, (rest,))
    raise ValueError(f"{text!r:.80} is not where a part of an event can be: {_FORMS}{problem}")


def _body_path(text: str) -> tuple[str, ...] | None:
    keys, at = [], 0
    while (match := _KEY.match(text, at)) is not None:
        quoted, bare = match.groups()
        keys.append(quoted if bare is None else bare)
        at = match.end()
        if at == len(text):
            return tuple(keys)
        if text[at] != ".":
            return None
        at += 1
    return None


def _checked(value: Any) -> str | Constant:
    if isinstance(value, str):
        parse_source(value)
        return value
    if isinstance(value, Constant):
        return value
    if isinstance(value, dict) and value.keys() == {"constant"} and isinstance(text := value["constant"], str):
        return Constant(constant=text)
    raise ValueError(f"{value!r:.80} is not where a part of an event can be: {_FORMS}")


def _listed(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)


SourceText = Annotated[str | Constant, PlainValidator(_checked)]
# One source or several: the part is taken from the first of them that is there.
Sources = Annotated[tuple[SourceText, ...], BeforeValidator(_listed), Field(min_length=1, max_length=8)]


def sources_of(texts: Sources) -> tuple[Source, ...]:
    """Read sources as they stand in a checked manifest."""
    return tuple(
        Source("constant", (one.constant,)) if isinstance(one, Constant) else parse_source(one) for one in texts
    )
