"""The console's halls in a real browser: activities, consultations, the school, motions of a session."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.browser.conftest import Visit, open_at
from tests.browser.town import DEPUTY, HOUSING, STAFF, STATION, Town

pytestmark = pytest.mark.timeout(600, func_only=True)


async def local(town: Town, **later: int) -> str:
    """The suite's time, so much later, as a field of day and time takes it."""
    return (await town.now() + timedelta(**later)).strftime("%Y-%m-%dT%H:%M")


async def choose(page: Page, field: str, option: str) -> None:
    """Choose an option of a select, and leave it by keyboard."""
    await page.get_by_role("combobox", name=field, exact=True).focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("option", name=option, exact=True).click()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("option")).to_have_count(0)


def last(page: Page) -> str:
    """The id at the end of a page's address."""
    return page.url.split("?")[0].rsplit("/", 1)[-1]


async def test_staff_announce_an_activity_and_show_the_code_by_which_a_deputy_checks_in(
    staff: Visit, deputy: Visit, town: Town
) -> None:
    title = "走访企业调研活动"
    page = await open_at(staff, "/activities")
    await page.get_by_role("link", name="发布活动").click()
    await page.get_by_role("button", name="发布活动").click()
    await expect(page.get_by_role("alert").filter(has_text="请改正标出的内容")).to_be_visible()
    await expect(page.get_by_text("请填写名称")).to_be_visible()
    await expect(page.get_by_text("请填写地点")).to_be_visible()
    await page.get_by_label("名称").fill(title)
    await page.get_by_label("地点").fill("开发区管委会一楼大厅")
    await page.get_by_label("活动说明").fill("走访三家企业，请带代表证。")
    await choose(page, "类别", "调研")
    await page.get_by_label("开始时间").fill(await local(town, minutes=30))
    await page.get_by_label("结束时间").fill(await local(town, minutes=20))
    await page.get_by_label("名额").fill("40")
    await page.get_by_role("button", name="发布活动").click()
    await expect(page.get_by_text("结束时间要晚于开始时间")).to_be_visible()
    await page.get_by_label("结束时间").fill(await local(town, hours=3))
    await page.get_by_role("button", name="发布活动").click()
    await expect(page.get_by_role("heading", name=title)).to_be_visible()
    activity = last(page)
    code = (await town.done("GET", f"/api/activities/{activity}", STAFF))["code"]
    await expect(page.locator(".typed")).to_have_text(code)
    await expect(page.get_by_role("img", name=f"签到二维码，签到码{code}")).to_be_visible()
    await expect(page.get_by_text("还没有人报名")).to_be_visible()

    # the QR code leads to the phone's page with the code filled in
    phone = await deputy.open(f"/activities/{activity}#{code}")
    await expect(phone.get_by_text("开发区管委会一楼大厅")).to_be_visible()
    await expect(phone.get_by_text("走访三家企业，请带代表证。")).to_be_visible()
    await phone.get_by_role("button", name="签到").click()
    await expect(phone.locator(".chip", has_text="已签到")).to_be_visible()
    await expect(page.get_by_role("rowheader", name="方玲")).to_be_visible()
    await expect(page.get_by_text("1人（限40人）")).to_be_visible()
    await staff.picture("console-activity-checked-in")

    # the list is filtered by its address
    await open_at(staff, "/activities?kind=research")
    await expect(page.get_by_role("link", name=title)).to_be_visible()
    await open_at(staff, "/activities?kind=training")
    await expect(page.get_by_role("link", name=title)).to_have_count(0)


