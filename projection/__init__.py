"""A node for read models: deterministic programs folded over a JetStream log into LMDB, exactly once.

What this package offers is listed here, and read when it is asked for. With `projection.client` and
`projection.testing` it is all that versions promise something about; see docs/python.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection import exports

if TYPE_CHECKING:
    from projection.cli.door import Door, door_to
    from projection.client.async_client import AsyncClient
    from projection.client.client import Client
    from projection.engine.adoption import Adoption, adopt, preview
    from projection.engine.backup import BackupMade, back_up
    from projection.engine.compaction import compact
    from projection.engine.decisions import Dropped, drop
    from projection.engine.deploying import Step, plan_deployment
    from projection.engine.deployment import DeployedView, ProgramsInvalidError, load_deployment
    from projection.engine.inventory import BuildState, build_states
    from projection.engine.orders import (
        AdoptOrder,
        BackupOrder,
        CompactOrder,
        DeleteOrder,
        DeployOrder,
        DropOrder,
        Order,
        PromoteOrder,
        RebuildOrder,
        RepairOrder,
        RetireOrder,
    )
    from projection.engine.outcomes import (
        AdoptCame,
        BackupCame,
        BuildCame,
        CompactCame,
        DeployCame,
        Done,
        DropCame,
        RepairCame,
        StepCame,
        SwitchCame,
        Waiting,
    )
    from projection.engine.parking import LaneHaltedError
    from projection.engine.recipes import recipe_of
    from projection.engine.replay import Replay
    from projection.engine.restoring import CheckedBackup, Restored, restore, verify_backup
    from projection.engine.summary import Summary
    from projection.engine.verification import Verification, differences, verify
    from projection.errors import (
        ConfigurationError,
        DecodeError,
        ProgramError,
        ProjectionError,
        StaleCommitError,
        StorageDamagedError,
        StorageError,
        StreamError,
        StreamIdentityError,
        TenantAccessError,
    )
    from projection.extras import MissingExtraError
    from projection.history.build_comparison import BuildComparison, compare_builds
    from projection.history.folder_repair import repair
    from projection.lang.reporting import ProgramInvalidError
    from projection.model.envelope import Tenancy
    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.model.manifest import Manifest
    from projection.model.parked import ParkedEvent
    from projection.model.query_limits import QueryLimits
    from projection.model.recipe import Recipe
    from projection.model.settings import Settings
    from projection.query.answers import CatalogAnswer, QueryAnswer, ViewAnswer
    from projection.query.errors import QueryError
    from projection.query.folder import FolderQueries
    from projection.query.form import Query
    from projection.query.freshness import Wanted
    from projection.query.reading import parked_events
    from projection.store.audit import Author
    from projection.store.backup_directory import BackupDirectory
    from projection.store.build import Build
    from projection.store.catalog import Catalog, CatalogReader
    from projection.testing.folding import Folded, Projection

    __version__: str

__all__ = [
    "AdoptCame",
    "AdoptOrder",
    "Adoption",
    "AsyncClient",
    "Author",
    "BackupCame",
    "BackupDirectory",
    "BackupMade",
    "BackupOrder",
    "Build",
    "BuildCame",
    "BuildComparison",
    "BuildState",
    "Catalog",
    "CatalogAnswer",
    "CatalogReader",
    "CheckedBackup",
    "Client",
    "CompactCame",
    "CompactOrder",
    "ConfigurationError",
    "DecodeError",
    "DeleteOrder",
    "DeployCame",
    "DeployOrder",
    "DeployedView",
    "Done",
    "Door",
    "DropCame",
    "DropOrder",
    "Dropped",
    "Folded",
    "FolderQueries",
    "LaneHaltedError",
    "Manifest",
    "MissingExtraError",
    "Order",
    "ParkedEvent",
    "ProgramError",
    "ProgramInvalidError",
    "ProgramsInvalidError",
    "Projection",
    "ProjectionError",
    "PromoteOrder",
    "Query",
    "QueryAnswer",
    "QueryError",
    "QueryLimits",
    "RebuildOrder",
    "Recipe",
    "RepairCame",
    "RepairOrder",
    "Replay",
    "Restored",
    "RetireOrder",
    "Settings",
    "StaleCommitError",
    "Step",
    "StepCame",
    "StorageDamagedError",
    "StorageError",
    "StreamError",
    "StreamIdentityError",
    "Summary",
    "SwitchCame",
    "Tenancy",
    "TenantAccessError",
    "TenantId",
    "Verification",
    "ViewAnswer",
    "ViewId",
    "ViewType",
    "Waiting",
    "Wanted",
    "__version__",
    "adopt",
    "back_up",
    "build_states",
    "compact",
    "compare_builds",
    "differences",
    "door_to",
    "drop",
    "load_deployment",
    "parked_events",
    "plan_deployment",
    "preview",
    "recipe_of",
    "repair",
    "restore",
    "verify",
    "verify_backup",
]

_PLACES = {
    "AdoptCame": "projection.engine.outcomes",
    "AdoptOrder": "projection.engine.orders",
    "Adoption": "projection.engine.adoption",
    "AsyncClient": "projection.client.async_client",
    "Author": "projection.store.audit",
    "BackupCame": "projection.engine.outcomes",
    "BackupDirectory": "projection.store.backup_directory",
    "BackupMade": "projection.engine.backup",
    "BackupOrder": "projection.engine.orders",
    "Build": "projection.store.build",
    "BuildCame": "projection.engine.outcomes",
    "BuildComparison": "projection.history.build_comparison",
    "BuildState": "projection.engine.inventory",
    "Catalog": "projection.store.catalog",
    "CatalogAnswer": "projection.query.answers",
    "CatalogReader": "projection.store.catalog",
    "CheckedBackup": "projection.engine.restoring",
    "Client": "projection.client.client",
    "CompactCame": "projection.engine.outcomes",
    "CompactOrder": "projection.engine.orders",
    "ConfigurationError": "projection.errors",
    "DecodeError": "projection.errors",
    "DeleteOrder": "projection.engine.orders",
    "DeployCame": "projection.engine.outcomes",
    "DeployOrder": "projection.engine.orders",
    "DeployedView": "projection.engine.deployment",
    "Done": "projection.engine.outcomes",
    "Door": "projection.cli.door",
    "DropCame": "projection.engine.outcomes",
    "DropOrder": "projection.engine.orders",
    "Dropped": "projection.engine.decisions",
    "Folded": "projection.testing.folding",
    "FolderQueries": "projection.query.folder",
    "LaneHaltedError": "projection.engine.parking",
    "Manifest": "projection.model.manifest",
    "MissingExtraError": "projection.extras",
    "Order": "projection.engine.orders",
    "ParkedEvent": "projection.model.parked",
    "ProgramError": "projection.errors",
    "ProgramInvalidError": "projection.lang.reporting",
    "ProgramsInvalidError": "projection.engine.deployment",
    "Projection": "projection.testing.folding",
    "ProjectionError": "projection.errors",
    "PromoteOrder": "projection.engine.orders",
    "Query": "projection.query.form",
    "QueryAnswer": "projection.query.answers",
    "QueryError": "projection.query.errors",
    "QueryLimits": "projection.model.query_limits",
    "RebuildOrder": "projection.engine.orders",
    "Recipe": "projection.model.recipe",
    "RepairCame": "projection.engine.outcomes",
    "RepairOrder": "projection.engine.orders",
    "Replay": "projection.engine.replay",
    "Restored": "projection.engine.restoring",
    "RetireOrder": "projection.engine.orders",
    "Settings": "projection.model.settings",
    "StaleCommitError": "projection.errors",
    "Step": "projection.engine.deploying",
    "StepCame": "projection.engine.outcomes",
    "StorageDamagedError": "projection.errors",
    "StorageError": "projection.errors",
    "StreamError": "projection.errors",
    "StreamIdentityError": "projection.errors",
    "Summary": "projection.engine.summary",
    "SwitchCame": "projection.engine.outcomes",
    "Tenancy": "projection.model.envelope",
    "TenantAccessError": "projection.errors",
    "TenantId": "projection.model.ids",
    "Verification": "projection.engine.verification",
    "ViewAnswer": "projection.query.answers",
    "ViewId": "projection.model.ids",
    "ViewType": "projection.model.ids",
    "Waiting": "projection.engine.outcomes",
    "Wanted": "projection.query.freshness",
    "adopt": "projection.engine.adoption",
    "back_up": "projection.engine.backup",
    "build_states": "projection.engine.inventory",
    "compact": "projection.engine.compaction",
    "compare_builds": "projection.history.build_comparison",
    "differences": "projection.engine.verification",
    "door_to": "projection.cli.door",
    "drop": "projection.engine.decisions",
    "load_deployment": "projection.engine.deployment",
    "parked_events": "projection.query.reading",
    "plan_deployment": "projection.engine.deploying",
    "preview": "projection.engine.adoption",
    "recipe_of": "projection.engine.recipes",
    "repair": "projection.history.folder_repair",
    "restore": "projection.engine.restoring",
    "verify": "projection.engine.verification",
    "verify_backup": "projection.engine.restoring",
}
_read = exports.reader(__name__, _PLACES)


def __getattr__(name: str) -> object:
    if name != "__version__":
        return _read(name)
    from importlib.metadata import version  # noqa: PLC0415 - 50 ms, which only those pay who ask

    return version("projection-node")
