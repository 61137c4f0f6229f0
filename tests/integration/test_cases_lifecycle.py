"""The whole life of a case through its topics: what people do, what falls due, and what departments hear of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from deploy.local.stack import LocalStack
from services.cases.metrics import METRICS, CaseRow, measure
from shared.contracts import cases
from shared.contracts.envelope import Envelope
from shared.contracts.registry import Contract
from shared.testing.issuer import Issuer
from shared.testing.messages import encoded, message
from shared.testing.wait import wait_until
from tests.cases_desk import Desk, cases_desk, tick
from tests.conftest import Processes, started_producer

START = datetime(2022, 3, 1, 1, tzinfo=UTC)
TOPICS = (
    "command.outcomes",
    "case.filed",
    "case.routed",
    "case.progressed",
    "case.closed",
    "department.housing.routed",
    "department.other.routed",
)


@pytest_asyncio.fixture(scope="module")
async def desk(
    stack: LocalStack, processes: Processes, as_gateway: AIOKafkaProducer, issuer: Issuer
) -> AsyncIterator[Desk]:
    await tick(stack, START)
    async with cases_desk(stack, processes, as_gateway, issuer, topics=TOPICS) as found:
        deputy = uuid4()

        async def routed() -> bool:
            case_id = uuid4()
            await found.ask(found.filing(deputy, case_id, time=START))
            return bool(found.log.of("case.routed", case_id))

        await wait_until(routed, what="the catalogue", every=0.3)
        yield found


class Life:
    """One case and the people around it; each word is a command, `at` so many hours after the start."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.id, self.deputy, self.hours = uuid4(), uuid4(), 0

    async def file(self) -> None:
        at = START + timedelta(hours=self.hours)
        outcome = await self.desk.ask(self.desk.filing(self.deputy, self.id, time=at))
        assert outcome.state == "accepted"

    async def say(self, data: Contract, who: str = "staff", person: UUID | None = None) -> str:
        """Send a command as a deputy, as staff, or as a department by its code; `accepted` or the refusal's code."""
        self.hours += 1
        issuer = self.desk.issuer
        if who in ("deputy", "staff"):
            token = issuer.token(person or (self.deputy if who == "deputy" else uuid4()), who)
        else:
            token = issuer.token(f"department:{who}", "department", organisation=who)
        sent = message(data, subject=self.id, token=token, time=START + timedelta(hours=self.hours))
        outcome = await self.desk.ask(sent)
        return outcome.problem.code if outcome.problem else outcome.state

    async def did(self, data: Contract, who: str = "staff") -> None:
        assert await self.say(data, who) == "accepted", type(data).__name__

    async def told(self, topic: str, step: str, count: int = 1) -> Envelope:
        """The last of so many messages of a step about the case."""

        async def found() -> list[Envelope]:
            own = [e for e in self.desk.log.of(topic, self.id) if e.data.get("step") == step]
            return own if len(own) >= count else []

        return (await wait_until(found, what=f"{step} on {topic}"))[-1]

    async def dossiers(self, department: str, count: int) -> list[Envelope]:
        async def found() -> list[Envelope]:
            topic = f"department.{department}.routed"
            own = [e for e in self.desk.log.of(topic, self.id) if e.type == "department.routed"]
            return own if len(own) >= count else []

        return await wait_until(found, what=f"{count} dossiers of {department}")

    async def read(self, *roles: str, person: UUID | None = None) -> dict[str, object]:
        token = self.desk.issuer.token(person or uuid4(), *roles)
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"{self.desk.url}/cases/{self.id}", headers={"Authorization": f"Bearer {token}"}
            ) as answer,
        ):
            assert answer.status == 200, await answer.text()
            shown: dict[str, object] = await answer.json()
            return shown


