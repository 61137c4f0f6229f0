"""Cases without processes and broker: a migrated database, the service's own handlers fed by hand, its HTTP in process.

What the service sends to itself lies in its outbox; `pump` hands it back until nothing is left.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

import services.cases
from deploy.local.stack import LocalStack
from services.cases import api, following
from services.cases.__main__ import motion_rules_by_day
from services.cases.deadlines.calendar import ChinaCalendar
from services.cases.deadlines.pack import load
from services.cases.handlers import DECISIONS, CaseDesk, read_words
from services.cases.motions import api as motions_api
from services.cases.routing.desk import DECISIONS as ADOPTIONS
from services.cases.routing.desk import AdoptionStore, InForce
from services.cases.routing.rules_file import shipped_taxonomy
from services.cases.search import api as search_api
from services.cases.search import indexing
from services.cases.search.grams import Keyed
from services.cases.store import CaseStore, keep_departments
from shared.contracts import cases, identity
from shared.contracts.envelope import Envelope
from shared.contracts.registry import Contract, Role
from shared.contracts.simulation import ClockTicked
from shared.database.engine import make_engine
from shared.database.migrate import migrate
from shared.http import problems
from shared.http.callers import callers
from shared.messaging.clock import BusinessClock
from shared.messaging.desk import Desk
from shared.messaging.received import Decoder
from shared.messaging.runner import Limits, Runner
from shared.security.sealing import Opener, Sealer, new_private_key
from shared.security.tokens import TokenVerifier
from shared.testing.issuer import Issuer
from shared.testing.messages import HandRecord, encoded, message
from tests.case_rules import RULES
from tests.gateway_door import served

HERE = Path(services.cases.__file__).parent
MOTION_RULES = motion_rules_by_day(load(), "ningbo", ChinaCalendar())


@dataclass
class Inside:
    """One database of cases and what works on it; the department `housing` handles 城乡建设."""

    engine: AsyncEngine
    issuer: Issuer
    opener: Opener
    keyed: Keyed
    runner: Runner
    store: CaseStore
    url: str = ""
    _offsets: Counter[str] = field(default_factory=Counter)

    async def rows(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        """What the database answers."""
        async with self.engine.begin() as connection:
            result = await connection.exec_driver_sql(statement, arguments)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    async def feed(self, topic: str, envelopes: Sequence[Envelope]) -> None:
        """Have messages handled, as if a consumer had read them in batches."""
        records = []
        for envelope in envelopes:
            records.append(HandRecord(topic, encoded(envelope), offset=self._offsets[topic]))
            self._offsets[topic] += 1
        for at in range(0, len(records), 500):
            assert await self.runner.run(records[at : at + 500]) == set()

    def command(
        self,
        data: Contract,
        subject: UUID,
        *roles: Role,
        person: object = None,
        org: str | None = None,
        at: datetime,
    ) -> Envelope:
        """A command as a gateway would send it."""
        token = self.issuer.token(person or uuid4(), *roles, organisation=org)
        return message(data, subject=subject, token=token, time=at)

    def filing(
        self, case_id: UUID, text: str, *, title: str = "反映", deputy: UUID, at: datetime, **more: Any
    ) -> Envelope:
        """The filing of a case with a contact."""
        sealed = Sealer(self.opener.public_jwk).seal({"title": title, "text": text, "contact": "13800000000"})
        return self.command(cases.FileCase(sealed=sealed, **more), case_id, "deputy", person=deputy, at=at)

    async def tell(self, *commands: Envelope) -> list[str]:
        """Have commands handled, and what follows from them; `accepted`, or the refusal's code, of each."""
        await self.feed("cases.commands", commands)
        await self.pump()
        told = {one["data"]["command_id"]: one["data"] for one in await self.sent("command.outcomes")}
        outcomes = [told[str(command.id)] for command in commands]
        return [o["problem"]["code"] if o.get("problem") else o["state"] for o in outcomes]

    async def pump(self) -> None:
        """Handle what the service sent to itself, until it sends no more."""
        while due := await self._taken("cases.due"):
            await self.feed("cases.due", [Envelope.model_validate(one) for one in due])

    async def _taken(self, topic: str) -> list[dict[str, Any]]:
        rows = await self.rows(
            "WITH gone AS (DELETE FROM outbox WHERE topic = $1 RETURNING *) SELECT * FROM gone ORDER BY id",
            topic,
        )
        return [json.loads(row["payload"]) for row in rows]

    async def sent(self, topic: str) -> list[dict[str, Any]]:
        """What was sent to a topic so far, oldest first."""
        rows = await self.rows("SELECT payload FROM outbox WHERE topic = $1 ORDER BY id", topic)
        return [json.loads(row["payload"]) for row in rows]

    async def index(self) -> None:
        """Hash every case that waits for it."""
        done = 1
        while done:
            async with self.engine.begin() as connection:
                await indexing.use_key(connection, self.keyed)
                done = await indexing.index_some(connection, self.opener, self.keyed)

    async def ask(
        self,
        path: str,
        *roles: Role,
        person: object = None,
        org: str | None = None,
        body: Any = None,
        **query: Any,
    ) -> tuple[int, Any]:
        """The status and the body of a question, by staff of everywhere if no role is said."""
        token = self.issuer.token(person or uuid4(), *(roles or ("staff",)), organisation=org)
        headers = {"Authorization": f"Bearer {token}"}
        method = "GET" if body is None else "POST"
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, params=query, json=body, headers=headers) as answer,
        ):
            return answer.status, await answer.json()


