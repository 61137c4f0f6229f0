"""What residents submit by a deputy's code, through cases' topics and HTTP: taken up or not, followed, rated, erased."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from deploy.local.stack import LocalStack
from shared.contracts import cases
from shared.contracts.envelope import Envelope
from shared.contracts.registry import Contract
from shared.testing.issuer import Issuer
from shared.testing.messages import message
from shared.testing.wait import wait_until
from tests.cases_desk import Desk, cases_desk, tick
from tests.conftest import Processes
from tests.database import rows

START = datetime(2022, 3, 1, 1, tzinfo=UTC)
TOPICS = (
    "command.outcomes",
    "case.filed",
    "case.routed",
    "case.progressed",
    "case.closed",
    "department.housing.routed",
)
NAME, PHONE = "王翠花", "13907450011"


@pytest_asyncio.fixture(scope="module")
async def desk(
    stack: LocalStack, processes: Processes, as_gateway: AIOKafkaProducer, issuer: Issuer
) -> AsyncIterator[Desk]:
    await tick(stack, START)
    async with cases_desk(stack, processes, as_gateway, issuer, topics=TOPICS) as found:

        async def routed() -> bool:
            case_id = uuid4()
            await found.ask(found.filing(uuid4(), case_id, time=START))
            return bool(found.log.of("case.routed", case_id))

        await wait_until(routed, what="the catalogue", every=0.3)
        yield found


class Concern:
    """One concern and the people around it, each of whose words is a command an hour after the last."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.id, self.deputy, self.hours = desk, uuid4(), uuid4(), 0
        self.follow = hashlib.sha256(self.id.bytes).hexdigest()
        spelled = str.maketrans("abcdef", "GHJKMN")
        self.receipt = self.id.hex[:12].translate(spelled)

    def submission(self, text: str = "路口窨井盖破损，下水道积水。", **more: Any) -> Envelope:
        seal = self.desk.sealer.seal
        data = cases.SubmitConcern(
            sealed=seal({"title": "井盖", "text": text}),
            contact=seal({"contact": f"{NAME} {PHONE}"}),
            deputy_id=self.deputy,
            county="330203",
            receipt=self.receipt,
            follow=self.follow,
            consent="2026-11",
        )
        token = self.desk.issuer.token(*more.pop("sender", ("intake", "intake")))
        return message(data, subject=self.id, token=token, time=START, **more)

    async def submit(self, **more: Any) -> None:
        assert (await self.desk.ask(self.submission(**more))).state == "accepted"

    def command(self, data: Contract, who: str, person: UUID | None = None) -> Envelope:
        self.hours += 1
        issuer = self.desk.issuer
        if who == "resident":
            token = issuer.token("intake", "intake")
        elif who in ("deputy", "staff"):
            token = issuer.token(person or (self.deputy if who == "deputy" else uuid4()), who)
        else:
            token = issuer.token(f"department:{who}", "department", organisation=who)
        return message(data, subject=self.id, token=token, time=START + timedelta(hours=self.hours))

    async def say(self, data: Contract, who: str = "resident", person: UUID | None = None) -> str:
        """`accepted`, or the code of the refusal."""
        outcome = await self.desk.ask(self.command(data, who, person))
        return outcome.problem.code if outcome.problem else outcome.state

    async def did(self, data: Contract, who: str = "resident") -> None:
        assert await self.say(data, who) == "accepted", type(data).__name__

    def sealed(self, text: str) -> str:
        return self.desk.sealer.seal({"text": text})

    async def http(self, method: str, path: str, person: object, *roles: str, **more: Any) -> tuple[int, Any]:
        token = self.desk.issuer.token(person, *roles, organisation=more.pop("organisation", None))  # type: ignore[arg-type]
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, self.desk.url + path, headers={"Authorization": f"Bearer {token}"}, **more
            ) as answer,
        ):
            return answer.status, await answer.json()

    async def seen(self, follow: str | None = None) -> tuple[int, Any]:
        body = {"follow": follow or self.follow}
        status, found = await self.http("POST", "/concerns/seen", "intake", "intake", json=body)
        return status, found["concern"] if status == 200 else found

    async def until(self, step: str) -> Envelope:
        async def found() -> list[Envelope]:
            facts = self.desk.log.of("case.progressed", self.id)
            return [fact for fact in facts if fact.data["step"] == step]

        return (await wait_until(found, what=f"{step} as a fact"))[-1]


