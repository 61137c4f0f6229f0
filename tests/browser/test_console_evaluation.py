"""Scores, activity, the rubric and the rules of routing in the console, and lists as files."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from openpyxl import load_workbook
from playwright.async_api import Locator, Page, expect

from shared.testing.wait import wait_until
from tests.browser.conftest import Visit, choose_radio
from tests.browser.test_console import DESK, open_at, sign_in
from tests.browser.town import DEPUTY, PATIENCE, STAFF, STATION, Town

pytestmark = pytest.mark.timeout(600, func_only=True)


@pytest_asyncio.fixture
async def staff(visiting: Callable[..., Any]) -> AsyncIterator[Visit]:
    async with visiting(**DESK) as visit:
        await sign_in(visit, STAFF)
        yield visit


async def kept(page: Page, press: Locator) -> tuple[str, bytes]:
    """The name and content of the file that a press brings."""
    async with page.expect_download() as coming:
        await press.click()
    file = await coming.value
    return file.suggested_filename, await asyncio.to_thread(Path(await file.path()).read_bytes)


async def test_activity_of_too_few_deputies_is_said_to_be_hidden_and_counties_open_their_towns_and_these_their_stations(
    staff: Visit,
) -> None:
    page = await open_at(staff, "/activity")
    row = page.get_by_role("row").filter(has_text="海曙区")
    await expect(row).to_contain_text("人数少，不单列")
    await expect(page.get_by_role("row").filter(has_text="合计")).to_contain_text("人数少，不单列")
    await staff.picture("console-activity-few")
    await row.get_by_role("link", name="海曙区").click()
    await expect(page).to_have_url(re.compile("county=330203"))
    await expect(page.get_by_role("heading", name="海曙区活跃率")).to_be_visible()
    await page.get_by_role("row").filter(has_text="高桥镇").get_by_role("link", name="高桥镇").click()
    await expect(page.get_by_role("heading", name="高桥镇活跃率")).to_be_visible()
    await expect(page.get_by_role("row").filter(has_text=STATION)).to_contain_text("人数少，不单列")
    await staff.picture("console-activity-stations")
    await page.get_by_role("link", name="返回海曙区").click()
    await expect(page.get_by_role("row").filter(has_text="高桥镇")).to_be_visible()
    await page.get_by_role("link", name="返回全市").click()
    await expect(page.get_by_role("heading", name="活跃率", exact=True)).to_be_visible()


async def test_activity_of_enough_deputies_is_told_as_bars_and_by_month_until_the_one_that_has_begun_in_china(
    visiting: Callable[..., Any], town: Town
) -> None:
    year = (await town.now()).year
    months = [f"{year}-{month:02d}" for month in range(1, 13)]

    async def many(route: Any) -> None:
        """What the service says of a city with more deputies than the town has."""
        places = [
            {"place": "330203", "deputies": 40, "active": [10] * 12},
            {"place": "330225", "deputies": 8, "active": None},
            {"place": None, "deputies": 3, "active": None},
        ]
        whole = {"deputies": 51, "active": [17] * 12}
        told = {"definition": {}, "months": months, "whole": whole, "places": places}
        await route.fulfill(json={"year": year, "county": None, "town": None, **told})

    async def first_of_april_in_china(route: Any) -> None:
        """March still in UTC, and where this browser is."""
        told = await (await route.fetch()).json()
        await route.fulfill(json={**told, "simulated": True, "now": f"{year}-03-31T17:00:00Z"})

    async with visiting(**DESK, timezone_id="America/New_York") as abroad:
        page = await sign_in(abroad, STAFF)
        await page.route("**/api/activity?*", many)
        await page.route("**/api/surroundings", first_of_april_in_china)
        await open_at(abroad, "/activity")
        await expect(page.get_by_role("columnheader", name=re.compile(r"^\d{4}-\d\d$"))).to_have_text(
            months[:4]
        )
        await expect(page.get_by_role("row").filter(has_text="海曙区")).to_contain_text("25%")
        await expect(page.get_by_role("row").filter(has_text="象山县")).to_contain_text("人数少，不单列")
        await expect(page.get_by_role("row").filter(has_text="合计")).to_contain_text("33.3%")
        await expect(page.locator(".bars canvas")).to_have_count(2)
        await expect(page.get_by_text("另有2处没有单列")).to_be_visible()
        name, content = await kept(page, page.get_by_role("button", name="导出表格"))
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
        assert name == f"activity-{year}.csv"
        assert [line[:3] for line in lines[1:3]] == [
            ["海曙区", "40", "25%"],
            ["象山县", "8", "人数少，不单列"],
        ]
        await abroad.picture("console-activity")
        assert await abroad.axe() == []


async def test_staff_uphold_an_appeal_with_the_right_points_and_dismiss_another_with_a_reason(
    staff: Visit, town: Town
) -> None:
    today = (await town.now()).date().isoformat()
    for reason in ("会议没有记上。", "没有依据的申诉。"):
        body = {"kind": "missing", "item": "duty-meeting", "happened_on": today, "reason": reason}
        await town.done("POST", "/api/appeals", DEPUTY, {**body, "evidence": f"appeal/{uuid4()}"})
    body = {"kind": "meeting", "happened_on": today, "note": "社区议事会"}
    fact = (await town.done("POST", "/api/duties", DEPUTY, body))["id"]
    page = await open_at(staff, "/appeals")
    row = page.get_by_role("row").filter(has_text="会议没有记上。")
    await expect(row).to_contain_text("没有记录")
    await row.get_by_role("button", name="采纳").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("核定说明").fill("已核对签到表。")
    await dialog.get_by_role("button", name="采纳").click()
    await expect(dialog.get_by_role("alert")).to_have_text("请填写核定分值")
    await dialog.get_by_label("核定分值").fill("2")
    await dialog.get_by_label("核定分值").fill("")
    await dialog.get_by_role("button", name="采纳").click()
    await expect(dialog.get_by_role("alert")).to_have_text("请填写核定分值")
    await dialog.get_by_label("核定分值").fill("1.5")
    await dialog.get_by_role("combobox", name="事实编号（duty_id）").fill("社区议事")
    await page.get_by_role("option", name="会议 社区议事会").click()
    await staff.picture("console-appeal")
    assert await staff.axe() == []
    await dialog.get_by_role("button", name="采纳").click()
    await expect(page.get_by_text("会议没有记上。")).to_have_count(0)
    await (
        page.get_by_role("row").filter(has_text="没有依据的申诉。").get_by_role("button", name="驳回").click()
    )
    await dialog.get_by_label("核定说明").fill("查无此事。")
    await dialog.get_by_role("button", name="驳回").click()
    await expect(page.get_by_text("没有依据的申诉。")).to_have_count(0)
    await open_at(staff, "/appeals?state=upheld")
    upheld = page.get_by_role("row").filter(has_text="会议没有记上。")
    await expect(upheld).to_contain_text("1.5分")
    await expect(upheld).to_contain_text(fact)
    await town.done("POST", f"/api/duties/{fact}/reject", STAFF, {"reason": "已按申诉核定"})
    await open_at(staff, "/appeals?state=dismissed")
    await expect(page.get_by_role("row").filter(has_text="没有依据的申诉。")).to_contain_text("查无此事。")


async def test_a_rubric_is_checked_line_by_line_tried_beside_the_present_and_adopted(
    staff: Visit, town: Town
) -> None:
    await town.scored()
    page = await open_at(staff, "/rubric")
    draft = page.get_by_label("草稿（YAML）")
    await expect(draft).to_have_value(re.compile(r"^name: ningbo\nversion: 2\n"))
    text = await draft.input_value()
    wrong = text.replace("category: supervision", "category: nothing", 1)
    await draft.fill(wrong)
    await page.get_by_role("button", name="检查").click()
    await expect(page.get_by_text("有1处错误")).to_be_visible()
    line = wrong[: wrong.index("category: nothing")].count("\n") + 1
    await page.get_by_role("button", name=f"第{line}行").click()
    chosen = await draft.evaluate("area => area.value.slice(area.selectionStart, area.selectionEnd)")
    assert chosen.strip() == "category: nothing"
    await expect(page.get_by_role("rowheader", name="没有这个类别")).to_be_visible()
    await staff.picture("console-rubric-flaw")
    assert await staff.axe() == []

    async def later(route: Any) -> None:
        """What a later service may say: a code that this page does not know, beside one that it does."""
        nested = {"code": "cap-above-longer", "values": {"short": "half-year", "long": "term"}}
        told = [
            {"code": "of-tomorrow", "values": {"day": "x"}, "path": "items.(a key)"},
            {**nested, "path": "the rubric"},
        ]
        flaws = [{"line": None, "reason": f"reason of {one['code']}", **one} for one in told]
        await route.fulfill(json={"rubric": None, "flaws": flaws})

    await page.route("**/api/rubric-checks", later)
    await page.get_by_role("button", name="检查").click()
    await expect(page.get_by_role("row", name="items.（某个键） reason of of-tomorrow")).to_be_visible()
    await expect(page.get_by_role("row", name="整个细则 半年的上限高于届的上限")).to_be_visible()
    await page.unroute("**/api/rubric-checks")

    # The cap too: the deputy's cases of all tests before this one may have reached it.
    better, raised = re.subn(r"(  case-filed:\n(?:    .*\n)*?    points: )1(?:\.0)?\n", r"\g<1>2\n", text)
    better, lifted = re.subn(r"(  case-filed:\n(?:    .*\n)*?    cap: )12(?:\.0)?\n", r"\g<1>24\n", better)
    assert (raised, lifted) == (1, 1)
    await draft.fill(better)
    await page.reload()  # the draft is still there
    await expect(draft).to_have_value(better)
    await page.get_by_role("button", name="与现行对比").click()
    found = page.locator("section", has_text="草稿与现行对比")
    await expect(found.get_by_role("row").filter(has_text="海曙区")).to_be_visible()
    by_occupation = found.get_by_role("region", name="按职业").get_by_role("row")
    await expect(by_occupation.filter(has_text="农民")).to_be_visible()
    await expect(by_occupation.filter(has_text="未填")).to_be_visible()
    await expect(found.get_by_role("row").filter(has_text="方玲")).to_contain_text("+")
    await staff.picture("console-rubric")
    assert await staff.axe() == []

    await page.get_by_role("button", name="启用", exact=True).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("这一年已有履职事实计分")
    await staff.picture("console-rubric-adopt")
    await dialog.get_by_role("button", name="确定").click()
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_role("row").filter(has_text="ningbo")).to_have_count(2)
    adopted = await town.done("GET", "/api/rubrics", STAFF)
    assert [one["version"] for one in adopted if one["name"] == "ningbo"] == [2, 1]
    # the next draft begins from what was adopted, though that is not in force yet
    await expect(draft).to_have_value(re.compile(r"^name: ningbo\nversion: 3\n(.*\n)*?    cap: 24"))
    await page.reload()
    await expect(draft).to_have_value(re.compile(r"^name: ningbo\nversion: 3\n"))
    # the same version again can begin on no day, and what to do is said
    await draft.fill(better)
    await page.get_by_role("button", name="启用", exact=True).click()
    await expect(dialog).to_contain_text("请把 version 改大")
    await expect(dialog.get_by_role("button", name="确定")).to_be_disabled()


async def test_a_catalogue_is_checked_tried_on_past_cases_and_adopted_from_a_day(
    staff: Visit, town: Town
) -> None:
    page = staff.page
    told = await town.done("GET", "/api/routing", STAFF)
    model = {"adopted_by": None, "adopted_at": None, "recorded_at": "2026-01-01T00:00:00Z", "checked": 200}
    models = [
        {**model, "name": "good", "automatic": 150, "automatic_right": 148, "may_be_adopted": True},
        {**model, "name": "poor", "automatic": 150, "automatic_right": 140, "may_be_adopted": False},
    ]

    async def with_models(route: Any) -> None:
        """What the service says where two models were trained."""
        await route.fulfill(json={**told, "models": models})

    await page.route("**/api/routing", with_models)
    await open_at(staff, "/routing")
    await expect(page.get_by_role("row").filter(has_text="poor")).to_contain_text("正确率不足97.5%")
    await page.get_by_role("row").filter(has_text="good").get_by_role("button", name="启用模型").click()
    asked = page.get_by_role("dialog")
    await expect(asked).to_contain_text("启用模型good？")
    await asked.get_by_role("button", name="取消").click()
    await page.unroute("**/api/routing")

    await open_at(staff, "/routing")
    await expect(page.get_by_text("没有启用派单目录")).to_be_visible()
    draft = page.get_by_label("目录草稿（YAML）")
    await expect(draft).to_have_value(re.compile('categories: \\["城乡建设"\\], department: "housing"'))
    text = await draft.input_value()
    wrong = text.replace('"城乡建设"', '"宇航"')
    await draft.fill(wrong)
    await page.get_by_role("button", name="检查").click()
    await expect(page.get_by_role("rowheader", name="没有这个类别")).to_be_visible()
    await page.get_by_role("button", name=f"第{wrong[: wrong.index('宇航')].count(chr(10)) + 1}行").click()
    chosen = await draft.evaluate("area => area.value.slice(area.selectionStart, area.selectionEnd)")
    assert "宇航" in chosen

    moved = text.replace('department: "housing"', 'department: "transport"')
    await draft.fill(moved)
    await page.get_by_role("button", name="试算").click()
    row = page.get_by_role("region", name="派向的变化").get_by_role("row").filter(has_text="市交通运输局")
    await expect(row.filter(has=page.get_by_role("rowheader", name="市住房和城乡建设局"))).to_have_count(1)
    await expect(row.get_by_role("link").first).to_have_attribute("href", re.compile("/console/cases/"))
    await page.get_by_text("草稿的规则").click()
    await staff.picture("console-routing-tried")
    assert await staff.axe() == []

    # So far ahead that no other test is routed by it.
    await page.get_by_role("button", name="启用目录").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("启用日期").fill("2020-01-01")
    await dialog.get_by_role("button", name="确定").click()
    await expect(dialog.get_by_role("alert")).to_have_text("请选择启用日期，不早于今天")
    await dialog.get_by_label("启用日期").fill("2099-01-01")
    await dialog.get_by_role("button", name="确定").click()
    await expect(dialog).to_be_hidden()
    await expect(page.get_by_role("row").filter(has_text="未到启用日期")).to_contain_text("2099年1月1日")
    await expect(page.get_by_text("没有启用派单目录")).to_be_visible()
    await expect(draft).to_have_value(re.compile("^name: catalogue-[0-9]+-2\n"))
    # a name is used once, and the refusal says what to do
    await draft.fill(moved)
    await page.get_by_role("button", name="启用目录").click()
    staff.expected.append("409")
    await dialog.get_by_role("button", name="确定").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("请换一个名称")


async def test_scores_stand_by_rank_and_every_list_is_kept_as_a_file_under_its_filters(
    staff: Visit, town: Town
) -> None:
    await town.scored()
    page = await open_at(staff, "/scores")
    await expect(page.get_by_role("row").filter(has_text="方玲")).to_be_visible()
    name, content = await kept(page, page.get_by_role("button", name="导出表格"))
    assert re.fullmatch(r"scores-\d{8}\.xlsx", name)
    sheet = load_workbook(io.BytesIO(content)).active
    assert sheet is not None
    assert {"方玲", "水生"} <= {str(row[2].value) for row in sheet.iter_rows(min_row=2)}

    await town.file("=1+1 像公式的标题", "导出后仍然是文字。")
    await open_at(staff, "/cases?q=像公式的标题")
    name, content = await kept(page, page.get_by_role("button", name="导出表格"))
    assert name.startswith("cases-")
    sheet = load_workbook(io.BytesIO(content)).active
    assert sheet is not None
    assert [(row[2].value, row[2].data_type) for row in sheet.iter_rows(min_row=2)] == [
        ("=1+1 像公式的标题", "s")
    ]

    await open_at(staff, "/roster?level=county")
    await page.get_by_role("button", name=re.compile("下拉|Dropdown")).click()
    name, content = await kept(page, page.get_by_role("menuitem", name="CSV"))
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    assert name.endswith(".csv")
    assert {"B1", "B2"} <= {row[0] for row in rows[1:]}

    async def judged(route: Any) -> None:
        """What the service says where one is passed over and another has left office."""
        told = await (await route.fetch()).json()
        told["items"][0] |= {"rank": 1, "ranked": 9, "reason": "常委会组成人员"}
        told["items"][1] |= {"rank": None, "grade": None, "reason": "left"}
        await route.fulfill(json=told)

    await page.route("**/api/standings?*", judged)
    await open_at(staff, "/scores")
    await expect(page.get_by_role("row").nth(1)).to_contain_text("1 / 9")
    await expect(page.get_by_role("row").nth(1)).to_contain_text("未列入评优：常委会组成人员")
    await expect(page.get_by_role("row").nth(2)).to_contain_text("不参加排名：已离任")
    await staff.picture("console-scores-judged")
    await page.get_by_role("combobox", name="年度").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("option", name=re.compile(r"^\d{4}年$"))).to_have_count(6)


async def test_from_the_roster_to_a_deputys_page_where_rows_add_up_and_an_honour_is_noted_and_struck(
    staff: Visit, town: Town
) -> None:
    year = (await town.now()).year
    await town.scored()
    page = await open_at(staff, "/roster?q=方玲")
    await page.get_by_role("link", name="方玲").click()
    await expect(page.get_by_role("heading", name="方玲")).to_be_visible()
    rows = page.get_by_role("region", name="积分明细").get_by_role("row")
    await expect(rows.last).to_contain_text("总分")
    rest = page.get_by_role("button", name="全部展开")

    async def adds_up() -> bool:
        """Whether all rows add up; the last events of other tests may still bring one that is folded away."""
        if await rest.count():
            await rest.click()
        counts = await rows.locator("td:nth-child(4)").all_inner_texts()
        *each, total = (Decimal(one.removeprefix("+").removesuffix("分")) for one in counts)
        return sum(each) == total > 0

    await wait_until(adds_up, what="rows that add up", seconds=PATIENCE, every=0.2)
    name, content = await kept(page, page.get_by_role("button", name=f"{year}年积分明细（PDF）"))
    assert (name, content[:5]) == (f"score-{year}.pdf", b"%PDF-")

    await page.get_by_label("从哪天").fill(f"{year - 1}-12-31")  # the first day's own facts come too
    await page.get_by_label("到哪天").fill((await page.get_by_label("到哪天").get_attribute("max")) or "")
    await expect(page.get_by_text(re.compile(r"^由0分变为.+分，\+"))).to_be_visible()
    await expect(page.get_by_role("region", name=re.compile("^新增"))).to_be_visible()

    title = f"优秀代表{uuid4().hex[:6]}"
    await choose_radio(page, "奖励")
    await page.get_by_role("button", name="记入档案").click()
    await expect(page.get_by_text("请填写记载内容")).to_be_visible()
    await page.get_by_label("记载内容").fill(title)
    await page.get_by_role("button", name="记入档案").click()
    noted = page.get_by_role("row").filter(has_text=title)
    await expect(noted).to_be_visible()
    await staff.picture("console-deputy")
    assert await staff.axe() == []
    await noted.get_by_role("button", name="撤销").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("撤销原因").fill("记错了人。")
    await dialog.get_by_role("button", name="撤销").click()
    await expect(noted).to_contain_text("记错了人。")
    await expect(noted.get_by_role("button")).to_have_count(0)

    # who works for another congress sees who it is, and why no more
    staff.expected.append("status of 403")
    refused = {"code": "not-your-area", "title": "No", "status": 403, "detail": "No."}
    await page.route("**/api/scores/*", lambda route: route.fulfill(status=403, json=refused))
    await page.reload()
    await expect(page.get_by_role("alert").filter(has_text="超出本级人大的范围")).to_be_visible()
    await expect(page.get_by_role("heading", name="方玲")).to_be_visible()
    await expect(page.get_by_role("button", name="积分明细（PDF）")).to_have_count(0)
    await expect(page.get_by_role("button", name="记入档案")).to_have_count(0)
    await staff.picture("console-deputy-elsewhere")


async def test_a_changed_draft_is_not_thrown_away_by_one_click(staff: Visit) -> None:
    page = await open_at(staff, "/rubric")
    box = page.get_by_label("草稿")
    await expect(box).not_to_have_value("")
    fresh = await box.input_value()
    await box.fill(f"{fresh}# 改过的一行")
    await page.get_by_role("button", name="重新起草").click()
    await page.get_by_role("dialog").get_by_role("button", name="取消").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(box).to_have_value(f"{fresh}# 改过的一行")
    await page.get_by_role("button", name="重新起草").click()
    await page.get_by_role("dialog").get_by_role("button", name="重新起草").click()
    await expect(box).to_have_value(fresh)


async def test_who_works_for_a_county_drafts_rules_and_is_told_who_adopts_them(
    staff: Visit, town: Town
) -> None:
    of_county = {**await town.done("GET", "/api/me", STAFF), "organisation": "330203"}
    await staff.page.route("**/api/me", lambda route: route.fulfill(json=of_county))
    for path, adopt, told in (
        ("/rubric", "启用", "评价细则由市人大工作者启用。"),
        ("/routing", "启用目录", "目录和模型由市人大工作者启用。"),
    ):
        page = await open_at(staff, path)
        await expect(page.get_by_text(told)).to_be_visible()
        await expect(page.get_by_label("草稿")).not_to_have_value("")
        await expect(page.get_by_role("button", name=adopt, exact=True)).to_have_count(0)


async def test_who_did_what_is_taken_along_as_a_file(staff: Visit, town: Town) -> None:
    course = (await town.done("GET", "/api/courses", STAFF))["items"][0]["id"]
    today = (await town.now()).date().isoformat()
    body = {"kind": "visit", "happened_on": today, "note": "导出里的走访"}
    duty = (await town.done("POST", "/api/duties", DEPUTY, body))["id"]
    try:
        page = await open_at(staff, "/duties")
        name, content = await kept(page, page.get_by_role("button", name="导出表格"))
        sheet = load_workbook(io.BytesIO(content)).active
        assert sheet is not None
        rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
        assert re.fullmatch(r"duties-\d{8}\.xlsx", name)
        assert ["方玲", "走访", today, "导出里的走访", "待确认"] in [row[:5] for row in rows]
    finally:
        await town.done("POST", f"/api/duties/{duty}/reject", STAFF, {"reason": "只为导出"})
    page = await open_at(staff, f"/courses/{course}")
    name, content = await kept(page, page.get_by_role("button", name="导出表格"))
    assert re.fullmatch(r"learners-\d{8}\.xlsx", name)
