"""Questions to the services: their HTTP, asked with the caller's own token and passed through.

Invariant: a service that is away is a problem 503 that names it; another replica is asked first.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from shared.http.problems import Problem

ServiceName = Literal["identity", "cases", "participation", "learning", "evaluation", "notify"]
"""A service as a path may name it."""

_PASSED = ("content-type", "content-disposition", "cache-control", "www-authenticate", "retry-after")


@dataclass(frozen=True)
class Answer:
    """What a service said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Services:
    """The services' addresses and a connection pool to them; use `open` and `close`."""

    def __init__(self, urls: Mapping[str, Sequence[str]]) -> None:
        self._urls = {service: list(found) for service, found in urls.items()}
        self._turns: dict[str, Iterator[int]] = {service: itertools.count() for service in urls}
        self._session: aiohttp.ClientSession | None = None

    @property
    def names(self) -> list[str]:
        """The services that are known."""
        return list(self._urls)

    async def open(self) -> None:
        """Open the connection pool."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, limit_per_host=200, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=10, sock_connect=2),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()

    async def ask(
        self,
        service: str,
        path: str,
        *,
        token: str | None = None,
        query: str = "",
        form: Mapping[str, str] | None = None,
        body: Any = None,
        replica: int | None = None,
        seconds: float = 10,
    ) -> Answer:
        """Ask a service, or one replica of it; POST where there is a form or a body.

        Raises Problem 503 when no replica answers.
        """
        if self._session is None:
            raise RuntimeError("not opened")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        method = "GET" if form is None and body is None else "POST"
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=2)
        urls = self._urls.get(service, [])
        if replica is not None:
            urls = [urls[replica]]
        first = next(self._turns[service]) if urls else 0
        for attempt in range(len(urls)):
            url = urls[(first + attempt) % len(urls)] + path + (f"?{query}" if query else "")
            try:
                async with self._session.request(
                    method, url, headers=headers, data=form, json=body, allow_redirects=False, timeout=timeout
                ) as found:
                    passed = {k: v for k, v in found.headers.items() if k.lower() in _PASSED}
                    return Answer(found.status, passed, await found.read())
            except aiohttp.ClientError:
                continue
            except TimeoutError:
                break  # the caller has waited long enough
        detail = f"The service {service} does not answer now; try again soon."
        raise Problem(503, "service-away", detail, headers={"Retry-After": "2"})

    def ask_each(self, service: str, path: str, *, token: str) -> list[Awaitable[Answer]]:
        """Ask every replica of a service; each answer, or Problem, is awaited by itself."""
        replicas = len(self._urls[service])
        if replicas < 2:
            return [self.ask(service, path, token=token)]
        return [self.ask(service, path, token=token, replica=replica) for replica in range(replicas)]