async def test_staff_open_a_consultation_and_see_its_results_and_opinions(staff: Visit, town: Town) -> None:
    title = "停车管理办法征求意见"
    page = await open_at(staff, "/consultations")
    await page.get_by_role("link", name="发起征集").click()
    await page.get_by_label("名称").fill(title)
    await page.get_by_label("截止时间").fill(await local(town, days=10))
    first = page.get_by_role("group", name="第1题")
    await first.get_by_label("问题").fill("是否赞成夜间免费停车？")
    await first.get_by_label("选项，每行一个").fill("赞成\n赞成")
    await first.get_by_text("必答").click()
    await page.get_by_role("button", name="添加一题").click()
    second = page.get_by_role("group", name="第2题")
    await second.get_by_label("问题").fill("其他意见")
    await second.get_by_text("文字意见").click()
    await page.get_by_role("button", name="发起征集").click()
    await expect(page.get_by_text("至少两个不同的选项，每行一个")).to_be_visible()
    await first.get_by_label("选项，每行一个").fill("赞成\n不赞成")
    await page.get_by_role("button", name="发起征集").click()
    await expect(page.get_by_role("heading", name=title)).to_be_visible()
    consultation = last(page)

    answers = {"answers": {"q1": "赞成", "q2": "老小区周边请多设车位。"}}
    await town.done("POST", f"/api/consultations/{consultation}/answers", DEPUTY, answers)
    await open_at(staff, f"/consultations/{consultation}")
    await expect(page.get_by_role("progressbar", name="赞成", exact=True)).to_have_attribute(
        "aria-valuenow", "100"
    )
    await expect(page.get_by_text("1人，100%")).to_be_visible()
    await expect(page.get_by_role("cell", name="老小区周边请多设车位。")).to_be_visible()
    await expect(page.get_by_role("rowheader", name="方玲")).to_be_visible()
    await staff.picture("console-consultation-results")
    await page.get_by_role("button", name="结束征集").click()
    await page.get_by_role("dialog").get_by_role("button", name="结束征集").click()
    await expect(page.locator("main .chip", has_text="已截止")).to_be_visible()
    await expect(page.get_by_role("button", name="结束征集")).to_have_count(0)


