"""An operator at the console: dead letters over all services, and what comes of a replay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from playwright.async_api import expect

from shared.testing.wait import wait_until
from tests.browser.conftest import DESK, Visit, open_at, sign_in
from tests.browser.town import CHINA, OTHER_DEPUTY, PATIENCE, STAFF, Town
from tests.conftest import started_producer

pytestmark = pytest.mark.timeout(600, func_only=True)


async def bury(town: Town, *values: bytes) -> list[str]:
    """Send what is no message to notify; returns where each lies once all are dead letters, as the page writes it."""
    producer = await started_producer(town.suite.stack, "gateway")
    try:
        sent = [await producer.send_and_wait("notify.commands", value, key=b"k") for value in values]
    finally:
        await producer.stop()
    places = [f"{one.topic}/{one.partition}/{one.offset}" for one in sent]

    async def buried() -> bool:
        found = await town.done("GET", "/api/operations/notify/dead-letters?size=500", "operator")
        letters = {f"{one['topic']}/{one['partition']}/{one['offset']}" for one in found["items"]}
        return letters.issuperset(places)

    await wait_until(buried, what="the dead letters", seconds=PATIENCE, every=0.2)
    return places


async def sign_in_as_operator(visit: Visit, town: Town) -> None:
    await visit.page.goto(f"{visit.url}/console/sign-in")
    await visit.page.get_by_label("账号").fill("operator")
    await visit.page.get_by_text("我是运维人员").click()
    await visit.page.get_by_label("密码").fill(town.suite.secrets.get("operator"))
    await visit.page.get_by_role("button", name="登录").click()
    await expect(visit.page.get_by_role("link", name="死信")).to_be_visible()


async def test_an_operator_finds_a_dead_letter_and_hands_it_in_again(
    town: Town, visiting: Callable[..., Any]
) -> None:
    [place] = await bury(town, b"{this is no message")
    async with visiting(**DESK) as visit:
        page = visit.page
        await page.goto(f"{visit.url}/console/sign-in")
        await page.get_by_label("账号").fill("operator")
        await page.get_by_label("密码").fill("not the secret")
        await page.get_by_text("我是运维人员").click()
        visit.expected.append("401")
        await page.get_by_role("button", name="登录").click()
        await expect(page.get_by_role("alert")).to_have_text("客户端编号或密钥不对")
        await page.get_by_label("密码").fill(town.suite.secrets.get("operator"))
        await page.get_by_role("button", name="登录").click()
        await page.get_by_role("link", name="死信").click()
        row = page.get_by_role("row").filter(has=page.get_by_text(place, exact=True))
        await expect(row).to_contain_text("无法解码")
        await expect(row).to_contain_text("待处理")
        await visit.picture("console-letters")
        assert await visit.axe() == []
        await row.get_by_role("button", name="重放").click()
        await expect(row).to_contain_text("重放后仍不能处理")
        await expect(row.get_by_role("cell", name="2", exact=True)).to_be_visible()
        await page.get_by_role("combobox", name="服务").press("Enter")
        await page.get_by_role("option", name="学堂").click()
        await expect(page.get_by_text("没有死信")).to_be_visible()
        await expect(page).to_have_url(f"{visit.url}/console/letters?service=learning")
    async with visiting(**DESK) as visit:
        await sign_in(visit, STAFF)
        await open_at(visit, "/letters")
        await expect(visit.page.get_by_role("alert")).to_contain_text("您没有查看权限")
        await expect(visit.page.get_by_role("link", name="死信")).to_have_count(0)


async def test_what_a_fault_kept_out_is_handed_in_again_once_the_fault_is_mended(
    town: Town, visiting: Callable[..., Any]
) -> None:
    """A service that cannot write one duty for a while: the letter succeeds afterwards, and once only."""
    note = "一时写不进去的登记"

    def tell(sql: str) -> None:
        town.suite.stack.postgres.sql(sql, "participation")

    async def noted() -> int:
        return sum(
            duty["note"] == note for duty in (await town.done("GET", "/api/duties", OTHER_DEPUTY))["items"]
        )

    duty = {"kind": "research", "happened_on": (await town.now()).date().isoformat(), "note": note}
    tell(f"ALTER TABLE duties ADD CONSTRAINT fault CHECK (note <> '{note}')")
    try:
        status, _ = await town.ask("POST", "/api/duties", OTHER_DEPUTY, duty)
    finally:
        tell("ALTER TABLE duties DROP CONSTRAINT fault")
    assert status >= 400
    assert await noted() == 0
    async with visiting(**DESK) as visit:
        page = visit.page
        await sign_in_as_operator(visit, town)
        await open_at(visit, "/letters?service=participation&state=dead")
        await page.get_by_role("row").get_by_role("button", name="重放").click()
        await expect(page.get_by_text("重放成功").first).to_be_visible()
        await expect(page.get_by_text("没有死信")).to_be_visible()
        await open_at(visit, "/letters?service=participation")
        row = page.get_by_role("row").filter(has_text="participation.commands/")
        await expect(row).to_contain_text("已重放")
        await expect(row.get_by_role("button", name="重放")).to_have_count(0)
    assert await noted() == 1


async def test_dead_letters_stand_page_by_page_and_the_address_keeps_page_and_filters(
    town: Town, visiting: Callable[..., Any]
) -> None:
    await bury(town, *(f"{{no message either {number}".encode() for number in range(21)))
    dead = await town.done("GET", "/api/operations/notify/dead-letters?state=dead", "operator")
    total = dead["total"]  # with those of others, of which some were handed in again
    async with visiting(**DESK) as visit:
        page = visit.page
        await sign_in_as_operator(visit, town)
        rows = page.locator(".letters tbody tr")
        await open_at(visit, "/letters?service=notify&state=dead")
        await expect(rows).to_have_count(20)
        await expect(page.get_by_role("status").filter(has_text=f"共{total}封")).to_be_visible()
        first = await rows.nth(0).locator("code").inner_text()
        await page.locator(".pager").get_by_text("2", exact=True).click()
        await expect(page).to_have_url(f"{visit.url}/console/letters?service=notify&state=dead&page=2")
        await expect(rows).to_have_count(min(20, total - 20))
        await expect(page.locator(".letters").get_by_text(first, exact=True)).to_have_count(0)
        await page.reload()
        await expect(rows).to_have_count(min(20, total - 20))
        await open_at(visit, "/letters")
        await expect(rows).to_have_count(20)
        every: list[str] = []
        for name in ("identity", "cases", "participation", "learning", "evaluation", "notify"):
            path = f"/api/operations/{name}/dead-letters?size=500"
            every += [one["created_at"] for one in (await town.done("GET", path, "operator"))["items"]]
        newest = sorted(map(datetime.fromisoformat, every), reverse=True)
        shown = await rows.locator("td:nth-of-type(3)").all_inner_texts()
        expected = [f"{at.astimezone(CHINA):%H:%M}" for at in newest[:20]]
        assert [text[-5:] for text in shown] == expected
        await page.locator(".pager").get_by_text("2", exact=True).click()
        await expect(rows).to_have_count(min(20, len(newest) - 20))
        await page.get_by_role("combobox", name="状态").press("Enter")
        await page.get_by_role("option", name="重放中").click()
        await expect(page.get_by_text("没有死信")).to_be_visible()
        await expect(page).to_have_url(f"{visit.url}/console/letters?state=replaying")
