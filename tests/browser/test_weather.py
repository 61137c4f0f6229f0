"""The pages in bad weather: a late clock, a slow or broken network, a refusal, two tabs at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from shared.testing.wait import wait_until
from tests.browser import test_console, test_phone
from tests.browser.conftest import DESK, Visit, open_at, sign_in
from tests.browser.town import DEPUTY, PATIENCE, STAFF, Town

pytestmark = pytest.mark.timeout(600, func_only=True)

_LATE_SECONDS = 0.5
"""How late a slow clock answers: after a page would have asked, before it goes without."""
_SLOW = {"offline": False, "latency": 700, "downloadThroughput": 50_000, "uploadThroughput": 50_000}
"""A weak mobile connection: milliseconds, and bytes a second."""
TEXT = "路面坑洼，夜间骑车容易摔倒，请修补。"


_SLOWLY = """{
  const soon = setTimeout
  window.setTimeout = (work, ms = 0, ...given) => soon(work, 20 * ms, ...given)
}"""
"""Everything for which a page waits only so long, it waits for twenty times as long."""


async def test_a_reloaded_page_asks_for_the_year_of_the_suites_own_time(staff: Visit, town: Town) -> None:
    page = staff.page
    await page.add_init_script(_SLOWLY)  # on a busy machine a late clock is later still
    around = await town.done("GET", "/api/surroundings", STAFF)
    told = {**around, "now": "2031-05-06T02:00:00Z", "simulated": True}
    years: list[str] = []

    def note(url: str) -> None:
        if asked := re.search(r"/api/standings\?.*\byear=(\d{4})", url):
            years.append(asked[1])

    away = False

    async def late(route: Route) -> None:
        if away:
            await route.abort()
            return
        await asyncio.sleep(_LATE_SECONDS)  # a network may be slow
        await route.fulfill(json=told)

    staff.expected += [r"status of 4\d\d", "ERR_FAILED"]  # nobody has a score then; no clock answers later
    page.on("request", lambda request: note(request.url))
    await page.route("**/api/surroundings", late)
    standings = re.compile(r"/api/standings\?")
    async with page.expect_request(standings):
        await page.goto(f"{staff.url}/console/scores")
    await expect(page.get_by_text("演示时间：2031年5月6日")).to_be_visible()
    await expect(page.locator(".loading")).to_have_count(0)
    assert set(years) == {"2031"}
    years.clear()
    away = True
    async with page.expect_request(standings):
        await page.reload()
    await expect(page.get_by_text("演示时间：2031年5月6日")).to_be_visible()
    await expect(page.locator(".loading")).to_have_count(0)
    assert set(years) == {"2031"}


async def test_a_refused_question_says_why_and_not_that_the_network_is_poor(staff: Visit) -> None:
    staff.expected.append("status of 422")
    page = await open_at(staff, "/cases")
    search = page.get_by_role("search").get_by_role("textbox").first
    await search.fill("？")
    await search.press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="请输入要搜索的文字")).to_be_visible()
    await expect(page.get_by_text("网络不畅")).to_have_count(0)
    await search.fill("积水")
    await search.press("Enter")
    await expect(page.get_by_role("link", name="高桥镇卫生院门前路面积水")).to_be_visible()


async def test_what_is_asked_too_often_stays_and_says_so(staff: Visit) -> None:
    staff.expected.append("status of 429")
    page = await open_at(staff, "/cases?q=积水")
    await expect(page.get_by_role("link", name="高桥镇卫生院门前路面积水").first).to_be_visible()
    await page.route("**/api/cases?*", lambda route: _refuse(route, 429, "too-many-requests"))
    await page.evaluate("dispatchEvent(new Event('online'))")  # the connection came back: read it again
    await expect(page.get_by_role("status").filter(has_text="操作太频繁")).to_be_visible()
    await expect(page.get_by_role("link", name="高桥镇卫生院门前路面积水").first).to_be_visible()


async def _refuse(route: Route, status: int, code: str) -> None:
    problem = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": "No."}
    await route.fulfill(status=status, content_type="application/problem+json", body=json.dumps(problem))


def _no_hints(_: Route) -> None:
    """Leave the stream without an answer: the page reads again when it is asked to, and not at a hint."""


async def _fails_and_recovers(
    page: Page, url: str, api: re.Pattern[str], *, loading: str, shown: str
) -> None:
    """Open a page whose reading hangs, then fails twice, then is asked for again."""
    hanging: asyncio.Event = asyncio.Event()
    fails = [503]  # with which status a reading fails; with none it gets through

    async def held(route: Route) -> None:
        await hanging.wait()
        if fails:
            await _refuse(route, fails[0], "service-away")
        else:
            await route.continue_()

    await page.goto("about:blank")  # what the page before still asks for is another matter
    await page.route("**/api/events", _no_hints)
    await page.route(api, held)
    await page.goto(url)
    await expect(page.locator(loading).first).to_be_visible()
    hanging.set()
    alert = page.get_by_role("alert").filter(has_text="暂时打不开")
    for then in ([500], []):
        await expect(alert.first).to_be_visible()
        fails[:] = then
        async with page.expect_response(api):
            await alert.first.get_by_role("button", name="重新加载").click()
    await expect(page.get_by_text(shown).first).to_be_visible()
    await expect(page.get_by_role("alert").filter(has_text="暂时打不开")).to_have_count(0)


@pytest.mark.parametrize("what", ["list", "one"])
async def test_a_page_of_the_phone_shows_that_it_loads_that_it_failed_and_recovers(
    what: str, deputy: Visit, town: Town
) -> None:
    deputy.expected.append(r"status of 50[03]")
    listed = (await town.done("GET", "/api/cases", DEPUTY))["items"]
    # On the list's first page, whatever went before; a resident may have had one erased.
    title, case = next((one["title"], one["id"]) for one in listed if one["title"])
    path, api = ("/cases", r"/api/cases\?") if what == "list" else (f"/cases/{case}", rf"/api/cases/{case}$")
    url = f"{deputy.url}/m{path}"
    await _fails_and_recovers(deputy.page, url, re.compile(api), loading=".van-skeleton", shown=title)


@pytest.mark.parametrize("what", ["list", "one"])
async def test_a_page_of_the_console_shows_that_it_loads_that_it_failed_and_recovers(
    what: str, department: Visit, town: Town
) -> None:
    department.expected.append(r"status of 50[03]")
    title = "人行道上有裸露电线"
    case = (await town.cases_titled(title))[0]["id"]
    path, api = (
        ("/cases?q=电线", r"/api/cases\?") if what == "list" else (f"/cases/{case}", rf"/api/cases/{case}$")
    )
    url = f"{department.url}/console{path}"
    await _fails_and_recovers(department.page, url, re.compile(api), loading=".loading", shown=title)


async def test_a_wrong_address_inside_the_pages_says_so_and_leads_back(
    deputy: Visit, department: Visit
) -> None:
    page = deputy.page
    await page.goto(f"{deputy.url}/m/no-such/page")
    await expect(page.get_by_text("可能已被删除，或地址不完整。")).to_be_visible()
    await page.get_by_role("button", name="首页").click()
    await expect(page.get_by_role("heading", name="方玲代表")).to_be_visible()
    page = department.page
    await page.goto(f"{department.url}/console/no-such/page")
    await expect(page.get_by_role("heading", name="没有找到")).to_be_visible()
    await page.get_by_role("link", name="返回").click()
    await expect(page.get_by_role("heading", name="本单位督事")).to_be_visible()


async def test_a_double_press_on_a_slow_network_files_once_and_lists_show_that_they_load(
    deputy: Visit, town: Town
) -> None:
    page = await deputy.open("/cases/new")
    await page.get_by_label("标题").fill("慢网双击只提交一次")
    await page.get_by_label("情况说明").fill(TEXT)
    await expect(page.get_by_label("地点")).to_have_value(re.compile("海曙区"))
    weak = await deputy.context.new_cdp_session(page)
    await weak.send("Network.enable")
    await weak.send("Network.emulateNetworkConditions", _SLOW)
    loading = asyncio.create_task(page.locator(".van-skeleton, .van-loading").first.wait_for())
    await page.get_by_role("button", name="提交", exact=True).dblclick()
    await loading
    await expect(page.get_by_role("heading", name="慢网双击只提交一次")).to_be_visible()
    assert len(await town.cases_titled("慢网双击只提交一次")) == 1


async def test_two_tabs_of_one_person_file_what_each_was_asked_to_and_sign_out_together(
    deputy: Visit, town: Town
) -> None:
    deputy.expected.append("status of 401")
    first = await deputy.open("/cases/new")
    second = await deputy.context.new_page()
    deputy.watch(second)
    await second.goto(f"{deputy.url}/m/cases/new")
    titles = {first: "第一个页面提交", second: "第二个页面提交"}
    for page, title in titles.items():
        await page.get_by_label("标题").fill(title)
        await page.get_by_label("情况说明").fill(TEXT)
        await expect(page.get_by_label("地点")).to_have_value(re.compile("海曙区"))
    await asyncio.gather(*(page.get_by_role("button", name="提交", exact=True).click() for page in titles))
    for page, title in titles.items():
        await expect(page.get_by_role("heading", name=title)).to_be_visible()
        assert len(await town.cases_titled(title)) == 1
    await first.goto(f"{deputy.url}/m/me")
    await first.get_by_role("button", name="退出登录").click()
    await first.get_by_role("dialog").get_by_role("button", name="退出登录").click()
    await expect(first).to_have_url(re.compile("/m/sign-in"))
    await second.get_by_role("button", name="返回").or_(second.locator(".van-nav-bar__left")).first.click()
    await second.reload()
    await expect(second).to_have_url(re.compile("/m/sign-in"))
    assert await second.evaluate("localStorage.getItem('daibiaotong.me')") is None


async def test_the_language_can_be_chosen_before_signing_in(visiting: Callable[..., Any]) -> None:
    async with visiting(**DESK) as visit:
        await visit.page.goto(f"{visit.url}/console/")
        await visit.page.get_by_role("button", name="English").click()
        await expect(visit.page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
        await visit.page.get_by_role("button", name="中文").click()
        await expect(visit.page.get_by_role("button", name="登录", exact=True)).to_be_visible()


_READS = re.compile(r"/api/(?!(me|surroundings|departments|events|session|notices\?size=1\b))")
"""What pages ask, without what stands around them on every one."""
_GOES_ON = {"case-empty"}
"""Pages on which one works all the same: where the deputy was elected is filled in where it can be read."""
_RAW = re.compile(r"undefined|NaN|null|service-away|\b[a-z]+\.[a-z]+[A-Z]\w*")


async def _told_and_asked_again(page: Page, opened: Awaitable[object], *, goes_on: bool) -> str | None:
    """Open a page while nothing can be read, and ask again when it can. What is wrong with it, if anything."""
    asked = []

    async def away(route: Route) -> None:
        asked.append(route.request.url)
        await _refuse(route, 503, "service-away")

    await page.route(_READS, away)
    await opened
    failed = page.get_by_role("alert").filter(has_text="暂时")
    again = failed.get_by_role("button", name="重新加载")

    async def all_told() -> bool:
        told = await failed.count()
        return (told > 0) == (bool(asked) and not goes_on) and await again.count() == told

    with contextlib.suppress(AssertionError):  # what is wrong is said below
        await wait_until(all_told, what="every failure told", seconds=PATIENCE / 2)
    await page.unroute(_READS, away)
    told = await failed.count()
    if (told > 0) != (bool(asked) and not goes_on) or await again.count() != told:
        return f"{told} told, {await again.count()} to be asked again, {asked}"
    if await page.locator(".nothing:not([role=alert]), .van-empty:not([role=alert])").count():
        return "what could not be read is shown as empty"
    if raw := _RAW.search(await page.locator("body").inner_text()):
        return f"raw: {raw[0]}"
    for button in reversed(await again.all()):
        await button.click()
    await expect(failed).to_have_count(0)
    return None


@pytest.mark.parametrize("face", ["phone", "console"])
async def test_every_page_says_what_it_cannot_read_and_reads_it_when_asked_again(
    face: str, visiting: Callable[..., Any]
) -> None:
    on_phone = face == "phone"
    async with visiting(**({} if on_phone else DESK)) as visit:
        await (visit.sign_in(DEPUTY) if on_phone else sign_in(visit, STAFF))
        visit.expected.append("status of 503")
        await visit.page.route("**/api/events", _no_hints)
        faults = {}
        for name, path in (test_phone if on_phone else test_console).PAGES.items():
            opened = visit.open(path) if on_phone else open_at(visit, path)
            fault = await _told_and_asked_again(visit.page, opened, goes_on=name in _GOES_ON)
            if fault:
                await visit.picture(f"{face}-{name}-away")
                faults[name] = fault
        assert faults == {}
