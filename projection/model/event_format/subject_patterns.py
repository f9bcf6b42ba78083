"""Subjects of streams that others publish to: templates with any places, literals around them, `*` and a last `>`."""

from __future__ import annotations

import re
from typing import NamedTuple

from projection.model.subjects import filter_problem

_PLACE = re.compile(r"<([a-z][a-z0-9_]*)>")
_MAX_PLACES = 16


class SubjectPattern(NamedTuple):
    """One template, such as `shop.<type>.<id>.<event>` or `legacy.Order-<id>.>`.

    Its tokens are taken as they stand: who publishes there escapes nothing.
    """

    text: str

    @property
    def places(self) -> tuple[str, ...]:
        """Their names, with brackets, in order."""
        return tuple(f"<{name}>" for name in _PLACE.findall(self.text))

    @property
    def filter(self) -> str:
        """The narrowest subject filter that takes every subject of this template."""
        return ".".join("*" if _PLACE.search(token) else token for token in self.text.split("."))

    @property
    def regex(self) -> str:
        """An expression that matches its subjects, with an unnamed group for each place."""
        return r"\.".join(_token_regex(token) for token in self.text.split("."))

    @property
    def problem(self) -> str | None:
        """What is wrong with it; None when nothing is."""
        for token in self.text.split("."):
            bare = _PLACE.sub("", token)
            if bare not in ("*", ">") and ("<" in bare or ">" in bare):
                return f"{token!r} in {self.text!r}: a place is written <name>, in small letters, digits and `_`"
            if len(_PLACE.findall(token)) > 1:
                return f"{token!r} in {self.text!r} has two places in one token; one is allowed"
        if (problem := filter_problem(self.filter)) is not None:
            return problem.replace(repr(self.filter), repr(self.text)).replace("subject filter", "subject template")
        places = self.places
        if len(places) > _MAX_PLACES:
            return f"{self.text!r} has {len(places)} places; {_MAX_PLACES} are allowed"
        for place in places:
            if places.count(place) > 1:
                return f"{self.text!r} names {place} twice"
        return None


def _token_regex(token: str) -> str:
    if token == "*":  # noqa: S105 - a wildcard
        return "[^.]+"
    if token == ">":  # noqa: S105 - a wildcard
        return ".+"
    literal = _PLACE.split(token)  # literal, name, literal, …
    return "([^.]+)".join(re.escape(part) for part in literal[::2])
