"""Writes the files of `deploy/dashboards/` by `deploy/dashboards.yaml`: `python deploy/make_dashboards.py`.

The format is Grafana's classic model of dashboards, which versions 12 and 13 read from files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

DESCRIBED = Path(__file__).parent / "dashboards.yaml"
FOLDER = Path(__file__).parent / "dashboards"
SCHEMA_VERSION = 41  # of Grafana 12.0; later versions migrate it when they load it
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
SIZES = {"stat": (4, 4), "lines": (8, 8), "stacked": (8, 8)}  # width in columns, height


def dashboards() -> dict[str, dict[str, Any]]:
    """Each dashboard as Grafana reads it, by the name of its file."""
    return {name: _dashboard(name, one) for name, one in yaml.safe_load(DESCRIBED.read_text()).items()}


def text(dashboard: dict[str, Any]) -> str:
    """The file of a dashboard."""
    return json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n"


def _dashboard(name: str, described: dict[str, Any]) -> dict[str, Any]:
    variables = [
        {"type": "datasource", "name": "datasource", "label": "Prometheus", "query": "prometheus", "refresh": 1},
        _variable("instance", "Node", "label_values(projection_ready, instance)"),
    ]
    if any("$view_type" in expression for panel in described["panels"] for expression in panel["queries"].values()):
        query = 'label_values(projection_build_serves{instance=~"$instance"}, view_type)'
        variables.append(_variable("view_type", "View type", query))
    others = {"type": "dashboards", "title": "Projection", "tags": ["projection"], "asDropdown": False}
    return {
        "uid": f"projection-{name}",
        "title": described["title"],
        "description": described["description"],
        "tags": ["projection"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [{**others, "includeVars": True, "keepTime": True}],
        "templating": {"list": variables},
        "annotations": {"list": []},
        "panels": _placed(described["panels"]),
    }


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    """A choice of label values; several may be chosen, and all are at first."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name, "qryType": 1},
        "refresh": 2,  # whenever the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _placed(described: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Panels in rows, in their order."""
    placed: list[dict[str, Any]] = []
    x = y = height = 0
    for number, one in enumerate(described, 1):
        width, own_height = SIZES[one.get("type", "lines")]
        width = one.get("width", width)
        if x + width > COLUMNS:
            x, y = 0, y + height
        placed.append(_panel(number, one, {"x": x, "y": y, "w": width, "h": own_height}))
        x, height = x + width, own_height
    return placed


def _panel(number: int, described: dict[str, Any], place: dict[str, int]) -> dict[str, Any]:
    is_stat = described.get("type") == "stat"
    defaults, options = _stat(described) if is_stat else _lines(described)
    queried = {"instant": True, "range": False} if is_stat else {"instant": False, "range": True}
    return {
        "id": number,
        "type": "stat" if is_stat else "timeseries",
        "title": described["title"],
        "description": described["description"],
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": described["unit"], **defaults}, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
                **queried,
                **({"exemplar": True} if not is_stat and "_bucket{" in expression else {}),
            }
            for index, (legend, expression) in enumerate(described["queries"].items())
        ],
    }


def _stat(described: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if "red_from" in described:
        steps.append({"color": "red", "value": described["red_from"]})
    if "red_below" in described:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": described["red_below"]}]
    return {"color": {"mode": "thresholds"}, "thresholds": {"mode": "absolute", "steps": steps}}, {
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value",
    }


def _lines(described: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    is_stacked = described.get("type") == "stacked"
    custom: dict[str, Any] = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 0, "showPoints": "never"}
    if is_stacked:
        custom |= {"fillOpacity": 20, "stacking": {"mode": "normal", "group": "A"}}
    return {"color": {"mode": "palette-classic"}, "custom": custom}, {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


if __name__ == "__main__":
    for each, made in dashboards().items():
        (FOLDER / f"{each}.json").write_text(text(made))
