"""What commands say about events whose type no program handles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang.handled import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.engine.unhandled import Unhandled

_MOST = 10  # types that are named


def unhandled_notes(unhandled: Unhandled) -> Iterator[str]:
    """Notes on what was read and concerns no program; none where there is nothing of that."""
    if passed_over := sum(unhandled.markers.values()):
        what = "1 message is not an event" if passed_over == 1 else f"{passed_over:,} messages are not events"
        yield f"{what}: {', '.join(f'{count:,} {kind}' for kind, count in sorted(unhandled.markers.items()))}"
    if not (count := unhandled.count - passed_over):
        return
    what = "1 event is of a type" if count == 1 else f"{count:,} events are of types"
    yield f"unhandled: {what} that no program handles"
    types = sorted(unhandled.types.items(), key=lambda one: (one[1] is None, one[0]))  # those with a guess first
    for (aggregate_type, event_type), guess in types[:_MOST]:
        end = "" if guess is None else f"; {guess}"
        yield f"unhandled: event type {shown(event_type)} of aggregate type {shown(aggregate_type)}{end}"
    if len(types) > _MOST:
        yield f"unhandled: and {len(types) - _MOST:,} more types"
