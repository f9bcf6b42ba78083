"""Messages out of rows: which columns make the subject and the headers, and how a message tells which row it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from projection.errors import ConfigurationError, DecodeError
from projection.model.escaping import escape_token
from projection.model.event_format.headers import chosen_headers
from projection.stream.publisher import Outgoing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projection.backfill.reading import Row
    from projection.backfill.tables import Source

MESSAGE_ID = "Nats-Msg-Id"
_KEY, _SOURCE = "Projection-Key", "Projection-Source"
_PLACE = re.compile(r"<([^<>.]+)>")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+^_`|~.-]+")


class RowTemplate(NamedTuple):
    """The subjects of rows: tokens of fixed words and of columns, as in `shop.<type>.Order-<id>`."""

    text: str
    tokens: tuple[tuple[str, ...], ...]  # each of literals at even places and columns at odd ones

    @classmethod
    def parse(cls, text: str) -> RowTemplate:
        """A template from its text.

        Raises:
            ConfigurationError: it is none.
        """
        tokens = tuple(tuple(_PLACE.split(token)) for token in text.split("."))
        for token in tokens:
            words = "".join(token[::2])
            if token == ("",) or (words and escape_token(words) != words):
                raise ConfigurationError(
                    f"option --subject-template: {text!r} is no subject",
                    hint="words of ASCII letters, digits, `_` and `-`, and columns, as in shop.<type>.<id>",
                )
        return cls(text, tokens)

    @property
    def columns(self) -> list[str]:
        """The columns, in the order in which they stand there."""
        return [column for token in self.tokens for column in token[1::2]]

    @property
    def filter(self) -> str:
        """The subject filter that takes every subject of the template."""
        return ".".join("*" if len(token) > 1 else token[0] for token in self.tokens)

    def subject(self, texts: Mapping[str, str | None]) -> str:
        """The subject of a row; each column is escaped, and one that is null is as an empty one.

        Raises:
            ValueError: a column is too long for a token.
        """
        return ".".join(
            "".join(escape_token(texts[part] or "") if place % 2 else part for place, part in enumerate(token))
            for token in self.tokens
        )


class RowMessages:
    """Makes the message of each row of a source."""

    def __init__(self, source: Source, template: RowTemplate, headers: Mapping[str, str]) -> None:
        """Messages with a column for each header.

        Raises:
            ConfigurationError: there is no such column, or a header's name is none.
        """
        for column in template.columns:
            source.type_of(column, "--subject-template")
        for name, column in headers.items():
            source.type_of(column, "--header")
            reserved = name.lower().startswith(("nats-", "projection-")) and name != MESSAGE_ID
            if reserved or not _HEADER.fullmatch(name):
                raise ConfigurationError(
                    f"--header: {name!r} cannot be the name of a header",
                    hint="ASCII letters, digits and `-`; of those with Nats- or Projection- only Nats-Msg-Id",
                )
        self.template = template
        self.columns = list(dict.fromkeys([*template.columns, *headers.values()]))  # the texts of a row, in this order
        self._source = source
        self._headers = headers

    def message(self, row: Row) -> Outgoing:
        """The message of a row.

        Raises:
            DecodeError: the row cannot be one.
        """
        texts = dict(zip(self.columns, row.texts, strict=True))
        key = quote(row.key, safe="+:-_. ")
        headers = {MESSAGE_ID: f"{self._source.name}:{key}", _SOURCE: self._source.name, _KEY: key}
        for name, column in self._headers.items():
            if (text := texts[column]) is None:
                continue
            if "\r" in text or "\n" in text:
                raise self._refused(row, f"column {column!r} holds the end of a line, which no header may")
            headers[name] = text
        if row.body is None:
            raise self._refused(row, "its body is null")
        try:
            return Outgoing(self.template.subject(texts), row.body, headers)
        except ValueError as error:
            raise self._refused(row, str(error)) from None

    def _refused(self, row: Row, why: str) -> DecodeError:
        return DecodeError(
            f"row {row.key} of {self._source.name}: {why}",
            hint="every row before it is published; correct the row, or leave it out by --query",
        )


def key_of(headers: bytes, source: Source) -> str | None:
    """The key of the row that a message was made of; None where it was made of none of this source."""
    found = chosen_headers(headers, {_KEY.lower(), _SOURCE.lower()})
    return unquote(found[_KEY.lower()]) if found.get(_SOURCE.lower()) == source.name and _KEY.lower() in found else None


def headers_of(given: Sequence[str]) -> dict[str, str]:
    """The columns of headers by their names, of texts such as `ce-type=type`.

    Raises:
        ConfigurationError: one of them is none.
    """
    found = {}
    for text in given:
        name, equals, column = text.partition("=")
        if not (name and equals and column) or name in found:
            raise ConfigurationError(f"--header {text!r} is not NAME=COLUMN, each name once")
        found[name] = column
    return found
