"""Recorded messages with pseudonyms in chosen places, so that real events may become fixtures."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from projection.errors import ConfigurationError, DecodeError
from projection.model.escaping import escape_token, unescape_token
from projection.model.event_format.cloudevents import unescaped
from projection.model.event_format.sources import parse_source
from projection.model.event_format.subject_patterns import SubjectPattern

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from projection.model.event_format.sources import Source
    from projection.model.pseudonyms import Pseudonyms
    from projection.stream.port import Message

_ALL = ""  # of a tree of paths: all that is there
_DATA_BASE64 = "data_base64"
_NULL = msgspec.Raw(b"null")
_OF_CLOUDEVENTS = "ce-"  # headers whose values are percent-encoded
_PLAIN_IN_HEADERS = "".join(map(chr, range(0x21, 0x7F))).replace("%", "").replace('"', "")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode
_base64 = msgspec.json.Decoder(bytes | None).decode
_raw = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.Encoder().encode


class _HiddenDataError(Exception):
    """The data of a CloudEvent is base64 of something else than JSON."""


class Pseudonymizer:
    """Puts pseudonyms in place of what stands at some places of messages.

    Args:
        pseudonyms: the stand-ins of values.
        places: sources as in a manifest's `events`: `body.FIELD`, `header.NAME`, `subject.<PLACE>`. A field that holds
            a list or an object means all texts and numbers in it; a path leads through lists to each of their items.
        subjects: the templates in which the places of subjects are named.

    Raises:
        ConfigurationError: something is no place, or in none of the templates.
    """

    def __init__(self, pseudonyms: Pseudonyms, places: Sequence[str], subjects: Sequence[str]) -> None:
        self.counts = dict.fromkeys(places, 0)  # how many values each place had
        self._pseudonyms = pseudonyms
        self._headers: dict[str, str] = {}  # in small letters, and the place that names it
        self._tree: dict[str, Any] = {}  # of the keys of bodies; at an end, `_ALL` and the place that names it
        self._subjects: dict[str, str] = {}
        patterns = [_pattern(text) for text in subjects]
        for place in places:
            self._add(_place(place), place, {name for pattern in patterns for name in pattern.places})
        self._patterns = [(re.compile(pattern.regex).fullmatch, pattern.places) for pattern in patterns]

    def _add(self, source: Source, place: str, in_subjects: Collection[str]) -> None:
        if source.kind == "body":
            here = self._tree
            for key in source.path:
                here = here.setdefault(f".{key}", {})
            here[_ALL] = place
        elif source.kind == "header":
            self._headers[source.path[0]] = place
        elif source.path[0] in in_subjects:
            self._subjects[source.path[0]] = place
        else:
            raise ConfigurationError(
                f"{place!r} is in no template of subjects", hint="name one that has it, as --subjects 'shop.<id>.>'"
            )

    def message(self, message: Message) -> Message:
        """The same message with pseudonyms.

        Raises:
            DecodeError: its body is no JSON, or its subject fits no template, so that nobody knows what would have to
                be replaced.
        """
        try:
            data = self._body(message.data) if self._tree and message.data else message.data
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _HiddenDataError) as error:
            what = f"`{_DATA_BASE64}`" if isinstance(error, _HiddenDataError) else "body"
            raise DecodeError(
                f"message {message.sequence} cannot be pseudonymized: its {what} is no JSON, or is nested too deeply",
                hint="leave such messages out, by --skip-unreadable",
            ) from None
        subject = self._subject(message) if self._subjects else message.subject
        headers = self._block(message.headers) if self._headers else message.headers
        return msgspec.structs.replace(message, subject=subject, data=data, headers=headers)

    # --- bodies

    def _body(self, data: bytes) -> bytes:
        return self._within(_raw(data), self._tree)

    def _within(self, raw: msgspec.Raw, tree: Mapping[str, Any]) -> bytes:
        data = bytes(raw)
        if (place := tree.get(_ALL)) is not None:
            return self._all(data, place)
        if data[:1] == b"[":
            return _encode([msgspec.Raw(self._within(one, tree)) for one in _items(data)])
        if data[:1] != b"{":
            return data
        members = _members(data)
        for key in members:
            if (below := tree.get(f".{key}")) is not None:
                members[key] = msgspec.Raw(self._within(members[key], below))
        if "specversion" in members and (below := tree.get(".data")) is not None:
            self._in_base64(members, below)
        return _encode(members)

    def _in_base64(self, event: dict[str, msgspec.Raw], tree: Mapping[str, Any]) -> None:
        """Replace what is in the data of a CloudEvent that holds it as base64, which is the same place as `data`."""
        try:
            if not (data := _base64(event.get(_DATA_BASE64, _NULL))):
                return
            changed = self._within(_raw(data), tree)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _HiddenDataError from None
        event[_DATA_BASE64] = msgspec.Raw(_encode(changed))

    def _all(self, data: bytes, place: str) -> bytes:
        first = data[:1]
        if first == b"{":
            return _encode({key: msgspec.Raw(self._all(bytes(one), place)) for key, one in _members(data).items()})
        if first == b"[":
            return _encode([msgspec.Raw(self._all(bytes(one), place)) for one in _items(data)])
        if first in b"tfn":  # true, false, null
            return data
        self.counts[place] += 1
        if first == b'"':
            return _encode(self._pseudonyms.text(_string(data)))
        return self._pseudonyms.number(data.decode()).encode()

    # --- headers and subjects

    def _block(self, block: bytes) -> bytes:
        lines = block.split(b"\r\n")
        for number, line in enumerate(lines[1:], 1):
            name, colon, value = line.partition(b":")
            known = name.decode(errors="replace").lower()
            if colon and (place := self._headers.get(known)) is not None and (text := value.strip()):
                self.counts[place] += 1
                lines[number] = name + b": " + self._header(known, text).encode()
        return b"\r\n".join(lines)

    def _header(self, name: str, value: bytes) -> str:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        plain = text
        if name.startswith(_OF_CLOUDEVENTS):
            with suppress(DecodeError):
                plain = unescaped(text) or text
        found = self._pseudonyms.text(plain)
        return found if plain == text else quote(found, safe=_PLAIN_IN_HEADERS)

    def _subject(self, message: Message) -> str:
        for match, places in self._patterns:
            if (found := match(message.subject)) is not None:
                return self._replaced(found, places)
        raise DecodeError(
            f"message {message.sequence} cannot be pseudonymized: {message.subject!r:.200} fits no template",
            hint="name one for it with --subjects, or leave such messages out, by --skip-unreadable",
        )

    def _replaced(self, found: re.Match[str], places: Sequence[str]) -> str:
        parts, at = [], 0
        for number, name in enumerate(places, 1):
            if (place := self._subjects.get(name)) is not None:
                self.counts[place] += 1
                start, end = found.span(number)
                parts += [found.string[at:start], _of_token(self._pseudonyms.text, found[number])]
                at = end
        return "".join([*parts, found.string[at:]])


def _of_token(pseudonym: Callable[[str], str], token: str) -> str:
    """A token is escaped where its publisher escapes as the node does; what it stands for is what bodies say, too."""
    try:
        return escape_token(pseudonym(unescape_token(token)))
    except ValueError:
        return pseudonym(token)


def _place(text: str) -> Source:
    try:
        source = parse_source(text)
    except ValueError as error:
        raise ConfigurationError(f"option --pseudonymize: {error}") from None
    if source.kind not in ("body", "header", "subject") or (source.kind == "subject" and not source.path):
        raise ConfigurationError(
            f"option --pseudonymize: {text!r:.80} is not what can be replaced",
            hint="name `body.FIELD`, `header.NAME` or `subject.<PLACE>`",
        )
    return source


def _pattern(text: str) -> SubjectPattern:
    if (problem := (pattern := SubjectPattern(text)).problem) is not None:
        raise ConfigurationError(f"option --subjects: {problem}")
    return pattern
