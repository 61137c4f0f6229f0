"""Participation: as a real process through its topics and HTTP, and its handlers on a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.stack import LocalStack
from services.participation import consumers, tables
from shared.contracts import participation as contract
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
from tests.motions_desk import announce_deputies

NOW = datetime(2022, 4, 1, 4, tzinfo=UTC)
HOUR = timedelta(hours=1)
STAFF = uuid4()
FACTS = (
    "activity.announced",
    "activity.signed-up",
    "activity.attended",
    "consultation.opened",
    "consultation.answered",
    "consultation.closed",
    "duty.logged",
)


def announcing(capacity: int | None = None) -> contract.AnnounceActivity:
    return contract.AnnounceActivity(
        title="走访企业",
        kind="theme",
        starts_at=NOW + HOUR,
        ends_at=NOW + 3 * HOUR,
        capacity=capacity,
        venue="镇政府三楼",
        description="请带代表证。",
    )


def opening() -> contract.OpenConsultation:
    questions = (
        contract.Question(
            key="support", text="是否赞成", kind="choice", options=("赞成", "反对"), required=True
        ),
        contract.Question(key="opinion", text="修改意见", kind="text"),
    )
    return contract.OpenConsultation(
        title="条例草案", kind="legislation", questions=questions, closes_at=NOW + 24 * HOUR
    )


@dataclass
class Town:
    """Sends commands as a gateway would, waits for outcomes, and asks the service over HTTP."""

    producer: AIOKafkaProducer
    log: TopicLog
    url: str
    issuer: Issuer
    http: aiohttp.ClientSession

    def command(self, who: UUID, role: Any, data: Contract, subject: UUID, at: datetime = NOW) -> Envelope:
        return message(data, subject=subject, token=self.issuer.token(who, role), time=at)

    async def send(self, commands: Sequence[Envelope]) -> list[CommandOutcome]:
        """Send all at once and wait for every outcome."""
        sent = [
            await self.producer.send("participation.commands", value=encoded(one), key=one.subject.encode())
            for one in commands
        ]
        await asyncio.gather(*sent)

        async def settled() -> dict[str, CommandOutcome]:
            found = {e.subject: e for e in self.log.messages.get("command.outcomes", [])}
            if not all(str(one.id) in found for one in commands):
                return {}
            return {str(one.id): CommandOutcome.model_validate(found[str(one.id)].data) for one in commands}

        outcomes = await wait_until(settled, what="all outcomes", every=0.05)
        return [outcomes[str(one.id)] for one in commands]

    async def deputy(self, who: UUID, data: Contract, subject: UUID, at: datetime = NOW) -> str:
        """`accepted`, or the code of the refusal."""
        (outcome,) = await self.send([self.command(who, "deputy", data, subject, at)])
        return outcome.problem.code if outcome.problem else outcome.state

    async def staff(self, data: Contract, subject: UUID, at: datetime = NOW) -> str:
        (outcome,) = await self.send([self.command(STAFF, "staff", data, subject, at)])
        return outcome.problem.code if outcome.problem else outcome.state

    async def get(
        self, path: str, who: UUID | str = STAFF, role: Any = "staff", area: str | None = None
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.issuer.token(who, role, organisation=area)}"}
        async with self.http.get(f"{self.url}{path}", headers=headers) as answer:
            body = await answer.json()
            assert answer.status < 500, body
            return answer.status, body

    async def facts(self, topic: str, subject: UUID, count: int) -> list[Envelope]:
        async def there() -> bool:
            return len(self.log.of(topic, subject)) >= count

        await wait_until(there, what=f"{count} {topic}")
        return self.log.of(topic, subject)


@pytest_asyncio.fixture(scope="module")
async def town(
    stack: LocalStack, processes: Processes, as_gateway: AIOKafkaProducer, issuer: Issuer
) -> AsyncIterator[Town]:
    await asyncio.to_thread(processes.migrate, "participation")
    url = await asyncio.to_thread(processes.start, "participation")
    log = TopicLog()
    reading = asyncio.create_task(log.follow(kafka_settings(stack, "admin"), "command.outcomes", *FACTS))
    async with aiohttp.ClientSession() as http:
        yield Town(as_gateway, log, url, issuer, http)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await asyncio.to_thread(processes.stop, "participation-1")


@pytest_asyncio.fixture(scope="module")
async def engine(town: Town, processes: Processes) -> AsyncIterator[AsyncEngine]:
    env = processes.env("participation", "participation-test")
    found = make_engine(SecretStr(env["DATABASE_URL"]), pool_size=4, application="tests")
    yield found
    await found.dispose()


def a_runner(engine: AsyncEngine, issuer: Issuer) -> Runner:
    verifier = TokenVerifier("http://unused.invalid/")
    verifier.use_keys(issuer.keys)
    return Runner(
        service="participation",
        engine=engine,
        decoder=Decoder("participation", verifier, BusinessClock("message")),
        handlers=consumers.handlers(),
        limits=Limits(attempts_max=6, first_seconds=0.01, longest_seconds=0.1, dead_in_a_row_max=50),
    )


def records(commands: Sequence[Envelope]) -> list[HandRecord]:
    return [HandRecord("participation.commands", encoded(one), offset=n) for n, one in enumerate(commands)]


async def test_the_migration_makes_the_tables_of_the_code(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await connection.run_sync(differences, tables.metadata) == []


async def test_a_deputy_signs_up_and_checks_in_with_the_code_that_only_staff_see(
    town: Town, stack: LocalStack
) -> None:
    activity, anna, bo = uuid4(), uuid4(), uuid4()
    assert await town.staff(announcing(), activity, NOW - 24 * HOUR) == "accepted"
    assert await town.staff(announcing(), activity) == "activity-exists"
    assert await town.deputy(anna, contract.SignUp(), activity) == "accepted"
    assert await town.deputy(anna, contract.SignUp(), activity) == "already-signed-up"
    assert await town.deputy(anna, contract.SignUp(), uuid4()) == "activity-unknown"
    assert await town.staff(contract.SignUp(), activity) == "role-not-allowed"
    assert await town.deputy(bo, announcing(), uuid4()) == "role-not-allowed"

    _, seen = await town.get(f"/activities/{activity}")
    code = seen["code"]
    _, own = await town.get(f"/activities/{activity}", anna, "deputy")
    assert code not in json.dumps(own)
    assert own["mine"]["signed_up_at"] is not None
    assert (own["venue"], own["description"]) == ("镇政府三楼", "请带代表证。")
    _, listed = await town.get("/activities?size=500", bo, "deputy")
    assert code not in json.dumps(listed)
    assert [item["mine"] for item in listed["items"] if item["id"] == str(activity)] == [None]

    check_in = contract.CheckIn(code=code)
    assert await town.deputy(anna, check_in, activity, NOW - HOUR) == "check-in-not-open"
    assert await town.deputy(anna, contract.CheckIn(code="WRONG234"), activity, NOW) == "code-wrong"
    assert await town.deputy(anna, check_in, activity, NOW) == "accepted"
    assert await town.deputy(anna, check_in, activity, NOW) == "already-checked-in"
    assert await town.deputy(bo, contract.SignUp(), activity, NOW + HOUR) == "sign-up-closed"
    assert await town.deputy(bo, check_in, activity, NOW + 2 * HOUR) == "accepted"

    (signed,) = await town.facts("activity.signed-up", activity, 1)
    assert (signed.data["deputy_id"], signed.data["kind"], signed.sequence) == (str(anna), "theme", 1)
    assert signed.time == datetime.fromisoformat(own["mine"]["signed_up_at"])
    attended = await town.facts("activity.attended", activity, 2)
    assert {(e.data["deputy_id"], e.sequence) for e in attended} == {(str(anna), 1), (str(bo), 1)}
    assert {e.time for e in attended} == {NOW, NOW + 2 * HOUR}
    published = await read_all(kafka_settings(stack, "admin"), *FACTS)
    assert not [r for found in published.values() for r in found if code.encode() in r.value]
    for record in (*published["activity.signed-up"], *published["activity.attended"]):
        assert record.key.decode() == json.loads(record.value)["data"]["deputy_id"]
    _, seen = await town.get(f"/activities/{activity}")
    assert (seen["sign_ups"], seen["check_ins"]) == (2, 2)
    _, there = await town.get(f"/activities/{activity}/attendances?size=1&page=2")
    assert (there["total"], [one["deputy_id"] for one in there["items"]]) == (2, [str(bo)])
    assert (await town.get(f"/activities/{activity}/attendances", anna, "deputy"))[0] == 403
    assert (await town.get(f"/activities/{uuid4()}/attendances"))[0] == 404


async def test_staff_announce_for_their_own_area_and_the_citys_for_all(town: Town) -> None:
    async def told(data: Contract, org: str, subject: UUID | None = None) -> str:
        token = town.issuer.token(STAFF, "staff", organisation=org)
        sent = message(data, subject=subject or uuid4(), token=token, time=NOW)
        (outcome,) = await town.send([sent])
        return outcome.problem.code if outcome.problem else outcome.state

    county = {"county": "330203"}
    for data in (announcing(), opening()):
        own = data.model_copy(update=county)
        assert [await told(own, org) for org in ("330203", "3302")] == ["accepted", "accepted"]
        assert [await told(own, org) for org in ("330205", "330203101")] == ["not-your-area"] * 2
        assert [await told(data, org) for org in ("330203", "3302")] == ["not-your-area", "accepted"]
    consultation = uuid4()
    assert await told(opening(), "3302", consultation) == "accepted"
    assert await told(contract.CloseConsultation(), "330203", consultation) == "not-your-area"
    assert await told(contract.CloseConsultation(), "3302", consultation) == "accepted"


async def test_places_are_never_given_twice_in_a_rush(town: Town, engine: AsyncEngine) -> None:
    activity = uuid4()
    assert await town.staff(announcing(capacity=120), activity) == "accepted"
    rush = [town.command(uuid4(), "deputy", contract.SignUp(), activity) for _ in range(500)]
    outcomes = await town.send(rush)
    assert sum(o.state == "accepted" for o in outcomes) == 120
    assert {o.problem.code for o in outcomes if o.problem} == {"activity-full"}
    async with engine.connect() as connection:
        rows = await connection.scalar(
            text("SELECT count(*) FROM attendances WHERE activity_id = :id"), {"id": activity}
        )
        counted = await connection.scalar(
            text("SELECT sign_ups FROM activities WHERE id = :id"), {"id": activity}
        )
    assert rows == counted == 120


async def test_two_consumers_at_once_lose_no_sign_up_and_give_no_place_twice(
    town: Town, engine: AsyncEngine
) -> None:
    activity = uuid4()
    assert await town.staff(announcing(capacity=150), activity) == "accepted"
    deputies = [uuid4() for _ in range(100)]
    batches = [
        [town.command(deputy, "deputy", contract.SignUp(), activity) for deputy in deputies[:60]],
        [town.command(deputy, "deputy", contract.SignUp(), activity) for deputy in deputies[40:]],
    ]
    runners = [a_runner(engine, town.issuer) for _ in batches]
    await asyncio.gather(
        *(runner.run(records(batch)) for runner, batch in zip(runners, batches, strict=True))
    )
    async with engine.connect() as connection:
        found = (
            await connection.execute(
                text(
                    "SELECT sign_ups, (SELECT count(*) FROM attendances WHERE activity_id = id), "
                    "(SELECT count(*) FROM dead_letters) FROM activities WHERE id = :id"
                ),
                {"id": activity},
            )
        ).one()
    assert tuple(found) == (100, 100, 0)


async def test_a_consultation_is_answered_once_counted_and_closed(town: Town, stack: LocalStack) -> None:
    consultation = uuid4()
    assert await town.staff(opening(), consultation) == "accepted"
    anna, bo = uuid4(), uuid4()

    async def answer(who: UUID, at: datetime = NOW, **answers: str) -> str:
        return await town.deputy(who, contract.AnswerConsultation(answers=answers), consultation, at)

    assert await answer(anna, opinion="没有选择") == "answer-missing"
    assert await answer(anna, support="弃权") == "option-unknown"
    assert await answer(anna, support="赞成", other="x") == "question-unknown"
    assert await answer(anna, support="赞成", opinion="第三条应当明确期限") == "accepted"
    assert await answer(anna, support="反对") == "already-answered"
    assert await answer(bo, support="反对", opinion="  ") == "accepted"
    assert await answer(uuid4(), NOW + 25 * HOUR, support="反对") == "consultation-closed"

    path = f"/consultations/{consultation}"
    _, seen = await town.get(path)
    assert (seen["respondents"], seen["opinions"]) == (2, 1)
    assert seen["results"] == {"support": {"赞成": 1, "反对": 1}}
    _, own = await town.get(path, bo, "deputy")
    assert own["mine"]["answers"] == {"support": "反对"}
    assert not {"respondents", "opinions", "results"} & own.keys()
    status, problem = await town.get(f"{path}/opinions", anna, "deputy")
    assert (status, problem["code"]) == (403, "role-not-allowed")
    _, page = await town.get(f"{path}/opinions?size=1")
    assert page["total"] == 1
    assert page["items"][0]["text"] == "第三条应当明确期限"
    assert (await town.get(f"{path}/opinions?question=support"))[1]["total"] == 0

    assert await town.staff(contract.CloseConsultation(), consultation, NOW + HOUR) == "accepted"
    assert await town.staff(contract.CloseConsultation(), consultation, NOW + HOUR) == "consultation-closed"
    assert await answer(uuid4(), support="赞成") == "consultation-closed"
    (closed,) = await town.facts("consultation.closed", consultation, 1)
    assert (closed.data["respondents"], closed.data["opinions"], closed.sequence) == (2, 1, 4)
    answered = await town.facts("consultation.answered", consultation, 2)
    assert {(e.data["deputy_id"], e.data["opinions"], e.sequence) for e in answered} == {
        (str(anna), 1, 1),
        (str(bo), 0, 1),
    }
    published = await read_all(kafka_settings(stack, "admin"), *FACTS, "command.outcomes")
    assert not [r for found in published.values() for r in found if "第三条".encode() in r.value]
    for record in published["consultation.answered"]:
        assert record.key.decode() == json.loads(record.value)["data"]["deputy_id"]


async def test_a_duty_is_said_at_each_state_with_a_rising_sequence(town: Town) -> None:
    anna, bo = uuid4(), uuid4()
    confirmed, rejected, withdrawn = uuid4(), uuid4(), uuid4()
    declaring = contract.DeclareDuty(kind="visit", happened_on=NOW.date(), note="走访选民")
    for duty in (confirmed, rejected, withdrawn):
        assert await town.deputy(anna, declaring, duty) == "accepted"
    assert await town.deputy(anna, declaring, confirmed) == "duty-exists"
    late = contract.DeclareDuty(kind="visit", happened_on=NOW.date() - timedelta(days=91), note="走访")
    assert await town.deputy(anna, late, uuid4()) == "date-not-valid"
    assert await town.deputy(anna, contract.ConfirmDuty(), confirmed) == "role-not-allowed"
    assert await town.deputy(bo, contract.WithdrawDuty(), withdrawn) == "not-your-duty"
    assert await town.staff(contract.ConfirmDuty(), confirmed, NOW + HOUR) == "accepted"
    assert await town.staff(contract.RejectDuty(reason="重复"), rejected) == "accepted"
    assert await town.deputy(anna, contract.WithdrawDuty(), withdrawn) == "accepted"
    assert await town.deputy(anna, contract.WithdrawDuty(), confirmed) == "duty-decided"
    for duty, state in ((confirmed, "confirmed"), (rejected, "rejected"), (withdrawn, "withdrawn")):
        logged = await town.facts("duty.logged", duty, 2)
        assert [(e.data["state"], e.sequence) for e in logged] == [("declared", 1), (state, 2)]
        assert "走访选民" not in json.dumps([e.data for e in logged], ensure_ascii=False)

    assert (await town.get(f"/duties/{confirmed}", bo, "deputy"))[1]["code"] == "not-your-duty"
    assert (await town.get(f"/duties/{confirmed}", anna, "deputy"))[1]["note"] == "走访选民"
    assert (await town.get("/duties", anna, "deputy"))[1]["total"] == 3
    assert (await town.get("/duties", bo, "deputy"))[1]["total"] == 0
    assert (await town.get(f"/duties?deputy={anna}&state=rejected"))[1]["total"] == 1
    assert (await town.get(f"/duties?deputy={anna}", bo, "deputy"))[1]["total"] == 0
    assert (await town.get("/duties", "department:housing", "department"))[0] == 403


async def test_staff_decide_on_duties_of_their_congress_and_of_those_inside_it_alone(
    town: Town, stack: LocalStack
) -> None:
    of_county, of_town, of_city, unheard = uuid4(), uuid4(), uuid4(), uuid4()
    await announce_deputies(
        stack,
        {
            of_county: ("county", "330203", None),
            of_town: ("town", "330203", "330203005"),
            of_city: ("city", "330203", None),
        },
    )
    deputies = (of_county, of_town, of_city, unheard)
    duties = {who: uuid4() for who in deputies}
    declaring = contract.DeclareDuty(kind="visit", happened_on=NOW.date(), note="走访选民")
    for who, duty in duties.items():
        assert await town.deputy(who, declaring, duty) == "accepted"

    async def seen(area: str) -> set[UUID]:
        answers = [await town.get(f"/duties?deputy={who}", area=area) for who in deputies]
        return {who for who, (_, found) in zip(deputies, answers, strict=True) if found["total"]}

    async def heard() -> bool:
        return await seen("330203") == {of_county, of_town}

    await wait_until(heard, what="the deputies being known")
    assert await seen("330203005") == {of_town}
    assert await seen("330212") == set()
    assert await seen("3302") == set(deputies), "the city's are its own deputies and those nobody has told of"
    assert (await town.get(f"/duties/{duties[of_city]}", area="330203"))[1]["code"] == "not-your-duty"
    assert (await town.get(f"/duties/{duties[of_town]}", area="330203"))[0] == 200

    async def confirm(who: UUID, area: str) -> str:
        token = town.issuer.token(STAFF, "staff", organisation=area)
        sent = message(contract.ConfirmDuty(), subject=duties[who], token=token, time=NOW)
        (outcome,) = await town.send([sent])
        return outcome.problem.code if outcome.problem else outcome.state

    for who, area in (
        (of_county, "330212"),
        (of_county, "330203005"),
        (of_city, "330203"),
        (unheard, "330203"),
    ):
        assert await confirm(who, area) == "not-your-area"
    reject = message(
        contract.RejectDuty(reason="重复"),
        subject=duties[of_county],
        token=town.issuer.token(STAFF, "staff", organisation="330212"),
    )
    (outcome,) = await town.send([reject])
    assert outcome.problem is not None
    assert outcome.problem.code == "not-your-area"
    for who, area in ((of_county, "330203"), (of_town, "330203005"), (of_city, "3302"), (unheard, "3302")):
        assert await confirm(who, area) == "accepted"


async def test_a_subject_that_is_no_id_is_refused_and_spares_its_neighbours(town: Town) -> None:
    activity = uuid4()
    wrong = message(announcing(), subject="x", token=town.issuer.token(STAFF, "staff"), time=NOW)
    right = town.command(STAFF, "staff", announcing(), activity)
    outcomes = await town.send([wrong, right])
    assert [o.problem.code if o.problem else o.state for o in outcomes] == ["subject-not-an-id", "accepted"]


async def test_figures_equal_the_rows(town: Town, engine: AsyncEngine) -> None:
    status, found = await town.get("/figures")
    assert status == 200
    async with engine.connect() as connection:

        async def count(what: str) -> int:
            return int(await connection.scalar(text(f"SELECT count(*) FROM {what}")) or 0)

        assert found["activities"] == await count("activities")
        assert found["sign_ups"] == await count("attendances")
        assert found["check_ins"] == await count("attendances WHERE checked_in_at IS NOT NULL")
        assert found["consultations"] == await count("consultations") == len(found["by_consultation"])
        assert found["answers"] == await count("answers")
        assert sum(found["duties"].values()) == await count("duties")
    assert found["by_kind"]["legislation"]["answers"] == found["answers"]
    assert (await town.get("/figures", uuid4(), "deputy"))[0] == 403


@pytest.mark.parametrize("mixed", [False, True])
async def test_a_larger_batch_costs_no_more_statements(town: Town, engine: AsyncEngine, mixed: bool) -> None:
    statements = 0

    def count(*_: Any) -> None:
        nonlocal statements
        statements += 1

    async def cost(size: int) -> int:
        nonlocal statements
        activity, consultation = uuid4(), uuid4()
        assert await town.staff(announcing(), activity) == "accepted"
        assert await town.staff(opening(), consultation) == "accepted"
        batch: list[Envelope] = []
        for n in range(size):
            deputy = uuid4()
            data: Contract = contract.SignUp()
            subject = activity
            if mixed and n % 3 == 1:
                data, subject = contract.AnswerConsultation(answers={"support": "赞成"}), consultation
            if mixed and n % 3 == 2:
                data = contract.DeclareDuty(kind="visit", happened_on=NOW.date(), note="走访")
                subject = uuid4()
            batch.append(town.command(deputy, "deputy", data, subject))
        runner = a_runner(engine, town.issuer)
        event.listen(engine.sync_engine, "before_cursor_execute", count)
        statements = 0
        await runner.run(records(batch))
        event.remove(engine.sync_engine, "before_cursor_execute", count)
        return statements

    assert await cost(500) == await cost(30)


async def test_a_character_that_no_database_keeps_fails_its_own_command_alone(town: Town) -> None:
    anna = uuid4()
    notes = ("走访\0选民", "走访\\u0000选民", "走访选民")
    declared = [
        town.command(
            anna,
            "deputy",
            contract.DeclareDuty(kind="visit", happened_on=NOW.date(), note=note),
            uuid4(),
        )
        for note in notes
    ]
    outcomes = await town.send(declared)
    assert [o.problem.code if o.problem else o.state for o in outcomes] == [
        "invalid-data",
        "accepted",
        "accepted",
    ]
    _, kept = await town.get(f"/duties/{declared[1].subject}", anna, "deputy")
    assert kept["note"] == notes[1]
