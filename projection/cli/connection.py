"""From the settings of a node to the connection that they describe, for commands that read what they need late."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from projection.model.settings import NatsSettings
    from projection.stream.address import NatsConnection


def nats_connection(settings: NatsSettings) -> NatsConnection:
    """Where the server is and how to sign in there."""
    from projection.stream import configured

    return configured.nats_connection(settings)
