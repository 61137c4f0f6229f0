"""Storm day: two hundred reports of one place become one case, answered once, and every filer hears of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest_asyncio

from deploy.local.stack import LocalStack
from services.notify.domain import Notice, OnePerson
from services.notify.handlers import case_closed, case_progressed
from shared.contracts import cases
from shared.contracts.envelope import Envelope
from shared.messaging.received import Position, Received
from shared.testing.issuer import Issuer
from shared.testing.messages import message
from tests.cases_inside import Inside, cases_inside

SHARES_STACK = True
START = datetime(2022, 7, 25, 1, tzinfo=UTC)
COUNTY, TOWN, OTHER_TOWN = "330203", "330203001", "330203002"
REPORTS = 200
WHERE = ("南门街道环城西路柳汀街路口", "环城西路与柳汀街交叉口", "柳汀街和环城西路的十字路口")
WHAT = (
    "下水道窨井盖被水冲走，路面塌陷一个大坑",
    "窨井盖被水冲走了，塌陷的坑很大",
    "路面塌陷，窨井盖冲走，有个大坑",
)
SO = (
    "车辆行人都很危险，请马上派人处理。",
    "老人小孩经过很危险，请尽快处理。",
    "很危险，希望马上派人围起来。",
)


def reported(number: int) -> str:
    return f"{WHERE[number % 3]}{WHAT[number // 3 % 3]}，{SO[number // 9 % 3]}"


@pytest_asyncio.fixture(scope="module")
async def there(stack: LocalStack, issuer: Issuer) -> AsyncIterator[Inside]:
    async with cases_inside(stack, issuer, now=START + timedelta(hours=5)) as found:
        yield found


async def shown(there: Inside, case_id: UUID, deputy: UUID) -> dict[str, Any]:
    status, body = await there.ask(f"/cases/{case_id}", "deputy", person=deputy)
    assert status == 200
    return dict(body)


def as_received(told: dict[str, Any], data: Any) -> Received[Any]:
    envelope = Envelope.model_validate(told)
    position = Position(envelope.type, 0, 0, envelope.time)
    return Received(envelope, data, position, b"", b"", envelope.time, is_command=False)


async def test_two_hundred_reports_become_one_case_answered_once_and_every_filer_hears_of_it(
    there: Inside,
) -> None:
    reports = {uuid4(): uuid4() for _ in range(REPORTS)}
    strangers = {uuid4(): uuid4() for _ in range(4)}
    filings = [
        there.filing(
            case, reported(n), deputy=deputy, at=START + timedelta(seconds=n), county=COUNTY, town=TOWN
        )
        for n, (case, deputy) in enumerate(reports.items())
    ]
    filings += [
        there.filing(case, text, deputy=deputy, at=START, county=COUNTY, town=town)
        for (case, deputy), (text, town) in zip(
            strangers.items(),
            [
                ("小区停电已经两天，冰箱里的东西都坏了。", TOWN),
                ("台风吹倒了行道树，压住了非机动车道。", TOWN),
                (reported(0), OTHER_TOWN),
                ("广场舞音响太吵。", TOWN),
            ],
            strict=True,
        )
    ]
    assert set(await there.tell(*filings)) == {"accepted"}
    await there.index()

    status, body = await there.ask("/case-clusters", org=COUNTY)
    assert status == 200
    (cluster,) = body["items"]
    assert (cluster["size"], cluster["town"], cluster["title"]) == (REPORTS, TOWN, "反映")
    assert {one["id"] for one in cluster["cases"]} == {str(case) for case in reports}
    some = [one["id"] for one in cluster["cases"]][:100]
    _, body = await there.ask("/cases", org=COUNTY, among=",".join(some), size=100)
    titles = {one["id"]: one["title"] for one in body["items"]}
    assert titles == dict.fromkeys(some, "反映"), "so that staff see what belongs together"
    parent = UUID(cluster["parent"])
    others = [case for case in reports if case != parent]

    clerk, later = uuid4(), START + timedelta(hours=1)
    gathering = cases.GatherCases(cases=tuple(others), reason="同一处塌陷")
    assert await there.tell(there.command(gathering, parent, "staff", person=clerk, at=later)) == ["accepted"]
    assert (await there.ask("/case-clusters", org=COUNTY))[1]["items"] == []
    related = (await there.ask(f"/cases/{parent}"))[1]["related"]
    assert {one["id"] for one in related} == {str(case) for case in others}
    step = (await shown(there, others[0], reports[others[0]]))["steps"][-1]
    assert (step["step"], step["actor"], step["text"]) == ("merged", str(clerk), "同一处塌陷"), (
        "who did it stays known"
    )

    answer = cases.AnswerCase(result="solved", text="已围挡并修复塌陷路面。")
    said = message(answer, subject=parent, time=START + timedelta(hours=2))
    await there.feed("department.housing.replies", [said])
    await there.pump()
    told = [one for one in await there.sent("case.progressed") if one["data"]["step"] == "informed"]
    assert {one["data"]["case_id"]: one["data"]["deputy_id"] for one in told} == {
        str(case): str(reports[case]) for case in others
    }, "each filer is told once"
    assert len(told) == len(others)
    closing = there.command(
        cases.CloseCase(), parent, "deputy", person=reports[parent], at=START + timedelta(hours=3)
    )
    assert await there.tell(closing) == ["accepted"]
    closed = await there.sent("case.closed")
    assert {one["data"]["case_id"] for one in closed} == {str(case) for case in reports}
    assert len(closed) == len(reports)

    heard: list[tuple[dict[str, Any], Callable[[Any], tuple[Notice, ...]], type[cases.CaseFact]]] = [
        (told[0], case_progressed, cases.CaseProgressed),
        (closed[-1], case_closed, cases.CaseClosed),
    ]
    for one, noticed, data in heard:
        (notice,) = noticed(as_received(one, data.model_validate(one["data"])))
        assert notice.to == OnePerson(one["data"]["deputy_id"])
    mine = await shown(there, others[7], reports[others[7]])
    assert (mine["state"], mine["result"]) == ("closed", "solved")
    assert mine["answer"] == answer.text, "the receipt of a filer whose case was merged has the answer"
    rating = there.command(
        cases.RateCase(stars=5), others[7], "deputy", person=reports[others[7]], at=START + timedelta(hours=4)
    )
    assert await there.tell(rating) == ["accepted"]
    for case, deputy in strangers.items():
        assert (await shown(there, case, deputy))["state"] in ("triage", "routed")


async def test_gathering_says_what_is_wrong_and_leaves_what_is_finished_alone(there: Inside) -> None:
    one, two, gone = uuid4(), uuid4(), uuid4()
    deputy = uuid4()
    texts = ["路灯不亮，晚上很黑。"] * 3
    filings = [
        there.filing(case, text, deputy=deputy, at=START, county=COUNTY)
        for case, text in zip((one, two, gone), texts, strict=True)
    ]
    await there.tell(*filings)
    at = START + timedelta(hours=1)
    await there.tell(there.command(cases.WithdrawCase(), gone, "deputy", person=deputy, at=at))

    async def gathered(parent: UUID, *others: UUID, role: Any = "staff") -> str:
        (said,) = await there.tell(
            there.command(cases.GatherCases(cases=others), parent, role, person=deputy, at=at)
        )
        return said

    assert await gathered(one, two, role="deputy") == "role-not-allowed"
    assert await gathered(one, uuid4(), two) == "parent-unknown"
    assert await gathered(one, one) == "parent-unknown"
    assert await gathered(uuid4(), one) == "case-unknown"
    assert await gathered(one, gone) == "nothing-to-gather"
    assert await gathered(gone, one) == "parent-not-open"
    assert await gathered(one, two, gone, two) == "accepted"
    assert await gathered(two, one) == "parent-not-open"
    states = {case: (await shown(there, case, deputy))["state"] for case in (one, two, gone)}
    assert (states[two], states[gone]) == ("merged", "withdrawn")


async def test_an_answer_reaches_reports_that_were_merged_twice_and_each_answer_once(there: Inside) -> None:
    deputy, at = uuid4(), START
    whole, part, small = uuid4(), uuid4(), uuid4()
    await there.tell(
        *(there.filing(c, "窨井盖坏了。", deputy=deputy, at=at, county=COUNTY) for c in (whole, part, small))
    )
    for child, into in ((small, part), (part, whole)):
        merging = there.command(cases.MergeCase(into=into), child, "staff", at=at)
        assert await there.tell(merging) == ["accepted"]
    for text in ("第一次答复", "第二次答复"):
        said = message(cases.AnswerCase(result="explained", text=text), subject=whole, time=at)
        await there.feed("department.housing.replies", [said])
        await there.pump()
        for case in (whole, part, small):
            assert (await there.ask(f"/cases/{case}", "deputy", person=deputy))[1]["answer"] == text
        if text == "第一次答复":
            again = there.command(cases.ReopenCase(reason="没好"), whole, "deputy", person=deputy, at=at)
            assert await there.tell(again) == ["accepted"]
    steps = [s["step"] for s in (await shown(there, small, deputy))["steps"]]
    assert steps.count("informed") == 2
