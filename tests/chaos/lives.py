"""Cases that live their whole life during a disturbance, and the invariant that must hold after it.

A life is six commands on one key, sent at once: file, route, accept, answer, close, rate. `violations`
compares what was sent with the database, the stored outcomes and the topics; it is what every chaos
test ends with, and what the mutants in `mutants.py` must turn red.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from deploy.local.stack import LocalStack
from shared.contracts import cases
from shared.contracts.envelope import Envelope
from shared.contracts.operations import CommandOutcome
from shared.messaging.kafka import connection_options
from shared.security.sealing import Sealer
from shared.testing.issuer import Issuer
from shared.testing.messages import encoded, message
from shared.testing.topics import messages_in, read_all
from shared.testing.wait import wait_until
from tests.conftest import kafka_settings, started_producer
from tests.database import rows

DEPARTMENT = "roads"
STEPS = ("filed", "routed", "accepted", "answered", "closed", "rated")
FACTS = {
    "case.filed": (1,),
    "case.routed": (2,),
    "case.progressed": (3, 4),
    "case.closed": (5,),
    "case.rated": (6,),
}


@dataclass(frozen=True)
class Life:
    """One case: its commands in order, each with its key in the inbox."""

    case_id: UUID
    commands: tuple[Envelope, ...]
    inbox_keys: tuple[str, ...]


@dataclass
class Lives:
    """Makes lives, sends them, and says what is wrong afterwards."""

    stack: LocalStack
    producer: AIOKafkaProducer
    issuer: Issuer
    sealer: Sealer
    sent: list[Life] = field(default_factory=list)
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def life(self) -> Life:
        case_id, deputy, staff = uuid4(), uuid4(), uuid4()
        as_deputy = self.issuer.token(deputy, "deputy")
        as_staff = self.issuer.token(staff, "staff")
        as_department = self.issuer.token("clerk", "department", organisation=DEPARTMENT)
        # Words of no category: the case waits for staff, so that each step is one command and one event.
        sealed = self.sealer.seal({"title": "一件事", "text": "请到现场看一看。"})
        steps: list[tuple[Any, str, object]] = [
            (cases.FileCase(sealed=sealed, county="330203"), as_deputy, deputy),
            (cases.RouteCase(department=DEPARTMENT), as_staff, staff),
            (cases.AcceptCase(), as_department, "clerk"),
            (cases.AnswerCase(result="solved", text="已处理"), as_department, "clerk"),
            (cases.CloseCase(), as_deputy, deputy),
            (cases.RateCase(stars=5), as_deputy, deputy),
        ]
        commands = tuple(message(data, subject=case_id, token=token) for data, token, _ in steps)
        keys = tuple(
            f"{command.id}/{person}" for command, (_, _, person) in zip(commands, steps, strict=True)
        )
        return Life(case_id, commands, keys)

    async def send(self, count: int) -> None:
        """Send that many lives, each step of all cases before the next step of any."""
        lives = [self.life() for _ in range(count)]
        self.sent += lives
        for step in range(len(STEPS)):
            await asyncio.gather(*(self._send(life.commands[step]) for life in lives))

    async def send_until(self, stop: asyncio.Event) -> None:
        """Go on sending lives until told to stop, some 200 commands a second: the load during a disturbance."""
        while not stop.is_set():
            await asyncio.gather(self.send(2), asyncio.sleep(0.05))

    async def _send(self, command: Envelope) -> None:
        """Send until the broker has taken it, under the same id each time, as a client of the gateway does."""
        while True:
            used = self.producer
            try:
                await used.send_and_wait(
                    "cases.commands", value=encoded(command), key=command.subject.encode()
                )
            except KafkaError:
                await self._renew(used)
            else:
                return

    async def _renew(self, used: AIOKafkaProducer) -> None:
        async with self._renewing:
            if self.producer is used:
                await used.stop()
                self.producer = await started_producer(self.stack, "gateway", seconds=240)

    async def rated(self) -> int:
        """How many cases have come to the end of their life."""
        ids = [life.case_id for life in self.sent]
        found = await rows(self.stack, "cases", "SELECT count(stars) AS n FROM cases WHERE id = ANY($1)", ids)
        return int(found[0]["n"])

    async def begun(self) -> bool:
        """Whether some process has its share of the topic, and has handled a command."""
        ids = [life.case_id for life in self.sent]
        found = await rows(self.stack, "cases", "SELECT count(*) AS n FROM cases WHERE id = ANY($1)", ids)
        return bool(found[0]["n"])

    async def rated_more_than(self, count: int) -> None:
        """Wait until more than that many cases have come to the end of their life."""

        async def more() -> bool:
            return await self.rated() > count

        await wait_until(more, seconds=240, every=0.1, what=f"more than {count} whole lives")

    async def settled(self) -> bool:
        """Whether nothing is left to do: every command consumed and committed, nothing in the outbox."""
        if await committed_lag(self.stack, "cases.commands", "cases.commands"):
            return False
        return await rows(self.stack, "cases", "SELECT count(*) AS n FROM outbox") == [{"n": 0}]

    async def violations(self) -> list[str]:
        """Everything that contradicts "each accepted command has exactly one effect"; empty when all is well."""
        found: list[str] = []
        ids = [life.case_id for life in self.sent]
        records = await read_all(kafka_settings(self.stack, "admin"), "command.outcomes", *FACTS)
        await self._check_state(found, ids)
        await self._check_outcomes(found, messages_in(records, "command.outcomes"))
        for topic, sequences in FACTS.items():
            self._check_facts(found, topic, sequences, messages_in(records, topic))
        if left := (await rows(self.stack, "cases", "SELECT count(*) AS n FROM outbox"))[0]["n"]:
            found.append(f"{left} rows are left in the outbox")
        return found

    async def _check_state(self, found: list[str], ids: Sequence[UUID]) -> None:
        versions = {
            row["id"]: row["version"]
            for row in await rows(
                self.stack, "cases", "SELECT id, version FROM cases WHERE id = ANY($1)", ids
            )
        }
        steps: dict[UUID, list[str]] = defaultdict(list)
        for row in await rows(
            self.stack,
            "cases",
            "SELECT case_id, step FROM case_steps WHERE case_id = ANY($1) ORDER BY case_id, number",
            ids,
        ):
            steps[row["case_id"]].append(row["step"])
        for case_id in ids:
            if case_id not in versions:
                found.append(f"case {case_id} does not exist")
            elif versions[case_id] != len(STEPS) or tuple(steps[case_id]) != STEPS:
                found.append(f"case {case_id} is at version {versions[case_id]} after {steps[case_id]}")

    async def _check_outcomes(self, found: list[str], published: Sequence[Envelope]) -> None:
        answers: dict[str, set[tuple[str, int | None]]] = defaultdict(set)
        for envelope in published:
            outcome = CommandOutcome.model_validate(envelope.data)
            answers[str(outcome.command_id)].add((outcome.state, outcome.version))
        keys = [key for life in self.sent for key in life.inbox_keys]
        stored = {
            row["key"]: (row["state"], row["version"])
            for row in await rows(
                self.stack,
                "cases",
                "SELECT key, outcome->>'state' AS state, (outcome->>'version')::int AS version "
                "FROM inbox WHERE key = ANY($1)",
                keys,
            )
        }
        for life in self.sent:
            for step, (command, key) in enumerate(zip(life.commands, life.inbox_keys, strict=True), start=1):
                wanted = ("accepted", step)
                if stored.get(key) != wanted:
                    found.append(f"{command.type} of {life.case_id}: stored outcome {stored.get(key)}")
                if answers[str(command.id)] != {wanted}:
                    found.append(
                        f"{command.type} of {life.case_id}: published outcomes {answers[str(command.id)]}"
                    )

    def _check_facts(
        self, found: list[str], topic: str, sequences: tuple[int, ...], published: Sequence[Envelope]
    ) -> None:
        first: dict[str, dict[UUID, int | None]] = defaultdict(dict)
        for envelope in published:
            first[envelope.subject].setdefault(envelope.id, envelope.sequence)
        for life in self.sent:
            seen = tuple(first[str(life.case_id)].values())
            if seen != sequences:
                found.append(
                    f"{topic} of {life.case_id}: first occurrences carry sequences {seen}, not {sequences}"
                )


async def committed_lag(stack: LocalStack, group: str, topic: str) -> int:
    """Records of a topic behind which the group's committed offsets stand, as an operator would see it."""
    # Assigned by hand it is no member of the group, and disturbs nobody.
    settings = kafka_settings(stack, "admin")
    looker = AIOKafkaConsumer(**connection_options(settings), group_id=group, enable_auto_commit=False)
    await looker.start()
    try:
        known = (await looker._client.fetch_all_metadata()).partitions_for_topic(topic)
        assert known, f"no partition of {topic} is known"
        parts = [TopicPartition(topic, n) for n in known]
        looker.assign(parts)
        ends = await looker.end_offsets(parts)
        return sum([end - (await looker.committed(part) or 0) for part, end in ends.items()])
    finally:
        await looker.stop()
