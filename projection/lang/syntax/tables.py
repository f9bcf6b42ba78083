"""The parser's tables: made of the grammar by Lark when the package is built, and read by `lalr` from then on.

The grammar stays the one source: tables carry its digest, and those of another grammar are not used. The build hook
(`hatch_build.py`) runs this module by itself, with nothing but Lark installed; an installation needs no Lark, unless
somebody edits the grammar in it.
"""

from __future__ import annotations

import hashlib
import json
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lark.grammar import Rule
    from lark.lexer import BasicLexer, TerminalDef

STARTS = ["program", "declaration", "expr"]

Tables = dict[str, Any]  # plain values of JSON; `build` says what they mean


def build(grammar: str) -> Tables:
    """The tables of a grammar (0.4 s).

    Returns:
        `actions`: by state, what to do at each terminal: go to a state (from 0), or reduce by a rule (-1 is rule 0);
        `gotos`: by state, where to go behind each reduced symbol;
        `rules`: symbol, number of parts, name of the node (none: its parts are its parent's), whether a node of one
        part is that part, and which parts the node keeps;
        `contexts`, and by state which one: the terminals that a lexer looks for: those of any length, in order; all
        texts of the others; and words that are no name where they stand;
        `wide` patterns, `ignored` ones, and `names` of terminals as people write them.
    """
    from lark import Lark  # noqa: PLC0415 - an installation has none

    made: Any = Lark(
        grammar, parser="lalr", lexer="contextual", start=STARTS, propagate_positions=True, maybe_placeholders=False
    )
    table, lexer = made.parser.parser._parse_table, made.parser.lexer  # noqa: SLF001
    states, rules = table.states, {rule: number for number, rule in enumerate(made.rules)}
    assert set(states) == set(range(len(states)))  # noqa: S101 - the states are numbered
    contexts: list[Any] = []
    of_state = [_place(_context(lexer.lexers[state]), contexts) for state in range(len(states))]
    root = _place(_context(lexer.root_lexer), contexts)
    return {
        "of": _origin(grammar),
        "actions": [_actions(states[state], rules) for state in range(len(states))],
        "gotos": [
            {name: to for name, (_, to) in states[state].items() if name.islower()} for state in range(len(states))
        ],
        "starts": table.start_states,
        "ends": table.end_states,
        "rules": [_rule(rule) for rule in made.rules],
        "contexts": contexts,
        "context_of": of_state,
        "root": root,
        "wide": {one.name: one.pattern.to_regexp() for one in _ordered(lexer.root_lexer) if not _is_fixed(one)},
        "ignored": sorted(lexer.root_lexer.ignore_types),
        "names": {one.name: one.pattern.value for one in made.terminals},
    }


def dump(grammar: str) -> str:
    """The tables of a grammar as JSON."""
    return json.dumps(build(grammar), separators=(",", ":"))


def load(grammar: str, dumped: str) -> Tables | None:
    """The tables from their JSON; None where they are not of this grammar."""
    import msgspec  # noqa: PLC0415 - the build has none

    tables: Tables = msgspec.json.decode(dumped)  # a third of the time that `json` takes
    return tables if tables["of"] == _origin(grammar) else None


def _origin(grammar: str) -> str:
    return hashlib.sha256(grammar.encode()).hexdigest()


def _place(context: Any, contexts: list[Any]) -> int:
    if context not in contexts:
        contexts.append(context)
    return contexts.index(context)


def _actions(state: dict[str, Any], rules: dict[Rule, int]) -> dict[str, int]:
    return {
        name: to if action.name == "Shift" else -1 - rules[to]
        for name, (action, to) in state.items()
        if not name.islower()
    }


def _gotos(state: dict[str, Any]) -> dict[str, int]:
    return {name: to for name, (_, to) in state.items() if name.islower()}


def _rule(rule: Any) -> Any:
    is_inline = rule.origin.name.startswith("_")
    keeps = rule.options.keep_all_tokens
    kept = [index for index, part in enumerate(rule.expansion) if keeps or not (part.is_term and part.filter_out)]
    name = None if is_inline else rule.alias or rule.options.template_source or rule.origin.name
    return [rule.origin.name, len(rule.expansion), name, bool(rule.options.expand1 and not rule.alias), kept]


# --- what a lexer looks for ------------------------------------------------------------------------------------------


def _context(lexer: BasicLexer) -> Any:
    """The terminals that one of Lark's lexers accepts.

    Of what matches, Lark takes the first by its order, the longest kinds first. All kinds of any length come before the
    others, and each of the others is as long as it can be: so the longest text that stands there is Lark's choice.
    """
    wide = [one for one in _ordered(lexer) if not _is_fixed(one)]
    texts = {text: one.name for one in _ordered(lexer) if _is_fixed(one) for text in _texts(one)}
    words = {}
    for one in wide:
        if one.name == "NAME":
            words = {text: name for text, name in texts.items() if text.isidentifier() and text[0] != "_"}
    return {
        "wide": [one.name for one in wide],
        "texts": {text: name for text, name in texts.items() if text not in words},
        "words": words,
    }


def _ordered(lexer: BasicLexer) -> Iterable[TerminalDef]:
    return list(lexer.terminals)


def _is_fixed(terminal: TerminalDef) -> bool:
    return int(terminal.pattern.max_width) < 100


def _texts(terminal: TerminalDef) -> list[str]:
    """All texts that a terminal of a fixed length matches."""
    import re  # noqa: PLC0415 - of the build alone

    if terminal.pattern.type == "str":
        return [terminal.pattern.value]
    pattern, width = re.compile(terminal.pattern.to_regexp()), terminal.pattern.max_width
    signs = sorted({sign for sign in terminal.pattern.value if not sign.isalnum()})
    texts = ["".join(one) for one in product(signs, repeat=width) if pattern.fullmatch("".join(one))]
    if terminal.pattern.min_width != width or not texts:
        raise ValueError(f"terminal {terminal.name} is neither one text, nor signs of one length, nor of any length")
    return texts
