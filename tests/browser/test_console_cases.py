"""A case in the console: why it went where it went, its photos and its documents."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import FilePayload, Route, expect

from shared.testing.wait import wait_until
from tests.browser.conftest import Visit, choose_radio
from tests.browser.test_console import DESK, open_at, sign_in
from tests.browser.town import DEPUTY, HOUSING, PATIENCE, STAFF, Town
from tests.document_files import document, legible, secrets
from tests.photo_files import HTML, photo

pytestmark = pytest.mark.timeout(600, func_only=True)

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
        # both dates by their names, each with its reason, and who did what
        facts = page.locator("aside .facts")
        await expect(facts).to_contain_text("签收期限")
        await expect(facts).to_contain_text("答复期限")
        await page.get_by_text("签收期限依据", exact=True).click()
        await expect(page.locator("aside details", has_text="签收期限依据")).to_contain_text("1个工作日")
        for what, who in (("提交", "人大代表 方玲"), ("派单", "系统"), ("签收", "市住房和城乡建设局")):
            step = page.locator(".way li", has=page.locator(f"strong:text-is('{what}')"))
            await expect(step).to_contain_text(f"{who} · ")
        await visit.picture("console-case-dates")
        await open_at(visit, "/triage?of=extension")
        await page.get_by_role("button", name="派单依据说中文").click()
        await expect(page.get_by_text(_WHY)).to_be_visible()
        await expect(page.get_by_text("护栏构件需要定制。")).to_be_visible()
        await page.get_by_role("button", name="English").click()
        await expect(page.get_by_text("the department serves the whole city")).to_be_visible()


async def test_a_page_goes_on_hearing_of_changes_after_its_access_token_has_expired(
    town: Town, visiting: Callable[..., Any]
) -> None:
    case_id = await town.file("断线之后仍然听得到", "候车亭顶棚漏雨，请修补。")
    async with visiting(**DESK) as visit:
        await sign_in(visit, HOUSING)
        visit.expected += ["ERR_FAILED", "401"]
        await visit.context.route("**/api/events", lambda route: route.abort())  # as without a network
        page = await open_at(visit, f"/cases/{case_id}")
        streams: list[int] = []
        page.on(
            "response", lambda said: streams.append(said.status) if said.url.endswith("/api/events") else None
        )
        await visit.context.clear_cookies(name="daibiaotong_session")
        await visit.context.unroute("**/api/events")

        async def heard_again() -> bool:
            return streams[-1:] == [200]

        await wait_until(heard_again, what="a stream under a new token", seconds=PATIENCE, every=0.2)
        assert streams[0] == 401
        await expect(page.get_by_role("button", name="签收")).to_be_visible()
        await town.done("POST", f"/api/cases/{case_id}/accept", HOUSING)
        await expect(page.get_by_role("button", name="签收")).to_have_count(0)


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
        await dialog.locator(".photos input[type=file]").set_input_files(files)
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


async def test_a_department_answers_with_a_document_and_the_deputy_downloads_it_on_the_phone(
    deputy: Visit, town: Town, visiting: Callable[..., Any]
) -> None:
    case_id = await town.file("答复附文件", "请把检测报告附上。")
    await town.done("POST", f"/api/cases/{case_id}/accept", HOUSING)
    async with visiting(**DESK) as visit:
        visit.expected.append("415")
        await sign_in(visit, HOUSING)
        page = await open_at(visit, f"/cases/{case_id}")
        await page.get_by_role("button", name="答复", exact=True).click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("答复内容").fill("检测合格，报告附后。")
        files: list[FilePayload] = [
            {"name": "张三的报告.pdf", "mimeType": "application/pdf", "buffer": document("INSPECTION")},
            {"name": "网页.pdf", "mimeType": "application/pdf", "buffer": HTML},
        ]
        await dialog.locator(".documents input[type=file]").set_input_files(files)
        await expect(page.get_by_text("只能上传PDF")).to_be_visible()
        await expect(dialog.locator(".documents li.done")).to_have_text([re.compile("张三的报告")])
        await visit.picture("console-answer-documents")
        assert await visit.axe() == []
        await dialog.get_by_role("button", name="提交").click()

        async def kept() -> bool:
            found = (await town.done("GET", f"/api/cases/{case_id}", DEPUTY))["documents"]
            return [one["state"] for one in found] == ["kept"]

        await wait_until(kept, what="the document being kept", seconds=PATIENCE, every=0.2)
        await expect(page.get_by_role("link", name=re.compile("附件 1 · PDF · "))).to_be_visible()
        await visit.picture("console-case-documents")
        assert await visit.axe() == []

    page = await deputy.open(f"/cases/{case_id}")
    async with page.expect_download() as coming:
        await page.get_by_role("link", name=re.compile("附件 1 · PDF · ")).click()
    file = await coming.value
    assert "张三" not in file.suggested_filename
    content = await asyncio.to_thread(Path(await file.path()).read_bytes)
    assert b"INSPECTION" in legible(content)
    assert [mark for mark in secrets() if mark in legible(content)] == []
    await deputy.picture("phone-case-documents")
    assert await deputy.axe() == []


async def test_a_deputy_supplies_a_document_from_the_phone(deputy: Visit, town: Town) -> None:
    case_id = await town.file("补充附文件", "楼道漏水，材料可补。")
    await town.done("POST", f"/api/cases/{case_id}/accept", HOUSING)
    await town.done("POST", f"/api/cases/{case_id}/ask", HOUSING, {"text": "请补充检测报告。"})
    page = await deputy.open(f"/cases/{case_id}")
    await page.get_by_role("button", name="补充情况").click()
    await page.get_by_label("请写下需要补充的情况").fill("报告见附件。")
    report: FilePayload = {"name": "报告.pdf", "mimeType": "application/pdf", "buffer": document("SUPPLY")}
    await page.get_by_label("选择PDF文件").set_input_files(report)
    await expect(page.locator(".documents li.done")).to_have_count(1)
    await deputy.picture("phone-supply-documents")
    # The library's popup has an overlay and a cross without names.
    assert [fault for fault in await deputy.axe() if not fault.startswith("aria-command-name")] == []
    await page.get_by_role("button", name="确定").click()
    await expect(page.get_by_role("link", name=re.compile("附件 1 · PDF · "))).to_be_visible()
    assert len((await town.done("GET", f"/api/cases/{case_id}", HOUSING))["documents"]) == 1


async def test_staff_merge_a_case_split_a_part_off_and_name_who_helps(
    town: Town, visiting: Callable[..., Any]
) -> None:
    into = await town.file("并案的主件路灯", "中山路的路灯不亮，请修理。")
    report = await town.file("并入的路灯重复件", "中山路路灯又不亮了，另外垃圾桶也坏了。")
    async with visiting(**DESK) as visit:
        await sign_in(visit, STAFF)
        page = await open_at(visit, f"/cases/{report}")
        dialog = page.get_by_role("dialog")

        # a part becomes a case of its own
        await page.get_by_role("button", name="拆分").click()
        await dialog.get_by_label("拆出部分的情况说明").fill("中山路口的垃圾桶坏了。")
        await dialog.get_by_role("button", name="提交").click()
        await expect(dialog.get_by_role("alert")).to_have_text("请填写标题")
        await dialog.get_by_label("标题").fill("拆出来的垃圾桶")
        await dialog.get_by_label("为什么拆分").fill("归两个单位办理")
        await dialog.get_by_role("button", name="提交").click()
        await expect(page.get_by_role("heading", name="拆出来的垃圾桶")).to_be_visible()
        part = page.url.rsplit("/", 1)[-1]
        assert (await town.done("GET", f"/api/cases/{part}", STAFF))["split_from"] == report
        await page.get_by_role("link", name="由另一件督事拆分而来").click()

        # the rest is merged into the other, found by its title
        await expect(page.get_by_role("heading", name="并入的路灯重复件")).to_be_visible()
        await expect(page.get_by_text("归两个单位办理")).to_be_visible()
        await expect(page.get_by_role("link", name="由本件拆出的督事")).to_be_visible()
        await page.get_by_role("button", name="并案").click()
        await dialog.get_by_role("button", name="提交").click()
        await expect(dialog.get_by_role("alert")).to_have_text("请选择并入哪一件")
        await dialog.get_by_role("combobox", name="并入").fill("并案的主件路灯")
        await page.get_by_role("option", name=re.compile("^并案的主件路灯")).click()
        await visit.picture("console-merge")
        assert await visit.axe() == []
        await dialog.get_by_role("button", name="提交").click()
        await expect(page.locator("main .chip", has_text="已并案").first).to_be_visible()
        await page.get_by_role("link", name="已并入另一件督事").click()

        # and another department helps with it
        await expect(page.get_by_role("heading", name="并案的主件路灯")).to_be_visible()
        await expect(page.get_by_role("link", name="并入本件的督事")).to_be_visible()
        await page.get_by_role("button", name="确定会办").click()
        await dialog.get_by_role("combobox", name="会办单位").press("Enter")
        await page.get_by_role("option", name="市交通运输局").click()
        await page.keyboard.press("Tab")
        await dialog.get_by_role("button", name="提交").click()
        await expect(page.locator("aside .facts")).to_contain_text("市交通运输局")
    assert (await town.done("GET", f"/api/cases/{into}", STAFF))["co_handlers"] == ["transport"]


async def test_staff_gather_reports_of_one_matter_and_are_told_what_was_not_taken_in(
    town: Town, visiting: Callable[..., Any]
) -> None:
    into, report, answered = [
        await town.file(f"环城路塌陷{which}", f"环城路塌陷，{which}处。")
        for which in ("首报", "再报", "已答")
    ]

    async def grouped() -> bool:
        found = (await town.done("GET", "/api/case-clusters", STAFF))["items"]
        return any({into, report, answered} <= {case["id"] for case in one["cases"]} for one in found)

    await wait_until(grouped, what="the reports being found together", seconds=PATIENCE, every=0.2)
    async with visiting(**DESK) as visit:
        await sign_in(visit, STAFF)
        page = await open_at(visit, "/clusters")
        group = page.locator("section", has=page.get_by_role("link", name=re.compile("^环城路塌陷")))
        await visit.picture("console-clusters-found")
        # their titles are read when they are looked at; where that fails place, day and state stand there alone
        visit.expected.append("status of 503")
        titles = "**/api/cases?among=*"
        await page.route(titles, lambda route: route.fulfill(status=503, json={"code": "service-away"}))
        await group.get_by_role("button", name="查看并并案").press("Enter")
        looked_at = page.get_by_role("dialog")
        await expect(looked_at.get_by_role("alert").filter(has_text="标题没有加载出来")).to_be_visible()
        await expect(looked_at.get_by_role("checkbox", name=re.compile("^海曙区 · "))).to_have_count(2)
        await expect(looked_at.get_by_role("checkbox", name=re.compile("^环城路塌陷"))).to_have_count(
            1
        )  # the parent's came along
        await visit.picture("console-gather-untitled")
        await page.unroute(titles)
        await looked_at.get_by_role("button", name="重新加载").press("Enter")
        await expect(
            looked_at.get_by_role("checkbox", name=re.compile("^环城路塌陷(首报|再报|已答) · "))
        ).to_have_count(3)
        await page.keyboard.press("Escape")
        await open_at(visit, "/cases?q=环城路塌陷")
        await page.get_by_role("checkbox", name="勾选《环城路塌陷再报》").press("Space")
        await expect(page.get_by_text("已勾选1件")).to_be_visible()
        await page.get_by_role("button", name="勾选本页").press("Enter")
        await expect(page.get_by_text("已勾选3件")).to_be_visible()
        await visit.picture("console-cases-picked")
        assert await visit.axe() == []
        await town.answer(answered, "已修复。")  # meanwhile, so that it can no longer be merged
        await page.get_by_role("button", name="批量并案").press("Enter")
        dialog = page.get_by_role("dialog", name="批量并案")
        await expect(dialog.get_by_role("checkbox")).to_have_count(3)
        await dialog.get_by_role("combobox", name="主件").press("Enter")
        await page.get_by_role("option", name=re.compile("^环城路塌陷首报")).click()

        async def merged() -> bool:
            return bool((await town.done("GET", f"/api/cases/{report}", STAFF))["merged_into"] == into)

        async def once_merged(route: Route) -> None:
            """A busy service comes to it later than the page goes on looking."""
            await wait_until(merged, what="the report being merged", seconds=PATIENCE, every=0.2)
            await route.continue_()

        await page.route(f"**/api/cases/{into}", once_merged)
        await visit.picture("console-gather")
        assert await visit.axe() == []
        await dialog.get_by_role("button", name="并案", exact=True).press("Enter")
        asked = page.get_by_role("dialog", name="并案", exact=True)
        await expect(asked).to_contain_text("将2件督事并入《环城路塌陷首报》")
        await asked.get_by_role("button", name="并案").press("Enter")
        await expect(dialog).to_contain_text("已并入1件")
        await expect(dialog).to_contain_text("有1件没有并入")
        await expect(dialog.get_by_role("listitem")).to_have_text("环城路塌陷已答 现在是“已答复”，不能并入")
        await visit.picture("console-gathered")
        assert await visit.axe() == []
        await dialog.get_by_role("button", name="关闭").last.press("Enter")
        await expect(page.get_by_text("已勾选0件")).to_be_visible()
    assert (await town.done("GET", f"/api/cases/{report}", STAFF))["merged_into"] == into
    await town.answer(into, "已回填压实。")

    async def heard() -> bool:
        return bool((await town.done("GET", f"/api/cases/{report}", DEPUTY))["answer"] == "已回填压实。")

    await wait_until(heard, what="the answer at the report", seconds=PATIENCE, every=0.2)
    for one in (into, answered):
        await town.done("POST", f"/api/cases/{one}/close", STAFF, {})


async def test_staff_file_what_they_found_and_correct_its_category_as_they_transfer_it(
    town: Town, visiting: Callable[..., Any]
) -> None:
    async with visiting(**DESK) as visit:
        await sign_in(visit, STAFF)
        page = await open_at(visit, "/cases/new")
        await page.get_by_role("button", name="提交").click()
        await expect(page.get_by_text("请填写情况说明")).to_be_visible()
        await page.get_by_label("标题").fill("检查发现消防通道被堵")
        await page.get_by_label("情况说明").fill("三幢楼下的消防通道被杂物堵住。")
        await page.get_by_role("combobox", name="地点").press("Enter")
        await page.get_by_role("option", name="高桥镇").click()
        await page.get_by_role("combobox", name="类别").press("Enter")
        await page.get_by_role("option", name="城乡建设").click()
        await visit.picture("console-case-filing")
        assert await visit.axe() == []
        await page.get_by_role("button", name="提交").click()
        await expect(page.get_by_role("heading", name="检查发现消防通道被堵")).to_be_visible()
        await expect(page.locator("aside .facts")).to_contain_text("人大工作人员发现")
        await expect(page.get_by_role("button", name="撤回")).to_be_visible()
        case_id = page.url.rsplit("/", 1)[-1]

        await page.get_by_role("button", name="转办").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("combobox", name="承办单位").press("Enter")
        await page.get_by_role("option", name="市交通运输局").click()
        await dialog.get_by_role("combobox", name="类别").press("Enter")
        await page.get_by_role("option", name="卫生计生").click()  # not what that department handles
        await dialog.get_by_label("转办原因").fill("属于道路设施。")
        await visit.picture("console-transfer")
        assert await visit.axe() == []
        await dialog.get_by_role("button", name="提交").click()
        await expect(page.locator("aside .facts")).to_contain_text("卫生计生")
        await visit.picture("console-case-of-staff")
    found = await town.done("GET", f"/api/cases/{case_id}", STAFF)
    assert (found["department"], found["category"], found["deputy_id"]) == ("transport", "卫生计生", None)
    await town.done("POST", f"/api/cases/{case_id}/withdraw", STAFF, {})


async def test_staff_take_a_concern_down_for_a_resident_who_follows_it_by_the_link(
    town: Town, visiting: Callable[..., Any]
) -> None:
    async with visiting(**DESK) as visit:
        await sign_in(visit, STAFF)
        page = await open_at(visit, "/concerns/new")
        await page.get_by_label("标题").fill("来电反映井盖松动")
        await page.get_by_label("情况说明").fill("横街镇老街的井盖松动，夜里响。")
        await page.get_by_role("combobox", name="交给哪位代表或联络站").press("Enter")
        await page.get_by_role("option", name=re.compile("^高桥镇代表联络站")).click()
        await page.get_by_role("button", name="提交").click()
        await expect(page.get_by_text("请先读告知书，居民同意后打勾")).to_be_visible()
        await page.get_by_role("checkbox", name="已向居民读过告知书").press("Space")
        await page.get_by_role("button", name="提交").click()
        await expect(page.get_by_text("已登记并接收")).to_be_visible()
        await visit.picture("console-concern-taken-down")
        assert await visit.axe() == []
        link = await page.locator("dd", has_text="/f/").inner_text()
        await page.goto(link)
        await expect(page.get_by_text("来电反映井盖松动")).to_be_visible()
    (case,) = await town.cases_titled("来电反映井盖松动", STAFF)
    assert case["state"] in ("triage", "routed"), "taken up as it was taken down"


async def test_closing_a_case_is_asked_for_once_more(town: Town, visiting: Callable[..., Any]) -> None:
    case_id = await town.file("办结前要问一声", "请办理后答复。")
    await town.answer(case_id, "已办理。")
    async with visiting(**DESK) as visit:
        await sign_in(visit, STAFF)
        page = await open_at(visit, f"/cases/{case_id}")
        await page.get_by_role("button", name="办结").click()
        await page.get_by_role("dialog").get_by_role("button", name="取消").click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        assert (await town.done("GET", f"/api/cases/{case_id}", STAFF))["state"] == "answered"
        await page.get_by_role("button", name="办结").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_role("radio", name="已解决")).to_be_checked()  # as the department says
        await choose_radio(dialog, "未解决")
        await visit.picture("console-closing")
        assert await visit.axe() == []
        await dialog.get_by_role("button", name="办结").click()
        await expect(page.locator("main .chip", has_text="已办结").first).to_be_visible()
        await expect(page.locator("main .chip", has_text="未解决").first).to_be_visible()
        step = page.locator(".way li", has=page.locator("strong:text-is('办结')"))
        await expect(step).to_contain_text("人大工作者 石磊 · ")
        await page.get_by_role("button", name="转为民生实事线索").click()
        await page.get_by_role("dialog").get_by_label("为什么应列入民生实事").fill("多地反映。")
        await page.get_by_role("dialog").get_by_role("button", name="提交").click()
        await expect(page.locator("dd", has_text="已转为民生实事线索")).to_contain_text("多地反映。")
