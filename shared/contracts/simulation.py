"""The one message of the simulation: where business time stands."""

from __future__ import annotations

from pydantic import AwareDatetime

from shared.contracts.registry import Contract, event


@event("clock.ticked", owner="simulation", key="constant")
class ClockTicked(Contract):
    """Everything that happened before `until` has been sent and taken in; wall time goes on from there."""

    until: AwareDatetime
