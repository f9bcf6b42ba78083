"""What operations ask of the builds of a view type before they begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.model.ids import ViewType
    from projection.store.build import Build
    from projection.store.catalog import Catalog


def require_no_candidate(catalog: Catalog, view_type: ViewType, folded: Iterable[int] = ()) -> None:
    """Make sure that no build is under way to take the place of the one that answers.

    Args:
        catalog: of the data folder.
        view_type: whose builds.
        folded: the builds that a node folds.

    Raises:
        ConfigurationError: one is.
    """
    answers, candidate = catalog.require(view_type), catalog.candidate(view_type)
    others = {*folded, *(() if candidate is None else (candidate.number,))} - {answers.number}
    if others:
        number = max(others)
        raise ConfigurationError(
            f"build {number} of view type {view_type} is under way to take the place of build {answers.number}",
            hint=f"wait until it answers, or give it up: `projection builds delete {view_type} {number}`",
        )


def deletable(builds: list[Build], answers: Build, number: int) -> Build:
    """The build of a number, if it may be deleted.

    Raises:
        ConfigurationError: there is none of that number, or it answers.
    """
    known = {one.number: one for one in builds}
    if number not in known:
        shown = ", ".join(map(str, known))
        raise ConfigurationError(f"view type {answers.view_type} has no build {number}", hint=f"it has: {shown}")
    if number == answers.number:
        raise ConfigurationError(
            f"{answers} answers, and is not deleted",
            hint="only a build that does not answer can be deleted: have another one answer first, by `projection "
            "promote` or `projection rollback`",
        )
    return known[number]


def retirable(answers: Build, follower: Build | None, number: int | None) -> Build:
    """The build that follows, if it is the one that is meant.

    Raises:
        ConfigurationError: none follows, or not that one.
    """
    view_type = answers.view_type
    if follower is None or number not in (None, follower.number):
        follows = "none follows" if follower is None else f"build {follower.number} follows"
        which = "no build" if number is None else f"build {number}"
        raise ConfigurationError(
            f"{which} of view type {view_type} follows {answers}: {follows}",
            hint=f"`projection builds list {view_type}` shows the builds; one that is under way is given up by "
            f"`projection builds delete`",
        )
    return follower


def can_go_back(answers: Build, follower: Build | None) -> Build:
    """The build that follows, if one can go back to it.

    Raises:
        ConfigurationError: none follows, or it is the one that was gone back from.
    """
    view_type = answers.view_type
    if follower is None:
        raise ConfigurationError(
            f"no former build of view type {view_type} follows build {answers.number}, which answers",
            hint="deploy the former manifest: `projection deploy` has its build fold what it lacks and answer then",
        )
    if follower.gate.rolled_back:
        raise ConfigurationError(
            f"{follower} was rolled back already: build {answers.number} answers",
            hint=f"`projection promote {view_type}` has it answer again",
        )
    return follower


def nothing_waits(answers: Build, number: int | None) -> ConfigurationError:
    """What is said where no build, or not that one, can be promoted."""
    view_type = answers.view_type
    if number == answers.number:
        return ConfigurationError(f"{answers} answers already")
    which = "no build" if number is None else f"build {number}"
    return ConfigurationError(
        f"{which} of view type {view_type} waits to be promoted"
        if number is None
        else f"{which} of view type {view_type} does not wait to be promoted",
        hint=f"`projection builds list {view_type}` shows the builds; `projection rollback {view_type}` goes back to a "
        "former one that follows",
    )
