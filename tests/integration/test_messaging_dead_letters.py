"""What cannot be handled becomes a dead letter: every kind of it, through the real topic of the real process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from deploy.local.stack import LocalStack
from shared.contracts import cases
from shared.contracts.envelope import Envelope
from shared.contracts.operations import CommandOutcome, DeadLetterNotice, ReplayDeadLetter
from shared.testing.issuer import Issuer
from shared.testing.messages import encoded, message
from shared.testing.topics import read_all
from shared.testing.wait import wait_until
from tests.cases_desk import Desk, cases_desk
from tests.conftest import Processes, kafka_settings, started_producer
from tests.database import rows

SHARES_STACK = True

CASES_TOPICS = ("command.outcomes", "case.filed")
EIGHT_MEGABYTES = 8 * 1024 * 1024
WORDS = "这句话不该出现在别处"


@pytest.fixture(scope="module")
def wide_topic(stack: LocalStack) -> Iterator[None]:
    """Commands of cases may be 8 MB long, so that a far too long one arrives at all."""
    admin = AdminClient(stack.broker.admin_config())

    def alter(operation: AlterConfigOpType, value: str | None) -> None:
        entry = ConfigEntry("max.message.bytes", value, incremental_operation=operation)
        topic = ConfigResource(ConfigResource.Type.TOPIC, "cases.commands", incremental_configs=[entry])
        for answer in admin.incremental_alter_configs([topic]).values():
            answer.result(30)

    alter(AlterConfigOpType.SET, str(EIGHT_MEGABYTES))
    yield
    alter(AlterConfigOpType.DELETE, None)


@pytest_asyncio.fixture(scope="module")
async def desk(
    stack: LocalStack, processes: Processes, as_gateway: AIOKafkaProducer, issuer: Issuer, wide_topic: None
) -> AsyncIterator[Desk]:
    async with cases_desk(stack, processes, as_gateway, issuer, topics=CASES_TOPICS) as found:
        yield found


@dataclass(frozen=True)
class Bad:
    """A record that cannot be handled, the reason that must be given, and its command where the sender is known."""

    value: bytes | None
    reason: str
    command: Envelope | None = None


def changed(envelope: Envelope, **fields: Any) -> bytes:
    """The encoded envelope with fields replaced, None for left out."""
    whole = json.loads(encoded(envelope)) | fields
    return json.dumps({k: v for k, v in whole.items() if v is not None}, ensure_ascii=False).encode()


def bad_records(desk: Desk) -> dict[str, Bad]:
    deputy = uuid4()

    def filing() -> Envelope:
        return desk.filing(deputy, uuid4(), WORDS)

    def with_data(**fields: Any) -> Bad:
        command = filing()
        whole = {k: v for k, v in (command.data | fields).items() if v is not None}
        return Bad(changed(command, data=whole), "invalid-data", command)

    forger = Issuer()
    return {
        "no JSON at all": Bad(b"\x00\xff\xfe" + WORDS.encode(), "undecodable"),
        "nothing": Bad(None, "undecodable"),
        "half a message": Bad(encoded(filing())[:100], "undecodable"),
        "nested without end": Bad(b'{"data":' * 5000, "undecodable"),
        "an envelope without a type": Bad(changed(filing(), type=None), "undecodable"),
        "an id that is none": Bad(changed(filing(), id="17"), "undecodable"),
        "a subject that no database keeps": Bad(changed(filing(), subject="a\0b"), "undecodable"),
        "an unknown type": Bad(changed(filing(), type="case.fly"), "unknown-type"),
        "another topic's type": Bad(changed(filing(), type="case.filed"), "wrong-topic"),
        "another service's command": Bad(changed(filing(), type="duty.confirm"), "wrong-topic"),
        "no token": Bad(changed(filing(), actortoken=None), "untrusted"),
        "a forged token": Bad(changed(filing(), actortoken=forger.token(deputy, "deputy")), "untrusted"),
        "a token that had expired": Bad(
            changed(filing(), actortoken=desk.issuer.token(deputy, "deputy", issued_at=1_700_000_000)),
            "untrusted",
        ),
        "a missing field": with_data(county=None),
        "a wrong type": with_data(county=330203),
        "a text with NUL": with_data(category="环\0保"),
        "five megabytes": with_data(sealed=WORDS * (5 * 1024 * 1024 // len(WORDS.encode()))),
    }


async def letters(stack: LocalStack, digests: list[str]) -> dict[str, dict[str, Any]]:
    """The dead letters of some records by the records' digest."""
    found = await rows(
        stack,
        "cases",
        "SELECT *, encode(sha256(message), 'hex') AS sha256 FROM dead_letters "
        "WHERE encode(sha256(message), 'hex') = ANY($1)",
        digests,
    )
    return {row["sha256"]: row for row in found}


def digest(value: bytes | None) -> str:
    return hashlib.sha256(value or b"").hexdigest()


async def replay(desk: Desk, letter_id: UUID) -> CommandOutcome:
    token = desk.issuer.token("operator", "operator")
    return await desk.ask(message(ReplayDeadLetter(), subject=letter_id, token=token))


