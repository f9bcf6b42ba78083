"""Which views a new build folds anew: all, or only those that the change of its program can reach."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

from projection.engine.recipes import deployed_by, differences
from projection.errors import ProjectionError
from projection.lang.reach import Reach, reach
from projection.store.disk import disk_error, sync_folder

if TYPE_CHECKING:
    from projection.engine.deployment import DeployedView
    from projection.store.build import Build
    from projection.store.port import ViewReader


class Scope(NamedTuple):
    """Which views fold anew where one build replaces another."""

    reach: Reach  # what the change of the program reaches
    why_all: str = ""  # why all views fold anew; empty where only those do that had events which the change reaches

    @property
    def is_partial(self) -> bool:
        """Whether only views that the change reaches fold anew."""
        return not self.why_all

    @property
    def in_words(self) -> str:
        """What folds anew, as a sentence without its end."""
        if self.why_all:
            return f"folds all views anew: {self.why_all}"
        if not self.reach.named:
            return "folds no view anew: all events are handled as before"
        return f"folds anew only views that had events of these types: {', '.join(self.reach.named)}"


def scope_of(answers: Build, deployed: DeployedView) -> Scope:
    """Tell what deploying this folds anew, by all that the catalog knows of the build that answers."""
    found = reach_of(answers, deployed)
    if not found.is_narrow:
        return Scope(found, found.everything)
    if answers.base_identity == deployed.base_identity:
        return Scope(found, "it is the same program")
    if answers.drops:
        return Scope(found, f"an operator dropped events from build {answers.number}")
    if found.takes_less:
        return Scope(found, "events of some types are no longer handled")
    return Scope(found)


def reach_of(answers: Build, deployed: DeployedView) -> Reach:
    """Tell what deploying this reaches, compared with the build that answers, as long as no tenant is suspended."""
    if answers.lineage is not None:
        return Reach(everything=f"build {answers.number} was adopted, and not all of its views are of one program")
    if others := [what for name, what in differences(answers, deployed).items() if name != "program"]:
        return Reach(everything=", ".join(others))
    try:
        before = deployed_by(answers)
    except ProjectionError as error:
        return Reach(everything=error.message)
    return reach(before.program.checked, deployed.program.checked)


def unsettled(build: Build, store: ViewReader) -> str:
    """Tell why the views of a store may depend on one another, in a few words; empty where they do not.

    Parked events of a tenant count together. So a fold of some of its views cannot tell when it would be suspended.

    Raises:
        StorageError: the store cannot be read.
    """
    if store.suspensions():
        return f"a view or a tenant is suspended in build {build.number}"
    if store.unrecorded().events or next(iter(store.parked()), None) is not None:
        return f"events are parked or skipped in build {build.number}"
    return ""


def take_draft(build: Build) -> None:
    """Have a draft that is complete be the store of its build, which has none, in one step.

    Raises:
        StorageError: the folder cannot be written.
    """
    draft, path = build.draft_path(), build.lane_path()
    try:
        draft.rename(path)
        draft.parent.rmdir()
        sync_folder(path.parent)
    except OSError as error:
        raise disk_error(f"{path} cannot be written: {error.strerror}", error.errno) from None


def discard_draft(build: Build) -> None:
    """Delete what may be there of a draft."""
    shutil.rmtree(build.draft_path().parent, ignore_errors=True)
