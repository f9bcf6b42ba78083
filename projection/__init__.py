"""A node for read models: deterministic programs folded over a JetStream log into LMDB, exactly once.

What this package offers is listed here, and read when it is asked for. With `projection.client` and
`projection.testing` it is all that versions promise something about; see docs/python.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection import exports

if TYPE_CHECKING:
    from projection.client.async_client import AsyncClient
    from projection.client.client import Client
    from projection.engine.adoption import Adoption, adopt, preview
    from projection.engine.backup import BackupMade, back_up
    from projection.engine.compaction import compact
    from projection.engine.decisions import Dropped, drop
    from projection.engine.deployment import DeployedView, ProgramsInvalidError, load_deployment
    from projection.engine.outcomes import CompactCame, RepairCame
    from projection.engine.parking import LaneHaltedError
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
    "Adoption",
    "AsyncClient",
    "Author",
    "BackupDirectory",
    "BackupMade",
    "Build",
    "BuildComparison",
    "Catalog",
    "CatalogAnswer",
    "CatalogReader",
    "CheckedBackup",
    "Client",
    "CompactCame",
    "ConfigurationError",
    "DecodeError",
    "DeployedView",
    "Dropped",
    "Folded",
    "FolderQueries",
    "LaneHaltedError",
    "Manifest",
    "MissingExtraError",
    "ParkedEvent",
    "ProgramError",
    "ProgramInvalidError",
    "ProgramsInvalidError",
    "Projection",
    "ProjectionError",
    "Query",
    "QueryAnswer",
    "QueryError",
    "QueryLimits",
    "RepairCame",
    "Replay",
    "Restored",
    "Settings",
    "StaleCommitError",
    "StorageDamagedError",
    "StorageError",
    "StreamError",
    "StreamIdentityError",
    "Summary",
    "Tenancy",
    "TenantAccessError",
    "TenantId",
    "Verification",
    "ViewAnswer",
    "ViewId",
    "ViewType",
    "Wanted",
    "__version__",
    "adopt",
    "back_up",
    "compact",
    "compare_builds",
    "differences",
    "drop",
    "load_deployment",
    "parked_events",
    "preview",
    "repair",
    "restore",
    "verify",
    "verify_backup",
]

_PLACES = {
    "Adoption": "projection.engine.adoption",
    "AsyncClient": "projection.client.async_client",
    "Author": "projection.store.audit",
    "BackupDirectory": "projection.store.backup_directory",
    "BackupMade": "projection.engine.backup",
    "Build": "projection.store.build",
    "BuildComparison": "projection.history.build_comparison",
    "Catalog": "projection.store.catalog",
    "CatalogAnswer": "projection.query.answers",
    "CatalogReader": "projection.store.catalog",
    "CheckedBackup": "projection.engine.restoring",
    "Client": "projection.client.client",
    "CompactCame": "projection.engine.outcomes",
    "ConfigurationError": "projection.errors",
    "DecodeError": "projection.errors",
    "DeployedView": "projection.engine.deployment",
    "Dropped": "projection.engine.decisions",
    "Folded": "projection.testing.folding",
    "FolderQueries": "projection.query.folder",
    "LaneHaltedError": "projection.engine.parking",
    "Manifest": "projection.model.manifest",
    "MissingExtraError": "projection.extras",
    "ParkedEvent": "projection.model.parked",
    "ProgramError": "projection.errors",
    "ProgramInvalidError": "projection.lang.reporting",
    "ProgramsInvalidError": "projection.engine.deployment",
    "Projection": "projection.testing.folding",
    "ProjectionError": "projection.errors",
    "Query": "projection.query.form",
    "QueryAnswer": "projection.query.answers",
    "QueryError": "projection.query.errors",
    "QueryLimits": "projection.model.query_limits",
    "RepairCame": "projection.engine.outcomes",
    "Replay": "projection.engine.replay",
    "Restored": "projection.engine.restoring",
    "Settings": "projection.model.settings",
    "StaleCommitError": "projection.errors",
    "StorageDamagedError": "projection.errors",
    "StorageError": "projection.errors",
    "StreamError": "projection.errors",
    "StreamIdentityError": "projection.errors",
    "Summary": "projection.engine.summary",
    "Tenancy": "projection.model.envelope",
    "TenantAccessError": "projection.errors",
    "TenantId": "projection.model.ids",
    "Verification": "projection.engine.verification",
    "ViewAnswer": "projection.query.answers",
    "ViewId": "projection.model.ids",
    "ViewType": "projection.model.ids",
    "Wanted": "projection.query.freshness",
    "adopt": "projection.engine.adoption",
    "back_up": "projection.engine.backup",
    "compact": "projection.engine.compaction",
    "compare_builds": "projection.history.build_comparison",
    "differences": "projection.engine.verification",
    "drop": "projection.engine.decisions",
    "load_deployment": "projection.engine.deployment",
    "parked_events": "projection.query.reading",
    "preview": "projection.engine.adoption",
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