async def test_whatever_cannot_be_handled_is_kept_whole_with_its_reason_and_costs_no_neighbour(
    desk: Desk, stack: LocalStack
) -> None:
    bad = bad_records(desk)
    good = [desk.filing(uuid4(), uuid4()) for _ in range(2 * len(bad))]
    neighbours = iter(good)
    for record in bad.values():
        await desk.send(next(neighbours))
        await desk.producer.send_and_wait("cases.commands", value=record.value, key=b"key")
        await desk.send(next(neighbours))
    digests = [digest(record.value) for record in bad.values()]

    async def all_buried() -> bool:
        return len(await letters(stack, digests)) == len(bad)

    async def all_answered() -> bool:
        failed = [record.command for record in bad.values() if record.command]
        return all(desk.log.outcomes(command.id) for command in (*good, *failed))

    await wait_until(all_buried, seconds=60, every=0.2, what="a dead letter of each")
    await wait_until(all_answered, seconds=60, what="outcomes of neighbours and failed commands")
    assert {desk.log.outcomes(command.id)[0].state for command in good} == {"accepted"}

    kept = await letters(stack, digests)
    assert {what: kept[digest(r.value)]["reason"] for what, r in bad.items()} == {
        what: r.reason for what, r in bad.items()
    }
    for what, record in bad.items():
        assert kept[digest(record.value)]["message"] == (record.value or b""), what
        if record.command is not None:
            (outcome,) = desk.log.outcomes(record.command.id)
            assert (outcome.state, outcome.problem and outcome.problem.code) == ("failed", "invalid-data")
            assert WORDS not in outcome.model_dump_json()


async def test_the_topic_of_dead_letters_carries_reference_reason_digest_and_position_but_no_content(
    desk: Desk, stack: LocalStack
) -> None:
    value = b"garbage " + uuid4().hex.encode() + WORDS.encode()
    at = await desk.producer.send_and_wait("cases.commands", value=value, key=b"key")

    async def referred_to() -> list[Any]:
        found = (await read_all(kafka_settings(stack, "operator"), "cases.dead"))["cases.dead"]
        return [record for record in found if digest(value).encode() in record.value]

    (record,) = await wait_until(referred_to, every=0.3, what="the reference")
    notice = DeadLetterNotice.model_validate_json(record.value)
    kept = (await letters(stack, [digest(value)]))[digest(value)]
    assert (notice.dead_letter_id, notice.reason) == (kept["id"], "undecodable")
    assert (notice.topic, notice.partition, notice.offset) == ("cases.commands", at.partition, at.offset)
    assert WORDS.encode() not in record.value


async def test_a_dead_letter_whose_cause_is_mended_is_replayed_exactly_once(
    desk: Desk, stack: LocalStack
) -> None:
    deputy, case_id = uuid4(), uuid4()
    filing = desk.filing(deputy, case_id)
    neighbour = desk.filing(deputy, uuid4())
    await rows(stack, "cases", f"ALTER TABLE cases ADD CONSTRAINT no_such_case CHECK (id <> '{case_id}')")
    try:
        failed = await desk.ask(filing)
        assert (failed.state, failed.problem and failed.problem.code) == ("failed", "handler-failed")
        assert (await desk.ask(neighbour)).state == "accepted"
        letter = (await letters(stack, [digest(encoded(filing))]))[digest(encoded(filing))]
        assert (await replay(desk, letter["id"])).state == "accepted"

        async def failed_again() -> bool:
            found = await letters(stack, [digest(encoded(filing))])
            return [(x["state"], x["attempts"]) for x in found.values()] == [("dead", 2)]

        await wait_until(failed_again, what="a replay in vain, after which the letter is open")
    finally:
        await rows(stack, "cases", "ALTER TABLE cases DROP CONSTRAINT no_such_case")
    assert (await replay(desk, letter["id"])).state == "accepted"

    async def filed() -> list[Envelope]:
        return desk.log.of("case.filed", case_id)

    await wait_until(filed, what="the replayed filing")
    second = await replay(desk, letter["id"])
    assert second.problem is not None
    assert second.problem.code == "dead-letter-not-open"

    async def accepted() -> bool:  # facts and outcomes are read in no order
        return desk.log.outcomes(filing.id)[-1].state == "accepted"

    await wait_until(accepted, what="the outcome of the replayed filing")
    # Whatever the second replay had sent would be before this in the service's own order of work.
    assert (await desk.ask(desk.filing(deputy, case_id))).state == "rejected"
    assert len(desk.log.of("case.filed", case_id)) == 1
    steps = await rows(stack, "cases", "SELECT step FROM case_steps WHERE case_id = $1", case_id)
    assert [row["step"] for row in steps] == ["filed", "routed"]


async def test_a_poisonous_reply_of_a_department_costs_its_next_reply_nothing(
    desk: Desk, stack: LocalStack
) -> None:
    department = await started_producer(stack, "dept-other")
    try:
        good = message(cases.AcceptCase(), subject=uuid4())
        for reply in (
            message(cases.AcceptCase(), subject="x").model_copy(update={"subject": "a\0b"}),
            message(cases.ReturnCase(reason="\0"), subject="x"),
            good,
        ):
            await department.send_and_wait("department.other.replies", value=encoded(reply), key=b"key")
    finally:
        await department.stop()

    async def refused() -> list[CommandOutcome]:
        return desk.log.outcomes(good.id)

    (outcome,) = await wait_until(refused, seconds=60, what="the refusal of the reply behind the poison")
    assert outcome.problem is not None
    assert outcome.problem.code == "case-unknown"


async def test_the_queue_of_dead_letters_is_the_operators_alone(desk: Desk) -> None:
    token = desk.issuer.token(uuid4(), "staff")
    refused = await desk.ask(message(ReplayDeadLetter(), subject=uuid4(), token=token))
    assert refused.problem is not None
    assert refused.problem.code == "role-not-allowed"
