"""From the settings of a node to the connection that they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from projection.model.settings import NatsSettings
    from projection.stream.address import NatsConnection


def nats_connection(settings: NatsSettings) -> NatsConnection:
    """Where the server is and how to sign in there."""
    from projection.stream.from_settings import nats_connection as of_settings

    return of_settings(settings)
