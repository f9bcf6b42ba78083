"""What the tests of histories share: a program in which everything can happen to a view, and random lives of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from projection.engine.deployment import DeployedView, deploy
from projection.engine.parking import LaneHaltedError
from projection.engine.replay import Replay
from projection.history.logs import FileLog
from projection.lang.check.checker import check
from projection.lang.program import Program
from projection.lang.source import Source
from projection.model.envelope import Tenancy
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.keys import ViewKey
from projection.model.manifest import FIRST, Limits, ManifestView, Policy
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate

if TYPE_CHECKING:
    from collections.abc import Sequence

VIEW_TYPE = ViewType("account")
TEMPLATE = SubjectTemplate.parse(DEFAULT_TEMPLATE)
ACCOUNT = """\
proj 1
projection account

event Opened { owner: string }
event Moved { to: string, amount: int }
event Closed {}

view Account { owner: string, balance: int = 0, moves: list<int>(3) = [] }

on Opened as e to meta.aggregate_id
  when view == none => { owner: e.owner }
  else => keep

on Moved as e updates meta.aggregate_id
  when e.amount > view.balance + 100 => fail("TOO_MUCH", "there are {view.balance}")
  else => view with { balance -= e.amount, moves: [...view.moves, e.amount] }

on Moved as e to if e.to == meta.aggregate_id then none else e.to
  when view == none => keep
  else => view with { balance += e.amount }

on Closed to meta.aggregate_id => delete
"""
OWN = """\
proj 1
projection account

event Opened { owner: string }
event Moved { to: string, amount: int }

view Account { owner: string, balance: int = 0 }

on Opened as e creates meta.aggregate_id => { owner: e.owner }
on Moved as e updates meta.aggregate_id => view with { balance -= e.amount }
"""


def deployed(text: str = ACCOUNT, policy: Policy = Policy.PARK, **entry: Any) -> DeployedView:
    terms = {
        "view_type": VIEW_TYPE,
        "program": Path("account.proj"),
        "subject_template": TEMPLATE,
        "subjects": (TEMPLATE.filter(),),
        "start": FIRST,
        "on_error": policy,
        "limits": Limits(),
    }
    return deploy(ManifestView(**{**terms, **entry}), Program(check(Source("account.proj", text))), Tenancy())


def event(kind: str, account: str = "a", tenant: str = "", **payload: Any) -> bytes:
    fields = {
        "tenant_id": tenant,
        "aggregate_type": "account",
        "aggregate_id": account,
        "event_type": kind,
        "payload": payload,
        "timestamp": "2024-01-01T00:00:00Z",
    }
    return json.dumps(fields).encode()


def opened(account: str = "a", tenant: str = "", owner: str = "ann") -> bytes:
    return event("Opened", account, tenant, owner=owner)


def moved(amount: int, to: str = "b", account: str = "a", tenant: str = "") -> bytes:
    return event("Moved", account, tenant, to=to, amount=amount)


_ids, _tenants = st.sampled_from(["a", "b"]), st.sampled_from(["", "t"])
events = st.lists(
    st.one_of(
        st.builds(opened, _ids, _tenants),
        st.builds(moved, st.sampled_from([1, 60, 90]), _ids, _ids, _tenants),
        st.builds(lambda one, tenant: event("Closed", one, tenant), _ids, _tenants),
        st.builds(lambda one: event("Moved", one, to="b", amount="much"), _ids),
        st.just(b"no envelope"),
    ),
    max_size=25,
)


def replayed(one: DeployedView, given: Sequence[bytes]) -> Replay:
    """All that comes of some events, by the engine's own fold; where it halts, of those before."""
    replay = Replay([one], one.tenancy)
    try:
        replay.run(given)
    except LaneHaltedError:
        replay.lanes[0].commit(None)
    return replay


def view_of(replay: Replay, view_id: str, tenant: str = "") -> bytes | None:
    return replay.lanes[0].store.get_view(ViewKey(TenantId(tenant), VIEW_TYPE, ViewId(view_id)))


def log_of(given: Sequence[bytes]) -> FileLog:
    return FileLog(lambda: iter(given))
