"""The parser's tables: built from the grammar when the package is built, and loaded from there, at a tenth of the time.

The grammar stays the one source: tables carry the digest of what they were built from, and tables of another grammar,
or of another version of Lark, are not used. The build hook (`hatch_build.py`) runs this module by itself, with nothing
but Lark installed.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import lark
from lark.grammar import Rule
from lark.lexer import TerminalDef

STARTS = ["program", "declaration", "expr"]


def build(grammar: str) -> lark.Lark:
    """The parser of a grammar, from scratch (0.4 s)."""
    return lark.Lark(
        grammar, parser="lalr", lexer="contextual", start=STARTS, propagate_positions=True, maybe_placeholders=False
    )


def dump(grammar: str) -> str:
    """The tables of a grammar as JSON."""
    data, memo = build(grammar).memo_serialize([TerminalDef, Rule])
    return json.dumps({"of": _origin(grammar), "data": data, "memo": memo}, separators=(",", ":"))


def load(grammar: str, dumped: str) -> lark.Lark | None:
    """The parser of a grammar from its tables (20 ms); None where they are not of this grammar and this Lark."""
    found: dict[str, Any] = json.loads(dumped)
    if found["of"] != _origin(grammar):
        return None
    table = found["data"]["parser"]["parser"]
    table["states"] = _by_number(table["states"])
    parser: lark.Lark = lark.Lark.__new__(lark.Lark)
    # What `Lark.load` does, without a pickle.
    parser._load({"data": found["data"], "memo": _by_number(found["memo"])})  # noqa: SLF001
    return parser


def _origin(grammar: str) -> str:
    return f"lark {lark.__version__} {hashlib.sha256(grammar.encode()).hexdigest()}"


def _by_number(mapping: dict[str, Any]) -> dict[int, Any]:
    """The mapping with numbers as keys, which JSON has made texts of."""
    return {int(key): value for key, value in mapping.items()}