async def test_the_whole_way_of_a_concern_from_code_to_erasure(desk: Desk, stack: LocalStack) -> None:
    one = Concern(desk)
    await one.submit()
    told = await one.until("submitted")
    assert (told.data["state"], told.data["by_resident"]) == ("submitted", True)
    assert told.data["take_up_by"].startswith("2022-03-03"), "two working days"
    assert desk.log.of("case.filed", one.id) == [], "nothing counts before somebody looked at it"
    await one.did(cases.TakeUpConcern(), "deputy")
    await one.did(cases.AcceptCase(), "housing")
    await one.did(cases.AskFiler(text="请问在哪个路口？"), "housing")
    _, waiting = await one.seen()
    assert (waiting["state"], waiting["can"]) == ("waiting", ["supply", "withdraw"])
    assert waiting["steps"][-1]["text"] == "请问在哪个路口？"
    await one.did(cases.SupplyConcern(follow=one.follow, sealed=one.sealed("东门口")))
    await one.did(cases.AnswerCase(result="solved", text="已更换井盖。"), "housing")
    await one.did(cases.CloseCase(), "deputy")
    await one.did(cases.RateConcern(follow=one.follow, stars=2, attitude=4, result=1))
    await one.did(cases.ReopenConcern(follow=one.follow, sealed=one.sealed("又坏了")))
    await one.did(cases.AnswerCase(result="unsolved", text="需要大修。"), "housing")
    await one.did(cases.CloseCase(), "deputy")
    assert len(desk.log.of("case.filed", one.id)) == 1

    status, shown = await one.seen()
    assert status == 200
    steps = [step["step"] for step in shown["steps"]]
    assert steps == [
        *("submitted", "taken-up", "routed", "accepted", "asked", "supplied", "answered", "closed"),
        *("resident-rated", "reopened", "answered", "closed"),
    ]
    assert shown["steps"][0]["reason"], "the date of taking up has its reason"
    assert [step["text"] for step in shown["steps"] if step["step"] in ("supplied", "reopened")] == [
        "东门口",
        "又坏了",
    ]
    assert (shown["text"], shown["answer"], shown["rating"]["stars"]) == (
        "路口窨井盖破损，下水道积水。",
        "需要大修。",
        None,  # the two stars were for the first answer
    )

    async def reopened() -> list[Envelope]:
        return [e for e in desk.log.of("department.housing.routed", one.id) if e.data.get("again")]

    assert (await wait_until(reopened, what="the dossier once more"))[0].data["reason"] == "又坏了"

    await one.did(cases.EraseConcern(follow=one.follow, what="all"))
    erased = await one.until("erased")
    assert (erased.data["state"], erased.data["by_resident"]) == ("closed", True)
    _, gone = await one.seen()
    assert (gone["erased"], gone["title"], gone["text"], gone["has_contact"]) == (True, None, None, False)
    assert {step["text"] for step in gone["steps"] if step["step"] in ("supplied", "reopened")} == {None}
    kept = await rows(
        stack,
        "cases",
        "SELECT sealed, contact FROM cases WHERE id = $1 UNION ALL "
        "SELECT sealed, NULL FROM case_steps WHERE case_id = $1 AND sealed IS NOT NULL",
        one.id,
    )
    assert kept == [{"sealed": "", "contact": None}], "no ciphertext is left to open"
    assert await one.say(cases.ReopenCase(reason="x"), "deputy") == "nothing-to-reopen"
    await one.did(cases.CloseFollowLink(follow=one.follow))
    assert (await one.seen())[0] == 404
    assert await one.say(cases.RateConcern(follow=one.follow, stars=5)) == "follow-unknown"


async def test_each_reading_of_the_contact_data_is_noted_and_shown_to_the_resident(desk: Desk) -> None:
    one = Concern(desk)
    await one.submit()
    path = f"/cases/{one.id}"
    status, shown = await one.http("GET", path, one.deputy, "deputy")
    assert (status, shown["contact"]) == (200, f"{NAME} {PHONE}")
    assert not {"follow", "sealed"} & set(shown)
    asked = {"params": {"purpose": "handling"}}
    housing = {"organisation": "housing", **asked}
    for person, role, more in (
        (uuid4(), "deputy", asked),
        ("department:housing", "department", housing),
        ("department:other", "department", {**housing, "organisation": "other"}),
    ):
        assert (await one.http("GET", f"{path}/contact", person, role, **more))[0] == 403
    await one.did(cases.TakeUpConcern(), "deputy")
    assert (await one.http("GET", f"{path}/contact", "department:housing", "department", **housing))[0] == 403
    await one.did(cases.AcceptCase(), "housing")
    status, found = await one.http("GET", f"{path}/contact", "department:housing", "department", **housing)
    assert (status, found) == (200, {"contact": f"{NAME} {PHONE}"})
    visit = {"organisation": "330203", "params": {"purpose": "visit"}}
    assert (await one.http("GET", f"{path}/contact", uuid4(), "staff", **visit))[0] == 200
    assert (await one.http("GET", f"{path}/contact", uuid4(), "staff", params={"purpose": "sale"}))[0] == 422
    _, listed = await one.http("GET", "/cases", one.deputy, "deputy")
    assert PHONE not in json.dumps(listed), "no list shows it"
    reads = (await one.seen())[1]["contact_reads"]
    assert [(read["role"], read["organisation"], read["purpose"]) for read in reads] == [
        ("deputy", None, "handling"),
        ("department", "housing", "handling"),
        ("staff", "330203", "visit"),
    ]
    await one.did(cases.EraseConcern(follow=one.follow, what="contact"))
    assert (await one.http("GET", f"{path}/contact", uuid4(), "staff", **visit))[0] == 404
    _, shown = await one.http("GET", path, one.deputy, "deputy")
    assert (shown["contact"], shown["text"]) == (None, "路口窨井盖破损，下水道积水。")
    assert len((await one.seen())[1]["contact_reads"]) == 3


