"""What is wrong with a document, in this package's words: the field, its value, what is allowed."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Union, get_args, get_origin

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

FieldPath = tuple[str | int, ...]

_KINDS = {dict: "a mapping", list: "a list", tuple: "a list", str: "a text", bool: "a truth value", NoneType: "empty"}
_MAPPINGS = ("model_type", "dict_type", "model_attributes_type")


class Problem(NamedTuple):
    """One thing that is wrong, and the field that it is wrong with."""

    path: FieldPath
    text: str

    @property
    def field(self) -> str:
        """The path as people write it: `views.fine_summary.limits.gas`."""
        return ".".join(str(step) for step in self.path)


def problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Every problem that pydantic found while it made a `model`; values of secret fields are not quoted."""
    found = []
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # its items are wrong, each of which is named
        path = tuple(step for step in detail["loc"] if step != "[key]")
        found.append(Problem(path, _text(detail, path, model)))
    return found


def did_you_mean(word: str, known: Collection[str]) -> str:
    """The end of a sentence about an unknown word: the known one that is near to it, or else all that are known."""
    import difflib  # noqa: PLC0415 - where nothing is wrong, nothing is guessed

    if near := difflib.get_close_matches(word, known, n=1):
        return f"did you mean {near[0]!r}?"
    return f"known here: {', '.join(sorted(known)) or 'nothing'}"


def annotation_at(model: type[BaseModel], path: FieldPath) -> object:
    """The type that a field was declared with, without `None`; None where the path leads nowhere."""
    from pydantic import BaseModel  # noqa: PLC0415 - who suggests words alone needs no pydantic

    here: Any = model
    for step in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(step))
            here = field.annotation if field else None
        elif arguments := get_args(here):
            here = arguments[0] if get_origin(here) is tuple else arguments[-1]
        else:
            return None
        while get_origin(here) in (Annotated, Union, UnionType):
            here = next(argument for argument in get_args(here) if argument is not NoneType)
    return here


def _text(detail: ErrorDetails, path: FieldPath, model: type[BaseModel]) -> str:
    from pydantic import BaseModel, SecretStr  # noqa: PLC0415 - see above

    value = detail["input"]
    if detail["type"] == "missing":
        return "is missing"
    if detail["type"] == "extra_forbidden":
        section = annotation_at(model, path[:-1])
        known = section.model_fields if isinstance(section, type) and issubclass(section, BaseModel) else ()
        return f"is not known; {did_you_mean(str(path[-1]), known)}"
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])  # our own validators quote the value where it is fit to be seen
    if detail["type"] == "too_short":
        return "must not be empty"
    if detail["type"] in _MAPPINGS:
        return f"must be a mapping, not {kind_of(value)}"
    if annotation_at(model, path) is SecretStr:
        shown = "the value (a secret, not shown)"
    else:
        shown = kind_of(value) if isinstance(value, (dict, list, tuple)) else f"{value!r:.80}"
    reason = detail["msg"].replace("Input should", "it must", 1)
    return f"{shown} is not allowed; {reason[0].lower()}{reason[1:]}"


def kind_of(value: object) -> str:
    """What a value of a document is called."""
    return _KINDS.get(type(value), "a number")
