"""The deputy's way on the phone, in a real browser on the real suite."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import FilePayload, Page, Route, expect

from shared.testing.wait import wait_until
from tests.browser.conftest import Visit
from tests.browser.town import DEPUTY, HOUSING, OTHER_DEPUTY, PASSWORD, PATIENCE, Town
from tests.photo_files import GPS_MARK, MAKER, photo

pytestmark = pytest.mark.timeout(240, func_only=True)

TEXT = "路口的红绿灯不亮已经三天，早晚高峰很危险，请尽快修复。"


async def fill(page: Page, title: str, text: str = TEXT) -> None:
    """Fill in a case; the place is there already, from the deputy's own constituency."""
    await page.get_by_label("标题").fill(title)
    await page.get_by_label("情况说明").fill(text)
    await expect(page.get_by_label("地点")).to_have_value(re.compile("海曙区"))


async def submit(page: Page) -> None:
    await page.get_by_role("button", name="提交", exact=True).click()


async def test_a_wrong_password_says_so_and_the_right_one_opens_the_home_page(phone: Visit) -> None:
    phone.expected.append("401")
    page = await phone.open("/")
    await expect(page).to_have_url(re.compile("/m/sign-in"))
    await phone.picture("phone-sign-in")
    await page.get_by_label("账号").fill("town-b1")
    await page.get_by_label("密码", exact=True).fill(PASSWORD + "9")
    await page.get_by_role("button", name="登录", exact=True).click()
    await expect(page.get_by_role("alert").filter(has_text="账号或密码不对")).to_be_visible()
    await page.get_by_label("密码", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="登录", exact=True).click()
    await expect(page.get_by_role("heading", name="方玲代表")).to_be_visible()
    await expect(page.get_by_text("已答复，请确认办结")).to_be_visible()