async def test_a_wrong_link_tells_nothing_and_touches_nothing(desk: Desk) -> None:
    mine, foreign = Concern(desk), Concern(desk)
    await mine.submit()
    await foreign.submit()
    wrong = "0" * 64
    for follow in (wrong, mine.follow):
        for data in (
            cases.WithdrawConcern(follow=follow),
            cases.EraseConcern(follow=follow, what="all"),
            cases.RateConcern(follow=follow, stars=1),
            cases.CloseFollowLink(follow=follow),
            cases.SupplyConcern(follow=follow, sealed=foreign.sealed("x")),
        ):
            assert await foreign.say(data) == "follow-unknown"
    unknown = Concern(desk)
    assert await unknown.say(cases.WithdrawConcern(follow=wrong)) == "follow-unknown", "as if it were there"
    assert (await foreign.seen(wrong))[0] == 404
    status, found = await foreign.http(
        "POST", "/concerns/seen", uuid4(), "deputy", json={"follow": mine.follow}
    )
    assert (status, found["code"]) == (403, "role-not-allowed")
    _, shown = await foreign.seen()
    assert [step["step"] for step in shown["steps"]] == ["submitted"]


async def test_a_resident_who_does_not_agree_is_answered_by_staff_and_sees_what_a_part_became(
    desk: Desk, stack: LocalStack
) -> None:
    explained, declined = Concern(desk), Concern(desk)
    for one in (explained, declined):
        await one.submit()
    await explained.did(cases.ExplainConcern(text="已列入计划。"), "deputy")
    await declined.did(cases.DeclineConcern(reason="不属于代表职责。"), "deputy")
    for one in (explained, declined):
        await one.did(cases.ObjectToConcern(follow=one.follow, sealed=one.sealed("计划里没有这条路")))
        told = await one.until("objected")
        assert (told.data["state"], told.data["by_resident"]) == ("submitted", True)
        assert "计划" not in json.dumps(told.data, ensure_ascii=False)
        _, shown = await one.seen()
        said = shown["steps"][-1]
        assert (shown["objected"], shown["can"], said["text"]) == (True, ["withdraw"], "计划里没有这条路")
        assert shown["take_up_by"].startswith("2022-03-08"), "five working days"
        assert "复核期限" in said["reason"]
        _, case = await one.http("GET", f"/cases/{one.id}", one.deputy, "deputy")
        assert (case["objected"], case["steps"][-1]["text"]) == (True, "计划里没有这条路")
        assert await one.say(cases.ExplainConcern(text="再说一遍"), "deputy") == "not-your-case"
    await explained.did(cases.ExplainConcern(text="经核实，下月施工。"), "staff")
    _, shown = await explained.seen()
    assert (shown["state"], shown["answer"], shown["can"]) == ("closed", "经核实，下月施工。", ["rate"])
    again = cases.ObjectToConcern(follow=explained.follow, sealed=explained.sealed("还是不同意"))
    assert await explained.say(again) == "objected-already"
    await declined.did(cases.TakeUpConcern(category="城乡建设"), "staff")
    part = Concern(desk)
    part.hours = declined.hours
    split = cases.SplitCase(
        sealed=desk.sealer.seal({"title": "路灯", "text": "路灯不亮"}),
        out_of=declined.id,
        category="城乡建设",
    )
    await part.did(split, "staff")
    await part.did(cases.AnswerCase(result="solved", text="路灯已修。"), "housing")
    await part.did(cases.CloseCase(), "staff")
    _, shown = await declined.seen()
    (seen,) = shown["parts"]
    assert (seen["state"], seen["department"], seen["result"]) == ("closed", "housing", "solved")
    assert (seen["answer"], bool(seen["closed_at"])) == ("路灯已修。", True)
    assert "id" not in seen
    await declined.did(cases.EraseConcern(follow=declined.follow, what="all"))
    _, shown = await declined.seen()
    assert [step["text"] for step in shown["steps"] if step["step"] == "objected"] == [None]


