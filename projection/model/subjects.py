"""The subject of an event, by a template such as `tenant.<tenant>.aggregate.<type>.<id>`."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from projection.model.escaping import escape_token, unescape_token
from projection.model.ids import tenant_of_event

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from projection.model.ids import TenantId

DEFAULT_TEMPLATE = "tenant.<tenant>.aggregate.<type>.<id>"
_NEVER_IN_TOKEN = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]")
_PLACES = ("<tenant>", "<type>", "<id>")
_REMEMBERED = 65_536  # tenants


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

    def filter(
        self, tenant_id: str | None = None, aggregate_type: str | None = None, aggregate_id: str | None = None
    ) -> str:
        """The subject filter that takes every subject of this template, or those with what is given.

        Raises:
            ValueError: an id makes a token that is too long.
        """
        known = {"<tenant>": tenant_id, "<type>": aggregate_type, "<id>": aggregate_id}
        values = {place: "*" if value is None else escape_token(value) for place, value in known.items()}
        return ".".join(values.get(token, token) for token in self.tokens)

    def filter_problem(self, subject_filter: str) -> str | None:
        """What is wrong with this filter for subjects of this template; None when it takes such subjects only."""
        if (problem := filter_problem(subject_filter)) is not None:
            return problem
        outside = f"{subject_filter!r} takes subjects that do not have the form {self}"
        tokens = subject_filter.split(".")
        if len(tokens) != len(self.tokens) or tokens[-1] == ">":
            return outside
        for expected, token in zip(self.tokens, tokens, strict=True):
            if expected not in _PLACES and token != expected:
                return outside
            if expected in _PLACES and token != "*":  # noqa: S105 - a wildcard
                try:
                    unescape_token(token)
                except ValueError:
                    return f"{subject_filter!r} never matches: {token!r} must be written {escape_token(token)!r}"
        return None

    def tenant_of(self, subject: str) -> TenantId | None:
        """The tenant that a subject names; None where the template has no place for one.

        Raises:
            ValueError: the subject is not one of this template, or its tenant is not a legal one.
        """
        return self.tenant_reader()(subject)

    def tenant_reader(self) -> Callable[[str], TenantId | None]:
        """`tenant_of` for many subjects: what stands before the type and id at their ends is looked at once."""
        match = re.compile(
            r"\.".join(
                "([^.]*)" if token == "<tenant>" else "[^.]*" if token in _PLACES else re.escape(token)  # noqa: S105
                for token in self.tokens
            )
        ).fullmatch
        names_tenant = "<tenant>" in self.tokens

        def read(subject: str) -> TenantId | None:
            if (found := match(subject)) is None:
                raise ValueError(f"subject {subject!r} does not have the form {self}")
            return _tenant(found[1]) if names_tenant else None

        free = sum(1 for _ in takewhile(lambda token: token in ("<type>", "<id>"), reversed(self.tokens)))
        if free in (0, len(self.tokens)):
            return read
        known: dict[str, TenantId | None] = {}  # by all that comes before

        def look_up(subject: str) -> TenantId | None:
            parts = subject.rsplit(".", free)
            if parts[0] in known and len(parts) > free:
                return known[parts[0]]
            tenant_id = read(subject)
            if len(known) >= _REMEMBERED:
                known.clear()
            known[parts[0]] = tenant_id
            return tenant_id

        return look_up


@lru_cache(maxsize=_REMEMBERED)  # asked for every event, and there are fewer tenants than events
def _tenant(token: str) -> TenantId:
    return tenant_of_event(unescape_token(token))


def filter_problem(subject_filter: str) -> str | None:
    """What is wrong with this text as a NATS subject filter; None when nothing is."""
    tokens = subject_filter.split(".")
    for token in tokens:
        if not token or _NEVER_IN_TOKEN.search(token):
            return f"{subject_filter!r} is not a subject filter: it has an empty token, a blank or a control character"
        if token not in ("*", ">") and ("*" in token or ">" in token):
            return f"{subject_filter!r} is not a subject filter: `*` and `>` stand for whole tokens"
    if ">" in tokens[:-1]:
        return f"{subject_filter!r} is not a subject filter: `>` can only be the last token"
    return None


def meet(one: str, other: str) -> bool:
    """Whether some subject is taken by both of two filters; both may end in `>`."""
    ones, others = one.split("."), other.split(".")
    for mine, theirs in zip(ones, others, strict=False):
        if ">" in (mine, theirs):
            return True
        if "*" not in (mine, theirs) and mine != theirs:
            return False
    return len(ones) == len(others)


def overlapping(one: str, other: str) -> bool:
    """Whether some subject is taken by both of two filters of equally many tokens without `>`."""
    return all("*" in pair or pair[0] == pair[1] for pair in zip(one.split("."), other.split("."), strict=True))


def common(ones: Collection[str], others: Collection[str]) -> tuple[str, ...]:
    """Filters that take what both take, none that another covers; sorted. All have equally many tokens and no `>`."""
    met = {
        ".".join(theirs if mine == "*" else mine for mine, theirs in zip(one.split("."), other.split("."), strict=True))
        for one in ones
        for other in others
        if overlapping(one, other)
    }
    covers = {one: matcher([one]) for one in met}
    return tuple(sorted(one for one in met if not any(covers[other](one) for other in met if other != one)))


def matcher(filters: Sequence[str]) -> Callable[[str], bool]:
    """Whether a subject is taken by one of some filters, as the server decides it; none at all is taken as well.

    An event that no stream holds may have none.
    """
    patterns = "|".join(
        re.escape(one).replace(r"\*", r"[^.]+").replace(">", r".+")  # `re.escape` leaves `>` as it is
        for one in filters
    )
    compiled = re.compile(f"(?:{patterns})?")
    return lambda subject: compiled.fullmatch(subject) is not None


def disjoint(filters: Iterable[str], everything: Sequence[str]) -> tuple[str, ...]:
    """Filters that take at least what these take, and no subject twice, as a consumer wants them; sorted.

    Several view types may ask for overlapping subjects. Rather than cut filters into pieces, everything is read then.

    Args:
        filters: what is asked for.
        everything: disjoint filters that take all of it.
    """
    found = covering(filters)
    overlap = any(meet(one, other) for index, one in enumerate(found) for other in found[index + 1 :])
    return tuple(everything) if overlap else found


def covering(filters: Iterable[str]) -> tuple[str, ...]:
    """Those filters that no other one covers, sorted."""
    found = sorted(set(filters))
    return tuple(one for one in found if not any(other != one and _covers(other, one) for other in found))


def _covers(wide: str, narrow: str) -> bool:
    """Whether a filter takes every subject that another one takes."""
    wides, narrows = wide.split("."), narrow.split(".")
    for at, token in enumerate(wides):
        if token == ">":  # noqa: S105 - a wildcard
            return len(narrows) > at
        if at >= len(narrows) or narrows[at] == ">" or (token != "*" and token != narrows[at]):  # noqa: S105
            return False
    return len(wides) == len(narrows)
