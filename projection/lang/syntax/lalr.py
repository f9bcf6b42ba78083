"""Text → tree, by the parser's tables: the loop of an LALR(1) parser, and a lexer that knows what may come next.

It reads exactly as Lark does with the same grammar, which tests hold against Lark itself; it is a fraction of Lark's
start and a third of its work, and an installation needs no Lark.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from projection.lang.steps import tick

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.lang.syntax.tables import Tables

END = "$END"


class Token(str):
    """A text that stands in a program, where it starts, and which terminal it is."""

    __slots__ = ("start", "type")

    start: int
    type: str


class Node:
    """What a rule of the grammar made of its parts, and the place from the first of them to the last."""

    __slots__ = ("children", "data", "end", "start")

    def __init__(self, data: str, children: list[Part], start: int, end: int) -> None:
        self.data, self.children, self.start, self.end = data, children, start, end

    def subtrees(self) -> Iterator[Node]:
        """This node, and all below it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += [child for child in node.children if isinstance(child, Node)]


Part: TypeAlias = Node | Token


class UnexpectedError(Exception):
    """The text cannot be read on from a place.

    `token` is what stands there; None where it is no word of the language at all. `accepted` are the terminals that
    could stand there.
    """

    def __init__(self, at: int, token: Token | None, accepted: set[str]) -> None:
        super().__init__(at)
        self.at, self.token, self.accepted = at, token, accepted


class _Context:
    """What a lexer looks for in one kind of place."""

    __slots__ = ("kinds", "lengths", "texts", "wide", "words")

    def __init__(self, described: Tables) -> None:
        self.wide = frozenset[str](described["wide"])
        self.texts: dict[str, str] = described["texts"]
        self.words: dict[str, str] = described["words"]
        self.lengths = sorted({len(text) for text in self.texts}, reverse=True)
        self.kinds = self.wide | frozenset(self.texts.values())


class Parser:
    """The parser that tables describe (see `tables.build`)."""

    def __init__(self, tables: Tables) -> None:
        self.names: dict[str, str] = tables["names"]
        self._actions: list[dict[str, int]] = tables["actions"]
        self._gotos: list[dict[str, int]] = tables["gotos"]
        self._starts, self._ends = tables["starts"], tables["ends"]
        self._rules = [tuple(rule) for rule in tables["rules"]]
        self._ignored = frozenset(tables["ignored"])
        contexts = [_Context(one) for one in tables["contexts"]]
        self._contexts, self._root = [contexts[one] for one in tables["context_of"]], contexts[tables["root"]]
        wide: dict[str, str] = tables["wide"]
        ignored = "|".join(wide[name] for name in tables["ignored"])
        self._skip = re.compile(f"(?:{ignored})*").match
        self._wide = {name: re.compile(pattern).match for name, pattern in wide.items() if name not in self._ignored}
        self._first = re.compile(
            "|".join(f"(?P<{name}>{pattern})" for name, pattern in wide.items() if name not in self._ignored)
        ).match

    def parse(self, text: str, start: str) -> Node:
        """The tree of a text, which is a `start`.

        Raises:
            UnexpectedError: it is none.
        """
        actions, gotos, rules, contexts, skip = self._actions, self._gotos, self._rules, self._contexts, self._skip
        end_state = self._ends[start]
        states, values = [self._starts[start]], list[list[Part]]()
        starts, ends = list[int](), list[int]()  # of the values, with the signs around them that no node keeps
        at, until = 0, len(text)
        while True:
            tick()
            at = skip(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too
            if at < until:
                token = self._token(text, at, contexts[states[-1]])
                if token is None:
                    raise self._unexpected_text(text, at, states)
                kind, after = token.type, at + len(token)
            else:
                token, kind, after = Token(), END, at
                token.type, token.start = END, at
            while True:
                action = actions[states[-1]].get(kind)
                if action is None:
                    raise UnexpectedError(at, token, self._accepted(states))
                if action >= 0:
                    states.append(action)
                    values.append([token])
                    starts.append(at)
                    ends.append(after)
                    at = after
                    break
                origin, size, name, is_one_itself, kept = rules[-1 - action]
                parts = values[-size:]
                begin, finish = starts[-size], ends[-1]
                del states[-size:], values[-size:], starts[-size:], ends[-size:]
                # A repetition is a rule that begins with itself: its list grows where it is. A copy each time would
                # make the work of a list of n items that of n² / 2.
                children: list[Part] = parts[kept[0]] if kept else []
                for index in kept[1:]:
                    children += parts[index]
                if name is not None and not (is_one_itself and len(children) == 1):
                    children = [Node(name, children, begin, finish)]
                states.append(gotos[states[-1]][origin])
                values.append(children)
                starts.append(begin)
                ends.append(finish)
                if kind == END and states[-1] == end_state:
                    (root,) = children
                    assert isinstance(root, Node)  # noqa: S101 - no start symbol is a terminal alone
                    return root

    def _token(self, text: str, at: int, context: _Context) -> Token | None:
        """What stands at a place, of what may; None where nothing of it does."""
        kind: str | None = None
        if (match := self._first(text, at)) is not None:
            kind = match.lastgroup
            if kind not in context.wide:  # what is first of all has no place here, and another may
                others = ((name, found(text, at)) for name, found in self._wide.items() if name in context.wide)
                kind, match = next((one for one in others if one[1] is not None), (None, None))
            if kind is not None and match is not None:
                token = Token(match[0])
                token.type, token.start = (context.words.get(token, kind) if kind == "NAME" else kind), at
                return token
        for length in context.lengths:
            if (kind := context.texts.get(word := text[at : at + length])) is not None:
                token = Token(word)
                token.type, token.start = kind, at
                return token
        return None

    def _unexpected_text(self, text: str, at: int, states: list[int]) -> UnexpectedError:
        """The error of a place where nothing stands that may."""
        if (token := self._token(text, at, self._root)) is not None:
            return UnexpectedError(at, token, self._accepted(states))
        return UnexpectedError(at, None, set(self._contexts[states[-1]].kinds - self._ignored))

    def _accepted(self, states: list[int]) -> set[str]:
        """The terminals that the parser could go on with: those that it would shift in the end."""
        return {kind for kind in self._actions[states[-1]] if self._shifts(list(states), kind)}

    def _shifts(self, states: list[int], kind: str) -> bool:
        while (action := self._actions[states[-1]].get(kind)) is not None:
            if action >= 0:
                return True
            origin, size, *_ = self._rules[-1 - action]
            del states[-size:]
            states.append(self._gotos[states[-1]][origin])
            if kind == END and states[-1] in self._ends.values():
                return True
        return False
