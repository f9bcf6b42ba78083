"""What an expression of Prometheus asks for: which metrics, and which labels of them. And which metrics there are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from container_support import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE = CHECKOUT / "docs/metrics.md"
DEPLOY = CHECKOUT / "deploy"
OF_TARGET = frozenset({"job", "instance"})  # what Prometheus adds
OF_PROMETHEUS = {  # its own series
    "up": OF_TARGET,
    "ALERTS": OF_TARGET | {"alertname", "alertstate", "severity"},
}
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_CLAUSE = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)?\{([^}]*)\}")
_RANGE = re.compile(r"\[[^\]]*\]")
_NAME = re.compile(r"(?<![\w$.])[a-zA-Z_:][\w:]*(?![\w:]*\s*\()")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset"})


def documented(reference: Path = REFERENCE) -> dict[str, frozenset[str]]:
    """The labels of each series that the reference lists; a histogram has three series."""
    found = {}
    for line in reference.read_text().splitlines():
        if row := re.match(r"\| `(\w+)` \| (\w+) \| ([^|]*) \|", line):
            name, kind, labels = row[1], row[2], frozenset(re.findall(r"`(\w+)`", row[3]))
            if kind == "histogram":
                found |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
            else:
                found[name] = labels
    return {name: labels | OF_TARGET for name, labels in found.items()}


def asked_for(expression: str) -> tuple[set[str], dict[str, set[str]], set[str]]:
    """The metrics of an expression, the labels in the selector of each, and the labels by which it groups or joins."""
    plain = _TEXT.sub('""', expression)
    clauses = {one.strip() for found in _CLAUSE.findall(plain) for one in found.split(",") if one.strip()}
    selected = {
        name: set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) for name, matchers in _SELECTOR.findall(plain)
    }
    bare = _RANGE.sub("", _SELECTOR.sub(lambda found: f"{found[1] or ''} ", _CLAUSE.sub(" ", plain)))
    return set(_NAME.findall(bare.replace('""', " "))) - _WORDS, selected, clauses


def unknown(expression: str, known: dict[str, frozenset[str]]) -> list[str]:
    """What an expression asks for that is not there, in words."""
    metrics, selected, clauses = asked_for(expression)
    found = [f"metric {name}" for name in sorted(metrics - known.keys())]
    for name, labels in selected.items():
        found += [f"label {one} of {name}" for one in sorted(labels - known.get(name, frozenset()))]
    everywhere = frozenset().union(*(known.get(name, frozenset()) for name in metrics))
    return found + [f"label {one}" for one in sorted(clauses - everywhere)]
