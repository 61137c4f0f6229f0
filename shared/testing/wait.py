"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def wait_until(
    ask: Callable[[], Awaitable[T]],
    *,
    seconds: float = 60.0,
    what: str = "the condition",
    every: float = 0.02,
) -> T:
    """Ask until the answer is true, and return it. Raises AssertionError after the deadline, with the last answer."""
    deadline = time.monotonic() + seconds
    while True:
        answer = await ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come about within {seconds} s; last answer: {answer!r}")
        await asyncio.sleep(every)
