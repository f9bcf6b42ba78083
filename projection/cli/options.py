"""Options that several commands have: said once, so that they are called and described alike."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from projection.cli.parameters import Option

Config = Annotated[
    Path | None,
    Option(metavar="FILE", help="The settings (default: projection.yaml, .toml or .json in this folder)."),
]
ManifestFile = Annotated[Path | None, Option(metavar="FILE", help="The manifest (default: that of the settings).")]
NatsUrl = Annotated[str | None, Option(metavar="URL", help="The NATS server (default: that of the settings).")]
ObjectStore = Annotated[
    str | None, Option(metavar="BUCKET", help="A bucket of a JetStream object store, instead of a directory.")
]
Reason = Annotated[str, Option(metavar="TEXT", help="The reason, for the audit.")]
Storage = Annotated[Path | None, Option(metavar="DIR", help="The data folder (default: that of the settings).")]
Stream = Annotated[str | None, Option(metavar="NAME", help="The stream (default: that of the settings).")]


class Gates(StrEnum):
    """What has to be true of a new build before it answers; see `projection.model.promotion`."""

    WHEN_CAUGHT_UP = "when_caught_up"
    WHEN_EQUAL = "when_equal"
    MANUAL = "manual"


WhenPromoted = Annotated[
    Gates | None, Option("--promote", help="When a new build answers (default: the settings' builds.promote).")
]
AlthoughParked = Annotated[
    bool, Option("--although-parked", help="Even if it parks events that the build that answers does not.")
]
