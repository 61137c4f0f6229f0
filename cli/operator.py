"""What an operator looks at: status and dead letters, through the gateway."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import aiohttp
from rich.console import Console
from rich.table import Table

from cli.running import Access, NotRunning, find

SERVICES = ("identity", "cases", "participation", "learning", "evaluation", "notify")
_PAGE_SIZE = 500


class Operator:
    """Asks the gateway with an operator's token."""

    def __init__(self, access: Access, session: aiohttp.ClientSession) -> None:
        self.access = access
        self._session = session
        self._headers: dict[str, str] = {}

    async def sign_in(self) -> None:
        """Get a token for the operator's client."""
        form = {
            "grant_type": "client_credentials",
            "client_id": "operator",
            "client_secret": self.access.secret,
        }
        answer = await self._session.post(f"{self.access.gateway}/api/token", data=form)
        answer.raise_for_status()
        self._headers = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}

    async def get(self, url: str) -> Any:
        """The JSON at a path of the gateway or at a whole address; raises aiohttp.ClientError."""
        whole = url if url.startswith("http") else f"{self.access.gateway}{url}"
        answer = await self._session.get(whole, headers=self._headers)
        answer.raise_for_status()
        return await answer.json()

    async def get_bytes(self, path: str) -> bytes:
        """What lies at a path of the gateway, as it is; raises aiohttp.ClientError."""
        answer = await self._session.get(f"{self.access.gateway}{path}", headers=self._headers)
        answer.raise_for_status()
        return await answer.read()

    async def send(self, path: str, body: Any, *, seconds: float) -> tuple[int, Any]:
        """Ask a question that has a body; returns status and body."""
        answer = await self._session.post(
            f"{self.access.gateway}{path}",
            headers=self._headers,
            json=body,
            timeout=aiohttp.ClientTimeout(total=seconds),
        )
        return answer.status, await answer.json(content_type=None)

    async def post(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a command; returns status and body."""
        headers = {**self._headers, "Idempotency-Key": str(uuid4())}
        answer = await self._session.post(f"{self.access.gateway}{path}", headers=headers, json=body)
        return answer.status, await answer.json(content_type=None)


def ask(console: Console, question: Callable[[Operator], Awaitable[int]]) -> int:
    """Run a question as the operator; says plainly when there is no suite or it does not answer."""

    async def run() -> int:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            operator = Operator(find(), session)
            await operator.sign_in()
            return await question(operator)

    try:
        return asyncio.run(run())
    except NotRunning as error:
        console.print(str(error))
    except aiohttp.ClientResponseError as error:
        console.print(f"the gateway answered {error.status}")
    except (aiohttp.ClientError, TimeoutError) as error:
        console.print(f"the gateway does not answer: {type(error).__name__}")
    return 1


def show_status(console: Console) -> int:
    """Print a line per service; 0 when all are ready."""

    async def question(operator: Operator) -> int:
        found = await operator.get("/api/operations/status")
        table = Table("service", "ready", "lag", "outbox", "oldest", "parked", "dead letters")
        ready = True
        for name, one in {**found["services"], "gateway": found["gateway"]}.items():
            if "outbox" not in one:
                ready = ready and bool(one.get("ready"))
                table.add_row(name, "yes" if one.get("ready") else "no", *["-"] * 5)
                continue
            ready = ready and one["ready"]
            lag = ", ".join(f"{group} {'?' if n is None else n}" for group, n in one["lag"].items())
            reasons = "yes" if one["ready"] else "; ".join(f"{k}: {v}" for k, v in one["reasons"].items())
            oldest = f"{one['outbox_oldest_seconds']:.1f} s"
            table.add_row(
                name,
                reasons,
                lag,
                str(one["outbox"]),
                oldest,
                str(one["outbox_parked"]),
                str(one["dead_letters"]),
            )
        console.print(table)
        return 0 if ready else 1

    return ask(console, question)


async def letters_of(operator: Operator, service: str) -> list[dict[str, Any]]:
    """All dead letters of a service, newest first, read page by page; one that moved meanwhile stands once."""
    found: dict[str, dict[str, Any]] = {}
    for page in itertools.count(1):
        read = await operator.get(f"/api/operations/{service}/dead-letters?page={page}&size={_PAGE_SIZE}")
        found |= {one["id"]: one for one in read["items"]}
        if page * _PAGE_SIZE >= read["total"]:
            break
    return list(found.values())


def list_letters(console: Console, service: str | None, *, every: bool) -> int:
    """Print dead letters, newest first."""

    async def question(operator: Operator) -> int:
        table = Table("service", "id", "state", "reason", "type", "where", "since")
        for name in [service] if service else SERVICES:
            for one in await letters_of(operator, name):
                if every or one["state"] != "replayed":
                    where = f"{one['topic']}/{one['partition']}/{one['offset']}"
                    reason = f"{one['reason']}: {one['detail']}"
                    table.add_row(
                        name, one["id"], one["state"], reason, one["type"], where, one["created_at"]
                    )
        console.print(table if table.row_count else "no dead letters")
        return 0

    return ask(console, question)


def show_letter(console: Console, service: str, letter: str) -> int:
    """Print one dead letter."""

    async def question(operator: Operator) -> int:
        for name, value in (await operator.get(f"/api/operations/{service}/dead-letters/{letter}")).items():
            console.print(f"{name:<12} {value}", markup=False, highlight=False)
        return 0

    return ask(console, question)


def rewind(console: Console, topics: list[str]) -> int:
    """Let evaluation take topics in again (all without any named); 0 when it took the request."""

    async def question(operator: Operator) -> int:
        status, body = await operator.post("/api/operations/evaluation/rewind", {"topics": topics})
        said = (
            "evaluation reads again from the beginning"
            if status in (200, 202)
            else f"{body.get('code')}: {body.get('detail')}"
        )
        console.print(said, markup=False)
        return 0 if status in (200, 202) else 1

    return ask(console, question)


def replay_letter(console: Console, service: str, letter: str) -> int:
    """Replay one dead letter; 0 when the service took the request."""

    async def question(operator: Operator) -> int:
        status, body = await operator.post(f"/api/operations/{service}/dead-letters/{letter}/replay")
        said = "handed in again" if status in (200, 202) else f"{body.get('code')}: {body.get('detail')}"
        console.print(said, markup=False)
        return 0 if status in (200, 202) else 1

    return ask(console, question)
