"""What falls due, what figures tell and to whom, and what a resident sees of parts, on a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from deploy.local.stack import LocalStack
from services.cases.domain import Rules
from services.cases.due import claim
from services.cases.handlers import read_words
from services.cases.routing import learning
from services.cases.routing.files import Message
from services.cases.routing.learning import confirmed
from services.cases.store import redate_open_cases
from services.cases.tables import case_due
from shared.contracts import cases
from shared.contracts.registry import Contract, Role
from shared.messaging.work import Work
from shared.refusals import Refusal
from shared.security.sealing import Sealer
from shared.testing.issuer import Issuer
from tests.case_rules import RULES, MondayOff, Weekdays, days
from tests.cases_inside import Inside, cases_inside

SHARES_STACK = True
START = datetime(2022, 3, 1, 1, tzinfo=UTC)  # a Tuesday
NOW = START + timedelta(days=200)
HAISHU, JIANGBEI = "330203", "330205"
DEPUTY = uuid4()
UNCLEAR = "请到现场看一看。"
FOLLOW = "f" * 64


class Town:
    """A database of cases and who acts in it."""

    def __init__(self, inside: Inside) -> None:
        self.inside = inside

    async def file(
        self, text: str = "路口窨井盖破损，下水道积水。", county: str = HAISHU, at: datetime = START
    ) -> UUID:
        case_id, title = uuid4(), "一件事" if text == UNCLEAR else "井盖"
        await self.say(
            None, self.inside.filing(case_id, text, title=title, deputy=DEPUTY, county=county, at=at)
        )
        return case_id

    async def say(
        self, data: Contract | None, to: Any, *roles: Role, at: datetime = START, **who: Any
    ) -> None:
        sent = to if data is None else self.inside.command(data, to, *roles, at=at, **who)
        assert await self.inside.tell(sent) == ["accepted"]

    async def staff(self, data: Contract, to: UUID, at: datetime = START) -> None:
        await self.say(data, to, "staff", at=at)

    async def housing(self, data: Contract, to: UUID, at: datetime = START) -> None:
        await self.say(data, to, "department", org="housing", person="department:housing", at=at)

    async def until(self, moment: datetime) -> None:
        """Let everything fall due up to a moment."""
        claimed = 1
        while claimed:
            async with self.inside.engine.begin() as connection:
                work = Work(connection, "cases")
                claimed = await claim(work, case_due, moment, most=100)
                await work.write()
            await self.inside.pump()

    async def steps(self, case_id: UUID) -> list[str]:
        found = await self.inside.rows(
            "SELECT step FROM case_steps WHERE case_id = $1 ORDER BY number", case_id
        )
        return [row["step"] for row in found]

    async def due(self, case_id: UUID) -> dict[str, datetime]:
        found = await self.inside.rows("SELECT due, at FROM case_due WHERE case_id = $1", case_id)
        return {row["due"]: row["at"] for row in found}


@pytest_asyncio.fixture
async def town(stack: LocalStack, issuer: Issuer) -> AsyncIterator[Town]:
    async with cases_inside(stack, issuer, now=NOW) as inside:
        yield Town(inside)


async def test_a_case_whose_limits_grow_is_chased_on_its_new_days_and_not_forgotten(town: Town) -> None:
    case_id = await town.file()
    before = await town.due(case_id)
    later = Rules(RULES.calendar, replace(RULES.cases, urge=days(9)))
    town.inside.store._rules_at = lambda _: later
    await town.until(before["answer"])
    assert await town.steps(case_id) == ["filed", "routed", "urged"], "urged to accept, and not to answer yet"
    assert (await town.due(case_id))["answer"] > before["answer"]
    await town.until(before["answer"] + timedelta(days=60))
    assert await town.steps(case_id) == ["filed", "routed", "urged", "urged", "supervised"]


async def test_a_new_calendar_dates_open_cases_anew_and_one_that_waits_when_it_goes_on(town: Town) -> None:
    running, waiting = await town.file(), await town.file()
    for case_id in (running, waiting):
        await town.housing(cases.AcceptCase(), case_id)
    await town.housing(cases.AskFiler(text="在哪里"), waiting)
    heard = len(await town.inside.sent("department.housing.routed"))

    async def redated(calendar: Weekdays) -> int:
        town.inside.store._rules_at = lambda _: Rules(calendar, RULES.cases)
        async with town.inside.engine.begin() as connection:
            work = Work(connection, "cases")
            found = await redate_open_cases(work, calendar.version, START + timedelta(hours=1))
            await work.write()
        await town.inside.pump()
        return found

    assert await redated(Weekdays("same")) == 2
    assert await town.steps(running) == ["filed", "routed", "accepted"]
    assert await redated(Weekdays("same")) == 1, "the one that waits"
    assert len(await town.inside.sent("department.housing.routed")) == heard
    other = MondayOff("other")
    assert await redated(other) == 2
    assert await town.steps(running) == ["filed", "routed", "accepted", "redated"]
    assert await town.steps(waiting) == ["filed", "routed", "accepted", "asked"]
    assert len(await town.inside.sent("department.housing.routed")) == heard + 1
    supplied = cases.SupplyCase(sealed=Sealer(town.inside.opener.public_jwk).seal({"text": "三号楼"}))
    await town.say(supplied, waiting, "deputy", person=DEPUTY, at=START + timedelta(hours=2))
    assert await redated(other) == 0
    rows = await town.inside.rows("SELECT DISTINCT calendar FROM cases")
    assert [row["calendar"] for row in rows] == ["other"]


async def test_triage_and_answers_that_nobody_closes_fall_due_one_after_the_other(town: Town) -> None:
    lying = await town.file(UNCLEAR)
    filed = [one["data"] for one in await town.inside.sent("case.filed")]
    assert [one["unrouted"] for one in filed] == [True]
    answered = await town.file()
    await town.housing(cases.AnswerCase(result="solved", text="已修复"), answered)
    await town.until(START + timedelta(days=60))
    assert await town.steps(lying) == ["filed", "triage-late"]
    assert await town.steps(answered) == ["filed", "routed", "answered", "close-reminded", "close-late"]
    await town.staff(cases.DeclineConcern(reason="不属于受理范围"), lying)
    await town.staff(cases.CloseCase(), answered)
    assert (await town.due(lying)).keys() | (await town.due(answered)).keys() == {"rating"}


async def test_figures_are_those_of_an_area_keep_what_was_late_and_refuse_the_past(town: Town) -> None:
    waits, fine, _, lying = (
        await town.file(),
        await town.file(),
        await town.file(county=JIANGBEI, at=NOW),
        await town.file(UNCLEAR),
    )
    late = START + timedelta(days=30)
    for case_id, at in ((waits, late), (fine, START)):
        await town.housing(cases.AcceptCase(), case_id)
        await town.housing(cases.AskFiler(text="在哪里"), case_id, at)
    _, told = await town.inside.ask("/overview", org=HAISHU, filed_from=START.isoformat())
    assert told["whole"]["overdue"] == 1
    _, listed = await town.inside.ask("/cases", org=HAISHU, overdue="true")
    assert [one["id"] for one in listed["items"]] == [str(waits)]
    _, body = await town.inside.ask("/indicators", org=HAISHU)
    on_time = {one["key"]: one for one in body["indicators"]}["cases-answered-on-time"]
    assert (on_time["numerator"], on_time["denominator"]) == (0, 1)
    assert {reason: one["number"] for reason, one in on_time["excluded"].items()} == {
        "waiting": 1,
        "not-routed": 1,
    }
    supplied = cases.SupplyCase(sealed=Sealer(town.inside.opener.public_jwk).seal({"text": "三号楼"}))
    await town.say(supplied, waits, "deputy", person=DEPUTY, at=late)
    await town.housing(cases.AnswerCase(result="solved", text="已修复"), waits, late)
    await town.staff(cases.ReopenCase(reason="仍积水"), waits, late)
    await town.housing(cases.AnswerCase(result="solved", text="已修复"), waits, late)
    _, body = await town.inside.ask("/indicators", org=HAISHU)
    on_time = {one["key"]: one for one in body["indicators"]}["cases-answered-on-time"]
    assert (on_time["numerator"], on_time["denominator"]) == (0, 1)
    figures = {
        org: (await town.inside.ask("/figures", org=org))[1] for org in ("3302", HAISHU, JIANGBEI, "330212")
    }
    assert {org: one["filed"] for org, one in figures.items()} == {
        "3302": 4,
        HAISHU: 3,
        JIANGBEI: 1,
        "330212": 0,
    }
    assert (await town.inside.ask("/figures", "operator"))[1]["filed"] == 4
    for path in ("/overview", "/indicators"):
        status, problem = await town.inside.ask(path, as_of=(NOW - timedelta(days=1)).isoformat())
        assert (status, problem["code"]) == (422, "as-of-past")
        assert (await town.inside.ask(path, as_of=(NOW + timedelta(days=1)).isoformat()))[0] == 200
    assert lying


async def test_models_learn_what_was_confirmed_or_corrected_and_nothing_that_is_in_doubt(town: Town) -> None:
    office = "INSERT INTO departments VALUES ('office', 1, '[]', '[]', 'active')"
    await town.inside.rows(office)
    sure, doubted, corrected, untouched = [await town.file() for _ in range(4)]
    unclear, later = (
        await town.file(UNCLEAR),
        await town.file("路口窨井盖破损，下水道积水，护栏松动。", at=NOW),
    )
    await town.staff(cases.TransferCase(department="office", reason="职责"), doubted)
    await town.staff(cases.TransferCase(department="office", reason="职责", category="教育文体"), corrected)
    await town.staff(cases.RouteCase(department="office", category="卫生计生"), unclear)
    await town.housing(cases.AcceptCase(), sure)
    await town.housing(cases.AcceptCase(), later, NOW)
    for case_id in (doubted, corrected, unclear):
        await town.say(cases.AcceptCase(), case_id, "department", org="office", person="department:office")
    assert untouched

    async def learnt(**how: int) -> list[Message]:
        async with town.inside.engine.connect() as connection:
            return await confirmed(connection, town.inside.opener, read_words, **how)

    labels = sorted(["城乡建设", "城乡建设", "教育文体", "卫生计生"])
    assert sorted(str(one.label) for one in await learnt()) == labels
    few = {str(one.label): one for one in await learnt(most=3, least=1)}
    assert sorted(few) == sorted(set(labels)), "of each category one, also of the rare ones"
    assert "松动" in few["城乡建设"].words, "the newest"


async def test_a_lesson_that_makes_no_model_is_noted_and_there_is_one_at_a_time(town: Town) -> None:
    async def learn() -> str:
        with pytest.raises(Refusal) as refused:
            await learning.learn(town.inside.engine, town.inside.opener, read_words, None)
        return refused.value.code

    async with town.inside.engine.connect() as other:
        await other.execute(select(func.pg_advisory_lock(func.hashtext("cases.learning"))))
        assert await learn() == "learning-elsewhere"
        await other.invalidate()
    assert await learn() == await learn() == "routing-not-trainable"
    lessons = await town.inside.rows("SELECT confirmed, model FROM routing_lessons")
    assert lessons == [{"confirmed": 0, "model": None}] * 2


async def test_a_resident_sees_the_parts_split_off_and_by_when_the_parent_is_answered(town: Town) -> None:
    mine, part = uuid4(), uuid4()
    sealer = Sealer(town.inside.opener.public_jwk)
    concern = cases.SubmitConcern(
        sealed=sealer.seal({"title": "井盖", "text": "路口窨井盖破损，下水道积水。"}),
        deputy_id=DEPUTY,
        county=HAISHU,
        receipt="0" * 12,
        follow=FOLLOW,
        consent="2026-11",
    )
    await town.staff(concern, mine)

    async def seen() -> Any:
        status, body = await town.inside.ask(
            "/concerns/seen", "intake", person="gateway:intake", body={"follow": FOLLOW}
        )
        assert status == 200, body
        return body["concern"]

    assert (await seen())["parts"] == []
    words = sealer.seal({"title": "路灯", "text": "路灯不亮。"})
    split = cases.SplitCase(sealed=words, out_of=mine, category="城乡建设", reason="另一件事")
    await town.staff(split, part)
    assert [one["state"] for one in (await seen())["parts"]] == ["routed"]
    assert (await town.steps(mine))[-1] == "split"
    rows = await town.inside.rows("SELECT text FROM case_steps WHERE step = 'split'")
    assert [row["text"] for row in rows] == ["另一件事"]
    parent = await town.file(at=START + timedelta(days=20))
    before = (await seen())["answer_by"]
    await town.staff(cases.MergeCase(into=parent), mine, START + timedelta(days=21))
    _, whole = await town.inside.ask(f"/cases/{parent}")
    assert (await seen())["answer_by"] == whole["answer_by"] != before