async def test_a_case_is_extended_answered_reopened_answered_again_closed_and_rated(desk: Desk) -> None:
    life = Life(desk)
    await life.file()
    await life.did(cases.AcceptCase(), "housing")
    before = (await life.told("case.progressed", "accepted")).data["answer_by"]
    await life.did(cases.AskExtension(days=3, reason="等材料"), "housing")
    assert await life.say(cases.AskExtension(days=1, reason="再等"), "housing") == "extension-pending"
    assert await life.say(cases.DecideExtension(granted=True), "housing") == "role-not-allowed"
    await life.did(cases.DecideExtension(granted=True))
    after = (await life.told("department.housing.routed", "extension-granted")).data["answer_by"]
    assert datetime.fromisoformat(after) > datetime.fromisoformat(before)
    await life.did(cases.AnswerCase(result="explained", text="需等雨季后"), "housing")
    assert (await life.told("case.progressed", "answered")).data["on_time"] is True
    await life.did(cases.ReopenCase(reason="仍在积水"), "deputy")
    again = (await life.dossiers("housing", 2))[-1].data
    assert (again["again"], again["reason"]) == (True, "仍在积水")
    await life.did(cases.AnswerCase(result="solved", text="已修复"), "housing")
    await life.did(cases.CloseCase(), "deputy")
    await life.did(cases.RateCase(stars=5), "deputy")
    shown = await life.read("staff")
    assert (shown["state"], shown["result"], shown["reopened"], shown["stars"]) == ("closed", "solved", 1, 5)
    assert "延期" not in str(shown["dates_reason"]), "a reopened case has a clock of its own"
    why = shown["dates_why"][0]  # type: ignore[index]
    assert (why["code"], why["about"]["unit"]) == ("limit", "working-days")
    reasons = [step["dates_reason"] for step in shown["steps"] if step["step"] == "extension-granted"]  # type: ignore[attr-defined]
    assert "延期 3 个工作日" in reasons[0]


async def test_what_the_filer_supplies_reaches_the_department_and_no_event(desk: Desk) -> None:
    life, secret = Life(desk), "三号楼二单元王阿姨家门口"
    await life.file()
    await life.did(cases.AcceptCase(), "housing")
    await life.did(cases.AskFiler(text="请补充具体位置"), "housing")
    assert await life.say(cases.AnswerCase(result="solved", text="x"), "housing") == "step-not-possible"
    await life.did(cases.SupplyCase(sealed=desk.sealer.seal({"text": secret})), "deputy")
    assert (await life.told("department.housing.routed", "supplied")).data["text"] == secret
    await life.told("case.progressed", "supplied")
    spoken = json.dumps([e.data for e in desk.log.of("case.progressed", life.id)], ensure_ascii=False)
    assert secret not in spoken
    shown = await life.read("deputy", person=life.deputy)
    assert secret in json.dumps(shown, ensure_ascii=False)
    assert await life.say(cases.SupplyCase(sealed="rubbish"), "deputy") == "supplied-unreadable"


async def test_a_transferred_case_is_recalled_from_one_department_and_sent_to_the_other(desk: Desk) -> None:
    life = Life(desk)
    await life.file()
    await life.did(cases.TransferCase(department="other", reason="职责调整"))
    await life.told("department.housing.routed", "recalled")
    await life.dossiers("other", 1)
    assert await life.say(cases.AcceptCase(), "housing") == "not-your-case"
    await life.did(cases.CoHandle(departments=("housing",)))
    assert (await life.dossiers("housing", 2))[-1].data["role"] == "co-handler"
    await life.did(cases.GiveOpinion(text="可以配合"), "housing")
    assert (await life.told("department.other.routed", "opinion")).data["text"] == "可以配合"
    await life.did(cases.WithdrawCase(reason="已自行解决"), "deputy")
    await life.told("department.other.routed", "recalled")
    await life.told("department.housing.routed", "recalled", 2)


