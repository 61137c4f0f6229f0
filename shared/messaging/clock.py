"""What "now" is for a message.

In production now is the broker's append time. In a simulation (BUSINESS_TIME=message) the gateway
stamps the business time, and what carries no trusted time happened at append time plus the offset
that `clock.ticked` announces, so that after a simulated year the clock goes on at wall speed.
Invariant: a sender's own claim of a time counts only from the simulation.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Literal

TICK_TOPIC = "clock.ticked"


class BusinessClock:
    """Business time of one process: a mode and, in a simulation, an offset from wall time."""

    def __init__(self, mode: Literal["append", "message"]) -> None:
        self.mode = mode
        self.offset = timedelta(0)
        self.settled = mode == "append"
        """Whether `now` can be relied on: in a simulation only once all ticks so far have been read."""

    def at(self, wall: datetime) -> datetime:
        """Business time at a wall time."""
        return wall + self.offset

    def now(self) -> datetime:
        """Business time now; for stamping at the edge, never for a decision."""
        return self.at(datetime.now(UTC))

    def settle(self) -> None:
        """All ticks so far have been taken in."""
        self.settled = True

    def tick(self, message: bytes | None, appended_at: datetime) -> None:
        """Take in a `clock.ticked` message; ignored outside a simulation, and when it can't be read."""
        if self.mode != "message" or message is None:
            return
        try:
            until = datetime.fromisoformat(json.loads(message)["data"]["until"])
            self.offset = until - appended_at
        except (ValueError, KeyError, TypeError):
            return
