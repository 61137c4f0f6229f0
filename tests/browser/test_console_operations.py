"""An operator at the console: dead letters over all services, and what comes of a replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import expect

from shared.testing.wait import wait_until
from tests.browser.test_console import DESK, open_at, sign_in
from tests.browser.town import PATIENCE, STAFF, Town
from tests.conftest import started_producer

pytestmark = pytest.mark.timeout(300, func_only=True)


async def test_an_operator_finds_a_dead_letter_and_hands_it_in_again(
    town: Town, visiting: Callable[..., Any]
) -> None:
    producer = await started_producer(town.suite.stack, "gateway")
    try:
        await producer.send_and_wait("notify.commands", b"{this is no message", key=b"k")
    finally:
        await producer.stop()

    async def buried() -> bool:
        return bool(await town.done("GET", "/api/operations/notify/dead-letters", "operator"))

    await wait_until(buried, what="the dead letter", seconds=PATIENCE, every=0.2)
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
        row = page.get_by_role("row").filter(has_text="notify.commands/")
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
