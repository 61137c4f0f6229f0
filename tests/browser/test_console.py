"""The console in a real browser: a department's cases, the staff's day, and the whole way from resident to score."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import FilePayload, Route, expect

from shared.testing.wait import wait_until
from tests.browser.conftest import DESK, NARROW, Visit, chinese_on, choose_radio, open_at, sign_in
from tests.browser.town import DEPUTY, HOUSING, OTHER_DEPUTY, PASSWORD, PATIENCE, STAFF, Town

pytestmark = pytest.mark.timeout(600, func_only=True)

UNCLEAR = "请看一下我上次说的那件事。公交和医院都可以。"
"""Words that fit the categories of two departments."""


async def test_from_a_residents_concern_to_the_score_each_does_their_part_in_the_browser(
    town: Town, visiting: Callable[..., Any], department: Visit, deputy: Visit
) -> None:
    title = "小区门口路灯不亮"
    said = "路灯半个月不亮，晚上老人出门容易摔倒。"
    town.written |= {title, said}
    async with visiting(java_script_enabled=False) as resident:
        # the resident leaves a concern by the deputy's code
        page = resident.page
        await page.goto(f"{resident.url}/r/{town.codes[DEPUTY]}")
        await page.get_by_label("一句话说是什么事").fill(title)
        await page.get_by_label("具体情况").fill(said)
        await page.get_by_label("我已看过告知书").check()
        await page.get_by_role("button", name="提交", exact=True).click()
        await expect(page.get_by_role("heading", name="已经收到")).to_be_visible()

        # the deputy takes it up on the phone, and it is routed
        await deputy.open("/")
        await deputy.page.get_by_text(title).click()
        await deputy.page.get_by_role("button", name="接收", exact=True).click()
        await deputy.page.get_by_role("dialog").get_by_role("button", name="接收").click()
        case, *_ = await town.cases_titled(title)  # the newest
        await expect(deputy.page.locator(".chip").first).not_to_have_text("待接收")
        if (await town.done("GET", f"/api/cases/{case['id']}", DEPUTY))["state"] == "triage":
            body = {"department": HOUSING, "reason": ""}  # the words alone did not say whose it is
            await town.done("POST", f"/api/cases/{case['id']}/route", STAFF, body)
        await town.until(case["id"], "routed")

        # the department accepts and answers in the console
        desk = await open_at(department, f"/cases?q={title}")
        await desk.get_by_role("link", name=title).click()
        await desk.get_by_role("button", name="签收").click()
        await expect(desk.locator("main .chip", has_text="已签收").first).to_be_visible()
        await desk.get_by_role("button", name="答复", exact=True).click()
        dialog = desk.get_by_role("dialog")
        await choose_radio(dialog, "已解决")
        await dialog.get_by_label("答复内容").fill("已更换三盏灯具，当晚恢复照明。")
        await department.picture("console-answer")
        await dialog.get_by_role("button", name="提交").click()
        await expect(desk.locator("main .chip", has_text="已答复").first).to_be_visible()

        # the deputy closes and rates it
        await deputy.page.get_by_role("button", name="确认办结").click()
        await deputy.page.get_by_role("dialog").get_by_role("button", name="确认办结").click()
        await deputy.page.get_by_role("radio", name="5星").click()
        await deputy.page.get_by_role("button", name="评价", exact=True).click()
        await expect(deputy.page.get_by_text("您的评价")).to_be_visible()

        # the resident sees it and rates it
        await page.reload()
        await expect(page.get_by_text("已更换三盏灯具，当晚恢复照明。").first).to_be_visible()
        await page.get_by_role("group", name="总体评价").get_by_label("5星").check()
        await page.get_by_role("button", name="提交评价").click()
        await expect(page.get_by_role("status")).to_have_text("感谢您的评价。")

    # which decides on the figure of satisfaction, and so both who filed and who handled it see it
    await expect(deputy.page.locator("section", has_text="居民评价").first).to_contain_text("总体 5星")
    await open_at(department, f"/cases/{case['id']}")
    await expect(desk.locator("aside .facts")).to_contain_text("总体 5星")

    # and the score is explained on the phone
    async def scored() -> bool:
        """Whether each step has its row; whether it adds anything, caps decide, and so does every other test."""
        found = await town.done("GET", f"/api/scores/{town.people[DEPUTY]}/explanation", DEPUTY)
        items = {one["item"] for one in found["lines"] if one["evidence"] == case["id"]}
        return items >= {"case-filed", "case-for-resident", "case-solved", "case-rated"}

    await wait_until(scored, what="the score", seconds=PATIENCE, every=0.2)
    await deputy.open("/archive")
    await expect(deputy.page.get_by_role("heading", name="履职档案")).to_be_visible()
    await expect(deputy.page.locator(".entry").first).to_be_visible()


async def test_a_department_returns_asks_for_more_time_and_asks_the_filer(
    department: Visit, town: Town
) -> None:
    department.expected.append(
        "403"
    )  # a hint may come before the page is left, and the case is theirs no more
    returned = await town.file("不归我们管的事", "请退回。")
    page = await open_at(department, f"/cases/{returned}")
    await page.get_by_role("button", name="退回").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="提交").click()
    await expect(dialog.get_by_role("alert")).to_have_text("请填写说明")
    await dialog.get_by_label("退回原因").fill("属于交通部门职责。")
    await dialog.get_by_role("button", name="提交").click()
    await town.until(returned, "triage")
    await expect(page.get_by_role("heading", name="本单位督事")).to_be_visible()

    late = await town.file("需要延期的事", "要挖开路面。")
    page = await open_at(department, f"/cases/{late}")
    await page.get_by_role("button", name="签收").click()
    await page.get_by_role("button", name="申请延期").click()
    await page.get_by_role("dialog").get_by_label("延期原因").fill("需要办理占道审批。")
    await page.get_by_role("dialog").get_by_role("button", name="提交").click()
    await expect(page.get_by_role("button", name="申请延期")).to_have_count(0)
    found = await town.done("GET", "/api/cases?extension_asked=true", STAFF)
    assert late in [case["id"] for case in found["items"]]
    await page.get_by_role("button", name="请求补充").click()
    await page.get_by_role("dialog").get_by_label("需要补充什么").fill("请说明具体门牌号。")
    await page.get_by_role("dialog").get_by_role("button", name="提交").click()
    await town.until(late, "waiting")


async def test_what_came_back_too_often_is_given_for_good_and_each_page_says_so(
    department: Visit, staff: Visit, town: Town
) -> None:
    case_id = await in_triage(town, "来回退的事", "没有人认领。")
    await town.done("POST", f"/api/cases/{case_id}/route", STAFF, {"department": HOUSING, "reason": ""})
    await town.done("POST", f"/api/cases/{case_id}/return", HOUSING, {"reason": "仍不归我们管"})
    desk = await open_at(staff, f"/cases/{case_id}")
    await expect(desk.locator("aside .facts")).to_contain_text("已退回2次")
    await desk.get_by_role("button", name="派单").click()
    dialog = desk.get_by_role("dialog")
    await expect(dialog).to_contain_text("本次指定即首接负责，不得再退")
    await dialog.get_by_role("combobox", name="承办单位").press("Enter")
    await desk.get_by_role("option", name="市住房和城乡建设局").click()
    await dialog.get_by_role("combobox", name="缓急").press("Enter")
    await desk.get_by_role("option", name="复杂").click()
    await staff.picture("console-designating")
    assert await staff.axe() == []
    await dialog.get_by_role("button", name="提交").click()
    await expect(desk.locator("aside .facts")).to_contain_text("首接负责，不能退回")
    await expect(desk.locator("aside .facts")).to_contain_text("复杂")
    page = await open_at(department, f"/cases/{case_id}")
    await expect(page.get_by_text("已指定本单位首接负责")).to_be_visible()
    await expect(page.get_by_role("button", name="签收")).to_be_visible()
    await expect(page.get_by_role("button", name="退回")).to_have_count(0)
    await department.picture("console-designated")
    assert await department.axe() == []


async def test_a_department_sees_nothing_of_others_and_no_page_of_the_staff(
    department: Visit, town: Town
) -> None:
    department.expected.append("403")
    others = await town.file("公交站牌倒了", "东门公交站牌倒在路边。", category="交通运输")
    page = await open_at(department, "/cases?q=公交站牌")
    await expect(page.get_by_text("没有符合条件的督事")).to_be_visible()
    await department.page.goto(f"{department.url}/console/cases/{others}")
    await expect(page.get_by_text("您没有查看权限")).to_be_visible()
    for path in ("roster", f"deputies/{town.people[DEPUTY]}"):
        await department.page.goto(f"{department.url}/console/{path}")
        await expect(page.get_by_text("您没有查看权限")).to_be_visible()
    await expect(page.get_by_role("link", name="代表名册")).to_have_count(0)


async def in_triage(town: Town, title: str, text: str) -> str:
    """A case that its department has handed back."""
    case_id = await town.file(title, text)
    await town.done("POST", f"/api/cases/{case_id}/return", HOUSING, {"reason": "不归我们管"})
    await town.until(case_id, "triage")
    return case_id


async def test_staff_work_the_queue_by_keyboard(staff: Visit, town: Town) -> None:
    case_id = await in_triage(town, "退回后重新分流", "请分流。")
    page = await open_at(staff, "/triage")
    await page.get_by_role("button", name="退回后重新分流").click()
    await expect(page.get_by_role("heading", name="退回后重新分流")).to_be_visible()
    await expect(page.get_by_text("已退回1次")).to_be_visible()
    await staff.picture("console-triage")
    assert await staff.axe() == []
    await page.keyboard.press("k")
    await page.keyboard.press("j")
    # keys work on after a queue was chosen with the mouse, whose button is an input
    await page.get_by_text("待接收", exact=True).click()
    await page.get_by_text("待分流", exact=True).click()
    queue = page.locator(".queue li > button[aria-current]")
    await expect(queue.first).to_have_attribute("aria-current", "true")
    queued = await queue.all_inner_texts()
    for place in range(next(n for n, text in enumerate(queued) if "退回后重新分流" in text)):
        await page.keyboard.press("j")
        await expect(queue.nth(place + 1)).to_have_attribute("aria-current", "true")
    names = await page.locator(".quick button").all_text_contents()
    key = str(1 + next(n for n, name in enumerate(names) if "交通" in name))
    await page.keyboard.press(key)
    await expect(page.get_by_role("dialog")).to_contain_text("将《退回后重新分流》派单给市交通运输局？")
    await expect(page.get_by_role("dialog").get_by_role("button", name="派单")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert (await town.done("GET", f"/api/cases/{case_id}", STAFF))["state"] == "triage"
    await page.keyboard.press("u")
    await page.keyboard.press(key)
    await expect(page.get_by_role("dialog")).to_contain_text("派单给市交通运输局，缓急：应急？")
    await expect(page.get_by_role("dialog").get_by_role("button", name="派单")).to_be_focused()
    await page.keyboard.press("Enter")
    await town.until(case_id, "routed")
    found = await town.done("GET", f"/api/cases/{case_id}", STAFF)
    assert (found["department"], found["urgency"]) == ("transport", "urgent")


async def test_the_queue_keeps_the_chosen_case_and_begins_with_the_longest_waiting(
    staff: Visit, town: Town
) -> None:
    first = await in_triage(town, "先到的待分流", "电梯停运，请派单。")
    page = await open_at(staff, "/triage")
    await page.get_by_role("button", name="先到的待分流").click()
    later = await in_triage(town, "后到的待分流", "电梯停运，请派单。")
    titles = page.locator(".queue button span:first-child")
    await expect(titles.filter(has_text="后到的待分流")).to_be_visible()
    shown = await titles.all_text_contents()
    assert shown.index("先到的待分流") < shown.index("后到的待分流")
    await expect(page.get_by_role("heading", name="先到的待分流")).to_be_visible()

    async def alike() -> bool:
        found = (await town.done("GET", f"/api/cases/{later}/similar", STAFF))["items"]
        return [one["id"] for one in found][:1] == [first]

    await wait_until(alike, what="the like of it being found", seconds=PATIENCE, every=0.2)
    await town.done("POST", f"/api/cases/{first}/route", STAFF, {"department": HOUSING, "reason": ""})
    await expect(titles.filter(has_text="先到的待分流")).to_have_count(0)
    await expect(page.locator(".queue [aria-current=true]")).to_have_count(1)
    await page.get_by_role("button", name="后到的待分流").click()
    await expect(page.locator(".alike li").first).to_contain_text("先到的待分流")
    await staff.picture("console-triage-similar")
    assert await staff.axe() == []
    await page.keyboard.press("m")
    await expect(page.get_by_role("dialog")).to_contain_text("将《后到的待分流》并入《先到的待分流》？")
    await expect(page.get_by_role("dialog").get_by_role("button", name="并案")).to_be_focused()
    await page.keyboard.press("Enter")
    await town.until(later, "merged")
    assert (await town.done("GET", f"/api/cases/{later}", STAFF))["merged_into"] == first


async def test_the_first_keys_send_to_the_departments_of_the_cases_own_guesses(
    staff: Visit, town: Town
) -> None:
    at = {"latitude": 29.868336, "longitude": 121.543991, "accuracy": 12}
    content = {"title": "说不清归谁的事", "text": UNCLEAR, "county": "330203", "position": at}
    case_id = (await town.done("POST", "/api/cases", DEPUTY, content))["id"]
    await town.until(case_id, "triage")
    listed = (await town.done("GET", "/api/cases?state=triage&size=100", STAFF))["items"]
    guesses = next(one["guesses"] for one in listed if one["id"] == case_id)
    departments = (await town.done("GET", "/api/departments", STAFF))["items"]
    serving = {category: one["name"] for one in departments for category in one["categories"]}
    expected = [serving[guess["category"]] for guess in guesses if guess["category"] in serving]
    assert expected
    page = await open_at(staff, "/triage")
    await page.get_by_role("button", name="说不清归谁的事").click()
    await expect(page.get_by_role("heading", name="说不清归谁的事")).to_be_visible()
    await expect(page.get_by_text("29.868336, 121.543991")).to_be_visible()
    await expect(page.locator(".quick button").first).to_contain_text("推测类别")
    await staff.picture("console-triage-guesses")
    assert await staff.axe() == []
    names = await page.locator(".quick button").all_inner_texts()
    assert all(name in text for name, text in zip(expected, names, strict=False))
    await page.keyboard.press("1")
    await expect(page.get_by_role("dialog")).to_contain_text(f"派单给{expected[0]}？")
    await expect(page.get_by_role("dialog").get_by_role("button", name="派单")).to_be_focused()
    await page.keyboard.press("Enter")
    await town.until(case_id, "routed")


async def test_filters_and_pages_stand_in_the_address(staff: Visit, town: Town) -> None:
    await town.file("筛选用的督事", "写在地址里。")
    page = await open_at(staff, "/cases?q=筛选用")
    await expect(page.get_by_role("link", name="筛选用的督事")).to_be_visible()
    await page.get_by_label("搜索标题、内容或回执号").fill("没有这样的字")
    await page.get_by_role("button", name="搜索").click()
    await expect(page.get_by_text("没有符合条件的督事")).to_be_visible()
    await expect(page).to_have_url(re.compile(r"/console/cases\?q="))
    await page.go_back()
    await expect(page.get_by_role("link", name="筛选用的督事")).to_be_visible()
    await page.get_by_label("从哪天起提交").fill("2099-01-01")
    await expect(page.get_by_text("没有符合条件的督事")).to_be_visible()
    await page.get_by_label("从哪天起提交").fill("2020-01-01")
    await page.get_by_label("到哪天为止提交").fill("2099-12-31")
    await expect(page.get_by_role("link", name="筛选用的督事")).to_be_visible()
    await expect(page).to_have_url(re.compile("from=2020-01-01&until=2099-12-31"))
    await open_at(staff, "/cases?q=筛选用&from=never&until=2020-01-01")
    await expect(page.get_by_text("没有符合条件的督事")).to_be_visible()
    await open_at(staff, "/cases?q=筛选用&place=330203100&sort=nonsense&only=nonsense")
    await expect(page.get_by_text("没有符合条件的督事")).to_be_visible()
    await page.get_by_role("button", name="不再限于高桥镇").press("Enter")
    await expect(page.get_by_role("link", name="筛选用的督事")).to_be_visible()
    await page.get_by_role("button", name="清除筛选").press("Enter")
    await expect(page).to_have_url(re.compile("/console/cases$"))
    await expect(page.get_by_label("搜索标题、内容或回执号")).to_have_value("")


async def test_a_department_is_told_live_and_led_to_what_it_is_told_about(
    department: Visit, town: Town
) -> None:
    at = {"latitude": 29.868336, "longitude": 121.543991}
    case_id = await town.file("催办会通知承办单位", "请尽快办理。", position=at)
    page = await open_at(department, "/notices")
    await town.done("POST", f"/api/cases/{case_id}/urge", STAFF, {"reason": "请抓紧办理。"})
    row = page.get_by_role("row").filter(has=page.locator(f'a[href="/console/cases/{case_id}"]'))
    urged = row.filter(has_text="催办")
    await expect(urged).to_contain_text("未读")
    await expect(page.get_by_role("link", name=re.compile(r"^消息，\d+条未读$"))).to_be_visible()
    await department.picture("console-notices-urged")
    await urged.get_by_role("link").click()
    await expect(page.get_by_role("heading", name="催办会通知承办单位")).to_be_visible()
    await expect(page.get_by_text("29.868336, 121.543991")).to_be_visible()
    await department.picture("console-case-position")
    await page.go_back()
    await expect(urged).to_be_visible()
    await expect(urged).not_to_contain_text("未读")

    # What comes after the newest one that the page shows has not been seen, and stays unread.
    listed = re.compile(r"/api/notices\?.*size=20")
    async with page.expect_response(listed) as read:
        await page.reload()
    shown = await (await read.value).json()
    await page.route(listed, lambda route: route.fulfill(json=shown))
    later = await town.file("全部已读之后的督事", "请尽快办理。", position=at)

    async def unread() -> dict[str, str]:
        """What is about which, of all that is unread."""
        found = await town.done("GET", "/api/notices?unread=true&size=500", HOUSING)
        return {one["id"]: one["subject"] for one in found["items"]}

    async def told() -> bool:
        return later in (await unread()).values()

    async def marked() -> bool:
        return not {one["id"] for one in shown["items"]} & set(await unread())

    await wait_until(told, what="a notice that the page does not show", seconds=PATIENCE, every=0.2)
    assert not await marked()
    await page.get_by_role("button", name="全部已读").click()
    await wait_until(marked, what="what the page shows marked as read", seconds=PATIENCE, every=0.2)
    assert await told()
    await page.unroute(listed)
    await page.reload()
    await page.get_by_role("button", name="全部已读").click()
    await expect(page.get_by_role("link", name="消息，0条未读")).to_be_visible()
    await page.get_by_text("只看未读").click()
    await expect(page.get_by_text("还没有消息")).to_be_visible()


async def test_a_page_behind_the_end_of_a_list_leads_to_its_last_page(staff: Visit, town: Town) -> None:
    await town.file("最后一页上的督事", "请看最后一页。")
    total = (await town.done("GET", "/api/cases", STAFF))["total"]
    page = await open_at(staff, "/cases?page=999")
    await expect(page).to_have_url(re.compile(rf"page={-(-total // 20)}$"))
    await expect(page.locator("tbody tr").first).to_be_visible()


async def test_a_list_whose_length_is_estimated_says_so_and_offers_no_page_that_is_not_there(
    staff: Visit, town: Town
) -> None:
    await town.file("约数的督事", "搜索得到的是约数。")
    page = await open_at(staff, "/cases?q=约数的督事")
    await expect(page.get_by_role("link", name="约数的督事")).to_be_visible()
    await expect(page.get_by_role("status").filter(has_text=re.compile(r"^约\d+件$"))).to_be_visible()
    await expect(page.locator(".el-pager li")).to_have_count(1)
    await open_at(staff, "/cases")
    await expect(page.get_by_role("status").filter(has_text=re.compile(r"^共\d+件$"))).to_be_visible()


async def test_a_list_shows_who_filed_a_case_and_its_page_who_joined(
    staff: Visit, department: Visit, town: Town
) -> None:
    case_id = await town.file("看得到是谁提的", "请写明代表。")
    await town.done("POST", f"/api/cases/{case_id}/join", OTHER_DEPUTY)
    page = await open_at(staff, "/cases?q=看得到是谁提的")
    await expect(page.get_by_role("row").filter(has_text="看得到是谁提的")).to_contain_text("方玲")
    for visit in (staff, department):
        await open_at(visit, f"/cases/{case_id}")
        facts = visit.page.locator("aside .facts")
        await expect(facts).to_contain_text("方玲")
        await expect(facts).to_contain_text("水生")


async def test_a_departments_list_begins_with_what_it_owes_an_answer_on(
    department: Visit, town: Town
) -> None:
    await town.file("还没有答复的督事", "请答复。")
    done = await town.file("已经答复的督事", "请答复。")
    await town.answer(done, "已办理。")
    page = await open_at(department, "/cases")
    chips = page.locator("tbody .chip")
    await expect(chips.first).to_be_visible()
    states = page.locator("tbody tr td:nth-child(2)")
    assert set(await states.all_inner_texts()) <= {"待签收", "已派单", "已签收", "办理中"}
    await page.get_by_role("combobox", name="状态").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("option", name="已答复").click()
    await expect(page.get_by_role("link", name="已经答复的督事")).to_be_visible()
    await expect(page).to_have_url(re.compile("state=answered"))


async def test_a_list_that_is_read_under_another_filter_says_so(staff: Visit) -> None:
    page = await open_at(staff, "/duties")
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/api/duties?*state=rejected*", hold)
    await page.get_by_role("combobox", name="状态").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("option", name="未通过").click()
    await expect(page.locator(".el-loading-mask")).to_be_visible()
    held.set()
    await expect(page.locator(".el-loading-mask")).to_have_count(0)


async def test_the_overview_leads_to_the_cases_that_it_counts(staff: Visit, town: Town) -> None:
    await town.file("概览里计数的督事", "点击提交件数，列表里的件数相同。")
    page = await open_at(staff, "/overview?days=30")
    filed = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="提交"))
    counted = await filed.locator("strong").inner_text()
    await filed.get_by_role("link").click()
    await expect(page.get_by_role("status").filter(has_text=f"共{counted}件")).to_be_visible()
    await expect(page).to_have_url(re.compile(r"/console/cases\?from=\d{4}-\d\d-\d\d$"))
    await page.go_back()
    unfinished = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="未办结"))
    counted = await unfinished.locator("strong").inner_text()
    await unfinished.get_by_role("link").click()
    await expect(page.get_by_role("status").filter(has_text=f"共{counted}件")).to_be_visible()


async def test_a_countys_bar_leads_to_its_cases_and_the_overview_tells_who_is_active(
    staff: Visit, town: Town
) -> None:
    await town.file("点击柱形看得到的督事", "请看各地情况。")
    year = (await town.now()).year

    async def many(route: Route) -> None:
        """What the service says of a city with more deputies than the town has."""
        places = [{"place": "330203", "deputies": 40, "active": [10] * 12}]
        whole = {"deputies": 51, "active": [17] * 12}
        months = [f"{year}-{month:02d}" for month in range(1, 13)]
        told = {"definition": {}, "months": months, "whole": whole, "places": places}
        await route.fulfill(json={"year": year, "county": None, "town": None, **told})

    page = staff.page
    await page.route("**/api/activity?*", many)
    await open_at(staff, "/overview?days=30")
    await expect(page.get_by_text("活跃代表17人，在任代表51人，活跃率33.3%")).to_be_visible()
    await expect(page.locator(".bars canvas")).to_have_count(3)
    await staff.picture("console-overview-active")
    link = page.get_by_role("row").filter(has_text="海曙区").get_by_role("link")
    target = str(await link.get_attribute("href"))
    assert re.search(r"/console/cases\?county=330203&from=\d{4}-\d\d-\d\d$", target)
    bars = page.get_by_role("img", name="各地情况")
    await bars.scroll_into_view_if_needed()
    box = await bars.bounding_box()
    assert box is not None
    for y in range(36, int(box["height"]), 3):  # where the pointer says that one can press
        await page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + y)
        if await bars.locator(":scope > div").first.evaluate("one => one.style.cursor") == "pointer":
            break
    await page.mouse.down()
    await page.mouse.up()
    await expect(page).to_have_url(staff.url + target)
    await expect(page.get_by_role("heading", name="全部督事")).to_be_visible()


async def test_staff_confirm_a_duty_and_reject_another_with_a_reason(staff: Visit, town: Town) -> None:
    ids = []
    today = (await town.now()).date().isoformat()
    for note in ("走访高桥镇五户居民", "没有写清楚的登记"):
        body = {"kind": "visit", "happened_on": today, "note": note}
        ids.append((await town.done("POST", "/api/duties", DEPUTY, body))["id"])
    page = await open_at(staff, "/duties")
    await (
        page.get_by_role("row")
        .filter(has_text="走访高桥镇五户居民")
        .get_by_role("button", name="确认")
        .click()
    )
    await expect(page.get_by_text("走访高桥镇五户居民")).to_have_count(0)
    await (
        page.get_by_role("row").filter(has_text="没有写清楚的登记").get_by_role("button", name="退回").click()
    )
    await page.get_by_role("dialog").get_by_label("退回原因").fill("请写明地点和人数。")
    await page.get_by_role("dialog").get_by_role("button", name="退回").click()
    await expect(page.get_by_text("没有写清楚的登记")).to_have_count(0)
    states = [(await town.done("GET", f"/api/duties/{one}", STAFF))["state"] for one in ids]
    assert states == ["confirmed", "rejected"]


async def test_a_roster_is_checked_and_taken_in_with_a_report_of_each_wrong_row(
    staff: Visit, town: Town
) -> None:
    heading = "编号,姓名,层级,职业,县(市、区)代码,乡镇代码,选区,任期起,任期止"
    rows = (
        "B7,新代表,县,一线工人,330203,330203100,海曙区第七选区,2025-01-01,2029-12-31",
        "B8,,县,,330203,,选区,2025-01-01,2029-12-31",
        "B9,别人,县,教师,330203,,选区,2025-01-01,2029-12-31",
    )
    content = "\n".join([heading, *rows, ""])
    town.written.update(cell for row in rows for cell in row.split(","))
    page = await open_at(staff, "/roster")
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="下载模板").click()
    template = await asyncio.to_thread(Path(await (await coming.value).path()).read_text, "utf-8-sig")
    assert template.startswith('"编号","姓名","层级",')
    file: FilePayload = {"name": "roster.csv", "mimeType": "text/csv", "buffer": content.encode()}
    await page.get_by_label("选择文件").set_input_files(file)
    await page.get_by_role("button", name="只检查").click()
    await expect(page.get_by_text("还没有导入")).to_be_visible()
    await expect(page.get_by_role("rowheader", name="3")).to_be_visible()
    await expect(page.get_by_role("row").filter(has_text="职业只能是工人")).to_be_visible()
    await page.get_by_role("button", name="导入", exact=True).click()
    await expect(page.get_by_text("已导入1行")).to_be_visible()
    await staff.picture("console-roster-report")
    assert await staff.axe() == []
    await expect(page.get_by_role("row").filter(has_text="新代表")).to_contain_text("工人")
    await expect(page.get_by_role("row").filter(has_text="新代表")).to_contain_text("在任")
    await expect(page.get_by_role("row").filter(has_text="水生")).to_contain_text("未填")


async def test_staff_see_the_day_at_a_glance(staff: Visit, town: Town) -> None:
    whole = (await town.done("GET", "/api/overview", STAFF))["whole"]
    page = await open_at(staff, "/overview")
    shown = await page.locator(".figures strong").first.text_content()
    assert int(shown or "0") >= whole["filed"] > 0
    await expect(page.locator(".bars canvas").first).to_be_visible()
    await staff.picture("console-overview")


PAGES = {
    "overview": "/overview",
    "triage": "/triage",
    "cases": "/cases",
    "case-new": "/cases/new",
    "clusters": "/clusters",
    "concern-new": "/concerns/new",
    "duties": "/duties",
    "roster": "/roster",
    "stations": "/stations",
    "station-new": "/stations/new",
    "activities": "/activities",
    "activity-new": "/activities/new",
    "consultations": "/consultations",
    "consultation-new": "/consultations/new",
    "courses": "/courses",
    "course-new": "/courses/new",
    "motions": "/motions",
    "motion-report": "/motions/report",
    "promises": "/motions/promises",
    "activity": "/activity",
    "scores": "/scores",
    "appeals": "/appeals",
    "rubric": "/rubric",
    "routing": "/routing",
    "notices": "/notices",
}
HALLS = ("activities", "consultations", "courses", "motions")
"""Lists of which one thing is looked at, too."""


async def one_of_each(town: Town) -> dict[str, str]:
    """Pages of one thing: a closed case, the first of each hall, a lesson, and a deputy."""
    case_id = (await town.done("GET", "/api/cases?state=closed", STAFF))["items"][0]["id"]
    pages = {"case": f"/cases/{case_id}"}
    for hall in HALLS:
        items = (await town.done("GET", f"/api/{hall}", STAFF))["items"]
        pages |= {f"{hall}-one": f"/{hall}/{one['id']}" for one in items[:1]}
    course = (await town.done("GET", "/api/courses", STAFF))["items"][0]["id"]
    key = (await town.done("GET", f"/api/courses/{course}", STAFF))["lessons"][0]["key"]
    deputy = f"/deputies/{town.people[DEPUTY]}"
    return {**pages, "lesson": f"/courses/{course}/lessons/{key}", "deputy": deputy}


@pytest.mark.parametrize("size", ["desk", "narrow"])
async def test_every_page_is_accessible_in_both_sizes(
    size: str, town: Town, visiting: Callable[..., Any]
) -> None:
    content = {"title": "关于完善无障碍设施的建议", "text": "请逐年改造。", "kind": "suggestion"}
    motion = (await town.done("POST", "/api/motions", DEPUTY, content))["id"]
    await town.done("POST", f"/api/motions/{motion}/submit", DEPUTY, {"informed": True})
    pages = {**PAGES, **await one_of_each(town)}
    async with visiting(**(DESK if size == "desk" else NARROW)) as visit:
        await visit.page.goto(f"{visit.url}/console/")
        await expect(visit.page.get_by_role("heading", name="代表通工作台")).to_be_visible()
        await visit.picture(f"console-sign-in-{size}")
        found = {"sign-in": await visit.axe()}
        await sign_in(visit, STAFF)
        if size == "narrow":
            menu = visit.page.get_by_role("navigation", name="菜单")
            await expect(menu).to_be_hidden()
            await visit.page.get_by_role("button", name="菜单").press("Enter")
            await expect(menu).to_be_visible()
            await visit.picture("console-menu-narrow")
            found["menu"] = await visit.axe()
            await menu.get_by_role("link", name="全部督事").press("Enter")
            await expect(menu).to_be_hidden()
            await expect(visit.page.get_by_role("heading", name="全部督事")).to_be_visible()
        for name, path in pages.items():
            await open_at(visit, path)
            await visit.picture(f"console-{name}-{size}")
            found[name] = await visit.axe()
    number = f"第{90 + (size == 'desk')}号"
    await town.done("POST", f"/api/motions/{motion}/accept", STAFF, {"number": number})
    await town.done("POST", f"/api/motions/{motion}/assign", STAFF, {"lead": HOUSING})
    async with visiting(**(DESK if size == "desk" else NARROW)) as visit:
        await sign_in(visit, HOUSING)
        for name, path in {"cases": "/cases", "motions": "/motions", "motion": f"/motions/{motion}"}.items():
            await open_at(visit, path)
            await visit.picture(f"console-department-{name}-{size}")
            found[f"department-{name}"] = await visit.axe()
    await town.done("POST", f"/api/motions/{motion}/withdraw", DEPUTY, {"reason": "试用"})
    assert {name: faults for name, faults in found.items() if faults} == {}


async def test_in_english_no_page_says_anything_in_chinese_but_what_people_wrote(
    staff: Visit, town: Town
) -> None:
    pages = {**PAGES, **await one_of_each(town)}
    await staff.page.evaluate("localStorage.setItem('daibiaotong.locale', 'en')")
    left = {}
    for name, path in pages.items():
        await open_at(staff, path)
        await staff.picture(f"console-{name}-en")
        left[name] = await chinese_on(staff, town)
    assert {name: words for name, words in left.items() if words} == {}


async def test_the_console_speaks_english_too_and_signs_out(staff: Visit) -> None:
    page = await open_at(staff, "/cases")
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", name="All cases")).to_be_visible()
    assert await page.evaluate("document.documentElement.lang") == "en"
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(re.compile(r"/console/sign-in"))


async def test_staff_set_a_password_of_their_own(town: Town, visiting: Callable[..., Any]) -> None:
    person = str(uuid4())
    await town.done("PUT", f"/api/staff/{person}", "operator", {"name": "新来的", "organisation": "3302"})
    content = {"login": "town-newcomer", "password": PASSWORD}
    await town.done("PUT", f"/api/people/{person}/password", "operator", content)
    async with visiting(**DESK) as visit:
        page = await sign_in(visit, "newcomer")
        await page.get_by_role("button", name="修改密码").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("账号").fill("town-newcomer")
        await dialog.get_by_label("新密码", exact=True).fill("a-better-one-at-ten")
        await dialog.get_by_label("再输一次新密码").fill("a-better-one-at-two")
        await dialog.get_by_role("button", name="确定").click()
        await expect(dialog.get_by_role("alert")).to_have_text("两次输入的密码不一样")
        await visit.picture("console-password")
        assert await visit.axe() == []
        await dialog.get_by_label("再输一次新密码").fill("a-better-one-at-ten")
        await dialog.get_by_role("button", name="确定").click()
        await expect(page.get_by_text("密码已修改")).to_be_visible()
        await expect(page.get_by_role("dialog")).to_have_count(0)
    old = await town.ask("POST", "/api/sign-in", content=content)
    new = await town.ask("POST", "/api/sign-in", content={**content, "password": "a-better-one-at-ten"})
    assert (old[0] in {400, 401}, new[0]) == (True, 200)
