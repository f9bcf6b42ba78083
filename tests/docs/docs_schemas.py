"""The JSON Schemas that are published with the pages."""

from __future__ import annotations

import json

from docs_pages import CHECKOUT

from projection.query.form import Query

QUERY_SCHEMA = CHECKOUT / "docs/query.schema.json"


def query_schema() -> str:
    """The schema of a query's JSON."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Query.model_json_schema(by_alias=True)}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
