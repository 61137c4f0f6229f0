"""Delivers: signs, looks where an address leads, posts, and writes down what became of it.

The signature is that of Standard Webhooks: `webhook-signature: v1,` and base64 of HMAC-SHA256 over
`id.timestamp.body`, with the secret's decoded part as key. Only an answer 2xx counts; its body is never
read. Invariants: no redirect is followed; a name is looked up once per attempt and the connection goes
to what was found, so that it cannot point elsewhere between look and use; nothing of a body, a secret
or an address is logged.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import aiohttp
import prometheus_client
from aiohttp.abc import AbstractResolver, ResolveResult
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases.settings import WebhookSettings
from services.cases.webhooks import deliveries, endpoints
from services.cases.webhooks.deliveries import Claimed
from shared.host import Surroundings
from shared.messaging.retry import delay_seconds
from shared.refusals import Refusal
from shared.security.sealing import Opener, Unsealable
from shared.telemetry import metrics
from shared.telemetry.logging import logger

LOOP = "webhooks"
_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix, not a secret
_AT_ONCE = 32
_AT_ONCE_PER_ADDRESS = 4
_TIDY_SECONDS = 60.0

DELIVERIES = prometheus_client.Counter(
    "dbt_webhook_attempts_total", "Attempts to deliver, by result", ["result"], registry=metrics.REGISTRY
)
OPEN = prometheus_client.Gauge(
    "dbt_webhook_deliveries", "Deliveries not delivered, by state", ["state"], registry=metrics.REGISTRY
)

log = logger(__name__)


def secret_key(secret: str) -> bytes:
    """The key in a secret `whsec_…`. Raises ValueError where it has not that form."""
    if not secret.startswith(_SECRET_PREFIX):
        raise ValueError("no secret of a webhook")
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError as error:  # binascii.Error, or letters that are not ASCII
        raise ValueError("no secret of a webhook") from error
    if not 24 <= len(key) <= 64:
        raise ValueError("no secret of a webhook")
    return key


def signed_headers(secret: str, message_id: str, body: bytes, *, at: int) -> dict[str, str]:
    """The three headers by which a receiver knows who wrote, when (Unix seconds) and that nothing changed."""
    digest = hmac.new(secret_key(secret), f"{message_id}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": message_id, "webhook-timestamp": str(at), "webhook-signature": signature}


class NotAllowedError(OSError):
    """A name that leads to an address which may not be reached."""


class GuardedResolver(AbstractResolver):
    """Looks names up and gives only addresses on the open network; one private address refuses them all."""

    def __init__(self, *, loopback_allowed: bool) -> None:
        self._loopback_allowed = loopback_allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name. Raises NotAllowedError, or OSError where there is none."""
        loop = asyncio.get_running_loop()
        answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        found: list[ResolveResult] = []
        for of_family, _, protocol, _, address in answers:
            number = str(address[0])
            local = self._loopback_allowed and endpoints.is_loopback(host) and endpoints.is_loopback(number)
            if not (local or endpoints.is_public(number)):
                raise NotAllowedError("the name leads to an address that may not be reached")
            entry = ResolveResult(
                hostname=host,
                host=number,
                port=port,
                family=of_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            found.append(entry)
        return found

    async def close(self) -> None:
        """Nothing is held."""


class Deliverer:
    """Delivers what is due, until cancelled; one per process."""

    def __init__(self, engine: AsyncEngine, opener: Opener, settings: WebhookSettings) -> None:
        self._engine = engine
        self._opener = opener
        self._settings = settings
        self._running: dict[asyncio.Task[None], Claimed] = {}
        self._tidied_at = float("-inf")

    async def run(self, turn: Callable[[], None]) -> None:
        """Deliver; `turn` is called at each round."""
        seconds = self._settings.webhook_timeout_seconds
        connector = aiohttp.TCPConnector(
            limit=_AT_ONCE,
            use_dns_cache=False,
            force_close=True,
            resolver=GuardedResolver(loopback_allowed=self._settings.webhook_loopback_allowed),
        )
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        ) as session:
            try:
                while True:
                    turn()
                    await self._round(session)
            finally:
                for task in self._running:
                    task.cancel()
                await asyncio.gather(*self._running, return_exceptions=True)

    async def _round(self, session: aiohttp.ClientSession) -> None:
        """Claim what there is room for, and wait until an attempt ends or it is time to look again."""
        try:
            claimed = await self._claim()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("webhooks-waiting-for-database", error=type(error).__name__)
            await asyncio.sleep(1)
            return
        for one in claimed:
            self._running[asyncio.create_task(self._attempt(session, one), name="webhook")] = one
        if self._running:
            done, _ = await asyncio.wait(
                self._running,
                timeout=self._settings.webhook_poll_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                del self._running[task]
                task.result()
        else:
            await asyncio.sleep(self._settings.webhook_poll_seconds)

    async def _claim(self) -> Sequence[Claimed]:
        room = _AT_ONCE - len(self._running)
        if room == 0:
            return ()
        under_way = Counter(one.webhook_id for one in self._running.values())
        busy = [webhook for webhook, count in under_way.items() if count >= _AT_ONCE_PER_ADDRESS]
        async with self._engine.begin() as connection:
            if time.monotonic() - self._tidied_at > _TIDY_SECONDS:
                self._tidied_at = time.monotonic()
                await deliveries.forget_old(connection)
                present = await deliveries.counts(connection)
                for state in ("pending", "dead"):
                    OPEN.labels(state).set(present.get(state, (0, 0.0))[0])
            return await deliveries.claim(
                connection,
                most=room,
                per_address=_AT_ONCE_PER_ADDRESS,
                busy=busy,
                lease_seconds=2 * self._settings.webhook_timeout_seconds + 5,
            )

    async def _attempt(self, session: aiohttp.ClientSession, claimed: Claimed) -> None:
        """One attempt, and what became of it. A row whose result cannot be written comes again after its lease."""
        fault = await self._post(session, claimed)
        settings = self._settings
        if fault is None:
            state, wait = "delivered", 0.0
        else:
            state = "dead" if claimed.attempts >= settings.webhook_attempts_max else "pending"
            wait = delay_seconds(
                claimed.attempts,
                first=settings.webhook_first_seconds,
                longest=settings.webhook_longest_seconds,
            )
            log.warning(
                "webhook-not-delivered",
                webhook=str(claimed.webhook_id),
                delivery=str(claimed.id),
                attempt=claimed.attempts,
                fault=fault,
                state=state,
            )
        DELIVERIES.labels(state if fault is None or state == "dead" else "failed").inc()
        try:
            async with self._engine.begin() as connection:
                await deliveries.settle(connection, claimed, state=state, fault=fault, wait_seconds=wait)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            log.warning("webhook-result-not-written", error=type(error).__name__)

    async def _post(self, session: aiohttp.ClientSession, claimed: Claimed) -> str | None:
        """None where the receiver took it, else what went wrong as a code."""
        allowed = self._settings.webhook_loopback_allowed
        try:
            endpoints.check_url(claimed.url, loopback_allowed=allowed)  # numbers bypass the resolver
            body = str(self._opener.open(claimed.sealed)["body"]).encode()
            secret = str(self._opener.open(claimed.sealed_secret)["secret"])
        except Refusal:
            return "address-not-allowed"
        except (Unsealable, KeyError):
            return "erased"
        headers = {
            "Content-Type": "application/cloudevents+json",
            "User-Agent": "daibiaotong-webhooks",
            **signed_headers(secret, str(claimed.id), body, at=int(time.time())),
        }
        try:
            async with session.post(claimed.url, data=body, headers=headers, allow_redirects=False) as answer:
                return None if 200 <= answer.status < 300 else f"answered-{answer.status}"
        except TimeoutError:
            return "timeout"
        except aiohttp.ClientConnectorError as error:
            refused = isinstance(error.os_error, NotAllowedError)
            return "address-not-allowed" if refused else "not-reached"
        except (aiohttp.ClientError, OSError, ValueError):
            return "not-reached"


def delivering(
    opener: Opener, settings: WebhookSettings
) -> Callable[[Surroundings], Coroutine[Any, Any, None]]:
    """The service's own loop that delivers."""

    async def loop(surroundings: Surroundings) -> None:
        deliverer = Deliverer(surroundings.engine, opener, settings)
        await deliverer.run(lambda: surroundings.health.turn(LOOP))

    return loop
