"""Motions in a database of their own, without broker and processes: what time does to them, and who is shown what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest_asyncio

from deploy.local.stack import LocalStack
from services.cases.deadlines.calendar import ChinaCalendar
from services.cases.deadlines.reckoning import CHINA
from services.cases.due import claim
from services.cases.motions import domain, handlers
from services.cases.motions.store import (
    MotionStore,
    ReferralStore,
    keep_deputies,
    redate_open_motions,
)
from services.cases.motions.tables import motion_due
from shared.contracts import cases, identity, motions
from shared.contracts.registry import Contract, Role
from shared.messaging.clock import BusinessClock
from shared.messaging.desk import Desk, FrontDesk
from shared.messaging.received import Decoder
from shared.messaging.runner import Limits, Runner
from shared.messaging.work import Work
from shared.security.sealing import Sealer
from shared.security.tokens import TokenVerifier
from shared.testing.issuer import Issuer
from shared.testing.messages import message
from tests.cases_inside import MOTION_RULES, Inside, cases_inside

SHARES_STACK = True
COUNTY, OTHER_COUNTY = "330203", "330205"
START = datetime(2022, 3, 1, 9, tzinfo=CHINA)
NOW = datetime(2022, 4, 1, 9, tzinfo=CHINA)
"""The business time of the questions."""


class LaterCalendar(ChinaCalendar):
    """A later notice, after which nobody works on the first of June."""

    def __init__(self) -> None:
        super().__init__()
        self.version = "later"

    def is_working_day(self, day: date) -> bool:
        return (day.month, day.day) != (6, 1) and super().is_working_day(day)


@dataclass
class House:
    """A congress of one county inside one database."""

    inside: Inside
    verifier: TokenVerifier
    deputies: list[UUID] = field(default_factory=lambda: [uuid4() for _ in range(12)])

    def use(self, rules_at: Any) -> None:
        """Handle from now on by these rules."""
        desk = FrontDesk(
            handlers.MotionDesk(MotionStore(self.inside.opener, rules_at), handlers.DECISIONS),
            Desk(ReferralStore(self.inside.opener, rules_at), handlers.ON_REFERRALS),
        )
        self.inside.runner = Runner(
            service="cases",
            engine=self.inside.engine,
            decoder=Decoder("cases", self.verifier, BusinessClock("message")),
            handlers={
                **self.inside.runner._handlers,
                **desk.handlers(),
                identity.DeputyChanged: keep_deputies,
            },
            limits=Limits(3, 0.01, 0.02, 50),
        )

    async def known(self, who: UUID, sequence: int = 1, state: Any = "active") -> None:
        """Identity says what became of a deputy."""
        said = identity.DeputyChanged(
            deputy_id=who, number=who.hex[:8], name="代表", level="county", county=COUNTY, town=None,
            constituency="第一选区", code=who.hex[:10], term_from=date(2021, 1, 1),
            term_until=date(2026, 12, 31), state=state,
        )  # fmt: skip
        await self.inside.feed("deputy.changed", [message(said, subject=who, sequence=sequence)])

    async def say(self, data: Contract, about: UUID, who: UUID | str, at: datetime) -> str:
        """A command of a deputy, of staff of a place or of a department; `accepted` or the refusal's code."""
        role: Role = "deputy" if isinstance(who, UUID) else "staff" if who.isdigit() else "department"
        org = None if isinstance(who, UUID) else who
        sent = self.inside.command(data, about, role, person=who if role != "staff" else None, org=org, at=at)
        (told,) = await self.inside.tell(sent)
        return told

    async def pass_time(self, now: datetime) -> int:
        """What falls due until then; how much that was."""
        async with self.inside.engine.begin() as connection:
            work = Work(connection, "cases")
            claimed = await claim(work, motion_due, now, most=500)
            await work.write()
        await self.inside.pump()
        return claimed

    async def told(self, motion: UUID, step: str) -> list[Mapping[str, Any]]:
        """The events of a step of a motion."""
        every = [one["data"] for one in await self.inside.sent("motion.progressed")]
        return [one for one in every if one["motion_id"] == str(motion) and one["step"] == step]

    async def read(self, motion: UUID) -> dict[str, Any]:
        status, found = await self.inside.ask(f"/motions/{motion}", "staff", org=COUNTY)
        assert status == 200, found
        shown: dict[str, Any] = found
        return shown

    async def submitted(self, at: datetime = START, **more: Any) -> UUID:
        motion, author = uuid4(), self.deputies[0]
        sealed = Sealer(self.inside.opener.public_jwk).seal({"title": "加装电梯", "text": "老人下楼难。"})
        draft = motions.DraftMotion(sealed=sealed, kind="suggestion", **more)
        assert await self.say(draft, motion, author, at) == "accepted"
        assert await self.say(motions.SubmitMotion(informed=True), motion, author, at) == "accepted"
        return motion

    async def signed_bill(self) -> UUID:
        """A bill that ten deputies have signed."""
        motion, (author, *asked) = uuid4(), self.deputies[:10]
        sealed = Sealer(self.inside.opener.public_jwk).seal(
            {"title": "加装电梯", "text": "下楼难。", "cause": "案由", "basis": "案据", "plan": "方案"}
        )
        draft = motions.DraftMotion(sealed=sealed, kind="bill")
        assert await self.say(draft, motion, author, START) == "accepted"
        invite = motions.InviteCosigners(deputies=tuple(asked))
        assert await self.say(invite, motion, author, START) == "accepted"
        (kept,) = await self.inside.rows("SELECT digest FROM motions WHERE id = $1", motion)
        for who in asked:
            cosign = motions.CosignMotion(digest=kept["digest"])
            assert await self.say(cosign, motion, who, START) == "accepted"
        return motion

    async def assigned(self, at: datetime = START, lead: str = "housing") -> UUID:
        motion = await self.submitted(at)
        assert await self.say(motions.AcceptMotion(number="1"), motion, COUNTY, at) == "accepted"
        assert await self.say(motions.AssignMotion(lead=lead), motion, COUNTY, at) == "accepted"
        return motion

    async def answered(self, *due: date, at: datetime = START, lead: str = "housing") -> UUID:
        motion = await self.assigned(at, lead)
        contact = motions.ContactDeputy(on=at.date(), form="phone")
        assert await self.say(contact, motion, lead, at) == "accepted"
        promises = tuple(motions.PledgedItem(text="年内完成", due=day) for day in due)
        answer = motions.AnswerMotion(
            result="B" if due else "A", text="已办理。", signed_by="局长", promises=promises
        )
        assert await self.say(answer, motion, lead, at) == "accepted"
        return motion


