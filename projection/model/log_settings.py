"""The settings of a process's log: which lines are written, for each part of the product, and in which form."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, get_args

from pydantic import AfterValidator

from projection.model.checkpoint import Frozen
from projection.model.problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

Component = Literal["backup", "builds", "fold", "http", "node", "sink", "store", "stream"]
Level = Literal["debug", "info", "warning", "error"]
COMPONENTS: tuple[Component, ...] = get_args(Component)
LEVELS: tuple[Level, ...] = get_args(Level)  # ascending
_NONE: Mapping[str, str] = MappingProxyType({})


class LogLevels(NamedTuple):
    """From which level on lines are written."""

    default: str = "info"
    by_component: Mapping[str, str] = _NONE  # only components whose level is another

    @classmethod
    def parse(cls, text: str) -> LogLevels:
        """The levels that a text such as `info,stream=debug,http=warning` names.

        Raises:
            ValueError: it names none, or one that there is not; says which.
        """
        default, by_component = None, dict[str, str]()
        for part in text.split(","):
            component, equals, level = (one.strip() for one in part.rpartition("="))
            if level not in LEVELS:
                raise ValueError(f"{level!r:.40} is not a level of the log; {did_you_mean(level, LEVELS)}")
            if not equals:
                if default is not None:
                    raise ValueError(f"{default!r} and {level!r} are two levels for all components; name one of them")
                default = level
            elif component not in COMPONENTS:
                raise ValueError(
                    f"{component!r:.40} is not a component that logs; {did_you_mean(component, COMPONENTS)}"
                )
            elif component in by_component:
                raise ValueError(f"component {component!r} has two levels; name one of them")
            else:
                by_component[component] = level
        return cls(default or "info", by_component)

    def of(self, component: str) -> str:
        """The level of one component."""
        return self.by_component.get(component, self.default)

    def __str__(self) -> str:
        return ",".join((self.default, *(f"{one}={level}" for one, level in sorted(self.by_component.items()))))


def _levels(text: str) -> str:
    return str(LogLevels.parse(text))


class LogSettings(Frozen):
    """What goes to the log, and how."""

    level: Annotated[str, AfterValidator(_levels)] = "info"  # or of components as well: `info,stream=debug`
    format: Literal["auto", "json", "console"] = "auto"  # auto: for people on a terminal, as JSON elsewhere
