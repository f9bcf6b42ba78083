"""From the settings of a node to the connection that they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.stream.address import NatsConnection

if TYPE_CHECKING:
    from pydantic import SecretStr

    from projection.model.settings import NatsSettings


def nats_connection(settings: NatsSettings) -> NatsConnection:
    """Where the server is and how to sign in there."""
    return NatsConnection(
        settings.url,
        user=settings.user,
        password=_plain(settings.password),
        token=_plain(settings.token),
        credentials=settings.credentials_file,
        tls_ca=settings.tls_ca_file,
        tls_certificate=settings.tls_certificate_file,
        tls_key=settings.tls_key_file,
        tls_first=settings.tls_first,
        nkey_seed=settings.nkey_seed_file,
        inbox_prefix=settings.inbox_prefix,
        api=settings.api,
    )


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
