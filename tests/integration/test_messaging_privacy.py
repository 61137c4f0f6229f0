"""What a resident wrote reaches the department that handles the case, and no event, log, metric or table."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import aiohttp
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import AdminClient

from deploy.local.stack import LocalStack
from shared.contracts import cases
from shared.testing.issuer import Issuer
from shared.testing.messages import encoded, message
from shared.testing.topics import read_all
from shared.testing.wait import wait_until
from tests.cases_desk import Desk, cases_desk
from tests.conftest import Processes, kafka_settings, started_producer
from tests.database import rows

SHARES_STACK = True

TOPICS = ("command.outcomes", "case.filed", "case.progressed", "department.housing.routed")


@pytest_asyncio.fixture(scope="module")
async def desk(
    stack: LocalStack, processes: Processes, as_gateway: AIOKafkaProducer, issuer: Issuer
) -> AsyncIterator[Desk]:
    async with cases_desk(stack, processes, as_gateway, issuer, topics=TOPICS, LOG_LEVEL="DEBUG") as found:
        yield found


class Marks:
    """Words that occur nowhere else, so that finding one is finding what was written."""

    def __init__(self) -> None:
        mark = uuid4().hex
        self.name = f"张三{mark[:8]}"
        self.phone = f"138{int(mark[8:16], 16) % 10**8:08d}"
        self.text = f"我家楼下的井盖坏了{mark[16:24]}"
        self.answer = f"已联系当事人处理{mark[24:]}"

    @property
    def residents(self) -> list[bytes]:
        return [word.encode() for word in (self.name, self.phone, self.text)]


@pytest_asyncio.fixture(scope="module")
async def marks(desk: Desk, stack: LocalStack) -> Marks:
    """Marks that have been through a case's life: filed, answered, refused, and failed in the database."""
    found, deputy, case_id, doomed = Marks(), uuid4(), uuid4(), uuid4()
    as_deputy = desk.issuer.token(deputy, "deputy")
    words = {"title": f"{found.name}反映", "text": found.text, "contact": f"{found.name} {found.phone}"}
    data = cases.FileCase(sealed=desk.sealer.seal(words), county="330203", category="城乡建设")

    async def routed() -> bool:
        probe = message(data, subject=uuid4(), token=as_deputy)
        await desk.ask(probe)
        return bool(desk.log.of("department.housing.routed", probe.subject))

    await wait_until(routed, every=0.3, what="routing to housing")
    assert (await desk.ask(message(data, subject=case_id, token=as_deputy))).state == "accepted"
    seal = desk.sealer.seal
    concern = cases.SubmitConcern(
        sealed=seal({"title": f"{found.name}反映", "text": found.text}),
        contact=seal({"contact": f"{found.name} {found.phone}"}),
        deputy_id=deputy,
        county="330203",
        receipt="K7QX2M9D4T18",
        follow="0f" * 32,
        consent="2026-11",
    )
    by_code, as_resident = uuid4(), desk.issuer.token("intake", "intake")
    assert (await desk.ask(message(concern, subject=by_code, token=as_resident))).state == "accepted"
    assert (await desk.ask(message(concern, subject=by_code, token=as_resident))).state == "rejected"
    taken = await desk.ask(
        message(cases.TakeUpConcern(category="城乡建设"), subject=by_code, token=as_deputy)
    )
    assert taken.state == "accepted"
    assert (await desk.ask(message(data, subject=case_id, token=as_deputy))).state == "rejected"
    await rows(stack, "cases", f"ALTER TABLE cases ADD CONSTRAINT doomed CHECK (id <> '{doomed}')")
    try:
        assert (await desk.ask(message(data, subject=doomed, token=as_deputy))).state == "failed"
    finally:
        await rows(stack, "cases", "ALTER TABLE cases DROP CONSTRAINT doomed")
    department = await started_producer(stack, "dept-housing")
    answer = message(cases.AnswerCase(result="solved", text=found.answer), subject=case_id)
    await department.send_and_wait(
        "department.housing.replies", value=encoded(answer), key=answer.subject.encode()
    )
    await department.stop()

    async def answered() -> bool:
        return bool(desk.log.of("case.progressed", case_id))

    await wait_until(answered, what="the answer as an event")
    assert (await desk.ask(message(cases.CloseCase(), subject=case_id, token=as_deputy))).state == "accepted"
    return found


async def test_a_residents_words_are_on_no_topic_but_the_one_departments_and_contact_data_on_none(
    marks: Marks, stack: LocalStack
) -> None:
    names = [
        name
        for name in AdminClient(stack.broker.admin_config()).list_topics(timeout=30).topics
        if not name.startswith("__")
    ]
    records = await read_all(kafka_settings(stack, "admin"), *names)
    assert records["case.filed"]
    assert records["cases.commands"]
    places = {
        word: {
            topic
            for topic, found in records.items()
            for record in found
            if word.encode()
            in b"\n".join((record.key or b"", record.value or b"", repr(record.headers).encode()))
        }
        for word in (marks.name, marks.phone, marks.text, marks.answer)
    }
    assert places == {
        marks.name: {"department.housing.routed"},  # in the title, which the department needs
        marks.text: {"department.housing.routed"},
        marks.phone: set(),
        marks.answer: {"department.housing.replies"},
    }


async def test_a_residents_words_are_in_no_log_of_any_process(marks: Marks, stack: LocalStack) -> None:
    logs = list((stack.run_dir / "logs").glob("*.log*"))
    assert {"cases-1.log", "kafka.log", "postgres.log"} <= {log.name for log in logs}
    assert b"dead-letter" in (stack.run_dir / "logs" / "cases-1.log").read_bytes(), "the failure was logged"
    assert [log.name for log in logs for word in marks.residents if word in log.read_bytes()] == []


async def test_a_residents_words_are_in_no_metric(marks: Marks, desk: Desk) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{desk.url}/metrics") as answer:
        text = await answer.read()
    assert b"dbt_messages_total" in text
    assert not any(word in text for word in marks.residents)


async def test_a_residents_words_rest_in_the_database_as_ciphertext_only(
    marks: Marks, stack: LocalStack
) -> None:
    async def relayed() -> bool:
        return await rows(stack, "cases", "SELECT 1 FROM outbox LIMIT 1") == []

    await wait_until(relayed, what="an empty outbox")
    tables = await rows(stack, "cases", "SELECT relname FROM pg_stat_user_tables")
    assert "cases" in {row["relname"] for row in tables}
    for table in (row["relname"] for row in tables):
        for word in marks.residents:
            hidden = word.hex()  # how a bytea shows itself as text
            found = await rows(
                stack,
                "cases",
                f"SELECT count(*) AS n FROM {table} AS t WHERE strpos(t::text, $1) > 0 OR strpos(t::text, $2) > 0",
                word.decode(),
                hidden,
            )
            assert found == [{"n": 0}], table
