"""A case in the console: why it went where it went, and its photos."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import FilePayload, expect

from shared.testing.wait import wait_until
from tests.browser.test_console import DESK, open_at, sign_in
from tests.browser.town import HOUSING, PATIENCE, STAFF, Town
from tests.photo_files import photo

pytestmark = pytest.mark.timeout(300, func_only=True)

_WHY = "类别“城乡建设”由提交人选定；该单位负责全市"


async def test_why_a_case_was_routed_is_said_in_the_pages_language_in_its_way_and_in_triage(
    town: Town, visiting: Callable[..., Any]
) -> None:
    case_id = await town.file("派单依据说中文", "桥头护栏松动，请加固。")
    await town.done("POST", f"/api/cases/{case_id}/accept", HOUSING)
    wanted = {"days": 5, "reason": "护栏构件需要定制。"}
    await town.done("POST", f"/api/cases/{case_id}/extension", HOUSING, wanted)
    async with visiting(**DESK) as visit:
        await sign_in(visit, STAFF)
        page = await open_at(visit, f"/cases/{case_id}")
        await expect(page.locator(".way").get_by_text(_WHY)).to_be_visible()
        await page.get_by_text("派单依据", exact=True).click()
        await expect(page.locator("aside").get_by_text(_WHY)).to_be_visible()
        assert "serves the whole city" not in await page.content()
        await open_at(visit, "/triage?of=extension")
        await page.get_by_role("button", name="派单依据说中文").click()
        await expect(page.get_by_text(_WHY)).to_be_visible()
        await expect(page.get_by_text("护栏构件需要定制。")).to_be_visible()
        await page.get_by_role("button", name="English").click()
        await expect(page.get_by_text("the department serves the whole city")).to_be_visible()


async def test_a_department_sees_a_cases_photos_and_answers_with_photos_of_its_own(
    town: Town, visiting: Callable[..., Any]
) -> None:
    _, uploaded = await town.upload(photo(colour="red"), "B1")
    case_id = await town.file("答复附照片", "楼顶渗水，照片附后。", photos=[uploaded["digest"]])
    await town.done("POST", f"/api/cases/{case_id}/accept", HOUSING)
    async with visiting(**DESK) as visit:
        await sign_in(visit, HOUSING)
        page = await open_at(visit, f"/cases/{case_id}")
        thumbnails = page.locator(".case-photos img")
        await expect(thumbnails).to_have_count(1)
        await thumbnails.first.click()
        await expect(page.locator(".el-image-viewer__img")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator(".el-image-viewer__img")).to_have_count(0)

        await page.get_by_role("button", name="答复", exact=True).click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("答复内容").fill("已重做防水层，照片附后。")
        files: list[FilePayload] = [
            {"name": f"{colour}.jpg", "mimeType": "image/jpeg", "buffer": photo(colour=colour)}
            for colour in ("green", "blue")
        ]
        await dialog.locator("input[type=file]").set_input_files(files)
        await expect(dialog.locator(".photos li.done")).to_have_count(2)
        await visit.picture("console-answer-photos")
        assert await visit.axe() == []
        await dialog.get_by_role("button", name="提交").click()

        async def kept() -> bool:
            found = (await town.done("GET", f"/api/cases/{case_id}", HOUSING))["photos"]
            return [one["state"] for one in found] == ["kept"] * 3

        await wait_until(kept, what="the photos being kept", seconds=PATIENCE, every=0.2)
        await expect(thumbnails).to_have_count(3)
        await expect(page.locator(".way .case-photos img")).to_have_count(2)
        await visit.picture("console-case-photos")
        assert await visit.axe() == []
