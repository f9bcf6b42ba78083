"""How long builds that no longer answer are kept: folded on for a while, and then on the disk.

What counts is the time for which nodes ran, by their own clock, so that a wall clock that jumps deletes nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

import structlog

from projection.engine.fault_log import suppress_faults
from projection.errors import ProjectionError
from projection.store.audit import BY_NODE

if TYPE_CHECKING:
    from projection.engine.operations import Operations
    from projection.model.settings import BuildSettings
    from projection.store.build import Build
    from projection.store.catalog import Catalog

log = structlog.get_logger(component="builds")
_EVERY_S = 60.0
_HOUR_S = 3600


class Retention:
    """Retires builds that have followed for long enough, and deletes former ones, as the settings say."""

    def __init__(self, operations: Operations, catalog: Catalog, settings: BuildSettings) -> None:
        self._operations = operations
        self._catalog = catalog
        self._settings = settings

    async def run(self) -> None:
        """Look again and again, until canceled."""
        last = monotonic()
        while True:
            await asyncio.sleep(_EVERY_S)
            now = monotonic()
            with suppress_faults("looking after former builds"):
                await self.passed(now - last)
            last = now

    async def passed(self, seconds: float) -> None:
        """Do what is due now that a node has run for some seconds more."""
        try:
            followers, former = self._kept()
            if followers or former:
                self._catalog.grow_older(seconds, followers + former)
            for build in followers:
                if self._catalog.age_s(build) >= self._settings.retire_after_h * _HOUR_S:
                    author = replace(BY_NODE, reason="builds.retire_after_h")
                    await self._operations.retire(build.view_type, build.number, author)
            for build in former:
                if self._catalog.age_s(build) >= (self._settings.delete_after_h or 0) * _HOUR_S:
                    author = replace(BY_NODE, reason="builds.delete_after_h")
                    await self._operations.delete(build.view_type, build.number, author)
        except ProjectionError as error:
            log.warning("former builds are looked after later", reason=error.message)

    def _kept(self) -> tuple[list[Build], list[Build]]:
        """The builds that follow, and those that are to be deleted some day.

        One that was rolled back stays: without it, the next start would not know that its program is not wanted.
        """
        followers: list[Build] = []
        former: list[Build] = []
        for view_type in self._catalog.view_types():
            follower, candidate = self._catalog.follower(view_type), self._catalog.candidate(view_type)
            used = {self._catalog.serving_number(view_type), candidate and candidate.number}
            if follower is not None:
                followers.append(follower)
                used.add(follower.number)
            if self._settings.delete_after_h is not None:
                folded = {*used, *self._operations.folded(view_type)}
                builds = self._catalog.builds(view_type)
                former += [one for one in builds if one.number not in folded and not one.gate.rolled_back]
        return followers, former
