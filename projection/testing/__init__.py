"""What ships for tests: the author's loop, contracts that every back end keeps, and generators of events.

The author's loop (docs/testing.md): `folding` folds events in memory, `cases` finds tests in programs and scenarios,
`runner` runs them for `projection test`, and `pytest_plugin` does for pytest.
"""

from typing import TYPE_CHECKING

from projection import exports

if TYPE_CHECKING:
    from projection.testing.folding import Folded, NoSuchViewError, Parked, Projection
    from projection.testing.strategies import events, one_event, payloads

__all__ = [
    "Folded",
    "NoSuchViewError",
    "Parked",
    "Projection",
    "events",
    "one_event",
    "payloads",
]

_PLACES = {
    "Folded": "projection.testing.folding",
    "NoSuchViewError": "projection.testing.folding",
    "Parked": "projection.testing.folding",
    "Projection": "projection.testing.folding",
    "events": "projection.testing.strategies",
    "one_event": "projection.testing.strategies",
    "payloads": "projection.testing.strategies",
}
__getattr__ = exports.reader(__name__, _PLACES)
