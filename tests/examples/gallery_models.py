"""What some projections of the gallery must come to, in plain Python: no schema, no gas, nothing of the language.

Each is told of all events at once, and looks at them in another way than a fold does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from example_support import View, Views

Event = dict[str, Any]
ZERO = Decimal("0.00")
PAUSE, KEPT = timedelta(minutes=30), timedelta(days=7)


def by_id(events: Iterable[Event], ids: Callable[[Event], Iterable[str]]) -> dict[tuple[str, str], list[Event]]:
    """The events of each view, by tenant and id."""
    found: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        for one in ids(event):
            found[event["tenant_id"], one].append(event)
    return found


def time_of(event: Event) -> datetime:
    return datetime.fromisoformat(event["timestamp"])


def utc(time: datetime) -> str:
    return f"{(time - time.utcoffset()).replace(tzinfo=None).isoformat()}Z"


# --- bank_ledger -----------------------------------------------------------------------------------------------------


def accounts(events: Iterable[Event]) -> Views:
    def ids(event: Event) -> list[str]:
        payload = event["payload"]
        return [payload[name] for name in ("account", "from_account", "to_account") if name in payload]

    return {key: account(key[1], history) for key, history in by_id(events, ids).items()}


def account(number: str, history: list[Event]) -> View:
    """One account: what has moved on it up to the first movement that overdraws it."""
    opened, *movements = (event["payload"] for event in history)
    days = [event["timestamp"][:10] for event in history[1:]]
    overdraft = opened.get("overdraft", ZERO)
    amounts = [-one["amount"] if one.get("from_account") == number else one["amount"] for one in movements]
    good = next(
        (count for count in range(1, len(amounts) + 1) if amounts[count - 1] < 0 and sum(amounts[:count]) < -overdraft),
        len(amounts) + 1,
    )
    taken = amounts[: good - 1]
    other = None
    if taken:
        last = movements[len(taken) - 1]
        other = last.get("to_account") if taken[-1] < 0 else last.get("from_account")
    return {
        "owner": opened["owner"],
        "overdraft": overdraft,
        "balance": sum(taken, ZERO),
        "received": sum((amount for amount in taken if amount > 0), ZERO),
        "sent": -sum((amount for amount in taken if amount < 0), ZERO),
        "last": {"on": days[len(taken) - 1], "amount": taken[-1], "other": other} if taken else None,
    }


# --- inventory -------------------------------------------------------------------------------------------------------


def stock(events: Iterable[Event]) -> Views:
    def ids(event: Event) -> list[str]:
        payload = event["payload"]
        return [payload["sku"]] if "sku" in payload else [line["sku"] for line in payload["lines"]]

    return {key: article(key[1], history) for key, history in by_id(events, ids).items()}


def article(sku: str, history: list[Event]) -> View:
    """One article as its last event leaves it: each order's last word on it counts, unless its time has come."""
    on_hand, last_word = 0, {}
    for event in history:
        payload = event["payload"]
        if event["event_type"] == "StockReceived":
            on_hand += payload["quantity"]
        else:
            last_word[payload["order_id"]] = event
        if event["event_type"] == "OrderPicked":
            on_hand -= sum(line["quantity"] for line in payload["lines"] if line["sku"] == sku)
    minutes = {None: 30, "PT15M": 15, "PT2H": 120}
    held = {
        order: (event["payload"]["quantity"], time_of(event) + timedelta(minutes=minutes[event["payload"].get("hold")]))
        for order, event in last_word.items()
        if event["event_type"] == "StockReserved"
    }
    now = time_of(history[-1])
    held = {order: (quantity, until) for order, (quantity, until) in held.items() if until > now}
    return {
        "on_hand": on_hand,
        "reservations": {
            order: {"quantity": quantity, "until": utc(until)} for order, (quantity, until) in held.items()
        },
        "available": on_hand - sum(quantity for quantity, _ in held.values()),
        "next_expiry": min((utc(until) for _, until in held.values()), default=None),
    }


# --- sessions --------------------------------------------------------------------------------------------------------


def visitors(events: Iterable[Event]) -> Views:
    return {
        key: visitor(history) for key, history in by_id(events, lambda event: [event["payload"]["visitor"]]).items()
    }


def visitor(history: list[Event]) -> View:
    """One visitor: the times in their order, cut where there is a pause."""
    last_seen = max(map(time_of, history))
    views = sorted(time_of(event) for event in history if event["event_type"] == "PageViewed")
    times = [time for time in views if last_seen - time <= KEPT]
    cuts = [place for place, (one, other) in enumerate(pairwise(times), 1) if other - one >= PAUSE]
    sessions = [times[begin:end] for begin, end in pairwise([0, *cuts, len(times)]) if begin < end]
    names = [event["payload"]["name"] for event in history if event["event_type"] == "SignedIn"]
    return {
        "name": names[-1] if names else None,
        "sessions": [{"began": utc(one[0]), "ended": utc(one[-1]), "pages": len(one)} for one in sessions],
        "last_seen": utc(last_seen),
        "too_late": len(views) - len(times),
    }


# --- audit_log -------------------------------------------------------------------------------------------------------


def trails(events: Iterable[Event]) -> Views:
    ids = by_id(events, lambda event: [f"{event['aggregate_type']}:{event['aggregate_id']}"])
    return {key: trail([entry(event) for event in history]) for key, history in ids.items()}


def trail(entries: list[View]) -> View:
    return {"total": len(entries), "first": entries[0], "entries": entries[::-1][:10]}


def entry(event: Event) -> View:
    note = event["payload"].get("note", "")
    return {
        "at": utc(time_of(event)),
        "what": event["event_type"],
        "by": event["payload"].get("by", "-"),
        "note": note if len(note) <= 60 else note[:59] + "…",
    }


# --- leaderboard -----------------------------------------------------------------------------------------------------


def boards(events: Iterable[Event]) -> Views:
    return {key: board(history) for key, history in by_id(events, lambda event: [event["payload"]["season"]]).items()}


def board(history: list[Event]) -> View:
    """One season: sums of what was scored by those who were not disqualified."""
    out = {event["payload"]["player"] for event in history if event["event_type"] == "PlayerDisqualified"}
    scored = [event["payload"] for event in history if event["event_type"] == "RoundScored"]
    scored = [one for one in scored if one["player"] not in out]
    team = {one["player"]: one["team"] for one in scored}
    rounds = Counter(one["player"] for one in scored)
    points = {player: sum(one["points"] for one in scored if one["player"] == player) for player in team}
    order = sorted(points, key=lambda player: (-points[player], player))
    best = sorted(points.values(), reverse=True)
    teams = {name: [points[player] for player in team if team[player] == name] for name in team.values()}
    return {
        "players": {name: {"team": team[name], "points": points[name], "rounds": rounds[name]} for name in team},
        "top": [{"rank": 1 + best.index(points[one]), "player": one, "points": points[one]} for one in order[:10]],
        "teams": sorted(
            ({"name": name, "points": sum(has), "players": len(has)} for name, has in teams.items()),
            key=lambda row: (-row["points"], row["name"]),
        ),
    }
