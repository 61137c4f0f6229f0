"""What staff found themselves: filed in their own area, handled like any case, and nobody's points."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest_asyncio

from deploy.local.stack import LocalStack
from shared.contracts import cases
from shared.contracts.registry import Role
from shared.security.sealing import Sealer
from shared.testing.issuer import Issuer
from shared.testing.messages import message
from tests.cases_inside import Inside, cases_inside

SHARES_STACK = True
START = datetime(2022, 3, 1, 1, tzinfo=UTC)
COUNTY, TOWN, OTHER_TOWN = "330203", "330203001", "330203002"


@pytest_asyncio.fixture(scope="module")
async def there(stack: LocalStack, issuer: Issuer) -> AsyncIterator[Inside]:
    async with cases_inside(stack, issuer, now=START + timedelta(days=1)) as found:
        yield found


async def test_staff_file_in_their_own_area_and_see_it_through_without_a_rating(there: Inside) -> None:
    hours = 0

    async def said(data: Any, subject: UUID, *, role: Role = "staff", org: str | None = TOWN) -> str:
        nonlocal hours
        hours += 1
        at = START + timedelta(hours=hours)
        (outcome,) = await there.tell(there.command(data, subject, role, org=org, at=at))
        return outcome

    def filing(**more: Any) -> cases.FileCase:
        sealed = Sealer(there.opener.public_jwk).seal({"title": "检查发现", "text": "消防通道被堵。"})
        found = {"county": COUNTY, "town": TOWN, "category": "城乡建设", "origin": "staff", **more}
        return cases.FileCase(sealed=sealed, **found)

    assert await said(filing(town=OTHER_TOWN), uuid4()) == "not-your-area"
    assert await said(filing(town=None), uuid4()) == "not-your-area", "a county is more than its town"
    assert await said(filing(origin="own"), uuid4()) == "role-not-allowed"
    assert await said(filing(), uuid4(), role="deputy") == "role-not-allowed"
    case = uuid4()
    assert await said(filing(), case) == "accepted"
    (fact,) = await there.sent("case.filed")
    assert (fact["data"]["deputy_id"], fact["data"]["origin"]) == (None, "staff")

    async def reply(data: Any) -> None:
        nonlocal hours
        hours += 1
        told = message(data, subject=case, time=START + timedelta(hours=hours))
        await there.feed("department.housing.replies", [told])
        await there.pump()

    await reply(cases.AcceptCase())
    await reply(cases.AskFiler(text="哪一幢？"))
    supply = cases.SupplyCase(sealed=Sealer(there.opener.public_jwk).seal({"text": "三幢。"}))
    assert await said(supply, case, role="deputy") == "not-your-case"
    assert await said(supply, case, org=OTHER_TOWN) == "not-your-case"
    assert await said(supply, case) == "accepted", "any colleague of the place does"
    await reply(cases.AnswerCase(result="solved", text="已清理。"))
    assert await said(cases.CloseCase(), case) == "accepted"
    assert await said(cases.RateCase(stars=5), case, role="deputy") == "not-your-case"

    listed = (await there.ask("/cases", org=TOWN, origin="staff"))[1]["items"]
    assert [(one["id"], one["deputy_id"], one["state"]) for one in listed] == [(str(case), None, "closed")]
    figures = (await there.ask("/indicators", org=TOWN))[1]["indicators"]
    told = {one["key"]: one for one in figures}
    assert (told["cases-solved"]["numerator"], told["cases-solved"]["denominator"]) == (1, 1)
    assert told["cases-satisfied"]["denominator"] == 0
    assert {why: one["number"] for why, one in told["cases-satisfied"]["excluded"].items()} == {
        "nobody-rates": 1
    }