async def test_no_script_can_read_the_session_and_another_site_cannot_use_it(
    deputy: Visit, town: Town
) -> None:
    cookies = await deputy.context.cookies(f"{town.url}/api/me")
    session = next(cookie for cookie in cookies if cookie["name"] == "daibiaotong_session")
    assert (session["httpOnly"], session["sameSite"]) == (True, "Strict")
    assert await deputy.page.evaluate("document.cookie") == ""
    kept = await deputy.page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    assert session["value"] not in kept
    headers = {"Cookie": f"daibiaotong_session={session['value']}", "Sec-Fetch-Site": "cross-site"}
    async with town.session.post(f"{town.url}/api/notices/mark", headers=headers, json={}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (403, "foreign-page")
    headers = {"Cookie": headers["Cookie"], "Origin": "https://elsewhere.example"}
    async with town.session.post(f"{town.url}/api/notices/mark", headers=headers, json={}) as answer:
        assert answer.status == 403


async def test_a_case_filed_on_the_phone_is_routed_and_shown(deputy: Visit, town: Town) -> None:
    page = await deputy.open("/cases/new")
    await fill(page, "中山路口红绿灯不亮")
    await page.get_by_label("类别").click()
    await page.get_by_text("交通运输", exact=True).click()
    await page.get_by_role("button", name="确定").click()
    await deputy.picture("phone-case-new")
    await submit(page)
    await expect(page).to_have_url(re.compile(r"/m/cases/[0-9a-f-]{36}$"))
    await expect(page.get_by_role("heading", name="中山路口红绿灯不亮")).to_be_visible()
    await expect(page.get_by_text("已派单").first).to_be_visible()
    await expect(page.get_by_text("市交通运输局").first).to_be_visible()
    assert len(await town.cases_titled("中山路口红绿灯不亮")) == 1
    await page.get_by_text("派单依据").click()
    why = page.get_by_text("类别“交通运输”由提交人选定；该单位负责全市")
    await expect(why).to_have_count(2)  # beside the department, and at the step
    await expect(why.first).to_be_visible()
    await page.evaluate("localStorage.setItem('daibiaotong.locale', 'en')")
    await page.reload()
    await page.get_by_text("Why this department").click()
    said = "category 交通运输 was chosen when filing; the department serves the whole city"
    await expect(page.get_by_text(said).first).to_be_visible()


async def test_pressing_twice_files_once(deputy: Visit, town: Town) -> None:
    page = await deputy.open("/cases/new")
    await fill(page, "双击只提交一次")
    await page.get_by_role("button", name="提交", exact=True).dblclick()
    await expect(page).to_have_url(re.compile(r"/m/cases/[0-9a-f-]{36}$"))
    assert len(await town.cases_titled("双击只提交一次")) == 1


async def test_a_case_filed_without_a_connection_waits_and_is_filed_once(deputy: Visit, town: Town) -> None:
    deputy.expected.append("ERR_INTERNET_DISCONNECTED")
    page = await deputy.open("/cases/new")
    await fill(page, "断网时提交")
    await deputy.context.set_offline(True)
    await submit(page)
    await expect(page.get_by_text("待发送").first).to_be_visible()
    await expect(page.get_by_text("网络已断开")).to_be_visible()
    await deputy.picture("phone-offline")
    assert await town.cases_titled("断网时提交") == []
    await deputy.context.set_offline(False)

    async def filed() -> bool:
        return len(await town.cases_titled("断网时提交")) == 1

    await wait_until(filed, what="the case being sent", seconds=PATIENCE, every=0.2)
    await expect(page.get_by_text("待发送")).to_have_count(0)
    assert len(await town.cases_titled("断网时提交")) == 1


async def test_a_case_whose_answer_was_lost_is_sent_again_and_filed_once(deputy: Visit, town: Town) -> None:
    deputy.expected.append("ERR_CONNECTION_RESET")
    page = await deputy.open("/cases/new")
    tries: list[str] = []

    async def lose(route: Route) -> None:
        tries.append(str(await route.request.header_value("idempotency-key")))
        await route.fetch()  # the gateway takes it, and nobody hears of it
        await route.abort("connectionreset")

    await page.route("**/api/cases", lose, times=1)
    await fill(page, "答复丢失后重发")
    await submit(page)
    await expect(page.get_by_text("待发送").first).to_be_visible()
    assert len(tries) == 1
    async with page.expect_response(lambda said: said.request.method == "POST") as again:
        await page.evaluate("window.dispatchEvent(new Event('online'))")
    sent = await again.value
    assert (sent.status, await sent.request.header_value("idempotency-key")) == (200, tries[0])
    await expect(page.get_by_text("待发送")).to_have_count(0)
    assert len(await town.cases_titled("答复丢失后重发")) == 1


async def add_photos(page: Page, *contents: bytes) -> None:
    """Choose photos as the camera would bring them, and wait until they are shown."""
    before = await page.locator(".photos img").count()
    files: list[FilePayload] = [
        {"name": f"{n}.jpg", "mimeType": "image/jpeg", "buffer": content}
        for n, content in enumerate(contents)
    ]
    await page.get_by_label("拍照或选择照片").set_input_files(files)
    await expect(page.locator(".photos img")).to_have_count(before + len(contents))


async def photos_kept(town: Town, title: str, count: int) -> dict[str, Any]:
    """The one case of that title, once all its photos are with it."""

    async def kept() -> dict[str, Any] | None:
        found = await town.cases_titled(title)
        if not found:
            return None
        case: dict[str, Any] = await town.done("GET", f"/api/cases/{found[0]['id']}", DEPUTY)
        return case if all(one["state"] == "kept" for one in case["photos"]) else None

    case = await wait_until(kept, what="the photos being kept", seconds=PATIENCE, every=0.2)
    assert case is not None
    assert len(case["photos"]) == count
    assert len(await town.cases_titled(title)) == 1
    return case


PHOTOS_ON_THE_PHONE = """new Promise((resolve) => {
  const asked = indexedDB.open('daibiaotong')
  asked.onsuccess = () => {
    const found = asked.result.transaction('photos').objectStore('photos').getAll()
    found.onsuccess = () => {
      asked.result.close()
      resolve(Promise.all(found.result.map(({ blob }) => blob.text())))
    }
  }
})"""


async def test_photos_go_with_a_case_and_are_seen_by_its_filer_and_its_department_alone(
    deputy: Visit, town: Town
) -> None:
    page = await deputy.open("/cases/new")
    await fill(page, "楼道堆物有照片")
    await page.get_by_label("类别").click()
    await page.get_by_text("城乡建设", exact=True).click()
    await page.get_by_role("button", name="确定").click()
    await add_photos(page, photo(colour="red"), photo(colour="green"), photo(colour="white"))
    await page.get_by_role("button", name="删除照片2").click()
    await expect(page.locator(".photos img")).to_have_count(2)
    await deputy.picture("phone-case-photos")
    assert await deputy.axe() == []
    await submit(page)
    await expect(page).to_have_url(re.compile(r"/m/cases/[0-9a-f-]{36}$"))
    case = await photos_kept(town, "楼道堆物有照片", 2)
    shown = page.locator(".case-photos img")
    await expect(shown).to_have_count(2)
    for number in range(2):
        await expect(shown.nth(number)).to_have_js_property("naturalWidth", 320)
    assert await deputy.axe() == []
    await deputy.picture("phone-case-with-photos")
    await shown.first.click()
    await expect(page.locator(".van-image-preview__image img").first).to_be_visible()
    assert case["department"] == HOUSING
    for one in case["photos"]:
        address = f"{town.url}/api/cases/{case['id']}/photos/{one['digest']}"
        for who, status in ((HOUSING, 200), (DEPUTY, 200), (OTHER_DEPUTY, 404)):
            headers = {"Authorization": f"Bearer {town.tokens[who]}"}
            async with town.session.get(address, headers=headers) as answer:
                assert answer.status == status, who
                assert status != 200 or (await answer.read())[:3] == b"\xff\xd8\xff"


async def test_photos_wait_on_the_phone_without_a_connection_and_go_with_their_case_once(
    deputy: Visit, town: Town
) -> None:
    deputy.expected += ["ERR_INTERNET_DISCONNECTED", "ERR_CONNECTION_RESET"]
    page = await deputy.open("/cases/new")
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    await fill(page, "断网时拍的照片")
    await deputy.context.set_offline(True)
    await add_photos(page, photo(colour="red"), photo(colour="green"))
    await submit(page)
    await expect(page.get_by_text("待发送").first).to_be_visible()
    kept = await page.evaluate(PHOTOS_ON_THE_PHONE)
    assert len(kept) == 2
    assert GPS_MARK in photo()
    assert not [one for one in kept if GPS_MARK.decode() in one or MAKER in one]
    await page.reload()  # what waits outlives the page
    await page.get_by_text("断网时拍的照片").click()
    await expect(page.locator(".photos img")).to_have_count(2)
    await submit(page)
    await expect(page.get_by_text("待发送").first).to_be_visible()

    async def lose(route: Route) -> None:
        await route.fetch()  # the gateway takes it, and nobody hears of it
        await route.abort("connectionreset")

    await page.route("**/api/photos", lose, times=1)
    await page.route("**/api/cases", lose, times=1)
    await deputy.context.set_offline(False)
    await photos_kept_after_tries(page, town, "断网时拍的照片")
    assert await page.evaluate(PHOTOS_ON_THE_PHONE) == []


async def photos_kept_after_tries(page: Page, town: Town, title: str) -> None:
    """Say that the connection is back until nothing waits any more."""

    async def sent() -> bool:
        await page.evaluate("window.dispatchEvent(new Event('online'))")
        return await page.get_by_text("待发送").count() == 0

    await wait_until(sent, what="everything being sent", seconds=PATIENCE, every=1)
    await photos_kept(town, title, 2)


async def test_an_expired_session_asks_to_sign_in_and_files_what_was_written(
    deputy: Visit, town: Town
) -> None:
    deputy.expected.append("401")
    page = await deputy.open("/cases/new")
    await fill(page, "登录过期也不丢")
    await deputy.context.clear_cookies()
    await submit(page)
    again = page.get_by_role("dialog", name="登录已过期")
    await expect(again).to_be_visible()
    await deputy.picture("phone-expired")
    await again.get_by_label("账号").fill("town-b1")
    await again.get_by_label("密码", exact=True).fill(PASSWORD)
    await again.get_by_role("button", name="登录", exact=True).click()
    await expect(again).to_be_hidden()

    async def filed() -> bool:
        return len(await town.cases_titled("登录过期也不丢")) == 1

    await wait_until(filed, what="the case being sent", seconds=PATIENCE, every=0.2)


async def test_a_draft_outlives_the_page_and_the_back_button_leads_back(deputy: Visit) -> None:
    page = await deputy.open("/cases")
    await (
        page.get_by_role("link", name="提交督事")
        .or_(page.get_by_role("button", name="提交督事"))
        .first.click()
    )
    await page.get_by_label("标题").fill("写到一半的督事")
    await expect(page.get_by_text("草稿已保存")).to_be_visible()
    await page.go_back()
    await expect(page).to_have_url(re.compile(r"/m/cases$"))
    await page.reload()
    await page.get_by_text("写到一半的督事").click()
    await expect(page.get_by_label("标题")).to_have_value("写到一半的督事")
    await page.get_by_role("button", name="删除草稿").click()
    await page.get_by_role("dialog").get_by_role("button", name="删除草稿").click()
    await expect(page).to_have_url(re.compile(r"/m/cases$"))
    await expect(page.get_by_text("写到一半的督事")).to_have_count(0)


async def test_an_answered_case_is_closed_and_rated_on_the_phone(deputy: Visit, town: Town) -> None:
    case_id = await town.file("路灯不亮", "高桥镇老街路灯三盏不亮。")
    page = await deputy.open(f"/cases/{case_id}")
    await town.answer(case_id, "已更换灯泡。")
    await page.get_by_role("button", name="确认办结").click()  # it came by itself, over the live stream
    await page.get_by_role("dialog").get_by_role("button", name="确认办结").click()
    await page.get_by_role("radio", name="4星").click()
    await page.get_by_role("button", name="评价", exact=True).click()
    await expect(page.get_by_text("您的评价")).to_be_visible()
    await deputy.picture("phone-case")
    found = await town.done("GET", f"/api/cases/{case_id}", DEPUTY)
    assert (found["state"], found["stars"]) == ("closed", 4)


async def test_a_page_opens_without_a_connection(deputy: Visit) -> None:
    deputy.expected.append("ERR_INTERNET_DISCONNECTED")
    page = await deputy.open("/")
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    await deputy.context.set_offline(True)
    await page.goto(f"{deputy.url}/m/cases/new")
    await page.get_by_label("标题").fill("离线打开后写的")
    await expect(page.get_by_text("草稿已保存")).to_be_visible()


PAGES = {"home": "/", "cases": "/cases", "case-empty": "/cases/new", "notices": "/notices", "me": "/me"}


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_accessible_in_both_sizes(name: str, deputy: Visit) -> None:
    page = await deputy.open(PAGES[name])
    await deputy.picture(f"phone-{name}")
    assert await deputy.axe() == []
    await page.evaluate("localStorage.setItem('daibiaotong.large', 'yes')")
    await deputy.open(PAGES[name])
    await deputy.picture(f"phone-{name}-large")
    assert await deputy.axe() == []
    assert await page.evaluate(SMALL) == []


SMALL = """() => {
  const shown = (one) => one.getClientRects().length > 0 && getComputedStyle(one).visibility !== 'hidden' && !one.closest('.hidden, .soft-print')
  const wrong = []
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const parent = texts.currentNode.parentElement
    if (texts.currentNode.textContent.trim() !== '' && shown(parent) && parseFloat(getComputedStyle(parent).fontSize) < 18)
      wrong.push(`text: ${parent.className} ${texts.currentNode.textContent.trim().slice(0, 20)}`)
  }
  for (const one of document.querySelectorAll('a[href], button, [role=button], [role=radio], [role=switch]')) {
    const box = (one.closest('.van-cell') ?? one).getBoundingClientRect()
    if (shown(one) && (box.width < 60 || box.height < 60) && !one.matches('[role=switch]'))
      wrong.push(`target: ${one.className} ${box.width}x${box.height}`)
  }
  return wrong
}"""


async def test_what_one_may_not_see_and_what_is_not_there_are_said(
    deputy: Visit, town: Town, visiting: Callable[..., Any]
) -> None:
    deputy.expected += ["403", "404"]
    page = await deputy.open("/cases/00000000-0000-7000-8000-000000000000")
    await expect(page.get_by_text("没有找到")).to_be_visible()
    foreign = (await town.done("GET", "/api/cases", "B2"))["items"][0]["id"]
    await deputy.open(f"/cases/{foreign}")
    await expect(page.get_by_text("您没有查看权限")).to_be_visible()
    async with visiting() as staff:
        await staff.sign_in("staff")
        await expect(staff.page.get_by_text("手机端供人大代表使用")).to_be_visible()