async def test_staff_publish_a_course_and_see_how_many_completed_it(staff: Visit, town: Town) -> None:
    staff.expected.append("409")
    title = "怎样审查预算"
    page = await open_at(staff, "/courses")
    await page.get_by_role("link", name="发布课程").click()
    await page.get_by_label("名称").first.fill(title)
    await page.get_by_role("group", name="第1课").get_by_label("名称").fill("预算法要点")
    await page.get_by_role("button", name="添加一课").click()
    await page.get_by_role("group", name="第2课").get_by_label("名称").fill("看懂预算草案")
    await page.get_by_role("button", name="添加一题").click()
    question = page.get_by_role("group", name="第1题")
    await question.get_by_label("问题").fill("预算草案由谁批准？")
    await question.get_by_label("选项，每行一个").fill("人民代表大会\n财政部门")
    await page.get_by_role("button", name="发布课程").click()
    await expect(page.get_by_text("请选择正确选项")).to_be_visible()
    await choose(page, "正确选项", "人民代表大会")
    await page.get_by_role("button", name="下移第1课").click()
    await expect(page.get_by_role("group", name="第1课").get_by_label("名称")).to_have_value("看懂预算草案")
    await page.get_by_role("button", name="上移第2课").click()
    await page.get_by_role("button", name="存为草稿").click()
    await expect(page.get_by_role("heading", name=title)).to_be_visible()
    course = last(page)
    await expect(page.locator("h1 .chip")).to_have_text("草稿")
    mine = await town.done("GET", "/api/courses?size=500", DEPUTY)
    assert course not in [one["id"] for one in mine["items"]]

    await page.get_by_role("link", name="预算法要点").click()
    await page.get_by_label("课文").fill("# 审查什么\n\n- 收入<script>\n- **支出**")
    preview = page.get_by_role("region", name="预览")
    await expect(preview.get_by_role("heading", name="审查什么")).to_be_visible()
    await expect(preview.get_by_role("listitem").first).to_have_text("收入<script>")
    await staff.picture("console-lesson")
    assert await staff.axe() == []
    await page.get_by_role("link", name="下一课").click()
    await page.get_by_role("dialog").get_by_role("button", name="取消").click()
    await page.get_by_role("button", name="保存").click()
    await expect(page.get_by_text("课文已保存")).to_be_visible()
    await page.get_by_role("link", name=title).click()
    await expect(page.get_by_text("已写课文")).to_have_count(1)
    await page.get_by_role("link", name="修改或发布").click()
    chosen = page.get_by_role("group", name="第1题").locator(".el-select")
    await expect(chosen).to_contain_text("人民代表大会")  # the right option stays with the draft

    draft = await town.done("GET", f"/api/courses/{course}", STAFF)
    lessons = [{name: one[name] for name in ("key", "title", "minutes")} for one in draft["lessons"]]

    async def others_save(second: str) -> None:
        changed = [lessons[0], {**lessons[1], "title": second}]
        body = {"title": title, "quiz": draft["quiz"], "lessons": changed}
        await town.done("PUT", f"/api/courses/{course}", STAFF, body)

    mine = page.get_by_role("group", name="第2课").get_by_label("名称")
    await mine.fill("我改的课名")
    await others_save("别人改的课名")
    await page.get_by_role("button", name="发布课程").click()
    theirs = page.get_by_role("alert").filter(has_text="他人保存的草稿")
    await expect(theirs.get_by_role("listitem").nth(1)).to_contain_text("别人改的课名")
    await expect(mine).to_have_value("我改的课名")
    await staff.picture("console-course-changed")
    assert await staff.axe() == []
    await theirs.get_by_role("button", name="保留我填写的").click()
    await others_save("看懂预算草案")
    await page.get_by_role("button", name="存为草稿").click()
    await theirs.get_by_role("button", name="改用他人的草稿").click()
    await expect(mine).to_have_value("看懂预算草案")
    await expect(theirs).to_have_count(0)
    await page.get_by_role("button", name="发布课程").click()
    await expect(page.get_by_text("0人学习，0人结业（–）")).to_be_visible()

    progress = {"lessons": [one["key"] for one in lessons], "answers": {"q1": 0}}
    await town.done("POST", f"/api/courses/{course}/progress", DEPUTY, progress)
    await town.done("POST", f"/api/courses/{course}/complete", DEPUTY)
    await open_at(staff, f"/courses/{course}")
    await expect(page.get_by_text("1人学习，1人结业（100%）")).to_be_visible()
    learner = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="方玲"))
    await expect(learner.get_by_role("cell").first).to_have_text("2/2")
    await staff.picture("console-course-completed")
    await page.get_by_role("link", name="预算法要点").click()
    await page.get_by_label("课文").fill("更正后的课文")
    await expect(page.get_by_text("课文已保存")).to_have_count(0)  # what was told of the time before
    await page.get_by_role("button", name="保存").click()
    await expect(page.get_by_text("课文已保存")).to_be_visible()
    lesson = await town.done("GET", f"/api/courses/{course}/lessons/l1", DEPUTY)
    assert lesson["html"] == "<p>更正后的课文</p>\n"
    await open_at(staff, f"/courses/{course}")
    await expect(learner.get_by_role("cell").first).to_have_text("2/2")
    await choose(page, "是否结业", "尚未结业")
    await expect(page.get_by_text("没有符合条件的代表")).to_be_visible()
    assert page.url.endswith("completed=false")
    await open_at(staff, "/courses?level=county")
    row = page.get_by_role("row").filter(has_text=title)
    for studying_or_completed in (3, 4):
        await expect(row.get_by_role("cell").nth(studying_or_completed)).to_have_text("1")


async def submitted(town: Town, title: str) -> str:
    """A suggestion that the deputy has submitted."""
    content = {"title": title, "kind": "suggestion", "text": "老小区电梯老化，建议分批更新并公布时间表。"}
    motion = str((await town.done("POST", "/api/motions", DEPUTY, content))["id"])
    await town.done("POST", f"/api/motions/{motion}/submit", DEPUTY, {"informed": True})
    return motion


