"""Fields of a JSON body by their paths: only what is wanted of a body is built, as a rule in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from projection.errors import DecodeError
from projection.nested import shallow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Path = tuple[str, ...]

ABSENT = msgspec.Raw()  # of a field whose bytes are wanted, and that is not there


class Field(msgspec.Struct, frozen=True):
    """A field of a body."""

    path: Path  # the keys that lead there; never empty
    type: Any  # `msgspec.Raw` for the bytes that stand there


class Bodies:
    """Decodes bodies into objects with the wanted fields as attributes.

    Args:
        fields: by the attributes' names. A field that is absent or null is None, or `ABSENT` where its bytes are wanted
            and it is absent. A field and one inside of it may both be wanted, or one twice: that takes another pass
            over the body.
        others: attributes that no body fills, with their defaults.
    """

    def __init__(self, fields: Mapping[str, Field], others: Mapping[str, Any]) -> None:
        passes: list[dict[str, Field]] = []
        for name, field in fields.items():
            for one in passes:
                if not any(_meet(field.path, other.path) for other in one.values()):
                    one[name] = field
                    break
            else:
                passes.append({name: field})
        first, *more = passes or [{}]
        later = {name: None for one in more for name in one}
        self._decode, self._walks = _decoder(first, {**others, **later})
        self._more = [(*_decoder(one, {}), one) for one in more]
        self.made = _structure({}, dict(others))  # what a message has of whose body nothing is wanted
        self._is_wanted = bool(fields)

    def read(self, body: bytes) -> Any:
        """The object of a body.

        Raises:
            DecodeError: D101 not JSON, D102 a field has another type, or a path leads through something that has no
                fields.
        """
        if not self._is_wanted:
            return self.made()
        found = _decoded(self._decode, body)
        for name, walk in self._walks:
            setattr(found, name, walk(found))
        for decode, walks, fields in self._more:
            value = _decoded(decode, body)
            for name, walk in walks:
                setattr(value, name, walk(value))
            for name in fields:
                setattr(found, name, getattr(value, name))
        return found


def _meet(one: Path, other: Path) -> bool:
    return one[: len(other)] == other or other[: len(one)] == one


def _decoded(decode: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        try:
            return decode(body)
        except RecursionError:
            return decode(shallow(body))
    except msgspec.ValidationError as error:
        raise DecodeError(f"the event is not what the manifest describes: {error}", code="D102") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"the event is not JSON: {error}", code="D101") from None
    except ValueError as error:  # an integer of more digits than Python reads
        raise DecodeError(f"the event is not what the manifest describes: {error}", code="D102") from None


def _decoder(
    fields: Mapping[str, Field], others: Mapping[str, Any]
) -> tuple[Callable[[bytes], Any], list[tuple[str, Callable[[Any], Any]]]]:
    """What decodes a body as far as these fields, and for each that lies deeper, what takes it out of the result."""
    tree: dict[str, Any] = {}
    names: dict[str, str] = {}  # of the attributes, by the keys of the body
    deep = []
    for name, field in fields.items():
        here = tree
        for key in field.path[:-1]:
            here = here.setdefault(key, {})
        here[field.path[-1]] = field.type
        if len(field.path) == 1:
            names[field.path[0]] = name
        else:
            deep.append(name)
    walks = [(name, _walk(tree, names, fields[name].path)) for name in deep]
    made = _structure(tree, {**others, **dict.fromkeys(deep)}, names)
    return msgspec.json.Decoder(made).decode, walks


def _structure(tree: Mapping[str, Any], others: Mapping[str, Any], names: Mapping[str, str] | None = None) -> Any:
    """A structure with the fields of a tree, whose ends are types, and with other attributes that no body fills."""
    fields: list[tuple[str, Any, Any]] = []
    keys: dict[str, str] = {}
    for number, (key, below) in enumerate(tree.items()):
        name = (names or {}).get(key, f"f{number}")
        keys[name] = key
        if below is msgspec.Raw:
            fields.append((name, msgspec.Raw, ABSENT))  # which stands in no union
        else:
            fields.append((name, (_structure(below, {}) if isinstance(below, dict) else below) | None, None))
    for name, default in others.items():
        fields.append((name, Any, default))
        keys[name] = uuid4().hex  # bodies come from outside: none can guess it
    return msgspec.defstruct("Body", fields, rename=keys, gc=False)


def _walk(tree: Mapping[str, Any], names: Mapping[str, str], path: Path) -> Callable[[Any], Any]:
    """What takes the value at a path out of structures within structures, some of which may be absent."""
    steps, here = [], tree
    for key in path:
        steps.append(names.get(key, f"f{list(here).index(key)}") if here is tree else f"f{list(here).index(key)}")
        here = here[key]

    def walk(value: Any) -> Any:
        for step in steps:
            if (value := getattr(value, step)) is None:
                return None
        return value

    return walk
