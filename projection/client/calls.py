"""The calls of both clients: how each is asked over HTTP, and how its answer is read. Nothing here sends anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from projection.client.answers import Catalog, Explanation, Page, PastView, Readiness, View, decoded
from projection.client.errors import AnswerUnreadableError, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_FOLDING_S = 30.0  # that a view of the past may take
_Value = TypeVar("_Value")
Filter = str | dict[str, Any]
"""A filter as text in the projection language, or in the structured form; see docs/query.md."""


class Answer(NamedTuple):
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def value(self, type_: type[_Value]) -> _Value:
        """The body as a value of this type.

        Raises:
            AnswerUnreadableError: it is none.
        """
        try:
            return decoded(self.body, type_)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise AnswerUnreadableError(
                f"the answer cannot be read: {error}", hint="does the URL name a node, and of this version?"
            ) from None


@dataclass(frozen=True, slots=True)
class Call(Generic[_Value]):
    """One question. All of them only read, so each may be asked again."""

    path: str
    read: Callable[[Answer], _Value]
    params: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None  # with it the question is a POST
    patience_s: float = 0.0  # how long the node may wait before it answers
    also_read: tuple[int, ...] = ()  # statuses beside 2xx that are answers, too

    def result(self, answer: Answer) -> _Value:
        """What the answer says.

        Raises:
            ClientError: it is a refusal, or cannot be read.
        """
        if 200 <= answer.status < 300 or answer.status in self.also_read:
            return self.read(answer)
        raise refusal(answer.status, answer.body, answer.headers.get("retry-after"))


class Fresh(NamedTuple):
    """How fresh an answer must be; see docs/query.md."""

    min_sequence: int | None = None
    wait_ms: int | None = None
    max_lag_s: float | None = None

    def given(self) -> dict[str, Any]:
        """What of it was asked for."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    @property
    def patience_s(self) -> float:
        """How long the node may wait for it."""
        return (self.wait_ms or 0) / 1e3


def view(view_type: str, view_id: str, fresh: Fresh, etag: str | None) -> Call[View | None]:
    """One view; None where it is still what the ETag says."""

    def read(answer: Answer) -> View | None:
        if answer.status == 304:
            return None
        return msgspec.structs.replace(answer.value(View), etag=answer.headers.get("etag"))

    return Call(
        f"/v1/views/{_segment(view_type)}/{_segment(view_id)}",
        read,
        params=_params(fresh.given()),
        headers={} if etag is None else {"if-none-match": etag},
        patience_s=fresh.patience_s,
        also_read=() if etag is None else (304,),
    )


def view_at(view_type: str, view_id: str, at: int | str) -> Call[PastView]:
    """One view as it was."""
    path = f"/v1/views/{_segment(view_type)}/{_segment(view_id)}"
    return Call(path, lambda answer: answer.value(PastView), params=(("at", str(at)),), patience_s=_FOLDING_S)


def views(view_type: str, view_ids: Sequence[str], fresh: Fresh) -> Call[Page]:
    """Those of these views that exist."""
    filter_ = {"field": "$id", "op": "in", "value": list(view_ids)}
    return query(view_type, fresh, filter=filter_, limit=max(1, len(view_ids)))


def query(view_type: str, fresh: Fresh, **terms: Any) -> Call[Page]:
    """One page of a query."""
    return Call("/v1/query", _read_page, body=_query(view_type, fresh, terms), patience_s=fresh.patience_s)


def explain(view_type: str, **terms: Any) -> Call[Explanation]:
    """How a query would be answered."""
    return Call("/v1/query/explain", lambda answer: answer.value(Explanation), body=_query(view_type, Fresh(), terms))


def catalog() -> Call[Catalog]:
    """The view types."""
    return Call("/v1/catalog", lambda answer: answer.value(Catalog))


def health() -> Call[bool]:
    """Whether there is a node that answers."""
    return Call("/health", lambda answer: answer.status == 200, also_read=(503,))


def ready() -> Call[Readiness]:
    """Whether it does its work."""
    return Call("/ready", lambda answer: answer.value(Readiness), also_read=(503,))


def changes(view_type: str, filter_: Filter | None, select: Sequence[str] | None, *, snapshot: bool) -> Call[None]:
    """A change feed, which is read as a stream."""
    params: dict[str, Any] = {"view": view_type}
    if filter_ is not None:
        params["filter"] = filter_ if isinstance(filter_, str) else _encoded(filter_).decode()
    if select is not None:
        params["select"] = ",".join(select)
    if snapshot:
        params["snapshot"] = "true"
    return Call("/v1/changes", lambda _: None, params=_params(params), headers={"accept": "text/event-stream"})


def _read_page(answer: Answer) -> Page:
    return answer.value(Page)


def _query(view_type: str, fresh: Fresh, terms: Mapping[str, Any]) -> bytes:
    given = {name: value for name, value in terms.items() if value is not None}
    return _encoded({"view": view_type, **given, **fresh.given()})


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(
        value
    )  # a Decimal as a text: a filter takes it for the same number, and no digit is lost


def _params(given: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in given.items())


def _segment(part: str) -> str:
    """A part of a path, whatever is in it; dots as well, or a lone one would be taken for a step in the path."""
    return quote(part, safe="").replace(".", "%2E")
