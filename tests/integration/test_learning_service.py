"""Learning: as a real process through its topics and HTTP, and its handlers on a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.stack import LocalStack
from services.learning import consumers, tables
from shared.contracts import learning as contract
from shared.contracts.envelope import Envelope
from shared.contracts.operations import CommandOutcome
from shared.contracts.registry import Contract
from shared.database.engine import make_engine
from shared.database.migrate import differences
from shared.messaging.clock import BusinessClock
from shared.messaging.received import Decoder
from shared.messaging.runner import Limits, Runner
from shared.security.tokens import TokenVerifier
from shared.testing.issuer import Issuer
from shared.testing.messages import HandRecord, encoded, message
from shared.testing.topics import TopicLog, read_all
from shared.testing.wait import wait_until
from tests.conftest import Processes, kafka_settings

NOW = datetime(2021, 12, 31, 12, tzinfo=UTC)
STAFF = uuid4()
PUBLISHING = contract.PublishCourse(
    title="代表履职初任培训",
    lessons=(
        contract.Lesson(key="law", title="代表法", minutes=40),
        contract.Lesson(key="app", title="如何使用代表通", minutes=20),
    ),
    quiz=tuple(
        contract.QuizQuestion(key=f"q{n}", text="选择正确的一项", options=("甲", "乙", "丙"), answer=n)
        for n in range(3)
    ),
    levels=("county", "town"),
)
RIGHT = {question.key: question.answer for question in PUBLISHING.quiz}
WRITING = contract.WriteLesson(lesson="law", title="代表法", text="代表依照代表法执行职务。")
STUDYING = contract.RecordProgress(lessons=("law", "app"), answers=RIGHT)


@dataclass
class School:
    """Sends commands as a gateway would, waits for outcomes, and asks the service over HTTP."""

    producer: AIOKafkaProducer
    log: TopicLog
    url: str
    issuer: Issuer
    http: aiohttp.ClientSession

    def command(self, who: UUID, data: Contract, course: UUID, at: datetime = NOW) -> Envelope:
        role: Any = "staff" if who == STAFF else "deputy"
        return message(data, subject=course, token=self.issuer.token(who, role), time=at)

    async def send(self, commands: Sequence[Envelope], seconds: float = 60) -> list[CommandOutcome]:
        sent = [
            await self.producer.send("learning.commands", value=encoded(one), key=one.subject.encode())
            for one in commands
        ]
        await asyncio.gather(*sent)

        async def settled() -> dict[str, CommandOutcome]:
            found = {e.subject: e for e in self.log.messages.get("command.outcomes", [])}
            if not all(str(one.id) in found for one in commands):
                return {}
            return {str(one.id): CommandOutcome.model_validate(found[str(one.id)].data) for one in commands}

        outcomes = await wait_until(settled, what="all outcomes", seconds=seconds, every=0.05)
        return [outcomes[str(one.id)] for one in commands]

    async def ask(self, who: UUID, data: Contract, course: UUID, at: datetime = NOW) -> str:
        """`accepted`, or the code of the refusal."""
        (outcome,) = await self.send([self.command(who, data, course, at)])
        return outcome.problem.code if outcome.problem else outcome.state

    async def facts(self, topic: str, course: UUID) -> list[Envelope]:
        """What was said about a course, once anything was: facts and outcomes are read in no order."""

        async def said() -> list[Envelope]:
            return self.log.of(topic, course)

        return await wait_until(said, what=topic)

    async def get(self, path: str, who: UUID | str = STAFF) -> tuple[int, Any]:
        role: Any = "staff" if who == STAFF else "deputy"
        headers = {"Authorization": f"Bearer {self.issuer.token(who, role)}"}
        async with self.http.get(f"{self.url}{path}", headers=headers) as answer:
            body = await answer.json()
            assert answer.status < 500, body
            return answer.status, body


@pytest_asyncio.fixture(scope="module")
async def school(
    stack: LocalStack, processes: Processes, as_gateway: AIOKafkaProducer, issuer: Issuer
) -> AsyncIterator[School]:
    await asyncio.to_thread(processes.migrate, "learning")
    url = await asyncio.to_thread(processes.start, "learning")
    log = TopicLog()
    topics = ("command.outcomes", "course.published", "course.completed")
    reading = asyncio.create_task(log.follow(kafka_settings(stack, "admin"), *topics))
    async with aiohttp.ClientSession() as http:
        yield School(as_gateway, log, url, issuer, http)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await asyncio.to_thread(processes.stop, "learning-1")


@pytest_asyncio.fixture(scope="module")
async def engine(school: School, processes: Processes) -> AsyncIterator[AsyncEngine]:
    env = processes.env("learning", "learning-test")
    found = make_engine(SecretStr(env["DATABASE_URL"]), pool_size=4, application="tests")
    yield found
    await found.dispose()


def a_runner(engine: AsyncEngine, issuer: Issuer) -> Runner:
    verifier = TokenVerifier("http://unused.invalid/")
    verifier.use_keys(issuer.keys)
    return Runner(
        service="learning",
        engine=engine,
        decoder=Decoder("learning", verifier, BusinessClock("message")),
        handlers=consumers.handlers(),
        limits=Limits(attempts_max=6, first_seconds=0.01, longest_seconds=0.1, dead_in_a_row_max=50),
    )


def records(commands: Sequence[Envelope]) -> list[HandRecord]:
    return [HandRecord("learning.commands", encoded(one), offset=n) for n, one in enumerate(commands)]


async def test_the_migration_makes_the_tables_of_the_code(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await connection.run_sync(differences, tables.metadata) == []


async def test_a_deputy_completes_a_course_and_gets_a_certificate(school: School, stack: LocalStack) -> None:
    course, anna, bo = uuid4(), uuid4(), uuid4()
    complete = contract.CompleteCourse()
    assert await school.ask(anna, PUBLISHING, course) == "role-not-allowed"
    assert await school.ask(anna, STUDYING, course) == "course-unknown"
    assert await school.ask(STAFF, PUBLISHING, course) == "accepted"
    assert await school.ask(STAFF, PUBLISHING, course) == "course-exists"
    assert await school.ask(anna, complete, course) == "lessons-missing"

    assert (await school.get(f"/courses/{course}", anna))[1]["progress"] is None
    assert await school.ask(anna, contract.RecordProgress(lessons=("none",)), course) == "lesson-unknown"
    assert await school.ask(anna, contract.RecordProgress(answers={"q9": 0}), course) == "question-unknown"
    assert await school.ask(anna, contract.RecordProgress(lessons=("law", "app")), course) == "accepted"
    assert await school.ask(anna, complete, course) == "quiz-not-passed"
    assert await school.ask(anna, contract.RecordProgress(answers={"q0": 0}), course) == "accepted"
    assert await school.ask(anna, complete, course) == "quiz-not-passed"
    assert (await school.get(f"/courses/{course}", anna))[1]["progress"]["mark"] == 33
    assert (await school.get(f"/courses/{course}/certificate", anna))[1]["code"] == "no-certificate"
    assert await school.ask(anna, contract.RecordProgress(answers=RIGHT), course) == "accepted"
    done = NOW + timedelta(hours=1)
    assert await school.ask(anna, complete, course, done) == "accepted"
    assert await school.ask(anna, complete, course) == "already-completed"
    assert await school.ask(anna, STUDYING, course) == "already-completed"

    _, certificate = await school.get(f"/courses/{course}/certificate", anna)
    assert certificate["number"].startswith("20211231-")
    assert (certificate["mark"], certificate["minutes"]) == (100, 60)
    assert (await school.get(f"/courses/{course}/certificate", bo))[0] == 404
    _, for_staff = await school.get(f"/courses/{course}", STAFF)
    assert (for_staff["enrolled"], for_staff["completed"]) == (1, 1)
    assert "enrolled" not in (await school.get(f"/courses/{course}", bo))[1]

    assert (await school.get(f"/courses/{course}/learners", anna))[0] == 403
    assert (await school.get(f"/courses/{uuid4()}/learners", STAFF))[0] == 404
    assert await school.ask(bo, contract.RecordProgress(lessons=("law",)), course, done) == "accepted"
    _, every = await school.get(f"/courses/{course}/learners", STAFF)
    assert [(one["deputy_id"], one["lessons"], one["mark"]) for one in every["items"]] == [
        (str(anna), ["app", "law"], 100),
        (str(bo), ["law"], None),
    ]
    for said, who in (("true", anna), ("false", bo)):
        _, some = await school.get(f"/courses/{course}/learners?completed={said}", STAFF)
        assert ([one["deputy_id"] for one in some["items"]], some["total"]) == ([str(who)], 1)
    _, second = await school.get(f"/courses/{course}/learners?size=1&page=2", STAFF)
    assert ([one["deputy_id"] for one in second["items"]], second["total"]) == ([str(bo)], 2)

    completed = await school.facts("course.completed", course)
    assert [(e.data["deputy_id"], e.data["mark"], e.sequence, e.time) for e in completed] == [
        (str(anna), 100, 1, done)
    ]
    published = await read_all(kafka_settings(stack, "admin"), "course.completed", "course.published")
    for record in published["course.completed"]:
        assert record.key.decode() == json.loads(record.value)["data"]["deputy_id"]


async def test_staff_draft_a_course_write_its_lessons_publish_and_correct_them(
    school: School, engine: AsyncEngine
) -> None:
    course, anna = uuid4(), uuid4()
    drafting = contract.DraftCourse.model_validate(PUBLISHING.model_dump())

    def writing(text: str, revision: int, title: str = "代表法") -> contract.WriteLesson:
        return contract.WriteLesson(lesson="law", title=title, text=text, revision=revision)

    async def lesson(who: UUID, key: str = "law") -> Any:
        return (await school.get(f"/courses/{course}/lessons/{key}", who))[1]

    assert await school.ask(anna, drafting, course) == "role-not-allowed"
    assert await school.ask(STAFF, writing("甲", 0), course) == "course-unknown"
    assert await school.ask(STAFF, drafting, course) == "accepted"
    assert await school.ask(STAFF, writing("# 总则\n\n**代表**<b>", 0), course) == "accepted"
    assert await school.ask(STAFF, writing("乙", 0), course) == "lesson-changed"
    assert await school.ask(STAFF, drafting, course) == "accepted"
    _, seen = await school.get(f"/courses/{course}", STAFF)
    for unread in (drafting, PUBLISHING):
        over = unread.model_copy(update={"version": seen["version"] - 1})
        assert await school.ask(STAFF, over, course) == "course-changed"
        assert await school.ask(STAFF, over, uuid4()) == "course-unknown"
    assert (seen["published_at"], seen["quiz"][1]["answer"]) == (None, 1)
    assert [(one["key"], one["revision"]) for one in seen["lessons"]] == [("law", 2), ("app", 0)]
    assert (await school.get("/courses", STAFF))[1]["items"][0]["id"] == str(course)

    # Nobody but staff knows of a draft.
    assert (await school.get(f"/courses/{course}", anna))[0] == 404
    assert (await school.get(f"/courses/{course}/lessons/law", anna))[0] == 404
    _, every = await school.get("/courses?size=500", anna)
    assert str(course) not in [one["id"] for one in every["items"]]
    assert len(every["items"]) == every["total"]
    assert await school.ask(anna, STUDYING, course) == "course-unknown"

    publishing = PUBLISHING.model_copy(update={"version": seen["version"]})
    assert await school.ask(STAFF, publishing, course) == "accepted"
    assert await school.ask(STAFF, drafting, course) == "course-exists"
    _, seen = await school.get(f"/courses/{course}", anna)
    assert '"answer"' not in json.dumps(seen)
    assert "总则" not in json.dumps((await school.get("/courses?size=500", anna))[1], ensure_ascii=False)
    read = await lesson(anna)
    assert read["html"] == "<h3>总则</h3>\n<p><strong>代表</strong>&lt;b&gt;</p>\n"
    assert "text" not in read
    assert (await lesson(STAFF))["text"] == "# 总则\n\n**代表**<b>"
    assert (await lesson(anna, "app"))["html"] is None
    assert (await lesson(anna, "none"))["code"] == "lesson-missing"

    # A correction leaves the progress, the hours and what was completed alone.
    assert await school.ask(anna, STUDYING, course) == "accepted"
    assert await school.ask(STAFF, writing("更正", 2, "代表法（修订）"), course) == "accepted"
    assert (await lesson(anna))["html"] == "<p>更正</p>\n"
    _, seen = await school.get(f"/courses/{course}", anna)
    assert (seen["lessons"][0]["title"], seen["minutes"]) == ("代表法（修订）", 60)
    assert seen["progress"]["lessons"] == ["app", "law"]
    assert await school.ask(anna, contract.CompleteCourse(), course) == "accepted"
    async with engine.connect() as connection:
        kept = await connection.scalars(
            text("SELECT text FROM lesson_texts WHERE course_id = :id ORDER BY revision"), {"id": course}
        )
        assert list(kept) == ["# 总则\n\n**代表**<b>", "更正"]
    assert [e.sequence for e in await school.facts("course.published", course)] == [4]


async def test_a_preview_shows_staff_what_a_text_would_look_like(school: School) -> None:
    async def asked(who: UUID, text: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {school.issuer.token(who, 'staff' if who == STAFF else 'deputy')}"}  # fmt: skip
        url = f"{school.url}/lesson-previews"
        async with school.http.post(url, json={"text": text}, headers=headers) as answer:
            return answer.status, await answer.json()

    assert await asked(STAFF, "*甲*") == (200, {"html": "<p><em>甲</em></p>\n"})
    assert (await asked(uuid4(), "甲"))[0] == 403
    assert (await asked(STAFF, "甲" * (contract.LESSON_TEXT_MAX + 1)))[0] == 422


async def test_nobody_is_shown_the_right_answers(school: School, stack: LocalStack) -> None:
    course = uuid4()
    assert await school.ask(STAFF, PUBLISHING, course) == "accepted"
    for who in (STAFF, uuid4()):
        for path in (f"/courses/{course}", "/courses?level=town&size=500"):
            status, shown = await school.get(path, who)
            assert status == 200
            assert "选择正确的一项" in json.dumps(shown, ensure_ascii=False)
            assert '"answer"' not in json.dumps(shown)
    published = await read_all(kafka_settings(stack, "admin"), "course.published")
    assert not [r for r in published["course.published"] if b"answer" in r.value]
    assert (await school.get("/courses?level=city"))[1]["total"] == 0


async def test_a_course_can_be_published_studied_and_completed_in_one_batch(
    school: School, engine: AsyncEngine
) -> None:
    course, anna = uuid4(), uuid4()
    batch = [
        school.command(STAFF, PUBLISHING, course),
        school.command(anna, STUDYING, course),
        school.command(anna, contract.CompleteCourse(), course),
        school.command(anna, contract.CompleteCourse(), course),
    ]
    await a_runner(engine, school.issuer).run(records(batch))

    async def settled() -> list[str]:
        found = [o for one in batch for o in school.log.outcomes(one.id)]
        return [o.problem.code if o.problem else o.state for o in found] if len(found) == 4 else []

    outcomes = await wait_until(settled, what="four outcomes")
    assert outcomes == ["accepted", "accepted", "accepted", "already-completed"]


async def test_completing_waits_for_nobody_else_on_the_same_course(
    school: School, engine: AsyncEngine
) -> None:
    course, anna, bo = uuid4(), uuid4(), uuid4()
    assert await school.ask(STAFF, PUBLISHING, course) == "accepted"
    for who in (anna, bo):
        assert await school.ask(who, STUDYING, course) == "accepted"
    async with engine.begin() as other:
        await other.execute(text("SELECT * FROM courses WHERE id = :id FOR UPDATE"), {"id": course})
        await other.execute(text("SELECT * FROM enrolments WHERE deputy_id = :id FOR UPDATE"), {"id": bo})
        completing = [school.command(anna, contract.CompleteCourse(), course)]
        await asyncio.wait_for(a_runner(engine, school.issuer).run(records(completing)), 30)
        blocked = asyncio.create_task(
            a_runner(engine, school.issuer).run(
                records([school.command(bo, contract.CompleteCourse(), course)])
            )
        )

        async def waits() -> bool:
            query = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
            return bool(await other.scalar(query))

        await wait_until(waits, what="the one whose own enrolment is locked")
        assert not blocked.done()
    await blocked


async def test_eight_thousand_completions_at_once_are_all_taken(school: School) -> None:
    course = uuid4()
    assert await school.ask(STAFF, PUBLISHING, course) == "accepted"
    deputies = [uuid4() for _ in range(8000)]
    await school.send([school.command(one, STUDYING, course) for one in deputies], seconds=120)
    commands = [school.command(one, contract.CompleteCourse(), course) for one in deputies]
    outcomes = await school.send(commands, seconds=120)
    assert {o.state for o in outcomes} == {"accepted"}

    async def said() -> bool:
        facts = school.log.messages.get("course.completed", [])
        return len({e.data["deputy_id"] for e in facts if e.subject == str(course)}) == 8000

    await wait_until(said, what="8,000 facts")
    _, found = await school.get("/figures")
    assert found["completed_by_course"][str(course)] == 8000


async def test_figures_equal_the_rows(school: School, engine: AsyncEngine) -> None:
    _, found = await school.get("/figures")
    async with engine.connect() as connection:

        async def count(what: str) -> int:
            return int(await connection.scalar(text(f"SELECT count(*) FROM {what}")) or 0)

        assert found["courses"] == await count("courses WHERE published_at IS NOT NULL")
        assert found["enrolled"] == await count("enrolments")
        assert found["completed"] == await count("enrolments WHERE completed_at IS NOT NULL")
    assert (await school.get("/figures", uuid4()))[0] == 403


async def test_a_larger_batch_costs_no_more_statements(school: School, engine: AsyncEngine) -> None:
    statements = 0

    def count(*_: Any) -> None:
        nonlocal statements
        statements += 1

    async def cost(size: int) -> int:
        nonlocal statements
        course = uuid4()
        assert await school.ask(STAFF, PUBLISHING, course) == "accepted"
        batch: list[Envelope] = []
        for n in range(size):
            if n % 10 == 5:
                batch.append(school.command(STAFF, PUBLISHING, uuid4()))
            if n == 7:
                batch.append(school.command(STAFF, WRITING, course))
            batch.append(school.command(uuid4(), STUDYING, course))
        runner = a_runner(engine, school.issuer)
        event.listen(engine.sync_engine, "before_cursor_execute", count)
        statements = 0
        await runner.run(records(batch))
        event.remove(engine.sync_engine, "before_cursor_execute", count)
        return statements

    assert await cost(500) == await cost(30)
