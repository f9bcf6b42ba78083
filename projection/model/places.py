"""Where a field of a YAML, TOML or JSON document stands, for messages that point at it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from projection.model.problems import FieldPath


def place_of(text: str, suffix: str, path: FieldPath) -> tuple[int, int]:
    """Start and end, in characters, of a field's key, or of the nearest thing around it that is there."""
    if suffix == ".toml":
        return _in_toml(text, path)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return (0, 0)
    found = (0, 0)
    for step in path:
        if isinstance(node, yaml.MappingNode):
            key, node = next(((key, value) for key, value in node.value if key.value == str(step)), (None, None))
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            key = node = node.value[step]
        else:
            break
        if key is None:
            break
        found = (key.start_mark.index, key.end_mark.index)
    return found


def _in_toml(text: str, path: FieldPath) -> tuple[int, int]:
    """By the names alone: the last step of the path that some line names, behind the steps before it."""
    found, at = (0, 0), 0
    for step in path:
        if isinstance(step, int):
            continue
        if (match := re.compile(rf"(?<![\w-]){re.escape(step)}(?![\w-])").search(text, at)) is None:
            break
        found, at = match.span(), match.end()
    return found


def mark_in(text: str, message: str) -> tuple[int, int]:
    """Start and end of the character that a message about a document names by line and column."""
    match = re.search(r"line (\d+),? column (\d+)", message)
    lines = text.splitlines(keepends=True)
    if match is None:
        return (0, 0)
    at = min(len(text), sum(map(len, lines[: int(match[1]) - 1])) + int(match[2]) - 1)
    return (at, min(at + 1, len(text)))
