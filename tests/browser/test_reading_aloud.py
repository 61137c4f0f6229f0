"""Pages of one thing, and those of a department, read by axe: what the lists of pages elsewhere leave out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import DESK, NARROW, Visit, open_at, sign_in
from tests.browser.test_phone import SMALL
from tests.browser.town import DEPUTY, HOUSING, Town

pytestmark = pytest.mark.timeout(600, func_only=True)


async def _things_of_a_deputy(town: Town) -> dict[str, str]:
    """A page of one thing of each kind that a deputy opens, and the list of duties."""
    case = (await town.done("GET", "/api/cases", DEPUTY))["items"][0]["id"]
    content = {"title": "关于增设盲道的建议", "text": "请分段实施。", "kind": "suggestion"}
    motion = (await town.done("POST", "/api/motions", DEPUTY, content))["id"]
    found = {"case": f"/cases/{case}", "motion": f"/motions/{motion}", "duties": "/duties"}
    for hall, page in (
        ("activities", "activities"),
        ("consultations", "consultations"),
        ("courses", "school"),
    ):
        one = (await town.done("GET", f"/api/{hall}", DEPUTY))["items"][0]["id"]
        found[f"{hall}-one"] = f"/{page}/{one}"
    return found


async def test_one_thing_of_each_kind_is_accessible_on_the_phone_in_both_sizes(
    deputy: Visit, town: Town
) -> None:
    faults: dict[str, list[str]] = {}
    for name, path in (await _things_of_a_deputy(town)).items():
        for size, large in (("", "no"), ("-large", "yes")):
            await deputy.page.evaluate(f"localStorage.setItem('daibiaotong.large', '{large}')")
            await deputy.open(path)
            await deputy.picture(f"phone-{name}{size}")
            found = await deputy.axe()
            found += await deputy.page.evaluate(SMALL) if large == "yes" else []
            faults[name + size] = found
    assert {name: found for name, found in faults.items() if found} == {}


@pytest.mark.parametrize("size", ["desk", "narrow"])
async def test_the_departments_pages_are_accessible_in_both_sizes(
    size: str, town: Town, visiting: Callable[..., Any]
) -> None:
    case = (await town.done("GET", "/api/cases", HOUSING))["items"][0]["id"]
    pages = {"cases": "/cases", "case": f"/cases/{case}", "motions": "/motions"}
    async with visiting(**(DESK if size == "desk" else NARROW)) as visit:
        await sign_in(visit, HOUSING)
        faults: dict[str, list[str]] = {}
        for name, path in pages.items():
            await open_at(visit, path)
            await visit.picture(f"department-{name}-{size}")
            faults[name] = await visit.axe()
        assert {name: found for name, found in faults.items() if found} == {}
