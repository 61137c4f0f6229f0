"""Liveness and readiness of one process.

Invariants: `/livez` is red only when a loop is dead or made no turn (poll, retry or back-off) for
`STALL_SECONDS`; a broker or database that is away makes `/readyz` red, never `/livez`, because a
restart would not bring it back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from shared.telemetry import metrics

STALL_SECONDS = 60.0


class Health:
    """What the loops of a process report; read by `/livez`, `/readyz` and `/metrics`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._turns: dict[str, float] = {}
        self._alive: dict[str, Callable[[], bool]] = {}
        self._not_ready: dict[str, str] = {}

    def watch(self, loop: str, alive: Callable[[], bool] = lambda: True) -> None:
        """Begin to watch a loop; `alive` says whether its task still runs."""
        self._turns[loop] = self._clock()
        self._alive[loop] = alive

    def turn(self, loop: str) -> None:
        """The loop made a turn."""
        self._turns[loop] = self._clock()

    def not_ready(self, part: str, reason: str) -> None:
        """A part cannot work now; `reason` is shown at `/readyz`."""
        self._not_ready[part] = reason

    def ready(self, part: str) -> None:
        """A part works (again)."""
        self._not_ready.pop(part, None)

    def stalled(self) -> dict[str, str]:
        """Loops that are dead or stand still, each with the reason; empty when all is well."""
        now = self._clock()
        found: dict[str, str] = {}
        for loop, turned in self._turns.items():
            age = now - turned
            metrics.LOOP_AGE.labels(loop).set(age)
            if loop in self._alive and not self._alive[loop]():
                found[loop] = "its task has ended"
            elif age > STALL_SECONDS:
                found[loop] = f"no turn for {age:.0f} s"
        return found

    def unready(self) -> dict[str, str]:
        """Parts that cannot work now, each with the reason; empty when ready."""
        return {**self._not_ready, **self.stalled()}
