"""The keys that tokens are signed with: one in PEM, or those of a JSON Web Key Set (RFC 7517)."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

log = structlog.get_logger(component="http")

_LOOK_EVERY_S = 1.0  # at the file of a set
_PATIENCE_S = 1.0  # that requests have with a look; a disk that is gone may never answer
_MOST_BYTES = 1_048_576  # of a set
_LEAST_RSA_BITS = 2048
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})  # members of private keys (RFC 7518, 6)
_PUBLIC = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}  # what makes a public key
_IS_EXPOSED = "is a private key, or the public one of such a key"
_REPLACE_IT = (
    "anyone who can read the file can sign tokens: remove these keys from it, and have your provider replace them"
)


class Key(NamedTuple):
    """One key."""

    key: Any
    algorithms: Sequence[str]  # that a token of this key may be signed by


class Found(NamedTuple):
    """What a set holds."""

    keys: Mapping[str, Sequence[Key]]  # by their ids, which may be there several times
    unfit: Mapping[str, str]  # the ids of keys that are ignored, and why
    exposed: Sequence[str]  # the ids of keys whose private part is in the file: they are refused


class KeySet:
    """The keys of a file, as it is now. It is looked at in a thread: a disk that hangs must not hold up the node."""

    def __init__(self, path: Path, algorithms: Sequence[str], on_change: Callable[[], None]) -> None:
        """The keys that these algorithms can use.

        Args:
            path: of the set.
            algorithms: that tokens may be signed by.
            on_change: called once other keys count.

        Raises:
            ConfigurationError: there is none.
        """
        self._path = path
        self._algorithms = algorithms
        self._on_change = on_change
        self._stamp = _stamp(path)
        self._looked = monotonic()
        self._looking: asyncio.Future[Found | None] | None = None
        self._is_awaited = True  # whether requests wait for a look that is under way
        found = keys_of(path, algorithms)
        self._keys = found.keys
        self._tell(found)

    def of(self, key_id: object) -> Sequence[Key]:
        """The keys that a token with this id may be signed with."""
        if isinstance(key_id, str):
            return self._keys.get(key_id, ())
        every = [key for keys in self._keys.values() for key in keys]
        return every if key_id is None and len(every) == 1 else ()

    async def look(self) -> None:
        """Take the keys anew where their file has changed; what cannot be read leaves the keys as they were."""
        if self._looking is None:
            if monotonic() - self._looked < _LOOK_EVERY_S:
                return
            self._looking = _in_thread(self._read)
            self._looking.add_done_callback(self._take)
            self._is_awaited = True
        if self._is_awaited:
            looking = self._looking
            await asyncio.wait((looking,), timeout=_PATIENCE_S)
            if not looking.done() and self._is_awaited:
                self._is_awaited = False
                log.warning(
                    "the file of keys of tokens does not answer; the former ones are kept", path=str(self._path)
                )

    def _read(self) -> Found | None:
        """What is there now; None where nothing has changed. In a thread."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        return keys_of(self._path, self._algorithms)

    def _take(self, looking: asyncio.Future[Found | None]) -> None:
        self._looking, self._looked = None, monotonic()
        if looking.cancelled():
            return
        if (error := looking.exception()) is not None:
            log.warning("the new keys of tokens cannot be read; the former ones are kept", reason=str(error))
        elif (found := looking.result()) is not None:
            self._keys = found.keys
            self._on_change()
            log.info("the keys of tokens were read anew", keys=sum(map(len, found.keys.values())))
            self._tell(found)

    def _tell(self, found: Found) -> None:
        if found.exposed:
            log.error(
                "the file of keys of tokens holds private keys; they and their public keys are refused",
                path=str(self._path),
                keys=list(found.exposed),
                hint=_REPLACE_IT,
            )
        if found.unfit:
            log.warning("some keys of the key set are ignored", keys=dict(found.unfit))


def _in_thread(read: Callable[[], Found | None]) -> asyncio.Future[Found | None]:
    """Call it in a thread of its own, which ends with the process even where the call never does."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Found | None] = loop.create_future()

    def end(found: Found | None, error: Exception | None) -> None:
        if not ended.cancelled():
            ended.set_exception(error) if error is not None else ended.set_result(found)

    def run() -> None:
        found, failed = None, None
        try:
            found = read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the former keys are kept
            failed = error
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(end, found, failed)

    threading.Thread(target=run, name="keys of tokens", daemon=True).start()
    return ended


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino


def key_of(path: Path, algorithms: Sequence[str]) -> Key:
    """The public key of a file in PEM.

    Raises:
        ConfigurationError: it is none, or is not for these algorithms.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"http.access.key_file: {path} holds no public key: {type(error).__name__}",
            hint="it must be PEM: -----BEGIN PUBLIC KEY-----",
        ) from None
    fitting = _fitting(key, algorithms)
    if len(fitting) < len(algorithms):
        raise ConfigurationError(f"http.access.key_file: the key in {path} does not fit {', '.join(algorithms)}")
    if (weak := _weakness(key)) is not None:
        raise ConfigurationError(f"http.access.key_file: the key in {path} {weak}")
    return Key(key, fitting)