@pytest_asyncio.fixture(scope="module")
async def house(stack: LocalStack, issuer: Issuer) -> AsyncIterator[House]:
    async with cases_inside(stack, issuer, now=NOW) as inside:
        verifier = TokenVerifier("http://127.0.0.1:9/jwks")
        verifier.use_keys(issuer.keys)
        found = House(inside, verifier)
        found.use(MOTION_RULES)
        roads = identity.DepartmentChanged(
            code="roads", name="交通", categories=(), counties=(), state="active"
        )
        await inside.feed("department.changed", [message(roads, subject="roads", sequence=1)])
        for who in found.deputies:
            await found.known(who)
        yield found


async def test_figures_and_rules_are_those_of_the_business_day(house: House) -> None:
    await house.assigned()
    status, report = await house.inside.ask("/motion-report", "staff", org=COUNTY)
    assert status == 200, report
    assert datetime.fromisoformat(report["at"]).date() == NOW.date()
    assert report["on_time"]["denominator"] == 0, "three months are not over on the first of April"
    status, names = await house.inside.ask("/motion-rules", "staff", org=COUNTY)
    assert (status, names["answer_unit"]) == (200, "months")


async def test_what_became_of_a_case_is_shown_to_those_who_may_read_the_case(house: House) -> None:
    filer, other = house.deputies[:2]
    case, referral = uuid4(), uuid4()
    filing = house.inside.filing(case, "路灯不亮", deputy=filer, at=START, county=COUNTY, origin="own")
    assert await house.inside.tell(filing) == ["accepted"]
    lead = motions.ReferCase(case_id=case, reason="列入民生实事")
    assert await house.say(lead, referral, COUNTY, START) == "accepted"

    own = uuid4()
    found = cases.FileCase(sealed=filing.data["sealed"], county=COUNTY, origin="staff")
    filed = house.inside.command(found, own, "staff", org=COUNTY, at=START)
    assert await house.inside.tell(filed) == ["accepted"]
    lead = motions.ReferCase(case_id=own, reason="列入民生实事")
    assert await house.say(lead, uuid4(), COUNTY, START) == "case-without-deputy", "a lead is a deputy's"

    async def seen(role: Role, person: object = None, org: str | None = None) -> int:
        status, found = await house.inside.ask(f"/case-referrals/{case}", role, person=person, org=org)
        assert status == 200, found
        return len(found["items"])

    assert await seen("staff", org=COUNTY) == 1
    assert await seen("staff", org="3302") == 1
    assert await seen("deputy", person=filer) == 1
    assert await seen("staff", org=OTHER_COUNTY) == 0
    assert await seen("staff", org="330205101") == 0
    assert await seen("deputy", person=other) == 0


