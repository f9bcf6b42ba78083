"""The parts of the OpenAPI document that describe parameters, bodies and answers, with an example of each."""

from __future__ import annotations

from typing import Any

_HERE = {"build": 3, "program": "9b3c6e0f5a1d", "scanned": 561470, "as_of": "2026-03-01T12:00:00.25Z", "lag_s": 0.0}
_PAID = {"status": "paid", "balance": 0.00}
VIEW: dict[str, Any] = {**_HERE, "id": "A1", "view": _PAID, "degraded": False, "incomplete": False}
PAST_VIEW: dict[str, Any] = {
    **{name: _HERE[name] for name in ("build", "program")},
    "at": 4711,
    "events": 3,
    "id": "A1",
    "view": _PAID,
    "degraded": False,
    "incomplete": False,
}
PAGE: dict[str, Any] = {
    **_HERE,
    "views": [{"id": "A1", "view": _PAID}],
    "next": "c29tZXdoZXJlIGluIHRoZSBvcmRlcg",
    "count": 67201,
    "degraded": [],
    "incomplete": False,
}
EXPLANATION: dict[str, Any] = {
    **_HERE,
    "plan": "index range",
    "index": "status, balance desc",
    "ranges": 1,
    "order": "index",
    "examined": 51,
    "returned": 50,
    "gas": 1224,
    "ms": 0.8,
    "unused": [],
}
CATALOG: dict[str, Any] = {
    "views": [
        {
            **_HERE,
            "view": "fine_summary",
            "json_schema": {"type": "object", "properties": {"status": {"type": "string"}}},
            "indexes": [{"by": "status, balance desc", "built": True}],
            "builds": [2, 3],
            "changes": True,
        }
    ]
}
TASK: dict[str, Any] = {
    "id": "5f3a9c0d1e2b",
    "operation": "rebuild",
    "view_type": "fine_summary",
    "by": "alice",
    "reason": "the disk was replaced",
    "began": "2026-03-01T12:00:00.000Z",
    "state": "running",
    "done": 120000,
    "total": 561470,
    "rate": 31250.5,
    "left_s": 14.1,
    "ended": None,
    "result": None,
    "error": None,
    "hint": None,
    "error_class": None,
    "build": 4,
    "why": None,
}
QUERIES: dict[str, Any] = {
    "structured": {
        "value": {
            "view": "fine_summary",
            "filter": {
                "and": [
                    {"field": "status", "op": "eq", "value": "paid"},
                    {"field": "balance", "op": "gt", "value": "100.00"},
                ]
            },
            "sort": ["-balance"],
            "select": ["status", "balance"],
            "limit": 50,
            "count": True,
        }
    },
    "text": {"value": {"view": "fine_summary", "filter": 'status == "paid" and balance > 100'}},
}


def parameter(name: str, description: str, schema: dict[str, Any], example: Any) -> dict[str, Any]:
    """A parameter of the address that may be left out."""
    return {"name": name, "in": "query", "description": description, "schema": schema, "example": example}


_WHOLE = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_TEXTS = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}
_FRESHNESS = [
    parameter(
        "min_sequence", "The sequence of an event that must be included, from its acknowledgment.", _WHOLE, 561470
    ),
    parameter("wait_ms", "How long to wait for that event.", {"type": "integer", "minimum": 0, "maximum": 30_000}, 500),
    parameter(
        "max_lag_s",
        "The largest lag that the answer may have.",
        {"type": "number", "minimum": 0, "maximum": 10**9},
        2.5,
    ),
]
PARAMETERS_OF_VIEW = [
    *_FRESHNESS,
    parameter(
        "at",
        "The view as it was after this event, or after the last one stored at this time (RFC 3339) or before; goes "
        "with no other parameter.",
        {"type": "string", "minLength": 1},
        "4711",
    ),
    {
        "name": "if-none-match",
        "in": "header",
        "description": "The `ETag` of an answer that the client has.",
        "schema": {"type": "string"},
        "example": 'W/"mV0uDTlIYbC5vFVVsBqaPQ"',
    },
]
PARAMETERS_OF_VIEWS = [
    parameter("id", "A view by its id; may be repeated.", _TEXTS, ["A1", "A2"]),
    parameter(
        "filter", "A condition in the projection language, or the JSON of one.", {"type": "string"}, "balance > 9"
    ),
    parameter("sort", "Fields to sort by; `-` in front for descending.", _TEXTS, ["-balance"]),
    parameter("select", "The fields to return.", _TEXTS, ["status", "balance"]),
    parameter("limit", "Views per page.", {"type": "integer", "minimum": 1, "maximum": 1_000}, 50),
    parameter("cursor", "`next` of the previous page.", {"type": "string"}, PAGE["next"]),
    parameter("count", "Whether all views that match are counted.", {"type": "boolean"}, True),
    *_FRESHNESS,
    {
        "name": "conditions",
        "in": "query",
        "description": "Any other parameter is a condition: `FIELD=VALUE` or `FIELD[OP]=VALUE`.",
        "schema": {"type": "object", "additionalProperties": {"type": "string"}},
        "style": "form",
        "explode": True,
        "example": {"status": "paid", "balance[gt]": "100"},
    },
]


def answered(schema: str, example: Any, description: str, *, etag: bool = False) -> dict[int | str, dict[str, Any]]:
    """The answer 200 of an endpoint."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}}
    answer: dict[str, Any] = {"description": description, "content": content}
    if etag:
        answer["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "Weak; for `If-None-Match`."}}
    return {200: answer}


def answered_as_it_is_or_was() -> dict[int | str, dict[str, Any]]:
    """The answer 200 with one view, of now or of the past."""
    answer = answered("ViewAnswer", VIEW, "The view, as it is stored; with `at`, as it was.", etag=True)
    content = answer[200]["content"]["application/json"]
    content["schema"] = {"anyOf": [content["schema"], {"$ref": "#/components/schemas/PastViewAnswer"}]}
    content["examples"] = {"as it is": {"value": content.pop("example")}, "as it was": {"value": PAST_VIEW}}
    return answer


def asked(schema: str) -> dict[str, Any]:
    """The body of a request."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}, "examples": QUERIES}}
    return {"requestBody": {"required": True, "content": content}}
