"""The OpenAPI document: FastAPI's, completed by what it cannot know of answers that it does not write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from fastapi.openapi.utils import get_openapi

from projection import __version__
from projection.engine import orders, outcomes
from projection.engine.node_status import NodeStatus, ViewTypeDetails
from projection.engine.tasks import TaskRecord
from projection.history.differences import BuildDifferences
from projection.history.latest import LogPage
from projection.ops.http.long_running import TaskList
from projection.ops.http.operations import Health, Readiness
from projection.ops.http.problems import Problem, documented
from projection.ops.http.status import AccessAnswer, AuditList, BuildContents, BuildList, PlanAnswer
from projection.query.answers import (
    CatalogAnswer,
    Explanation,
    HistoryAnswer,
    PastViewAnswer,
    QueryAnswer,
    ViewAnswer,
)
from projection.query.form import Query
from projection.query.parked_pages import ParkedDetails, ParkedPage

if TYPE_CHECKING:
    from fastapi import FastAPI

_REF = "#/components/schemas/{}"
_ANYWHERE = (  # what any request may be answered with
    "access.host",
    "http.busy",
    "http.head_too_large",
    "http.invalid",
    "http.method_not_allowed",
    "http.not_found",
    "http.slow",
    "http.too_large",
    "internal",
    "storage",
)
_OF_OPERATIONS = (
    orders.Order,
    orders.DropOrder,
    orders.AdoptOrder,
    orders.DeleteOrder,
    orders.RepairOrder,
    outcomes.RepairCame,
    orders.DeployOrder,
    orders.ReloadOrder,
    orders.LogLevelOrder,
    orders.RebuildOrder,
    orders.BackupOrder,
    orders.VerifyOrder,
    outcomes.BackupCame,
    outcomes.VerifyCame,
    orders.CompactOrder,
    outcomes.CompactCame,
    orders.PromoteOrder,
    orders.RetireOrder,
    orders.CompareOrder,
    orders.PlanOrder,
    outcomes.DeployCame,
    outcomes.LogLevelCame,
    outcomes.DropCame,
    outcomes.AdoptCame,
    outcomes.BuildCame,
    outcomes.SwitchCame,
    BuildDifferences,
    outcomes.Done,
    TaskRecord,
    TaskList,
    NodeStatus,
    ViewTypeDetails,
    AccessAnswer,
    BuildList,
    BuildContents,
    PlanAnswer,
    AuditList,
    ParkedPage,
    ParkedDetails,
    HistoryAnswer,
    LogPage,
)
_OPEN = ("/health", "/ready")
_ACCESS = ("access.denied", "access.forbidden", "access.missing")
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "In access mode jwt."},
    "gateway": {
        "type": "apiKey",
        "in": "header",
        "name": "x-projection-secret",
        "description": "In access mode header; together with `x-tenant-id`.",
    },
}


def openapi(app: FastAPI) -> dict[str, Any]:
    """The document of an application."""
    document = get_openapi(
        title="Projection node",
        version=__version__,
        openapi_version="3.1.0",
        summary="Views of event-sourced systems, and how fresh they are.",
        description="Queries are described in docs/query.md, access and problems in docs/http.md.",
        routes=app.routes,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)  # we never answer so
    schemas |= _of_answers() | _of_queries()
    document["components"]["securitySchemes"] = _SECURITY
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(operation, is_open=path in _OPEN)
    return document


def _complete(operation: dict[str, Any], *, is_open: bool) -> None:
    answers = operation["responses"]
    if "HTTPValidationError" in str(answers.get("422")):
        del answers["422"]
    for status, answer in documented(*_ANYWHERE, *(() if is_open else _ACCESS)).items():
        known = answers.setdefault(str(status), answer)
        for media_type, content in known.get("content", {}).items():
            ours = answer["content"].get(media_type, {})
            if "examples" in content:
                content["examples"] = {**content["examples"], **ours.get("examples", {})}
    if not is_open:
        operation["security"] = [{}, *({name: []} for name in _SECURITY)]


def _of_answers() -> dict[str, Any]:
    views = (ViewAnswer, PastViewAnswer, QueryAnswer)
    answers = (Problem, *views, Explanation, CatalogAnswer, Health, Readiness, *_OF_OPERATIONS)
    _, schemas = msgspec.json.schema_components(answers, ref_template=_REF.format("{name}"))
    return dict(schemas)


def _of_queries() -> dict[str, Any]:
    schema = Query.model_json_schema(ref_template=_REF.format("{model}"))
    return {**schema.pop("$defs", {}), "Query": schema}