async def test_a_deadline_that_passes_is_overdue_once_and_told_to_the_department(house: House) -> None:
    motion = await house.assigned()
    end = datetime.fromisoformat(
        next(d for d in (await house.read(motion))["deadlines"] if d["kind"] == "answer")["at"]
    )
    await house.pass_time(end - timedelta(seconds=1))
    assert await house.told(motion, "overdue") == []
    await house.pass_time(end + timedelta(hours=1))
    await house.pass_time(end + timedelta(days=1))
    (told,) = await house.told(motion, "overdue")
    assert (told["deadline"], told["owing"], told["state"]) == ("answer", "housing", "assigned")
    assert datetime.fromisoformat(told["due_at"]) == end
    routed = [one["data"] for one in await house.inside.sent("department.housing.routed")]
    assert [one.get("step") for one in routed if one["motion_id"] == str(motion)] == [None, "overdue"]
    (step,) = [one for one in (await house.read(motion))["steps"] if one["step"] == "overdue"]
    assert (step["actor"], datetime.fromisoformat(step["at"])) == ("system", end)
    assert await house.inside.rows("SELECT 1 FROM motion_due WHERE motion_id = $1", motion) == []


async def test_what_is_answered_in_time_is_never_overdue(house: House) -> None:
    motion = await house.answered()
    await house.pass_time(START + timedelta(days=95))
    assert await house.told(motion, "overdue") == []


async def test_an_answer_that_nobody_rates_ends_unstated(house: House) -> None:
    motion = await house.answered()
    await house.pass_time(START + timedelta(days=91))
    assert (await house.read(motion))["state"] == "answered"
    await house.pass_time(START + timedelta(days=95))
    shown = await house.read(motion)
    assert (shown["state"], shown["closed_at"] is not None) == ("closed", True)
    (told,) = await house.told(motion, "unstated")
    assert told["state"] == "closed"
    routed = [one["data"] for one in await house.inside.sent("department.housing.routed")]
    assert [one.get("step") for one in routed if one["motion_id"] == str(motion)] == [None, "unstated"]
    good = motions.RateMotion(ratings={"attitude": "satisfied", "result": "satisfied"})
    late = START + timedelta(days=100)
    assert await house.say(good, motion, house.deputies[0], late) == "accepted"
    assert (await house.read(motion))["state"] == "closed"


