"""The settings of a node: where its log and its store are, how fast it may go, and who may ask it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, FilePath, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from projection.errors import ConfigurationError
from projection.model.checkpoint import Frozen
from projection.model.envelope import Tenancy
from projection.model.http_settings import HttpSettings
from projection.model.ids import DEFAULT_TENANT, TenantId
from projection.model.problems import problems
from projection.model.promotion import Promote  # noqa: TC001 - pydantic reads it
from projection.model.query_limits import QueryLimits
from projection.model.setting_sources import ENVIRONMENT_PREFIX, layers, merged, place_of
from projection.model.setting_types import ByCommas, Count
from projection.model.subjects import filter_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACES_OF_DURABLE = ("{node}", "{feed}", "{partition}")
_NODE = re.compile(r"[A-Za-z0-9-]{1,63}")


def _servers(urls: str) -> str:
    """URLs of servers, without credentials: these have fields of their own, which are never shown."""
    if "@" in urls:
        raise ValueError("must hold no credentials (not shown here); they belong into nats.user, .password and .token")
    for url in urls.split(","):
        try:
            parts = urlsplit(url.strip())
            fits = parts.scheme in ("nats", "tls", "ws", "wss") and parts.hostname and parts.port != 0
        except ValueError:  # a port that is no number
            fits = False
        if not fits or re.search(r"\s", url.strip()):
            raise ValueError(f"{url.strip()!r:.80} is not the URL of a NATS server, like nats://127.0.0.1:4222")
    return urls


def _stream_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name):
        raise ValueError(f"{name!r:.80} is not a stream's name: ASCII letters, digits, `_` and `-`")
    return name


def _subject_prefix(prefix: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_$-]+(\.[A-Za-z0-9_$-]+)*", prefix):
        raise ValueError(f"{prefix!r:.80} is not the beginning of a subject, like `_INBOX` or `JS.events.API`")
    return prefix


def _node_id(node: str) -> str:
    if not _NODE.fullmatch(node):
        raise ValueError(f"{node!r:.80} is not a node id: at most 63 ASCII letters, digits and `-`")
    return node


def _durable(template: str) -> str:
    rest = template
    for place in _PLACES_OF_DURABLE:
        if rest.count(place) != 1:
            raise ValueError(f"{template!r:.80} must hold {place} once, or two readers would fight over one consumer")
        rest = rest.replace(place, "-")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", rest):
        raise ValueError(f"{template!r:.80} must hold only ASCII letters, digits, `_` and `-` beside its places")
    return template


def _filter(text: str) -> str:
    if (problem := filter_problem(text)) is not None:
        raise ValueError(problem)
    return text


Durability = Literal["sync", "process"]
Filter = Annotated[str, AfterValidator(_filter)]


class NatsSettings(Frozen):
    """The server and how to be let in: user and password, or a token, or a credentials file, or a seed, or nothing."""

    url: Annotated[str, AfterValidator(_servers)] = "nats://127.0.0.1:4222"  # or several of a cluster, by commas
    user: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None
    credentials_file: FilePath | None = None  # a `.creds` file of nsc
    tls_ca_file: FilePath | None = None  # PEM; who signed the server's certificate
    tls_certificate_file: FilePath | None = None  # PEM; ours, where the server asks for one
    tls_key_file: FilePath | None = None  # PEM; its key
    tls_first: bool = False  # before the server has said anything, as its `handshake_first` wants it
    nkey_seed_file: FilePath | None = None  # a user's seed, `SU…`
    inbox_prefix: Annotated[str, AfterValidator(_subject_prefix)] = "_INBOX"  # of the subjects that answers come to
    domain: Annotated[str, AfterValidator(_stream_name)] | None = None  # of JetStream, where it is another's
    api_prefix: Annotated[str, AfterValidator(_subject_prefix)] | None = None  # or what its API's subjects begin with
    consumer_replicas: Annotated[Count, Field(ge=1, le=5)] = 1  # for accounts that allow no other number

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together; one of them is missing")
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_certificate_file and tls_key_file go together; one of them is missing")
        ways = (self.user, self.token, self.credentials_file, self.nkey_seed_file)
        if sum(way is not None for way in ways) > 1:
            raise ValueError("name one way in: user and password, or token, or credentials_file, or nkey_seed_file")
        if self.domain is not None and self.api_prefix is not None:
            raise ValueError("domain and api_prefix say the same in two ways; name one of them")
        return self

    @property
    def api(self) -> str:
        """What the subjects of JetStream's API begin with."""
        if self.domain is not None:
            return f"$JS.{self.domain}.API"
        return self.api_prefix or "$JS.API"


_LEAST_PATIENCE_S = 0.1
_LEAST_WORK_S = 0.01


