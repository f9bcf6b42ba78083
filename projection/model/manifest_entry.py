"""One more view type in a manifest that a person wrote: their comments, order and layout stay as they are."""

from __future__ import annotations

import re

_BLOCK = re.compile(r"views:[ \t]*(#.*)?")
_FLOW = re.compile(r"^views:[ \t]*\{(?=\s*(\}?))", re.MULTILINE)
_TOP_LEVEL = re.compile(r"[^\s#]")
_ENTRY = re.compile(r"([ \t]+)[^\s#]")


def with_entry(text: str, view_type: str, program: str) -> str | None:
    """The text of a YAML manifest with one entry behind the others, or in front of those on one line.

    Args:
        text: of a manifest that can be read; its ends of lines are kept.
        view_type: is no entry of it yet.
        program: the path of its program, as the manifest is to name it.

    Returns:
        None where there is no place for it. Whether the text says what it said, and the entry besides, is found out by
        reading it.
    """
    entry = f"{view_type}: {{ program: {program} }}"
    if match := _FLOW.search(text):
        return f"{text[: match.end()]} {entry}{'' if match[1] else ','}{text[match.end() :]}"
    lines = text.splitlines(keepends=True)
    begin = next((at for at, line in enumerate(lines) if _BLOCK.fullmatch(line.rstrip())), None)
    if begin is None:
        return None
    end = next((at for at in range(begin + 1, len(lines)) if _TOP_LEVEL.match(lines[at])), len(lines))
    inside = [at for at in range(begin + 1, end) if lines[at].strip() and lines[at][0] in " \t"]
    indents = [match[1] for at in inside if (match := _ENTRY.match(lines[at]))]
    if not indents:
        return None
    newline = "\r\n" if lines[begin].endswith("\r\n") else "\n"
    last = lines[inside[-1]].rstrip("\r\n") + newline
    return "".join([*lines[: inside[-1]], last, f"{indents[0]}{entry}{newline}", *lines[inside[-1] + 1 :]])