async def test_a_bill_goes_its_own_way_and_is_chased_on_it(house: House) -> None:
    bill = await house.signed_bill()
    assert await house.say(motions.SubmitMotion(), bill, house.deputies[0], START) == "accepted"
    assert await house.say(motions.AcceptMotion(number="议1"), bill, COUNTY, START) == "accepted"
    assert await house.say(motions.AssignMotion(lead="housing"), bill, COUNTY, START) == "bill-not-assigned"
    refer = motions.ReferBill(committee="城建环境资源委员会")
    assert await house.say(refer, bill, "housing", START) == "role-not-allowed"
    assert await house.say(refer, bill, COUNTY, START) == "accepted"
    shown = await house.read(bill)
    assert (shown["state"], shown["committee"]) == ("in-committee", "城建环境资源委员会")
    assert shown["due"]["kind"] == "committee"

    assert await house.pass_time(START + timedelta(days=31)) > 0
    (late,) = await house.told(bill, "overdue")
    assert (late["deadline"], late.get("owing")) == ("committee", None)
    later = START + timedelta(days=32)
    advise = motions.AdviseOnBill(advice="agenda", text="建议列入会议议程。")
    assert await house.say(advise, bill, COUNTY, later) == "accepted"
    assert await house.say(motions.DecideOnBill(decision="agenda"), bill, COUNTY, later) == "accepted"
    assert await house.say(motions.ConcludeBill(outcome="passed"), bill, COUNTY, later) == "accepted"
    shown = await house.read(bill)
    assert (shown["state"], shown["bill_outcome"], shown["due"]) == ("concluded", "passed", None)
    assert [d["met"] for d in shown["deadlines"]] == [True, False, True, True]
    (told,) = await house.told(bill, "concluded")
    assert told["bill_outcome"] == "passed"
    assert await house.inside.rows("SELECT 1 FROM motion_due WHERE motion_id = $1", bill) == []


async def test_who_has_left_is_no_signer_when_it_is_submitted(house: House) -> None:
    author, *asked = house.deputies[:10]
    motion = await house.signed_bill()
    await house.known(asked[0], 2, "suspended")
    submit = motions.SubmitMotion(informed=True)
    assert await house.say(submit, motion, author, START) == "too-few-signers"
    await house.known(asked[0], 3, "active")
    assert await house.say(submit, motion, author, START) == "accepted"


async def test_open_deadlines_follow_a_new_calendar_and_are_asked_for_once(house: House) -> None:
    motion = await house.assigned(datetime(2023, 3, 1, 9, tzinfo=CHINA))
    later = LaterCalendar()

    def rules(moment: datetime) -> Any:
        return domain.Rules(later, MOTION_RULES(moment).motions)

    async def redate() -> int:
        async with house.inside.engine.begin() as connection:
            work = Work(connection, "cases")
            asked = await redate_open_motions(work, later.version, NOW)
            await work.write()
        await house.inside.pump()
        return asked

    house.use(rules)
    try:
        assert await redate() > 0
        (due,) = [d for d in (await house.read(motion))["deadlines"] if d["kind"] == "answer"]
        assert datetime.fromisoformat(due["at"]).astimezone(CHINA).date() == date(2023, 6, 2)
        (told,) = await house.told(motion, "redated")
        assert datetime.fromisoformat(told["due_at"]) == datetime.fromisoformat(due["at"])
        assert await redate() == 0, "what was counted again is not asked for at the next start"
        (waiting,) = await house.inside.rows("SELECT at FROM motion_due WHERE motion_id = $1", motion)
        assert waiting["at"] == datetime.fromisoformat(due["at"])
    finally:
        house.use(MOTION_RULES)


