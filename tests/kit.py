"""The messaging kit without a service: a database of its own, a handler that counts, records made by hand.

The handler adds the stars of `case.rate` to a tally per case, and fails on the text POISON of `case.answer`:
whatever is handled twice or not at all shows in the sum.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.stack import LocalStack
from shared.contracts import cases
from shared.contracts.envelope import Envelope
from shared.contracts.operations import ReplayDeadLetter
from shared.contracts.registry import Contract
from shared.database.engine import make_engine
from shared.database.migrate import run_script
from shared.messaging import deadletters
from shared.messaging.clock import BusinessClock
from shared.messaging.desk import subject_id
from shared.messaging.received import Decoder, Received, Trust
from shared.messaging.runner import Handler, Limits, Runner
from shared.messaging.tables import CREATE_V1
from shared.messaging.work import Work
from shared.refusals import Refusal
from shared.security.tokens import TokenVerifier
from shared.testing.issuer import Issuer
from shared.testing.messages import HandRecord, encoded, message

POISON = "poison"
SECRET_WORDS = "a resident's words"
_TALLY = (
    "INSERT INTO tallies (case_id, stars) SELECT * FROM unnest($1::uuid[], $2::int[]) "
    "ON CONFLICT (case_id) DO UPDATE SET stars = tallies.stars + excluded.stars"
)


async def tally(messages: Sequence[Received[Any]], work: Work) -> None:
    """Add up stars."""
    stars: Counter[UUID] = Counter()
    for received in messages:
        if isinstance(received.data, cases.AnswerCase) and received.data.text == POISON:
            raise ZeroDivisionError(SECRET_WORDS)
        stars[subject_id(received)] += getattr(received.data, "stars", 0)
        work.accept(received)
    ids = sorted(stars)
    await work.connection.exec_driver_sql(_TALLY, (ids, [stars[case_id] for case_id in ids]))


@dataclass
class Kit:
    """One database with the messaging tables and the tallies."""

    engine: AsyncEngine
    issuer: Issuer
    dsn: str = field(repr=False)
    person: str = field(default_factory=lambda: str(uuid4()))
    _offsets: Counter[tuple[str, int]] = field(default_factory=Counter)

    def runner(
        self,
        *,
        handlers: Mapping[type[Contract], Handler] | None = None,
        trust: Trust | None = None,
        dead_in_a_row_max: int = 50,
        attempts_max: int = 3,
        engine: AsyncEngine | None = None,
        refusals: Mapping[str, Refusal] | None = None,
    ) -> Runner:
        """A runner for `cases`; by default its handler is `tally`."""
        return Runner(
            service="cases",
            engine=engine or self.engine,
            decoder=Decoder("cases", trust or self.trust, BusinessClock("append")),
            handlers={
                ReplayDeadLetter: deadletters.replay,
                **(handlers or {cases.RateCase: tally, cases.AnswerCase: tally}),
            },
            limits=Limits(attempts_max, 0.01, 0.02, dead_in_a_row_max),
            refusals_by_constraint=refusals,
        )

    @property
    def trust(self) -> TokenVerifier:
        """Knows the issuer's keys."""
        verifier = TokenVerifier("http://127.0.0.1:9/jwks")
        verifier.use_keys(self.issuer.keys)
        return verifier

    def rating(self, case_id: UUID | None = None, stars: int = 1, **more: Any) -> Envelope:
        """A command that adds stars; signed by the kit's person."""
        token = self.issuer.token(more.pop("person", self.person), "deputy")
        return message(cases.RateCase(stars=stars), subject=case_id or uuid4(), token=token, **more)

    def poison(self) -> Envelope:
        """A command on which the handler fails."""
        token = self.issuer.token(self.person, "department", organisation="roads")
        return message(cases.AnswerCase(result="solved", text=POISON), subject=uuid4(), token=token)

    def replay_of(self, letter_id: object, **more: Any) -> Envelope:
        """An operator's command to replay a dead letter."""
        token = self.issuer.token("operator", *more.pop("roles", ("operator",)))
        return message(ReplayDeadLetter(), subject=letter_id, token=token, **more)

    def record(
        self,
        value: Envelope | bytes,
        *,
        partition: int = 0,
        topic: str = "cases.commands",
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> HandRecord:
        """A record at the next offset of its partition."""
        offset = self._offsets[topic, partition]
        self._offsets[topic, partition] += 1
        found = encoded(value) if isinstance(value, Envelope) else value
        return HandRecord(topic, found, partition=partition, offset=offset, headers=headers)

    async def rows(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        """What the database answers."""
        async with self.engine.begin() as connection:
            result = await connection.exec_driver_sql(statement, arguments)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    async def stars(self, *case_ids: UUID) -> int:
        """The sum of the tallies of some cases, or of all."""
        found = await self.rows(
            "SELECT coalesce(sum(stars), 0)::int AS n FROM tallies WHERE case_id = ANY($1) OR $2",
            list(case_ids),
            not case_ids,
        )
        return int(found[0]["n"])

    async def stored_outcome(self, command: Envelope, person: str | None = None) -> Mapping[str, Any] | None:
        """The outcome kept with the inbox row of a command."""
        found = await self.rows(
            "SELECT outcome FROM inbox WHERE key = $1", f"{command.id}/{person or self.person}"
        )
        return found[0]["outcome"] if found else None

    async def letters(self) -> list[dict[str, Any]]:
        """All dead letters, oldest first."""
        return await self.rows('SELECT * FROM dead_letters ORDER BY created_at, topic, partition, "offset"')

    async def take_outbox(self, topic: str) -> list[dict[str, Any]]:
        """Take the rows of a topic out of the outbox, as a relay would, in order."""
        return await self.rows(
            "WITH gone AS (DELETE FROM outbox WHERE topic = $1 RETURNING *) SELECT * FROM gone ORDER BY id",
            topic,
        )

    async def replayed_records(self) -> list[HandRecord]:
        """What the relay would have put on the replay topic, as consumed records."""
        return [
            self.record(
                bytes(row["payload"]),
                topic="cases.replay",
                headers=[(name, value.encode()) for name, value in row["headers"].items()],
            )
            for row in await self.take_outbox("cases.replay")
        ]


@asynccontextmanager
async def open_kit(stack: LocalStack, issuer: Issuer) -> AsyncIterator[Kit]:
    """A kit on a new database of the stack's server, dropped at the end."""
    name = f"kit_{uuid4().hex[:12]}"
    await asyncio.to_thread(stack.postgres.ensure_database, name, name)
    url = stack.postgres.url(name, name)
    engine = make_engine(SecretStr(url), pool_size=6, application="kit")
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run_script, CREATE_V1)
            await connection.exec_driver_sql("CREATE TABLE tallies (case_id uuid PRIMARY KEY, stars int)")
        yield Kit(engine, issuer, url.replace("+asyncpg", ""))
    finally:
        await engine.dispose()
        await asyncio.to_thread(
            stack.postgres.sql, f"DROP DATABASE IF EXISTS {name} WITH (FORCE); DROP ROLE IF EXISTS {name}"
        )
