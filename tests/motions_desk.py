"""What tests of motions share: a congress of deputies, and a motion whose people each speak through their own door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aiohttp
from aiokafka import AIOKafkaProducer

from deploy.local.stack import LocalStack
from shared.contracts import identity, motions
from shared.contracts.envelope import Envelope
from shared.contracts.operations import CommandOutcome
from shared.contracts.registry import Contract
from shared.testing.messages import encoded, message
from shared.testing.wait import wait_until
from tests.cases_desk import Desk, announce_departments, departments_known
from tests.conftest import started_producer
from tests.database import rows

COUNTY, TOWN, OTHER_COUNTY = "330203", "330203101", "330205"
START = datetime(2022, 3, 1, 1, tzinfo=UTC)
"""A Tuesday, nine in the morning in China."""
PATIENCE = 60.0
"""Seconds; other programs may be using the machine."""
WORDS = {"title": "关于加装电梯的议案", "text": "老旧小区的老人下楼难。"}
PARTS = {"cause": "案由：下楼难", "basis": "案据：走访三十个小区", "plan": "方案：补贴加装"}
SECRET_WORDS = "三号楼二单元王阿姨"
DEPARTMENTS = ("housing", "other", "roads")
TOPICS = (
    "command.outcomes",
    "motion.invited",
    "motion.cosigned",
    "motion.submitted",
    "motion.assigned",
    "motion.progressed",
    "motion.answered",
    "motion.rated",
    "case.referred",
    *(f"department.{code}.routed" for code in DEPARTMENTS),
)


async def announce_deputies(
    stack: LocalStack, deputies: Mapping[UUID, tuple[identity.Level, str | None, str | None]]
) -> None:
    """Announce deputies by level, county and town, as identity would."""
    as_identity = await started_producer(stack, "identity")
    try:
        for who, (level, county, town) in deputies.items():
            known = identity.DeputyChanged(
                deputy_id=who,
                number=who.hex[:8],
                name="代表",
                level=level,
                county=county,
                town=town,
                constituency="第一选区",
                code=who.hex[:10],
                term_from=date(2021, 1, 1),
                term_until=date(2026, 12, 31),
                state="active",
            )
            sent = message(known, subject=who, sequence=1)
            await as_identity.send_and_wait("deputy.changed", value=encoded(sent), key=str(who).encode())
    finally:
        await as_identity.stop()


@dataclass
class Congress:
    """Deputies of a county, of one of its towns and of another county, and departments with their own producers."""

    desk: Desk
    stack: LocalStack
    county: list[UUID] = field(default_factory=lambda: [uuid4() for _ in range(14)])
    town: list[UUID] = field(default_factory=lambda: [uuid4() for _ in range(6)])
    stranger: UUID = field(default_factory=uuid4)
    departments: dict[str, AIOKafkaProducer] = field(default_factory=dict)

    def token(self, who: str | UUID) -> str:
        """The token of a deputy, of staff (`staff`, or `staff:<place>`), of an operator or of a department."""
        issuer = self.desk.issuer
        if isinstance(who, UUID):
            return issuer.token(who, "deputy")
        if who == "operator":
            return issuer.token("operator", "operator")
        role, _, place = who.partition(":")
        if role == "staff":
            return issuer.token(uuid4(), "staff", organisation=place or COUNTY)
        return issuer.token(f"department:{who}", "department", organisation=who, simulated=True)

    async def get(self, path: str, who: str | UUID, **query: str) -> tuple[int, Any]:
        """Status and body of a question to the service."""
        headers = {"Authorization": f"Bearer {self.token(who)}"}
        async with (
            aiohttp.ClientSession(self.desk.url, headers=headers) as session,
            session.get(path, params=query) as answer,
        ):
            return answer.status, await answer.json()


@asynccontextmanager
async def congress_of(desk: Desk, stack: LocalStack) -> AsyncIterator[Congress]:
    """A congress that the service knows."""
    found = Congress(desk, stack)
    await announce_departments(stack, {"roads": ()})
    known: dict[UUID, tuple[identity.Level, str | None, str | None]] = dict.fromkeys(
        found.county, ("county", COUNTY, None)
    )
    known |= dict.fromkeys(found.town, ("town", COUNTY, TOWN))
    known[found.stranger] = ("county", OTHER_COUNTY, None)
    await announce_deputies(stack, known)
    for code in DEPARTMENTS:
        found.departments[code] = await started_producer(stack, f"dept-{code}")
    try:
        await departments_known(stack, "roads")

        async def are_known() -> bool:
            there = await rows(
                stack, "cases", "SELECT id FROM motion_deputies WHERE id = ANY($1)", list(known)
            )
            return len(there) == len(known)

        await wait_until(are_known, what="the deputies", seconds=PATIENCE)
        yield found
    finally:
        for producer in found.departments.values():
            await producer.stop()


class MotionLife:
    """One motion. What departments say travels on their own topics, unless `through="gateway"` is said."""

    def __init__(self, congress: Congress, author: UUID | None = None, start: datetime = START) -> None:
        self.congress, self.desk = congress, congress.desk
        self.id, self.now = uuid4(), start
        self.author = author or congress.county[0]

    def on(self, month: int, day: int, hour: int = 9) -> None:
        """Let it be a day of the year in which the motion began, at an hour in China."""
        self.now = datetime(self.now.year, month, day, hour, tzinfo=UTC) - timedelta(hours=8)

    def draft(self, kind: motions.MotionKind = "suggestion", **more: Any) -> motions.DraftMotion:
        words = {**WORDS, **(PARTS if kind == "bill" else {}), "text": WORDS["text"] + SECRET_WORDS}
        return motions.DraftMotion(sealed=self.desk.sealer.seal(words), kind=kind, **more)

    def message(self, data: Contract, who: str | UUID) -> Envelope:
        """A command of somebody, a minute after the one before."""
        self.now += timedelta(minutes=1)
        return message(data, subject=self.id, token=self.congress.token(who), time=self.now)

    async def send(self, envelope: Envelope, who: str | UUID, through: str = "topic") -> None:
        producer = self.congress.departments.get(str(who)) if through == "topic" else None
        if producer is None:
            await self.desk.send(envelope)
        else:
            topic = f"department.{who}.replies"
            await producer.send_and_wait(topic, value=encoded(envelope), key=envelope.subject.encode())

    async def outcome(self, command: UUID, count: int = 1) -> CommandOutcome:
        """The last outcome of a command, once there are so many."""

        async def there() -> list[CommandOutcome]:
            found = self.desk.log.outcomes(command)
            return found if len(found) >= count else []

        return (await wait_until(there, what="an outcome", seconds=PATIENCE))[-1]

    async def say(self, data: Contract, who: str | UUID = "staff", through: str = "topic") -> str:
        """Send a command; `accepted` or the code of the refusal."""
        sent = self.message(data, who)
        await self.send(sent, who, through)
        return said(await self.outcome(sent.id))

    async def did(self, data: Contract, who: str | UUID = "staff") -> None:
        assert await self.say(data, who) == "accepted", type(data).__name__

    async def at_once(self, commands: Sequence[tuple[Contract, str | UUID]]) -> list[str]:
        """Send commands of several people without waiting in between; what became of each."""
        sent = [(self.message(data, who), who) for data, who in commands]
        await asyncio.gather(*(self.send(envelope, who) for envelope, who in sent))
        return [said(await self.outcome(envelope.id)) for envelope, _ in sent]

    async def heard(self, topic: str, count: int = 1, **having: Any) -> list[Envelope]:
        """The messages about the motion on a topic whose data has these values, once there are so many."""

        async def there() -> list[Envelope]:
            own = self.desk.log.of(topic, self.id)
            found = [e for e in own if all(e.data.get(name) == value for name, value in having.items())]
            return found if len(found) >= count else []

        return await wait_until(there, what=f"{count} {having} on {topic}", seconds=PATIENCE)

    async def told(self, code: str, type_: str, count: int = 1, **having: Any) -> dict[str, Any]:
        """The last message of a type to a department about the motion."""

        async def there() -> list[Envelope]:
            own = [e for e in self.desk.log.of(f"department.{code}.routed", self.id) if e.type == type_]
            found = [e for e in own if all(e.data.get(name) == value for name, value in having.items())]
            return found if len(found) >= count else []

        return (await wait_until(there, what=f"{type_} to {code}", seconds=PATIENCE))[-1].data

    async def read(self, who: str | UUID) -> dict[str, Any]:
        status, shown = await self.congress.get(f"/motions/{self.id}", who)
        assert status == 200, shown
        found: dict[str, Any] = shown
        return found

    async def status_for(self, who: str | UUID) -> int:
        return (await self.congress.get(f"/motions/{self.id}", who))[0]

    # -- stretches of a life that many tests begin with ------------------------------------------------

    async def submitted(self, kind: motions.MotionKind = "suggestion", **more: Any) -> None:
        await self.did(self.draft(kind, **more), self.author)
        await self.did(motions.SubmitMotion(informed=True), self.author)

    async def assigned(self, lead: str = "housing", *co: str, **more: Any) -> None:
        await self.submitted(**more)
        await self.did(motions.AcceptMotion(number=f"建议{self.id.hex[:6]}"))
        await self.did(motions.AssignMotion(lead=lead, co_handlers=co))

    async def contacted(self, lead: str = "housing") -> None:
        today = (self.now + timedelta(hours=8)).date()
        await self.did(motions.ContactDeputy(on=today, form="phone"), lead)

    async def answered(self, lead: str = "housing", result: motions.AnswerClass = "A", **more: Any) -> None:
        await self.contacted(lead)
        given = motions.AnswerMotion(result=result, text="已办理。", signed_by="局长", **more)
        await self.did(given, lead)


def said(outcome: CommandOutcome) -> str:
    return outcome.problem.code if outcome.problem else outcome.state