async def act(page: Page, name: str) -> Locator:
    """Begin an act of a motion, and give its form."""
    await page.get_by_role("button", name=name, exact=True).click()
    return page.get_by_role("dialog", name=name, exact=True)


async def test_a_motion_goes_from_examination_to_answer_and_report_in_the_console(
    staff: Visit, department: Visit, town: Town
) -> None:
    title = "关于分批更新老旧小区电梯的建议"
    motion = await submitted(town, title)

    # staff examine and assign it
    page = await open_at(staff, "/motions?state=submitted")
    await page.get_by_role("link", name=title).click()
    form = await act(page, "受理")
    await form.get_by_role("button", name="提交").click()
    await expect(form.get_by_text("请填写编号")).to_be_visible()
    await form.get_by_label("编号").fill("第7号")
    await form.get_by_role("button", name="提交").click()
    await expect(page.locator("main .chip", has_text="已受理")).to_be_visible()
    form = await act(page, "交办")
    await choose(page, "主办单位", "市住房和城乡建设局")
    await choose(page, "会办单位", "市交通运输局")
    await form.get_by_role("button", name="提交").click()
    await expect(page.locator("main .chip", has_text="已交办")).to_be_visible()
    await staff.picture("console-motion-assigned")

    # the department contacts the deputy, asks for more time, and answers with a promise
    desk = await open_at(department, "/motions")
    await expect(desk.get_by_role("heading", name="承办的议案建议")).to_be_visible()
    await desk.get_by_role("link", name=title).click()
    form = await act(desk, "与代表沟通")
    await form.get_by_text("现场调研").click()
    await form.get_by_role("button", name="提交").click()
    await expect(desk.locator(".way").get_by_text("与代表沟通")).to_be_visible()
    form = await act(desk, "申请延期")
    await form.get_by_label("延期原因").fill("需要逐台检测。")
    await form.get_by_role("button", name="提交").click()
    await expect(desk.get_by_role("button", name="申请延期")).to_have_count(0)
    await open_at(staff, f"/motions/{motion}")
    form = await act(page, "同意延期")
    await form.get_by_role("button", name="提交").click()
    await expect(page.locator(".way").get_by_text("同意延期", exact=True)).to_be_visible()
    form = await act(desk, "答复")
    await form.get_by_text("B类").click()
    await form.get_by_label("答复内容").fill("已列入三年更新计划，今年先更新六十台。")
    await form.get_by_label("签发人").fill("周海")
    await form.get_by_role("button", name="提交").click()
    await expect(form.get_by_text("这类答复要写明承诺事项和完成日期")).to_be_visible()
    await form.get_by_role("button", name="添加承诺").click()
    await form.get_by_label("承诺内容").fill("更新六十台电梯")
    await form.get_by_label("完成日期").fill((await local(town, days=200))[:10])
    await department.picture("console-motion-answer")
    await form.get_by_role("button", name="提交").click()
    await expect(desk.locator("main .chip", has_text="已答复")).to_be_visible()
    await expect(desk.get_by_text("周海签发")).to_be_visible()
    form = await act(desk, "报告承诺落实")
    await form.get_by_label("落实情况").fill("六十台已全部更新。")
    await form.get_by_role("button", name="提交").click()
    await expect(desk.locator("main .chip", has_text="已落实")).to_be_visible()

    # the ledger of promises has it, and what is filtered out stays out
    ledger = await open_at(staff, "/motions/promises?state=kept")
    row = ledger.get_by_role("row").filter(has_text=title)
    await expect(row).to_contain_text("更新六十台电梯")
    await expect(row).to_contain_text("市住房和城乡建设局")
    await staff.picture("console-promises-kept")
    await open_at(staff, "/motions/promises?state=kept&only=overdue")
    await expect(ledger.get_by_text("没有符合条件的承诺事项")).to_be_visible()

    # the session's report counts it
    year = (await local(town))[:4]
    report = await open_at(staff, f"/motions/report?year={year}")
    kept = report.get_by_role("row").filter(has_text="承诺兑现")
    await expect(kept).to_contain_text("100%")
    await staff.picture("console-motion-report-counted")
    await open_at(staff, f"/motions?year={int(year) - 1}")
    await expect(page.get_by_text("还没有议案建议")).to_be_visible()
    assert (await town.done("GET", f"/api/motions/{motion}", STAFF))["number"] == "第7号"


