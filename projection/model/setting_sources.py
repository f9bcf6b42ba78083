"""Where settings come from: file, environment, command line; each a layer that can say where a value stands in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from pydantic import BaseModel
from pydantic_settings import BaseSettings, EnvSettingsSource

from projection.errors import ConfigurationError
from projection.model.documents import read_document
from projection.model.problems import FieldPath, annotation_at, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ENVIRONMENT_PREFIX = "PROJECTION_"
# What Kubernetes and Docker links tell a container of a service called `projection`, or `projection-…`.
_OF_A_SERVICE = re.compile(
    r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?)"
)
_PORT_OF_A_SERVICE = re.compile(r"(?:\w+_)?PORT"), re.compile(r"(?:tcp|udp|sctp)://.*")
CONFIG_NAMES = ("projection.yaml", "projection.toml", "projection.json")

Values = dict[str, Any]


class Layer(NamedTuple):
    """The values of one source, nested as the settings are, and how to name the place of one of them."""

    values: Values
    name: Callable[[FieldPath], str]

    def reach(self, path: FieldPath) -> FieldPath | None:
        """The field's path as far as this source spells it out; None where the source says nothing about the field."""
        here: Any = self.values
        for depth, step in enumerate(path):
            if not isinstance(here, dict):
                return path[:depth]  # one value where a section belongs, or a list whose item is meant
            if step not in here:
                return None
            here = here[step]
        return path


def layers(
    model: type[BaseSettings], config: Path | None, overrides: Mapping[str, object], environ: Mapping[str, str]
) -> list[Layer]:
    """The sources that say something, the weakest first.

    Raises:
        ConfigurationError: the file cannot be read, or a variable of the environment is unknown.
    """
    found = [_environment(model, environ), _options(overrides)]
    if (path := config or _config_here()) is not None:
        found.insert(0, _file(model, path))
    return found


def place_of(model: type[BaseSettings], path: FieldPath, found: list[Layer]) -> str:
    """Where a wrong value stands: in the strongest source that has it; a section's, wherever a part of it does."""
    section = annotation_at(model, path)
    fields: list[FieldPath] = [*_leaves(section, path)] if _is_section(section) else [path]
    reached = ((layer, layer.reach(field)) for layer in reversed(found) for field in fields)
    places = list(dict.fromkeys(layer.name(field) for layer, field in reached if field is not None))
    return ", ".join(places if _is_section(section) else places[:1])


def merged(found: list[Layer]) -> Values:
    """The values of all layers; a later one wins field by field."""
    values: Values = {}
    for layer in found:
        _merge(values, layer.values)
    return values


def _merge(into: Values, values: Values) -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            if not isinstance(into.get(key), dict):
                into[key] = {}
            _merge(into[key], value)
        else:
            into[key] = value


def _config_here() -> Path | None:
    here = [path for name in CONFIG_NAMES if (path := Path(name)).exists()]
    if len(here) > 1:
        both = " and ".join(map(str, here))
        raise ConfigurationError(f"{both} stand side by side", hint="name the one that is meant with --config")
    return here[0] if here else None


def _file(model: type[BaseModel], path: Path) -> Layer:
    values = read_document(path)
    _anchor(model, values, (), path.parent)
    return Layer(values, lambda at: f"file {path}, field {'.'.join(map(str, at))}")


def _anchor(model: type[BaseModel], values: Values, at: FieldPath, folder: Path) -> None:
    """Relative paths in a settings file count from the file's folder, wherever the command was given."""
    for key, value in values.items():
        if isinstance(value, dict):
            _anchor(model, value, (*at, key), folder)
        elif isinstance(value, str) and annotation_at(model, (*at, key)) is Path:
            values[key] = str(folder / value)


def _environment(model: type[BaseSettings], environ: Mapping[str, str]) -> Layer:
    known = {_variable(path): path for path in _leaves(model, ())}
    given = {name: text for name, text in environ.items() if name.startswith(ENVIRONMENT_PREFIX)}
    unknown = sorted(name for name in given.keys() - known.keys() if not _is_of_a_service(name, given[name]))
    if unknown:
        raise ConfigurationError(
            "\n".join(f"environment variable {name} is not known; {did_you_mean(name, known)}" for name in unknown)
        )
    source = EnvSettingsSource(model)
    source.env_vars = {name.lower(): text for name, text in given.items() if name in known}  # not those of the process
    return Layer(source(), lambda at: f"environment variable {_variable(at)}")


def _is_of_a_service(name: str, text: str) -> bool:
    """Whether a variable that is no setting's was put there for a service whose name begins as ours do."""
    rest = name.removeprefix(ENVIRONMENT_PREFIX)
    is_port = all(one.fullmatch(found) for one, found in zip(_PORT_OF_A_SERVICE, (rest, text), strict=True))
    return is_port or _OF_A_SERVICE.fullmatch(rest) is not None


def _is_section(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _leaves(model: type[BaseModel], at: FieldPath) -> Iterator[FieldPath]:
    for key in model.model_fields:
        section = annotation_at(model, (key,))
        if _is_section(section):
            yield from _leaves(section, (*at, key))
        else:
            yield (*at, key)


def _variable(path: FieldPath) -> str:
    return ENVIRONMENT_PREFIX + "__".join(str(step) for step in path).upper()


def _options(overrides: Mapping[str, object]) -> Layer:
    values: Values = {}
    for field, value in overrides.items():
        if value is None:
            continue
        *sections, key = field.split(".")
        here = values
        for section in sections:
            here = here.setdefault(section, {})
        here[key] = value
    return Layer(values, lambda at: f"option --{str(at[-1]).replace('_', '-')}")
