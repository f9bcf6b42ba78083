"""The subject of an event, by a template such as `tenant.<tenant>.aggregate.<type>.<id>`."""

from __future__ import annotations

from typing import NamedTuple

from projection.model.escaping import escape_token, unescape_token
from projection.model.ids import TenantId

DEFAULT_TEMPLATE = "tenant.<tenant>.aggregate.<type>.<id>"
_PLACES = ("<tenant>", "<type>", "<id>")


class SubjectTemplate(NamedTuple):
    """Which token of a subject says what; tokens that are not places are fixed words."""

    tokens: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> SubjectTemplate:
        """A template from its text.

        Raises:
            ValueError: a place is unknown, missing (only `<type>` and `<id>` are a must) or stands twice.
        """
        tokens = tuple(text.split("."))
        for token in tokens:
            if token.startswith("<") and token not in _PLACES:
                raise ValueError(f"{token!r} is no place of a subject template; the places are {', '.join(_PLACES)}")
            if not token.startswith("<") and (not token or escape_token(token) != token):
                raise ValueError(f"{token!r} in {text!r} is not a word of ASCII letters, digits, `_` and `-`")
        for place in _PLACES:
            if tokens.count(place) > 1 or (place != "<tenant>" and place not in tokens):
                raise ValueError(f"{text!r} must name {place} once")
        return cls(tokens)

    def __str__(self) -> str:
        return ".".join(self.tokens)

    def subject(self, tenant_id: str, aggregate_type: str, aggregate_id: str) -> str:
        """The subject of one aggregate's events.

        Raises:
            ValueError: an id makes a token that is too long.
        """
        values = {"<tenant>": tenant_id, "<type>": aggregate_type, "<id>": aggregate_id}
        return ".".join(escape_token(values[token]) if token in values else token for token in self.tokens)

    def filter(self) -> str:
        """The subject filter that takes every subject of this template."""
        return ".".join("*" if token in _PLACES else token for token in self.tokens)

    def tenant_of(self, subject: str) -> TenantId | None:
        """The tenant that a subject names; None where the template has no place for one.

        Raises:
            ValueError: the subject is not one of this template, or its tenant is not a legal one.
        """
        tokens = subject.split(".")
        tenant: TenantId | None = None
        if len(tokens) != len(self.tokens):
            raise ValueError(f"subject {subject!r} does not have the form {self}")
        for expected, token in zip(self.tokens, tokens, strict=True):
            if expected == "<tenant>":
                tenant = TenantId(unescape_token(token))
            elif expected not in _PLACES and expected != token:
                raise ValueError(f"subject {subject!r} does not have the form {self}")
        return tenant