async def test_many_reports_of_one_hole_are_closed_with_the_one_and_rated_each_by_its_own_filer(
    desk: Desk,
) -> None:
    whole, parts = Life(desk), [Life(desk) for _ in range(3)]
    for life in (whole, *parts):
        await life.file()
    for part in parts:
        await part.did(cases.MergeCase(into=whole.id))
    assert await whole.say(cases.MergeCase(into=parts[0].id)) == "parent-not-open"
    assert await whole.say(cases.WithdrawCase(reason="不用了"), "deputy") == "others-merged"
    assert await parts[0].say(cases.AnswerCase(result="solved", text="x"), "housing") == "step-not-possible"
    await whole.did(cases.AnswerCase(result="solved", text="一并修复"), "housing")
    await whole.did(cases.CloseCase(), "deputy")
    for part in parts:

        async def closed(part: Life = part) -> list[Envelope]:
            return desk.log.of("case.closed", part.id)

        receipt = (await wait_until(closed, what="the receipt of a merged case"))[0]
        assert receipt.data["deputy_id"] == str(part.deputy)
        assert receipt.data["result"] == "solved"
        await part.did(cases.RateCase(stars=4), "deputy")
    shown = await whole.read("staff")
    assert {one["id"] for one in shown["related"]} == {str(part.id) for part in parts}  # type: ignore[attr-defined]


async def test_joining_shows_the_case_to_who_joined_and_splitting_makes_one_of_its_own(desk: Desk) -> None:
    life, other = Life(desk), uuid4()
    await life.file()
    assert await life.say(cases.JoinCase(), "deputy", person=other) == "accepted"
    shown = await life.read("deputy", person=other)
    assert shown["title"] == "井盖"
    assert "contact" not in shown
    part = Life(desk)
    split = cases.SplitCase(
        sealed=desk.sealer.seal({"title": "路灯", "text": "路灯不亮。"}), out_of=life.id, category="城乡建设"
    )
    await part.did(split)

    async def filed() -> list[Envelope]:
        return desk.log.of("case.filed", part.id)

    fact = (await wait_until(filed, what="the part as a fact"))[0].data
    assert (fact["deputy_id"], fact["split_from"]) == (str(life.deputy), str(life.id))


async def test_nobody_but_the_service_itself_can_say_that_something_is_due(
    desk: Desk, stack: LocalStack
) -> None:
    life = Life(desk)
    await life.file()
    forged = message(
        cases.FallDue(due="answer", at=START), subject=life.id, token=desk.issuer.token(uuid4(), "staff")
    )
    await desk.send(forged)
    department = await started_producer(stack, "dept-housing")
    await department.send_and_wait("department.housing.replies", value=encoded(forged), key=b"key")
    await department.stop()

    operator = {"Authorization": f"Bearer {desk.issuer.token('operator', 'operator')}"}

    async def buried() -> bool:
        url = f"{desk.url}/dead-letters"
        async with aiohttp.ClientSession(headers=operator) as session, session.get(url) as answer:
            found = {(letter["topic"], letter["reason"]) for letter in (await answer.json())["items"]}
        return {(t, "wrong-topic") for t in ("cases.commands", "department.housing.replies")} <= found

    await wait_until(buried, what="two dead letters", every=0.2)
    assert not [e for e in desk.log.of("case.progressed", life.id) if e.data["step"] == "urged"]


async def test_an_overdue_case_is_urged_and_then_supervised_each_at_its_own_time(
    desk: Desk, stack: LocalStack
) -> None:
    life, waiting, crossed = Life(desk), Life(desk), Life(desk)
    for one in (life, waiting, crossed):
        await one.file()
        await one.did(cases.AcceptCase(), "housing")
    await waiting.did(cases.AskFiler(text="请补充"), "housing")
    await tick(stack, START + timedelta(days=120))
    supervised = await life.told("case.progressed", "supervised")
    urged = await life.told("case.progressed", "urged")
    answer_by = datetime.fromisoformat(urged.data["answer_by"])
    assert answer_by < urged.time < supervised.time < START + timedelta(days=120)
    assert urged.data["by_system"] is True
    await waiting.told("case.progressed", "resumed")
    shown = await life.read("staff")
    assert [s["step"] for s in shown["steps"]] == ["filed", "routed", "accepted", "urged", "supervised"]  # type: ignore[attr-defined]
    life.hours = 24 * 100
    await life.did(cases.AnswerCase(result="solved", text="已修复"), "housing")
    assert (await life.told("case.progressed", "answered")).data["on_time"] is False
    await crossed.told("case.progressed", "urged")
    await crossed.did(cases.AnswerCase(result="solved", text="当天已修复"), "housing")
    assert (await crossed.told("case.progressed", "answered")).data["on_time"] is True
    shown = await crossed.read("staff")
    assert datetime.fromisoformat(str(shown["answered_at"])) > datetime.fromisoformat(str(shown["answer_by"]))
    assert (shown["on_time"], shown["late"]) == (True, False), "it was said in time, and crossed the urge"


