"""What all parts of the year's script share: its first and last instant, ids, and instants between others. Pure."""

from __future__ import annotations

import random
from datetime import date, datetime, time, timedelta, timezone
from uuid import UUID, uuid5

from simulation.city import Scale

BEIJING = timezone(timedelta(hours=8), "CST")

LAUNCH = datetime(2021, 7, 15, 8, 0, tzinfo=BEIJING)
END = datetime(2022, 6, 16, 18, 0, tzinfo=BEIJING)

_NAMESPACE = UUID("f1c1f7b2-7d36-5f0b-a2c9-6f0e5f1ad2b3")


def script_id(seed: int, scale: Scale, name: str) -> UUID:
    """The id that a name stands for: the same in every play of one script."""
    return uuid5(_NAMESPACE, f"{seed}/{scale.divisor}/{name}")


def clock(day: date, hour: float) -> datetime:
    """An instant of a day, from the hour with its fraction, to the second."""
    return datetime.combine(day, time(tzinfo=BEIJING)) + timedelta(seconds=int(hour * 3600))


def between(rng: random.Random, after: datetime, before: datetime) -> datetime:
    """An instant after `after` and before both `before` and END, to the second."""
    seconds = int((min(before, END) - after).total_seconds())
    return after + timedelta(seconds=rng.randint(1, max(seconds - 1, 1)))
