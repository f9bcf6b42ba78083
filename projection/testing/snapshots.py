"""Snapshots: all that came of a scenario as one text for people and diffs, the same whoever writes it.

The text is YAML in the form of a scenario's `expect`, so that parts of it can be copied there: views in the order of
their keys, one field a line, numbers as the view's JSON has them; parked events; gas. Why an event was parked is told
by its code and message, not by a line of the program: a comment above it may not change a snapshot.
"""

from __future__ import annotations

import difflib
import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from projection.errors import ConfigurationError
from projection.testing.failing import ExpectationError
from projection.testing.recognising import SCENARIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from projection.testing.folding import Folded, Parked

FOLDER = "__snapshots__"
SUFFIX = ".views"
MAX_SHOWN = 100  # lines of a difference
SCENARIOS = f"*{SCENARIO}{SUFFIX}"  # the snapshots of scenarios, in `FOLDER`

_PLAIN_KEY = re.compile(r"(?!(?:true|false|null)$)[A-Za-z_][\w-]*", re.ASCII | re.IGNORECASE)
_UNSEEN = re.compile("[\x7f-\xa0\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")  # breaks a line, or hides


def snapshot_text(folded: Folded) -> str:
    """The snapshot of a fold; ends with a line end."""
    return "\n".join(_lines(folded)) + "\n"


def _lines(folded: Folded) -> Iterator[str]:
    by_tenant: dict[str, dict[str, dict[str, Any]]] = {}  # in key order, as the views come
    for tenant, view_type, view_id, view in folded.all_views():
        by_tenant.setdefault(tenant, {}).setdefault(view_type, {})[view_id] = view
    if "" in by_tenant or not by_tenant:
        yield from _entry("views", by_tenant.pop("", {}))
    if by_tenant:
        yield from _entry("tenants", by_tenant)
    yield from _entry("parked", [parked_fields(one) for one in folded.parked()])
    if folded.halted is not None:
        yield from _entry("halted", folded.halted.code)
    yield from _entry("gas", gas_by_type(folded))


def parked_fields(one: Parked) -> dict[str, Any]:
    """What a snapshot says of a parked event."""
    fields = {
        "event": one.sequence,
        "type": one.event,
        "tenant": one.tenant or None,
        "view_type": one.view_type,
        "view": one.view_id,
        "code": one.code,
        "message": one.message,
        "skipped": one.skipped or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def gas_by_type(folded: Folded) -> dict[str, int]:
    """The gas of each view type."""
    types = sorted(str(one.entry.view_type) for one in folded.projection.deployed)
    return {kind: folded.gas(of=kind) for kind in types}


def _entry(key: str, value: object) -> Iterator[str]:
    """A key and its value."""
    name = key if _PLAIN_KEY.fullmatch(key) else scalar(key)
    if isinstance(value, (dict, list)) and value:
        yield f"{name}:"
        yield from (f"  {line}" for line in _block(value))
    else:
        yield f"{name}: {scalar(value)}"


def _block(value: dict[str, Any] | list[Any]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _entry(key, item)
        return
    for item in value:
        lines = _block(item) if isinstance(item, (dict, list)) and item else iter([scalar(item)])
        yield f"- {next(lines)}"
        yield from (f"  {line}" for line in lines)


def scalar(value: object) -> str:
    """A value on one line, as JSON writes it; what cannot be seen is written as an escape."""
    if isinstance(value, Decimal):
        return f"{value:f}"  # without an exponent: all digits, and none that was not there
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {scalar(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(scalar, value)) + "]"
    text = json.dumps(value, ensure_ascii=False)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


# --- files -----------------------------------------------------------------------------------------------------------


def snapshot_path(scenario: Path) -> Path:
    """Where the snapshot of a scenario file lies: `__snapshots__/NAME.scenario.views` beside it."""
    return scenario.parent / FOLDER / f"{scenario.stem}{SUFFIX}"


def read_snapshot(path: Path) -> str | None:
    """The text of a snapshot; None where there is none.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the snapshot {path} cannot be read: {error}") from None


def write_snapshot(path: Path, text: str) -> None:
    """Write a snapshot, and its folder where that is missing."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def mismatch(path: Path, snapshot: str | None, found: str) -> ExpectationError:
    """The failure of a scenario whose snapshot says something else, or is not there."""
    if snapshot is None:
        hint = "`projection test --update` writes it, and so does `pytest --snapshot-update`"
        return ExpectationError(f"there is no snapshot {path} yet", hint=hint)
    lines = list(difference(snapshot, found))
    if len(lines) > MAX_SHOWN:
        lines[MAX_SHOWN:] = [f"… and {len(lines) - MAX_SHOWN} more lines"]
    return ExpectationError("\n".join([f"the snapshot {path} says something else (- snapshot, + found):", *lines]))


def difference(snapshot: str, found: str) -> Iterator[str]:
    """The lines that differ, below the keys that they stand under."""
    old, new = snapshot.splitlines(), found.splitlines()
    shown: list[str] = []
    for tag, i, i_end, j, j_end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        above = _keys_above(old, i) if i < i_end else _keys_above(new, j)
        if above != shown:
            yield from (f"  {key}" for key in above)
            shown = above
        yield from (f"- {line}" for line in old[i:i_end])
        yield from (f"+ {line}" for line in new[j:j_end])


def _keys_above(lines: list[str], index: int) -> list[str]:
    """The keys that a line stands under, the outermost first."""
    found: list[str] = []
    depth = _depth(lines[index])
    for line in reversed(lines[:index]):
        if _depth(line) < depth:
            found.append(line)
            depth = _depth(line)
    return found[::-1]


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