async def test_staff_do_not_accept_a_motion_on_a_ground_of_the_rule_pack(staff: Visit, town: Town) -> None:
    motion = await submitted(town, "关于本人职称评定的建议")
    page = await open_at(staff, f"/motions/{motion}")
    form = await act(page, "不予受理")
    await form.get_by_role("button", name="提交").click()
    await expect(form.get_by_text("请选择情形")).to_be_visible()
    await choose(page, "不予受理的情形", "解决代表本人或者亲属的个人问题")
    await form.get_by_role("button", name="提交").click()
    await expect(page.locator("main .chip", has_text="不予受理")).to_be_visible()
    await expect(page.locator("aside").get_by_text("解决代表本人或者亲属的个人问题")).to_be_visible()
    assert (await town.done("GET", f"/api/motions/{motion}", STAFF))["ground"] == "personal"


async def test_staff_record_each_step_of_a_bills_own_way(staff: Visit, town: Town) -> None:
    motion = await submitted(town, "关于制定绿色建筑管理规定的议案")
    read = await town.done("GET", f"/api/motions/{motion}", STAFF)
    # A bill needs ten signers, more than the town has deputies: this one only looks like one.
    shown = {**read, "kind": "bill", "state": "accepted", "number": "议1"}
    follows = {
        "refer": {"state": "in-committee", "committee": "城建环境资源委员会"},
        "advise": {"state": "reported", "advice": "suggestion"},
        "decide": {"state": "on-agenda"},
        "conclude": {"state": "concluded", "bill_outcome": "not-passed"},
    }
    sent: list[tuple[str, Any]] = []

    async def answer(route: Route) -> None:
        if route.request.method == "GET":
            await route.fulfill(json=shown)
            return
        verb = route.request.url.rsplit("/", 1)[-1]
        sent.append((verb, route.request.post_data_json))
        shown.update(follows[verb], version=shown["version"] + 1)
        await route.fulfill(json={"id": motion, "command_id": motion, "state": "accepted", "version": 9})

    await staff.page.route(re.compile(rf"/api/motions/{motion}(/[a-z]+)?$"), answer)
    page = await open_at(staff, f"/motions/{motion}")
    await expect(page.get_by_role("button", name="交办", exact=True)).to_have_count(0)
    await expect(page.get_by_role("button", name="列入议程", exact=True)).to_be_visible()
    form = await act(page, "交专门委员会")
    await form.get_by_role("button", name="提交").click()
    await expect(form.get_by_text("请填写专门委员会名称")).to_be_visible()
    await form.get_by_label("专门委员会").fill("城建环境资源委员会")
    await form.get_by_role("button", name="提交").click()
    await expect(page.locator("aside").get_by_text("城建环境资源委员会")).to_be_visible()
    form = await act(page, "专委会报告")
    await form.get_by_text("不列入议程，作建议办理").click()
    await form.get_by_label("审议报告").fill("已有省级规定，宜先行落实。")
    await staff.picture("console-bill-report")
    await form.get_by_role("button", name="提交").click()
    form = await act(page, "常委会决定")
    await form.get_by_text("列入议程", exact=True).click()
    await form.get_by_role("button", name="提交").click()
    form = await act(page, "审议结果")
    await form.get_by_text("未通过", exact=True).click()
    await form.get_by_role("button", name="提交").click()
    await expect(page.locator("aside").get_by_text("未通过")).to_be_visible()
    await expect(page.locator("main .head").get_by_role("button")).to_have_count(0)
    await staff.picture("console-bill-concluded")
    assert sent == [
        ("refer", {"committee": "城建环境资源委员会", "reason": ""}),
        ("advise", {"advice": "suggestion", "text": "已有省级规定，宜先行落实。"}),
        ("decide", {"decision": "agenda", "reason": ""}),
        ("conclude", {"outcome": "not-passed", "reason": ""}),
    ]
    await town.done("POST", f"/api/motions/{motion}/withdraw", DEPUTY, {"reason": "试用"})


