"""What the OpenAPI document shows as answers of the endpoints for those who look at a node."""

from __future__ import annotations

from typing import Any

ACCESS = {"mode": "jwt", "tenants": True, "tenant_id": "north", "operator": True}
_LANE: dict[str, Any] = {
    "build": 3,
    "state": "answers",
    "scanned": 561470,
    "as_of": "2026-03-01T12:00:00.25Z",
    "lag_s": 0.0,
    "halted": False,
    "to_go": 0,
    "why": None,
    "views": 150370,
    "parked": 2,
    "gas": 96044771,
}
_VIEW_TYPE = {"view_type": "fine_summary", "build": 3, "paused": False, "lanes": [_LANE], "why": None}
STATUS = {
    "version": "0.2.0",
    "ready": True,
    "view_types": [_VIEW_TYPE],
    "events": 561470,
    "unhandled": 0,
    "events_to_go": None,
    "catch_up_s": None,
    "troubles": {},
}
DETAILS = {
    "status": _VIEW_TYPE,
    "trouble": None,
    "lanes": [
        {
            "status": _LANE,
            "applied": 561468,
            "messages": 561470,
            "program": "9b3c6e0f5a1d",
            "fold_identity": "9b3c6e0f5a1d",
            "digest": "5d1f0c8a",
            "suspended": 0,
            "routing_gas": 31205880,
            "gas_by_handler": [{"events": ["PaymentReceived"], "lines": [41], "gas": 40117002}],
            "hot_views": [{"tenant_id": "north", "view_id": "A1", "share": 0.031}],
            "indexes": [{"by": "status, balance desc", "built": True}],
        }
    ],
}
BUILD: dict[str, Any] = {
    "view_type": "fine_summary",
    "build": 3,
    "state": "answers",
    "why": None,
    "paused": None,
    "bytes": 83886080,
    "free": 1048576,
    "scanned": 561470,
    "views": 150370,
    "parked": 2,
    "problem": None,
}
PLAN = {
    "steps": [
        {
            "view_type": "fine_summary",
            "change": "folds anew",
            "why": "the program",
            "build": None,
            "events": 561470,
            "seconds": 14.1,
            "seconds_rest_on": "at most; build 3 was folded at 39,800 events a second",
            "bytes": 83886080,
            "reach": "only views that had events of these types can differ: PaymentReceived",
            "folds": "folds anew only views that had events of these types: PaymentReceived",
        }
    ]
}
AUDIT = {
    "operation": "drop",
    "view_type": "fine_summary",
    "author": {"name": "alice", "door": "http", "reason": "the gateway sent it twice"},
    "details": {"build": 3, "sequence": 1024},
    "at": "2026-03-01T12:00:00.000+00:00",
    "number": 7,
}
PARKED: dict[str, Any] = {
    "tenant_id": "north",
    "view_id": "A1",
    "sequence": 1024,
    "code": "R720",
    "error_class": "domain",
    "message": "two paths of one `with` are equal",
    "place": "fine_summary.proj:41:3",
    "disposition": "parked",
    "subject": "events.north.aggregate.fine.A1",
}
PARKED_PAGE = {
    "view_type": "fine_summary",
    "build": 3,
    "events": [PARKED],
    "next": "cGFya2VkOm5vcnRoOj1BMQAwMDAwMDAwMDAwMDAwMDAwMTAyNA",
    "suspended": [],
}
PARKED_DETAILS = {
    "event": PARKED,
    "build": 3,
    "fold_identity": "9b3c6e0f5a1d",
    "envelope": '{"event_type": "PaymentReceived"}',
    "source": [{"number": 41, "text": "on PaymentReceived as e updates e.fine =>"}],
    "line": 41,
}
HISTORY = {
    "build": 3,
    "program": "9b3c6e0f5a1d",
    "id": "A1",
    "at": 561470,
    "view": {"status": "paid", "balance": 0.00},
    "events": [
        {
            "sequence": 4711,
            "event_type": "PaymentReceived",
            "timestamp": "2026-03-01T12:00:00Z",
            "event_id": "5f3a9c0d",
            "outcome": "changed",
            "reached_view": True,
            "lines": [41],
            "gas": 96,
            "changes": [{"path": "balance", "before": 35.00, "after": 0.00}],
            "reason": None,
        }
    ],
    "left_out": 0,
    "agrees": True,
}
LOG_PAGE = {
    "first": 1,
    "last": 561470,
    "events": [
        {
            "sequence": 561470,
            "stored": "2026-03-01T12:00:00.25Z",
            "subject": "events.north.aggregate.fine.A1",
            "bytes": 211,
            "tenant_id": "north",
            "event_type": "PaymentReceived",
            "aggregate_type": "fine",
            "aggregate_id": "A1",
            "timestamp": "2026-03-01T12:00:00Z",
            "event_id": "5f3a9c0d",
            "correlation_id": None,
            "problem": None,
            "handled_by": ["fine_summary"],
            "body": '{"event_type": "PaymentReceived"}',
        }
    ],
    "before": 561470,
}
