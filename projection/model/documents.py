"""Reading what people write by hand: one YAML, TOML or JSON file as plain values, with the traps of each format shut.

YAML is read with the scalars of its 1.2 JSON schema (`no` and `on` are texts, dates stay as written), without tags and
aliases; keys are texts and stand once; a file is at most `MAX_DOCUMENT_BYTES` long.
"""

from __future__ import annotations

import json
import re
from datetime import date, time
from decimal import Decimal
from pathlib import Path  # noqa: TC003 - the type of the argument, also for readers of the signature at run time
from typing import Any, NoReturn

import yaml

from projection.errors import ConfigurationError
from projection.inputs import open_input

MAX_DOCUMENT_BYTES = 1024 * 1024
_MOST_PARTS = 100  # of a dotted key
_LONG_KEY = re.compile(rf"(?<![\w\"'-])(?:[\w\"'-]++[ \t]*+\.[ \t]*+){{{_MOST_PARTS}}}")
SUFFIXES = (".yaml", ".yml", ".toml", ".json")


def read_document(path: Path, *, exact: bool = False) -> dict[str, Any]:
    """The mapping that the file holds; only dict, list, str, int, float, bool and None occur in it.

    Args:
        path: of a YAML, TOML or JSON file.
        exact: whether numbers with a fraction become decimals, as they were written, instead of floats.

    Raises:
        ConfigurationError: the file cannot be read, is no YAML, TOML or JSON by its suffix, or holds no mapping. The
            message names the file and where in it, and never quotes a value: it may be a secret.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigurationError(f"{path} is of no known format", hint=f"its name must end in {', '.join(SUFFIXES)}")
    try:
        with open_input(path) as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"{path} cannot be read: {reason}") from None
    if len(data) > MAX_DOCUMENT_BYTES:
        raise ConfigurationError(f"{path} is longer than {MAX_DOCUMENT_BYTES} bytes")
    try:
        document = _plain(_parse(data.decode("utf-8-sig"), path.suffix, Decimal if exact else float))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text: byte {error.start} is wrong") from None
    except RecursionError:
        raise ConfigurationError(f"{path} is nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigurationError(f"{path}{place}: {error.problem or error.context}") from None
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path}, line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} contains no mapping of fields to values")
    return document


def _parse(text: str, suffix: str, fraction: type[float | Decimal]) -> object:
    if suffix == ".toml":
        if _LONG_KEY.search(text):  # the parser keeps every beginning of it: of 40,000 parts, gigabytes
            raise ValueError(f"a key has more than {_MOST_PARTS} parts")
        import tomllib  # noqa: PLC0415 - most documents are YAML

        return tomllib.loads(text, parse_float=fraction)
    if suffix == ".json":
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant, parse_float=fraction)
    loader = _ExactLoader if fraction is Decimal else _Loader
    return yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader, narrowed further below


def _plain(value: object) -> object:
    """The value with TOML's dates and times as texts; a lone surrogate, which no UTF-8 text holds, is refused."""
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, (date, time)):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("a text holds a lone surrogate, which is no character") from None
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} appears twice")
        found[key] = value
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases (bombs), tags, repeated keys and YAML 1.1's surprising scalars."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it untyped
        if isinstance(event, yaml.AliasEvent):
            raise _refused("an alias is not allowed here", event)
        if event.tag is not None:
            raise _refused("a tag is not allowed here", event)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                raise _refused("a key must be a text; quote it", key)
            if key.value in seen:
                raise _refused(f"the key {key.value!r} appears twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _refused(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,18})", "-+0123456789"),
    ("float", r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]{1,3})?", "-+0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))


class _ExactLoader(_Loader):
    """The same, with decimals for numbers that have a fraction."""

    def construct_yaml_float(self, node: Any) -> Decimal:  # type: ignore[override]  # a float only where it need not be exact
        return Decimal(self.construct_scalar(node))


_ExactLoader.add_constructor("tag:yaml.org,2002:float", _ExactLoader.construct_yaml_float)