async def test_of_two_who_act_at_once_one_is_refused_and_a_repetition_changes_nothing(desk: Desk) -> None:
    one = Concern(desk)
    sent = one.submission()
    first, again = await desk.ask(sent), await desk.ask(sent, count=2)
    assert (first.state, first.version) == (again.state, again.version) == ("accepted", 1)
    other = Concern(desk)
    other.receipt = one.receipt
    assert (await desk.ask(other.submission())).problem is not None, "no two have one receipt number"
    takes, explains = (
        one.command(cases.TakeUpConcern(), "deputy"),
        one.command(cases.ExplainConcern(text="x"), "staff"),
    )
    outcomes = await asyncio.gather(desk.ask(takes), desk.ask(explains))
    assert sorted(outcome.state for outcome in outcomes) == ["accepted", "rejected"]
    for data, who in ((cases.TakeUpConcern(), "deputy"), (cases.ExplainConcern(text="x"), "staff")):
        assert await one.say(data, who) == "step-not-possible"


async def test_a_concern_that_others_were_merged_into_is_not_withdrawn_and_one_not_taken_up_takes_none_in(
    desk: Desk,
) -> None:
    parent, child = Concern(desk), Concern(desk)
    for one in (parent, child):
        await one.submit()
    await child.did(cases.TakeUpConcern(), "deputy")
    merge = cases.MergeCase(into=parent.id)
    assert await child.say(merge, "staff") == "parent-not-open"
    await parent.did(cases.TakeUpConcern(), "deputy")
    await child.did(merge, "staff")
    assert await parent.say(cases.WithdrawConcern(follow=parent.follow)) == "others-merged"
    assert (await parent.seen())[1]["state"] == "routed"
    await parent.did(cases.EraseConcern(follow=parent.follow, what="all"))
    assert (await parent.seen())[1]["state"] == "routed", "it goes on for the others"
    await parent.did(cases.ReturnCase(reason="请核实"), "housing")
    await parent.did(cases.RouteCase(department="housing"), "staff")

    async def dossiers() -> list[Envelope]:
        sent = desk.log.of("department.housing.routed", parent.id)
        found = [one for one in sent if one.type == "department.routed"]
        return found if len(found) == 2 else []

    first, second = await wait_until(dossiers, what="the dossier")
    assert (first.data["title"], second.data["title"]) == ("井盖", "内容已删除")
    for data in (cases.AcceptCase(), cases.AnswerCase(result="solved", text="已修复")):
        await parent.did(data, "housing")
    await parent.did(cases.CloseCase(), "deputy")

    async def settled() -> bool:
        return bool((await child.seen())[1]["state"] == "closed")

    await wait_until(settled, what="the merged concern being closed", every=0.2)


async def test_what_staff_take_down_is_taken_up_at_once(desk: Desk) -> None:
    one = Concern(desk)
    await one.submit(sender=(uuid4(), "staff"))
    _, shown = await one.seen()
    assert [step["step"] for step in shown["steps"]] == ["submitted", "taken-up", "routed"]
    deputy = Concern(desk)
    assert (await desk.ask(deputy.submission(sender=(uuid4(), "deputy")))).problem is not None


async def test_what_nobody_takes_up_in_time_is_passed_up_by_the_clock(desk: Desk, stack: LocalStack) -> None:
    """The last of this file: behind it the clock stands days after the moment from which each concern begins."""
    one, explained = Concern(desk), Concern(desk)
    await one.submit()
    await explained.submit()
    await explained.did(cases.ExplainConcern(text="已列入本月养护计划。"), "deputy")
    await tick(stack, START + timedelta(days=4))
    told = await one.until("passed-up")
    assert (told.data["state"], told.data["by_system"]) == ("submitted", True)
    await one.did(cases.DeclineConcern(reason="正在审理的案件。"), "staff")
    _, shown = await one.seen()
    assert (shown["state"], shown["steps"][-1]["text"]) == ("declined", "正在审理的案件。")
    _, other = await explained.seen()
    assert (other["state"], other["result"], other["answer"]) == (
        "closed",
        "explained",
        "已列入本月养护计划。",
    )
    assert other["can"] == ["rate", "object"]