def keys_of(path: Path, algorithms: Sequence[str]) -> Found:
    """The keys of a set that these algorithms can use. A key that is unfit is ignored (RFC 7517, 5).

    A private key is exposed to all who can read the file. So nobody is believed who signs with it, also where its
    public key is in the set as well; the others count.

    Raises:
        ConfigurationError: it is no set, or holds no such key.
    """
    try:
        described = json.loads(_content(path))["keys"]
        if not isinstance(described, list):
            raise TypeError  # noqa: TRY301 - as for everything else that is no set
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise ConfigurationError(
            f"http.access.jwks_file: {path} is no JSON Web Key Set that can be read: {reason}"
        ) from None
    keys: dict[str, list[Key]] = {}
    unfit: dict[str, str] = {}
    exposed_ids: list[str] = []
    exposed = {_public_part(one) for one in described if _is_private(one)}
    for at, one in enumerate(described):
        key_id = str(one.get("kid", at)) if isinstance(one, dict) else str(at)
        if _is_private(one) or (isinstance(one, dict) and _public_part(one) in exposed):
            exposed_ids.append(key_id)
            continue
        try:
            key = _usable(one, algorithms)
        except ValueError as error:
            unfit[key_id] = str(error)
            continue
        if key is not None:
            keys.setdefault(key_id, []).append(key)
    if not keys:
        found = {**dict.fromkeys(exposed_ids, _IS_EXPOSED), **unfit}
        reasons = "".join(f"; key {key_id!r:.80} {reason}" for key_id, reason in list(found.items())[:3])
        raise ConfigurationError(
            f"http.access.jwks_file: {path} holds no public key for {', '.join(algorithms)}{reasons}",
            hint=_REPLACE_IT if exposed_ids else None,
        )
    return Found(keys, unfit, exposed_ids)


def _is_private(fields: Any) -> bool:
    """Whether a key of a set has members that only private keys have."""
    return isinstance(fields, dict) and _kind(fields) in _PUBLIC and not _PRIVATE.isdisjoint(fields)


def _kind(fields: dict[str, Any]) -> str:
    return str(fields.get("kty"))


def _public_part(fields: dict[str, Any]) -> tuple[str, ...]:
    """What is equal for a private key and its public one, whatever else is said about them."""
    kind = _kind(fields)
    return kind, *(str(fields.get(name)) for name in _PUBLIC.get(kind, ()))


def _content(path: Path) -> bytes:
    """What a file holds: a file, and nothing that may never come to its end."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123 - a FIFO would hang at opening
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(None, "it is no regular file")
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(None, f"it has more than {_MOST_BYTES:,} bytes")
    return content


def _usable(fields: Any, algorithms: Sequence[str]) -> Key | None:
    """A key of a set; None where it is not for signatures, or of no kind that is wanted.

    Raises:
        ValueError: it is unfit; says why.
    """
    if not isinstance(fields, dict):
        raise ValueError("is no key: it is no object of JSON")  # noqa: TRY004 - as all that is unfit
    if _kind(fields) not in _PUBLIC or fields.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(fields).key
    except Exception:  # noqa: BLE001 - whatever a file's text brings about
        raise ValueError("cannot be read") from None
    if (weak := _weakness(key)) is not None:
        raise ValueError(weak)
    fitting = _fitting(key, [name for name in algorithms if fields.get("alg", name) == name])
    return Key(key, fitting) if fitting else None


def _fitting(key: Any, algorithms: Sequence[str]) -> tuple[str, ...]:
    """Those algorithms that this kind of key is for."""
    fitting = []
    for name in algorithms:
        try:
            jwt.get_algorithm_by_name(name).prepare_key(key)
        except (TypeError, ValueError, jwt.PyJWTError):
            continue
        fitting.append(name)
    return tuple(fitting)


def _weakness(key: Any) -> str | None:
    if isinstance(key, RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        return f"is an RSA key of {key.key_size} bits; {_LEAST_RSA_BITS} are needed to be safe"
    return None
