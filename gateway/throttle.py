"""How often one address, or one code, may do something without an account.

Each gateway counts by itself and in memory, so that n gateways let through n times as much; no address is
kept longer than its window. Invariant: networks count, not single IPv6 addresses, of which everybody has many.
"""

from __future__ import annotations

import ipaddress
import math
import time

from fastapi import Request
from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from shared.http.problems import Problem

_IPV6_NETWORK = 64


class Throttle:
    """Admits or answers 429."""

    def __init__(self) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def admit(self, limit: RateLimitItem, *whom: str) -> None:
        """Count one try. Raises Problem 429 above the limit."""
        if self._limiter.hit(limit, *whom):
            return
        wait = max(1, math.ceil(self._limiter.get_window_stats(limit, *whom).reset_time - time.time()))
        raise Problem(
            429,
            "too-many-requests",
            "Too many requests; try again later.",
            headers={"Retry-After": str(wait)},
        )


def address_of(request: Request) -> str:
    """The network that a request comes from; behind a trusted proxy (FORWARDED_ALLOW_IPS) the server puts the client's here."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.version == 6:
        return str(ipaddress.ip_network((address, _IPV6_NETWORK), strict=False))
    return host
