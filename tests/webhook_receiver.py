"""A department's receiver of webhooks in tests: keeps what comes, answers as told, knows the signature by itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Delivered:
    """One POST as it came."""

    id: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def case_id(self) -> str:
        return str(self.event["subject"])

    def signed_by(self, secret: str) -> bool:
        """Whether the signature is right, reckoned here from the specification."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        text = b".".join([self.id.encode(), self.headers["webhook-timestamp"].encode(), self.body])
        expected = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        return self.headers["webhook-signature"] == f"v1,{expected}"


Answer = Callable[[Delivered], Awaitable[web.StreamResponse]]


async def takes_it(_: Delivered) -> web.StreamResponse:
    return web.Response(status=204)


@dataclass
class Receiver:
    """What came on each path, in order; `answer` says what becomes of it."""

    url: str = ""
    answer: Answer = takes_it
    came: dict[str, list[Delivered]] = field(default_factory=lambda: defaultdict(list))

    def to(self, path: str, case_id: object) -> list[Delivered]:
        return [one for one in self.came[path] if one.case_id == str(case_id)]

    async def take(self, request: web.Request) -> web.StreamResponse:
        found = Delivered(
            request.headers["webhook-id"],
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
        )
        self.came[request.path].append(found)
        return await self.answer(found)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver at an address of this machine."""
    found = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await asyncio.wait_for(runner.cleanup(), 10)
