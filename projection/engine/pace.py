"""How long it will take to catch up, by how much nearer the end of the log has come of late."""

from __future__ import annotations

from collections import deque
from time import monotonic

_EVERY_S = 0.5  # between two looks that count
_LOOKS = 20  # that are remembered: ten seconds


class Pace:
    """Looks at how many events are to go. What comes to the log meanwhile counts: only what is left gets less."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque(maxlen=_LOOKS)

    def saw(self, to_go: int | None) -> None:
        """Note how many events are to go now; None where that is not known, or where there are none."""
        if to_go is None:
            self._looks.clear()
            return
        now = monotonic()
        if not self._looks or now - self._looks[-1][0] >= _EVERY_S:
            self._looks.append((now, to_go))

    @property
    def rate(self) -> float | None:
        """By how many events a second the end comes nearer; 0 where it does not, None where that is not known yet."""
        if len(self._looks) < 2:
            return None
        (began, before), (now, to_go) = self._looks[0], self._looks[-1]
        return max(0.0, (before - to_go) / (now - began))

    def left_s(self, to_go: int | None) -> float | None:
        """How many seconds it will take; None where nobody knows, or where the log grows as fast as it is folded."""
        rate = self.rate
        return to_go / rate if to_go is not None and rate else None
