"""Snapshots of folds for users of syrupy: `assert projection("fines").given(events) == projection_snapshot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from syrupy.assertion import SnapshotAssertion
from syrupy.data import Snapshot, SnapshotCollection, SnapshotCollections
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from syrupy.location import PyTestLocation

from projection.testing.folding import Folded
from projection.testing.recognising import SCENARIO, is_scenario, scenario_name
from projection.testing.snapshots import SUFFIX, difference, snapshot_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


class ProjectionSnapshotExtension(SingleFileSnapshotExtension):
    """One file a snapshot: of a test function as syrupy names it, of a scenario where `projection test` has it."""

    file_extension = SUFFIX.removeprefix(".")
    _write_mode = WriteMode.TEXT

    def serialize(self, data: Any, **_unused: Any) -> str:
        """The canonical text of a fold."""
        if not isinstance(data, Folded):
            what = type(data).__name__
            raise TypeError(f"a projection's snapshot is of what `projection(…).given(…)` yields, not of {what}")
        return snapshot_text(data)

    def diff_lines(self, serialized_data: Any, snapshot_data: Any) -> Iterator[str]:
        """What differs, below the keys that it stands under."""
        return difference(str(snapshot_data), str(serialized_data))

    @classmethod
    def dirname(cls, *, test_location: PyTestLocation) -> str:
        """`__snapshots__` for scenarios, else a folder in it for each file of tests."""
        if is_scenario(Path(test_location.filepath)):
            return cls.discovery_dirname(test_location=test_location)
        return super().dirname(test_location=test_location)

    @classmethod
    def discovery_dirname(cls, *, test_location: PyTestLocation) -> str:
        """`__snapshots__`: both kinds are looked for together."""
        return str(Path(test_location.filepath).parent / cls.snapshot_dirname)

    @classmethod
    def get_file_basename(cls, *, test_location: PyTestLocation, index: Any) -> str:
        """`NAME.scenario` for scenarios."""
        if is_scenario(Path(test_location.filepath)):
            return Path(test_location.filepath).stem
        return super().get_file_basename(test_location=test_location, index=index)

    @classmethod
    def get_snapshot_name(cls, *, test_location: PyTestLocation, index: Any = 0) -> str:
        """A scenario has one snapshot, which has its name."""
        if is_scenario(path := Path(test_location.filepath)):
            return scenario_name(path)
        return super().get_snapshot_name(test_location=test_location, index=index)

    def discover_snapshots(
        self,
        *,
        test_location: PyTestLocation,
        ignore_extensions: list[str] | None = None,  # noqa: ARG002 - there is one
    ) -> SnapshotCollections:
        """Every snapshot of a projection beside a file of tests; files of others are not ours to delete."""
        found = SnapshotCollections()
        for path in sorted(Path(self.discovery_dirname(test_location=test_location)).rglob(f"*{SUFFIX}")):
            found.add(self.read_snapshot_collection(snapshot_location=str(path)))
        return found

    def read_snapshot_collection(self, *, snapshot_location: str) -> SnapshotCollection:
        """The one snapshot of a file, by its name."""
        found = SnapshotCollection(location=snapshot_location)
        found.add(Snapshot(name=Path(snapshot_location).stem.removesuffix(SCENARIO)))
        return found


def snapshot_of(request: pytest.FixtureRequest, session: Any) -> SnapshotAssertion:
    """What syrupy's own fixture yields, with this extension from the start.

    `snapshot.use_extension(…)` would have syrupy's default extension look through the folder of snapshots as well, and
    `--snapshot-update` would delete whatever it does not know there.
    """
    option = request.config.option
    return SnapshotAssertion(
        session=session,
        extension_class=ProjectionSnapshotExtension,
        test_location=PyTestLocation(request.node),
        update_snapshots=option.update_snapshots,
        update_new_snapshots_only=option.update_new_snapshots_only,
    )
