"""Sealing to the services that may open: their public keys, fetched once and again after a rotation.

Invariant: without a key nothing is sent; a key that is a little old is better than none, because a
service opens what was sealed to its last key.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gateway.services import Services
from shared.http.problems import Problem
from shared.security.sealing import Sealer

_KEEP_SECONDS = 300.0
_AGAIN_SECONDS = 10.0


class Seals:
    """A sealer per service."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._held: dict[str, tuple[Sealer, float]] = {}
        self._fetching: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def seal(self, service: str, content: Mapping[str, Any]) -> str:
        """Seal to a service. Raises Problem 503 when its key is not known and cannot be fetched."""
        held = self._held.get(service)
        if held is None or time.monotonic() > held[1]:
            async with self._fetching[service]:
                held = self._held.get(service)
                if held is None or time.monotonic() > held[1]:
                    held = self._held[service] = await self._fetch(service, held)
        return held[0].seal(dict(content))

    @contextmanager
    def renewed_if_unreadable(self, service: str) -> Iterator[None]:
        """Around what says how a command ended: the service may have a new key, to be fetched for the next sealing."""
        try:
            yield
        except Problem as problem:
            if problem.code.endswith("-unreadable"):
                self._held.pop(service, None)
            raise

    async def _fetch(self, service: str, held: tuple[Sealer, float] | None) -> tuple[Sealer, float]:
        """The service's key and until when to keep it (monotonic seconds)."""
        try:
            answer = await self._services.ask(service, "/sealing-key")
            if answer.status != 200:
                raise Problem(
                    503,
                    "service-away",
                    f"The key of {service} cannot be had now; try again soon.",
                    headers={"Retry-After": "2"},
                )
        except Problem:
            if held is None:
                raise
            return held[0], time.monotonic() + _AGAIN_SECONDS
        return Sealer(json.loads(answer.body)), time.monotonic() + _KEEP_SECONDS