class BackPressure(Frozen):
    """How much may be under way; the defaults are those that were measured best (docs/architecture.md)."""

    batch: Annotated[Count, Field(ge=1, le=1_000_000)] = 20_000  # events in one commit
    batch_bytes: Annotated[Count, Field(ge=1024, le=1024**3)] = 64 * 1024**2  # of events in one commit
    linger_ms: Annotated[Count, Field(ge=0, le=10_000)] = 20  # how long a live batch waits for more
    work_ms: Annotated[Count, Field(ge=1, le=60_000)] = 250  # of folding for each view type, then a commit
    patience_ms: Annotated[Count, Field(ge=0, le=3_600_000)] = 1_000  # that a slow view type may hold up the others
    cached_bytes: Annotated[Count, Field(ge=0, le=1024**4)] = 256 * 1024**2  # of views' JSON kept at hand, decoded
    in_flight: Annotated[Count, Field(ge=2, le=64)] = 4  # pull requests' worth of messages under way
    ack_timeout_s: Annotated[Count, Field(ge=30, le=30 * 86_400)] = 86_400  # until the server delivers anew

    @property
    def work_s(self) -> float:
        """The time for folding in seconds, no less than a hundredth of one: a commit costs the same for less work."""
        return max(self.work_ms / 1000, _LEAST_WORK_S)

    @property
    def patience_s(self) -> float:
        """The patience in seconds, and no less than a tenth of one: without any, each view type reads by itself."""
        return max(self.patience_ms / 1000, _LEAST_PATIENCE_S)


class BuildSettings(Frozen):
    """When a new build replaces the one that answers, and how long the replaced one is folded on and kept."""

    promote: Promote = "when_caught_up"  # where the order that began it does not say
    retire_after_h: Annotated[Count, Field(ge=0, le=87_600)] = 24  # that a former build is folded on; 0: not at all
    delete_after_h: Annotated[Count, Field(ge=1, le=87_600)] | None = None  # that it is kept then; None: for good


class BackupSettings(Frozen):
    """Where a node's backups are, and whether it makes them by itself."""

    directory: Path | None = None  # an absolute path is best
    object_store: str | None = None  # a bucket, instead
    every_h: Annotated[Count, Field(ge=1, le=24 * 366)] | None = None  # None: only when told to
    keep: Annotated[Count, Field(ge=1, le=100_000)] | None = None  # backups; None: all

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.directory is not None and self.object_store is not None:
            raise ValueError("directory and object_store are two places; name one of them")
        if self.every_h is not None and self.directory is None and self.object_store is None:
            raise ValueError("every_h needs directory or object_store, where the backups are written")
        return self


class Settings(BaseSettings):
    """All settings of a node, complete and checked; the manifest that they name is not read yet.

    The constructor takes what it is given and looks nowhere else; `load` reads file and environment.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=False,
        hide_input_in_errors=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
    )

    nats: NatsSettings = NatsSettings()
    stream: Annotated[str, AfterValidator(_stream_name)] = "events"
    subjects: Annotated[tuple[Filter, ...] | None, *ByCommas, Field(min_length=1)] = None  # those of the manifest
    durable: Annotated[str, AfterValidator(_durable)] = "{node}_{feed}_{partition}"
    node: Annotated[str, AfterValidator(_node_id)] | None = None  # None: the store makes one and keeps it
    storage: Path = Path("data")
    durability: Durability = "sync"  # what a commit outlives: loss of power, or only the end of the process
    multi_tenancy: bool = True
    default_tenant: TenantId = DEFAULT_TENANT
    back_pressure: BackPressure = BackPressure()
    builds: BuildSettings = BuildSettings()
    http: HttpSettings = HttpSettings()
    query: QueryLimits = QueryLimits()
    backup: BackupSettings = BackupSettings()
    stop_timeout_s: Annotated[Count, Field(ge=0, le=3_600)] = 10  # for the last commit, when the node is to stop
    manifest: Path = Path("manifest.yaml")
    execution: Literal["compiled", "interpreted"] = "compiled"  # of programs; what comes of them is the same

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what the constructor is given: `load` merges the layers itself, to know where each value came from."""
        return (init_settings,)

    @classmethod
    def load(
        cls,
        config: Path | None = None,
        overrides: Mapping[str, object] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """The settings from their sources, each stronger than the one before: defaults, file, environment, overrides.

        Args:
            config: the settings file; None for `projection.yaml`, `.toml` or `.json` in the current folder, if any.
            overrides: values of command-line options by dotted field, `{"back_pressure.batch": 500}`; None means that
                the option was not given.
            environ: the environment; None for the process's own.

        Raises:
            ConfigurationError: a value, a key or a variable is wrong; each is named with the source it came from.
        """
        found = layers(cls, config, overrides or {}, os.environ if environ is None else environ)
        try:
            return cls(**merged(found))
        except ValidationError as error:
            lines = [f"{place_of(cls, problem.path, found)}: {problem.text}" for problem in problems(error, cls)]
        raise ConfigurationError(lines[0] if len(lines) == 1 else "\n  ".join(("several settings are wrong:", *lines)))

    @property
    def tenancy(self) -> Tenancy:
        """Whether tenants exist, and which one events without a tenant belong to."""
        return Tenancy(enabled=self.multi_tenancy, default=self.default_tenant)

    def consumer_name(self, node: str, feed: str, partition: int) -> str:
        """The name of the consumer by which this node reads that partition for that feed."""
        values = dict(zip(_PLACES_OF_DURABLE, (node, feed, str(partition)), strict=True))
        return re.sub(r"\{\w+\}", lambda place: values[place[0]], self.durable)
