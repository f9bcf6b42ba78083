"""Settings of a stream by which it loses messages, and what each costs: the log is what views are folded from anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.stream.jetstream import StreamConfig


NO_LOG = "stream.retention"  # the code of an error: the stream does not keep what it was given
_LIMITS = "limits"


def require_limits(stream: str, config: StreamConfig) -> None:
    """Make sure that a stream keeps its messages whatever its consumers do.

    Of the other retentions, `interest` drops what is published while no consumer exists, and `workqueue` what one has
    acknowledged: whoever makes and deletes consumers there destroys messages.

    Raises:
        StreamError: it does not.
    """
    if config.retention != _LIMITS:
        raise StreamError(
            f"stream {stream!r} has the retention {config.retention!r}: it keeps a message only until consumers have "
            "acknowledged it, so views cannot be folded from it; no consumer of it was created or deleted",
            hint=f"read a stream that copies it: `nats stream add {stream}_log --source {stream} --retention {_LIMITS} "
            f"--defaults`, then set `stream: {stream}_log`",
            code=NO_LOG,
        )


def losses(config: StreamConfig) -> Iterator[tuple[str, str]]:
    """Each setting by which a stream may lose messages, as `name=value`, with what a fold from its start then lacks."""
    if config.max_msgs_per_subject > 0:
        yield (
            f"max_msgs_per_subject={config.max_msgs_per_subject}",
            "older messages of an aggregate are removed: a new build folds only its last ones",
        )
    if config.max_age > 0:
        yield f"max_age={config.max_age / 1e9:g}s", "older messages are removed: a new build cannot start before them"
    for name, value in {"max_msgs": config.max_msgs, "max_bytes": config.max_bytes}.items():
        if value > 0 and config.discard == "old":
            yield f"{name}={value}", "the oldest messages make room: a new build cannot start before the others"
    if config.allow_msg_ttl:
        yield "allow_msg_ttl=true", "publishers can have single messages removed after a time: a new build lacks them"
    if config.allow_rollup_hdrs:
        yield "allow_rollup_hdrs=true", "a publisher can remove all earlier messages of a subject, or of the stream"
    if not config.deny_delete:
        yield "deny_delete=false", "single messages can be deleted: a new build lacks them"
    if not config.deny_purge:
        yield "deny_purge=false", "the stream, or the messages of one aggregate, can be purged: a new build lacks them"