async def test_a_department_says_that_a_motion_is_not_its_business(
    staff: Visit, department: Visit, town: Town
) -> None:
    motion = await submitted(town, "关于增设公交夜班线路的建议")
    await town.done("POST", f"/api/motions/{motion}/accept", STAFF, {"number": "第8号"})
    await town.done("POST", f"/api/motions/{motion}/assign", STAFF, {"lead": HOUSING})
    desk = await open_at(department, f"/motions/{motion}")
    form = await act(desk, "申请退回")
    await form.get_by_role("button", name="提交").click()
    await expect(form.get_by_text("请填写说明")).to_be_visible()
    await form.get_by_label("申请退回的原因").fill("属于交通部门职责。")
    await form.get_by_role("button", name="提交").click()
    await expect(desk.locator("main .chip", has_text="申请退回")).to_be_visible()
    await desk.goto("about:blank")  # a late hint would have it ask for what is theirs no more
    page = await open_at(staff, f"/motions/{motion}")
    await expect(page.get_by_text("属于交通部门职责。")).to_be_visible()
    await act(page, "交办")
    await choose(page, "主办单位", "市交通运输局")
    await page.get_by_role("dialog").get_by_role("button", name="提交").click()
    await expect(page.locator("main .chip", has_text="已交办")).to_be_visible()
    assert (await town.done("GET", f"/api/motions/{motion}", STAFF))["lead"] == "transport"


async def test_staff_register_a_station_show_its_code_and_close_it(staff: Visit, town: Town) -> None:
    page = await open_at(staff, "/stations")
    await page.get_by_role("link", name=STATION).click()
    await expect(page.get_by_role("img", name=f"{STATION}的二维码")).to_be_visible()
    await expect(page.get_by_role("row").filter(has_text="方玲")).to_be_visible()
    await staff.picture("console-station")
    page = await open_at(staff, "/stations")
    await staff.picture("console-stations")
    await page.get_by_role("link", name="登记联络站").click()
    await page.get_by_role("button", name="登记联络站").click()
    await expect(page.get_by_text("请选择乡镇（街道），或者输入9位、12位代码")).to_be_visible()
    await page.get_by_label("名称").fill("石浦镇代表联络站")
    await choose(page, "乡镇（街道）", "石浦镇")
    await page.get_by_role("button", name="登记联络站").click()
    await expect(page.get_by_role("heading", name="石浦镇代表联络站")).to_be_visible()
    await expect(page.get_by_text("还没有代表。")).to_be_visible()
    station = await town.done("GET", f"/api/stations/{last(page)}", STAFF)
    assert (station["town"], station["state"], station["deputies"]) == ("330225100", "open", 0)
    await expect(page.get_by_text(station["code"])).to_be_visible()
    assert (await town.ask("GET", f"/api/codes/{station['code']}"))[0] == 200
    await choose(page, "状态", "关闭")
    await page.get_by_role("button", name="修改", exact=True).click()
    await expect(page.get_by_text("联络站已关闭，居民扫码打不开。")).to_be_visible()
    assert (await town.ask("GET", f"/api/codes/{station['code']}"))[0] == 404