async def test_the_list_of_what_is_overdue_holds_what_the_overview_counts(
    desk: Desk, stack: LocalStack
) -> None:
    """Also where staff supervise a case in time, which is chased and not late."""
    late, in_time, answered = Life(desk), Life(desk), Life(desk)
    in_time.hours = 24 * 120
    await tick(stack, START + timedelta(hours=in_time.hours))
    for one in (late, in_time, answered):
        await one.file()
        await one.did(cases.AcceptCase(), "housing")
    await in_time.did(cases.SuperviseCase(reason="请抓紧办理"), "staff")
    await answered.did(cases.AnswerCase(result="solved", text="已修复"), "housing")
    await late.told("case.progressed", "supervised")  # only then is the clock known to stand there
    headers = {"Authorization": f"Bearer {desk.issuer.token(uuid4(), 'staff')}"}
    async with aiohttp.ClientSession(desk.url, headers=headers) as session:
        async with session.get("/cases", params={"overdue": "true", "size": "500"}) as answer:
            listed = await answer.json()
        async with session.get("/overview") as answer:
            counted = (await answer.json())["whole"]
    assert listed["total"] == len(listed["items"]) == counted["overdue"]
    ids = {one["id"] for one in listed["items"]}
    assert str(late.id) in ids, (listed["total"], counted)
    assert not ids & {str(in_time.id), str(answered.id)}


async def test_the_indicators_are_those_of_each_case_judged_by_itself(desk: Desk) -> None:
    headers = {"Authorization": f"Bearer {desk.issuer.token(uuid4(), 'staff')}"}
    as_of = START + timedelta(days=400)
    async with aiohttp.ClientSession(desk.url, headers=headers) as session:
        async with session.get("/cases", params={"size": "500"}) as answer:
            cases_now = (await answer.json())["items"]
        async with session.get("/indicators", params={"as_of": as_of.isoformat()}) as answer:
            assert answer.status == 200, await answer.text()
            told = {one["key"]: one for one in (await answer.json())["indicators"]}
    assert len(cases_now) > 10
    rows = [_row(case) for case in cases_now]
    assert set(told) == {metric.key for metric in METRICS}
    for metric in METRICS:
        own = measure(metric, rows, as_of)
        said = told[metric.key]
        assert (said["numerator"], said["denominator"]) == (own.numerator, own.denominator), metric.key
        assert {reason: one["number"] for reason, one in said["excluded"].items()} == own.excluded
        assert said["ratio"] == own.ratio
    assert told["cases-answered-on-time"]["denominator"] > told["cases-answered-on-time"]["numerator"] > 0


def _row(case: dict[str, Any]) -> CaseRow:
    def moment(name: str) -> datetime | None:
        return datetime.fromisoformat(case[name]) if case[name] else None

    return CaseRow(
        state=case["state"],
        merged=case["merged_into"] is not None,
        answer_by=moment("answer_by"),
        waiting=moment("changed_at") if case["state"] == "waiting" else None,
        late=case["late"],
        on_time=case["on_time"],
        result=case["result"],
        stars=case["stars"],
        routed=case["department"] is not None or case["returned"] > 0,
        accepted=case["state"] in ("accepted", "in-progress", "waiting", "answered", "closed")
        or case["answered_at"] is not None
        or case["reopened"] > 0,
        moved=case["returned"] + case["transferred"],
        reopened=case["reopened"],
        by_staff=case["deputy_id"] is None,
    )