@asynccontextmanager
async def cases_inside(stack: LocalStack, issuer: Issuer, *, now: datetime) -> AsyncIterator[Inside]:
    """A new database of the stack's server, dropped at the end; `now` is the time of its HTTP."""
    name = f"cases_{uuid4().hex[:12]}"
    await asyncio.to_thread(stack.postgres.ensure_database, name, name)
    url = SecretStr(stack.postgres.url(name, name))
    await migrate(url, HERE / "migrations")
    engine = make_engine(url, pool_size=6, application=name)
    opener = Opener(new_private_key())
    # Not from the opener: now and then two words have the same value under a key, and totals count what they find.
    keyed = Keyed(b"a key of tests")
    verifier = TokenVerifier("http://127.0.0.1:9/jwks")
    verifier.use_keys(issuer.keys)
    taxonomy = shipped_taxonomy()
    in_force = InForce(taxonomy, opener, read_words)
    store = CaseStore(frozenset(taxonomy.categories), opener, lambda _: RULES, in_force)
    runner = Runner(
        service="cases",
        engine=engine,
        decoder=Decoder("cases", verifier, BusinessClock("message")),
        handlers={
            **CaseDesk(store, DECISIONS).handlers(),
            **Desk(AdoptionStore(taxonomy), ADOPTIONS).handlers(),
            identity.DepartmentChanged: keep_departments,
        },
        limits=Limits(attempts_max=3, first_seconds=0.01, longest_seconds=0.02, dead_in_a_row_max=50),
    )
    found = Inside(engine, issuer, opener, keyed, runner, store)
    app = FastAPI()
    app.state.clock = BusinessClock("message")
    told = message(ClockTicked(until=now), subject="clock", time=now)
    app.state.clock.tick(encoded(told), datetime.now(UTC))
    problems.install(app)
    caller = callers(verifier)
    app.include_router(api.router(opener, keyed, store._rules_at, engine, caller))
    app.include_router(following.router(opener, store._rules_at, engine, caller))
    app.include_router(motions_api.router(opener, MOTION_RULES, engine, caller))
    app.include_router(search_api.router(opener, keyed, engine, caller))
    housing = identity.DepartmentChanged(
        code="housing", name="住建", categories=("城乡建设",), counties=(), state="active"
    )
    try:
        await found.feed("department.changed", [message(housing, subject="housing", sequence=1)])
        async with served(app) as found.url:
            yield found
    finally:
        await engine.dispose()
        await asyncio.to_thread(
            stack.postgres.sql, f"DROP DATABASE IF EXISTS {name} WITH (FORCE); DROP ROLE IF EXISTS {name}"
        )