async def test_the_ledger_of_promises_is_by_date_and_shows_each_office_its_own(house: House) -> None:
    begin = START - timedelta(days=120)
    late, soon = date(2021, 12, 1), date(2022, 5, 1)
    of_housing = await house.answered(soon, late, at=begin)
    of_roads = await house.answered(soon, at=begin, lead="roads")

    async def ledger(*roles: Role, org: str | None, **query: str) -> list[tuple[str, str, bool]]:
        status, found = await house.inside.ask("/motion-promises", *roles, org=org, **query)
        assert status == 200, found
        assert found["total"] == len(found["items"])
        return [(one["motion_id"], one["due"], one["overdue"]) for one in found["items"]]

    every = {
        (str(of_housing), "2021-12-01", True),
        (str(of_housing), "2022-05-01", False),
        (str(of_roads), "2022-05-01", False),
    }
    found = await ledger("staff", org=COUNTY)
    assert set(found) == every
    assert [due for _, due, _ in found] == sorted(due for _, due, _ in found)
    assert await ledger("staff", org=OTHER_COUNTY) == []
    assert set(await ledger("staff", org=COUNTY, department="roads")) == {
        (str(of_roads), "2022-05-01", False)
    }
    assert set(await ledger("department", org="roads")) == {(str(of_roads), "2022-05-01", False)}
    assert await ledger("staff", org=COUNTY, overdue="true") == [(str(of_housing), "2021-12-01", True)]
    assert (await house.inside.ask("/motion-promises", "deputy", person=house.deputies[0]))[0] == 403

    report = motions.ReportPromise(promise=2, outcome="not-kept", text="资金未到位", due=date(2022, 9, 30))
    assert await house.say(report, of_housing, "housing", NOW) == "accepted"
    assert await ledger("staff", org=COUNTY, overdue="true") == []
    status, shown = await house.inside.ask("/motion-promises", "staff", org=COUNTY, state="not-kept")
    assert status == 200
    (one,) = shown["items"]
    assert (one["due"], one["postponed"], one["report"]) == ("2022-09-30", 1, "资金未到位")
    assert (one["text"], one["title"]) == ("年内完成", "加装电梯")
    kept = motions.ReportPromise(promise=2, outcome="kept", text="已完成")
    assert await house.say(kept, of_housing, "housing", NOW) == "accepted"
    status, shown = await house.inside.ask("/motion-promises", "staff", org=COUNTY, state="kept")
    assert [one["report_by"] for one in shown["items"]] == [None]


async def test_what_was_owed_before_it_had_a_date_is_dated_at_the_next_start_and_once(house: House) -> None:
    begin = START - timedelta(days=200)
    silent = await house.answered(at=begin)
    postponed = await house.answered(date(2021, 10, 1), at=begin)
    again = motions.ReportPromise(promise=1, outcome="partly-kept", text="过半", due=date(2022, 3, 1))
    assert await house.say(again, postponed, "housing", begin + timedelta(days=20)) == "accepted"
    for motion, kind in ((silent, "unstated"), (postponed, "promise")):  # as they were left in former times
        await house.inside.rows(
            "UPDATE motion_deadlines SET ended = begin WHERE motion_id = $1 AND kind = $2 AND ended IS NULL",
            motion,
            kind,
        )

    async def redate() -> int:
        async with house.inside.engine.begin() as connection:
            work = Work(connection, "cases")
            asked = await redate_open_motions(work, ChinaCalendar().version, NOW)
            await work.write()
        await house.inside.pump()
        return asked

    assert await redate() >= 2
    owed = [d for d in (await house.read(postponed))["deadlines"] if d["ended"] is None]
    assert [(d["kind"], d["department"]) for d in owed if d["kind"] == "promise"] == [("promise", "housing")]
    (told,) = await house.told(postponed, "redated")
    assert (told["owing"], told["deadline"]) == ("housing", "promise")
    assert await redate() == 0
    assert await house.pass_time(NOW) > 0
    assert (await house.read(silent))["state"] == "closed"
