"""The deputy's way on the phone, in a real browser on the real suite."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from playwright.async_api import FilePayload, Page, Route, expect

from shared.testing.wait import wait_until
from tests.browser.conftest import Visit, chinese_on
from tests.browser.town import DEPUTY, HOUSING, OTHER_DEPUTY, PASSWORD, PATIENCE, STAFF, Town
from tests.photo_files import GPS_MARK, MAKER, photo

pytestmark = pytest.mark.timeout(600, func_only=True)

TEXT = "路口的红绿灯不亮已经三天，早晚高峰很危险，请尽快修复。"


async def fill(page: Page, title: str, text: str = TEXT) -> None:
    """Fill in a case; the place is there already, from the deputy's own constituency."""
    await page.get_by_label("标题").fill(title)
    await page.get_by_label("情况说明").fill(text)
    await expect(page.get_by_label("地点")).to_have_value(re.compile("海曙区"))


async def submit(page: Page) -> None:
    await page.get_by_role("button", name="提交", exact=True).click()


async def expand(page: Page) -> None:
    """Have all shown that waits on the home page, as soon as what it has read is more than it begins with."""
    rest = page.get_by_role("button", name=re.compile("项，全部展开"))
    await page.add_locator_handler(rest, lambda button: button.click())


async def test_a_wrong_password_says_so_and_the_right_one_opens_the_home_page(phone: Visit) -> None:
    phone.expected.append("401")
    await expand(phone.page)
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
    await expect(page.get_by_text("已答复，请确认办结").first).to_be_visible()


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
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    attach, where = page.get_by_role("button", name="附上当前位置"), page.get_by_text("29.868336, 121.543991")
    await deputy.context.grant_permissions(["notifications"], origin=town.url)  # and nothing else
    await attach.click()
    await expect(page.get_by_role("alert").filter(has_text="没有取得定位许可")).to_be_visible()
    await deputy.picture("phone-position-refused")
    await deputy.context.grant_permissions(
        ["geolocation", "clipboard-read", "clipboard-write"], origin=town.url
    )
    await deputy.context.set_geolocation({"latitude": 29.8683361, "longitude": 121.5439909, "accuracy": 11.2})
    await attach.click()
    await expect(where).to_be_visible()
    await page.get_by_role("button", name="移除位置").click()
    await expect(where).to_be_hidden()
    await attach.click()
    await expect(page.get_by_text("误差约12米")).to_be_visible()
    await deputy.picture("phone-case-new")
    await submit(page)
    await expect(page).to_have_url(re.compile(r"/m/cases/[0-9a-f-]{36}$"))
    await expect(page.get_by_role("heading", name="中山路口红绿灯不亮")).to_be_visible()
    await expect(page.get_by_text("已派单").first).to_be_visible()
    await expect(page.get_by_text("市交通运输局").first).to_be_visible()
    (case,) = await town.cases_titled("中山路口红绿灯不亮")
    assert case["position"] == {"latitude": 29.868336, "longitude": 121.543991, "accuracy": 12}
    await expect(where).to_be_visible()
    map_link = page.get_by_role("link", name="用手机地图打开")
    await expect(map_link).to_have_attribute("href", "geo:29.868336,121.543991")
    await page.get_by_role("button", name="复制坐标").click()
    await expect(page.get_by_text("坐标已复制")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "29.868336, 121.543991"
    assert not [url for url in asked if "29.868" in url]
    await deputy.picture("phone-case-position")
    assert await deputy.axe() == []
    await page.get_by_text("派单依据").click()
    why = page.get_by_text("类别“交通运输”由提交人选定；该单位负责全市")
    await expect(why).to_have_count(2)  # beside the department, and at the step
    await expect(why.first).to_be_visible()
    await page.evaluate("localStorage.setItem('daibiaotong.locale', 'en')")
    await page.reload()
    await page.get_by_text("Why this department").click()
    said = "category 交通运输 was chosen when filing; the department serves the whole city"
    await expect(page.get_by_text(said).first).to_be_visible()
    await page.get_by_text("Why answered by this date").click()
    counted = re.compile(r"^From \d+ \w+ \d{4}: 5 working days \(")
    await expect(page.get_by_text(counted)).to_be_visible()


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
    # A trial of a click fails where something lies over it: the page's own bar must not.
    await page.get_by_text("网络已断开").click(trial=True)
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

    # Each time, for the phone tries again by itself every few seconds.
    await page.route("**/api/cases", lose)
    await fill(page, "答复丢失后重发")
    await submit(page)
    await expect(page.get_by_text("待发送").first).to_be_visible()
    # From before the connection is back: the phone may try again by itself at that very moment.
    async with page.expect_response(
        lambda said: said.request.method == "POST" and said.url.endswith("/api/cases")
    ) as again:
        await page.unroute("**/api/cases", lose)
        await page.evaluate("window.dispatchEvent(new Event('online'))")
    sent = await again.value
    assert (sent.status, {await sent.request.header_value("idempotency-key")}) == (200, set(tries))
    await expect(page.get_by_text("待发送")).to_have_count(0)
    assert len(await town.cases_titled("答复丢失后重发")) == 1


async def add_photos(page: Page, *contents: bytes) -> None:
    """Choose photos as the camera would bring them, and wait until they are shown."""
    before = await page.locator(".photos img").count()
    files: list[FilePayload] = [
        {"name": f"{n}.jpg", "mimeType": "image/jpeg", "buffer": content}
        for n, content in enumerate(contents)
    ]
    await page.get_by_label("选择照片").set_input_files(files)
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
    camera = page.get_by_label("拍照", exact=True)
    await expect(camera).to_have_attribute("capture", "environment")
    taken: FilePayload = {"name": "0.jpg", "mimeType": "image/jpeg", "buffer": photo(colour="red")}
    await camera.set_input_files(taken)
    await expect(page.locator(".photos img")).to_have_count(1)
    await add_photos(page, photo(colour="green"), photo(colour="white"))
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
            async with town.session.get(address, headers=await town.headers(who)) as answer:
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


async def test_an_expired_access_token_is_renewed_and_what_waited_is_filed_without_signing_in(
    deputy: Visit, town: Town
) -> None:
    deputy.expected += ["ERR_INTERNET_DISCONNECTED", "401"]
    page = await deputy.open("/cases/new")
    await fill(page, "续期后发送")
    await deputy.context.set_offline(True)
    await submit(page)
    await expect(page.get_by_text("待发送").first).to_be_visible()
    await deputy.context.clear_cookies(name="daibiaotong_session")
    renewals: list[int] = []
    page.on("response", lambda said: renewals.append(said.status) if "renewal" in said.url else None)
    await deputy.context.set_offline(False)

    async def filed() -> bool:
        return len(await town.cases_titled("续期后发送")) == 1

    await wait_until(filed, what="the case being sent", seconds=PATIENCE, every=0.2)
    await expect(page.get_by_text("待发送")).to_have_count(0)
    await expect(page.get_by_role("dialog", name="登录已过期")).to_have_count(0)
    assert renewals == [200]  # one for all that the page asks at once
    await page.goto("about:blank")  # what the page still asks for could renew it as it is left
    await deputy.context.clear_cookies(name="daibiaotong_session")
    await deputy.open("/cases")
    await expect(page.get_by_text("续期后发送").first).to_be_visible()
    assert renewals == [200, 200]


async def test_after_signing_out_no_kept_copy_of_the_cookies_goes_on(deputy: Visit, town: Town) -> None:
    kept = {
        one["name"]: one["value"] for one in await deputy.context.cookies(f"{town.url}/api/session/renewal")
    }
    assert set(kept) == {"daibiaotong_session", "daibiaotong_renewal"}
    assert "daibiaotong_renewal" not in {
        one["name"] for one in await deputy.context.cookies(f"{town.url}/api/me")
    }
    page = await deputy.open("/me")
    await page.get_by_role("button", name="退出登录").click()
    await page.get_by_role("dialog").get_by_role("button", name="退出登录").click()
    await expect(page).to_have_url(re.compile("/m/sign-in"))
    headers = {
        "Cookie": f"daibiaotong_renewal={kept['daibiaotong_renewal']}",
        "Sec-Fetch-Site": "same-origin",
    }
    async with town.session.post(f"{town.url}/api/session/renewal", headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "session-ended")


async def test_a_draft_outlives_the_page_and_the_back_button_leads_back(deputy: Visit) -> None:
    page = await deputy.open("/cases")
    await (
        page.get_by_role("link", name="提交督事")
        .or_(page.get_by_role("button", name="提交督事"))
        .first.click()
    )
    await deputy.context.grant_permissions(["geolocation"])
    await deputy.context.set_geolocation({"latitude": 29.9, "longitude": 121.6, "accuracy": 5})
    await page.get_by_role("button", name="附上当前位置").click()
    await expect(page.get_by_text("29.900000, 121.600000")).to_be_visible()
    await page.get_by_label("标题").fill("写到一半的督事")
    await expect(page.get_by_text("草稿已保存")).to_be_visible()
    await page.go_back()
    await expect(page).to_have_url(re.compile(r"/m/cases$"))
    await page.reload()
    await page.get_by_text("写到一半的督事").click()
    await expect(page.get_by_label("标题")).to_have_value("写到一半的督事")
    await expect(page.get_by_text("29.900000, 121.600000")).to_be_visible()
    await page.get_by_role("button", name="删除草稿").click()
    await page.get_by_role("dialog").get_by_role("button", name="删除草稿").click()
    await expect(page).to_have_url(re.compile(r"/m/cases$"))
    await expect(page.get_by_text("写到一半的督事")).to_have_count(0)


PHOTOS_READ_LATE = """new Promise((held) => {
  const asked = indexedDB.open('daibiaotong')
  asked.onsuccess = () => {
    const store = asked.result.transaction('photos', 'readwrite').objectStore('photos')
    const ends = performance.now() + 500
    const again = () => {
      held()
      if (performance.now() < ends) store.get('none').onsuccess = again
      else asked.result.close()
    }
    again()
  }
})"""
"""As on a slow phone: for a moment nobody else reads photos."""


async def test_looking_at_a_case_that_waits_lets_it_wait_and_what_was_sent_leaves_no_ghost(
    deputy: Visit, town: Town
) -> None:
    deputy.expected.append("ERR_INTERNET_DISCONNECTED")
    page = await deputy.open("/cases/new")
    await fill(page, "看过的还在等")
    await deputy.context.set_offline(True)
    await submit(page)
    waiting = page.get_by_role("listitem").filter(has_text="看过的还在等").filter(has_text="待发送")
    await waiting.click()
    await expect(page.get_by_label("标题")).to_have_value("看过的还在等")
    await page.go_back()
    await page.evaluate(PHOTOS_READ_LATE)
    await waiting.click()
    await expect(page.get_by_label("标题")).to_have_value("看过的还在等")
    await page.get_by_label("情况说明").fill(TEXT + "请先设临时岗。")  # as soon as there are words
    await expect(page.get_by_text("草稿已保存")).to_be_visible()
    await page.go_back()
    await waiting.click()  # changed, it waits as well
    await expect(page.get_by_label("标题")).to_have_value("看过的还在等")
    await deputy.context.set_offline(False)
    await expect(page).to_have_url(re.compile(r"/m/cases$"))  # it was sent while it was looked at
    await deputy.open("/cases")
    await expect(page.get_by_text("草稿和待发送")).to_have_count(0)
    (case,) = await town.cases_titled("看过的还在等")
    found = await town.done("GET", f"/api/cases/{case['id']}", DEPUTY)
    assert found["text"] == TEXT + "请先设临时岗。"


async def test_a_refused_case_keeps_its_reason_until_it_is_changed(deputy: Visit) -> None:
    deputy.expected.append("422")
    page = await deputy.open("/cases/new")
    problem = {"title": "no", "status": 422, "code": "category-unknown", "detail": "no"}
    await page.route("**/api/cases", lambda route: route.fulfill(status=422, json=problem))
    await fill(page, "被退回的草稿")
    await submit(page)
    reason = page.locator("p[role=alert]").filter(has_text="没有这个类别")
    await expect(reason).to_be_visible()
    refused = page.get_by_role("listitem").filter(has_text="被退回的草稿").filter(has_text="需修改")
    await deputy.open("/cases")
    for _ in range(2):
        await refused.click()
        await expect(reason).to_be_visible()
        await page.go_back()
    await refused.click()
    await expect(reason).to_be_visible()
    await page.get_by_label("情况说明").fill(TEXT + "已改。")
    await expect(reason).to_have_count(0)
    await page.get_by_role("button", name="删除草稿").click()
    await page.get_by_role("dialog").get_by_role("button", name="删除草稿").click()
    await expect(page.get_by_text("被退回的草稿")).to_have_count(0)


async def test_a_case_behind_one_that_cannot_be_sent_is_said_to_wait(deputy: Visit, town: Town) -> None:
    deputy.expected.append("ERR_CONNECTION_RESET")
    page = await deputy.open("/cases/new")

    async def lose(route: Route) -> None:
        if "前面的一件" in str(route.request.post_data):
            await route.abort("connectionreset")
        else:
            await route.fallback()

    await page.route("**/api/cases", lose)
    for title in ("前面的一件", "后面的一件"):
        await deputy.open("/cases/new")
        await fill(page, title)
        await submit(page)
        await expect(page).to_have_url(re.compile(r"/m/cases$"))
        kept = page.get_by_role("listitem").filter(has_text=title)
        await expect(kept).to_contain_text("待发送")
    await page.unroute("**/api/cases", lose)
    await page.evaluate("window.dispatchEvent(new Event('online'))")
    await expect(page.get_by_text("待发送")).to_have_count(0)
    for title in ("前面的一件", "后面的一件"):
        assert len(await town.cases_titled(title)) == 1


async def test_the_words_of_a_motion_outlive_the_page_until_they_are_saved_or_discarded(
    deputy: Visit,
) -> None:
    page = await deputy.open("/motions")
    await page.get_by_role("link", name="起草").first.click()
    await page.get_by_label("标题").fill("关于保留文字的建议")
    await page.get_by_label("正文").fill("写了很久的正文。")
    await page.go_back()
    await expect(page).to_have_url(re.compile(r"/m/motions$"))
    await page.get_by_role("link", name="起草").first.click()
    await expect(page.get_by_label("正文")).to_have_value("写了很久的正文。")
    await page.reload()
    await expect(page.get_by_label("标题")).to_have_value("关于保留文字的建议")
    await page.get_by_role("button", name="放弃修改").click()
    await page.get_by_role("dialog").get_by_role("button", name="放弃修改").click()
    await expect(page).to_have_url(re.compile(r"/m/motions$"))
    await page.get_by_role("link", name="起草").first.click()
    await expect(page.get_by_label("正文")).to_have_value("")


async def test_a_motion_whose_answer_was_lost_is_there_once_with_its_last_words(
    deputy: Visit, town: Town
) -> None:
    deputy.expected.append("ERR_CONNECTION_RESET")
    title = "关于答复丢失的建议"
    page = await deputy.open("/motions/new")

    async def lose(route: Route) -> None:
        await route.fetch()  # the gateway takes it, and nobody hears of it
        await route.abort("connectionreset")

    await page.route("**/api/motions", lose, times=1)
    await page.get_by_label("标题").fill(title)
    await page.get_by_label("正文").fill("第一稿。")
    await page.get_by_role("checkbox", name="不予公开").click()
    await deputy.picture("phone-motion-secret")
    await page.get_by_role("button", name="保存草稿").click()
    await expect(page.get_by_text("网络连接不上")).to_be_visible()
    await page.reload()
    await expect(page.get_by_label("正文")).to_have_value("第一稿。")
    await expect(page.get_by_role("checkbox", name="不予公开")).to_be_checked()
    await page.get_by_label("正文").fill("第二稿。")
    await page.get_by_role("button", name="保存草稿").click()
    await expect(page.get_by_role("heading", name=title)).to_be_visible()
    await expect(page.get_by_text("第二稿。")).to_be_visible()
    await expect(page.locator(".chip", has_text="不予公开")).to_be_visible()
    own = await town.done("GET", f"/api/motions?deputy={town.people[DEPUTY]}&size=100", DEPUTY)
    (motion,) = [one["id"] for one in own["items"] if one["title"] == title and one["secret"]]
    await town.done("POST", f"/api/motions/{motion}/withdraw", DEPUTY, {"reason": "试用"})


async def test_an_answered_case_is_closed_and_rated_on_the_phone(deputy: Visit, town: Town) -> None:
    case_id = await town.file("路灯不亮", "高桥镇老街路灯三盏不亮。")
    page = await deputy.open(f"/cases/{case_id}")
    await town.answer(case_id, "已更换灯泡。")
    await page.get_by_role("button", name="确认办结").click()  # it came by itself, over the live stream
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("radio", name="已解决")).to_be_checked()  # as the department says
    await dialog.get_by_role("radio", name="已解释说明").click()
    await deputy.picture("phone-closing")
    await dialog.get_by_role("button", name="确认办结").click()
    await expect(page.get_by_role("radio", name="4星")).to_be_visible()
    unrated = "/api/cases?unrated=true&size=100"
    assert case_id in {one["id"] for one in (await town.done("GET", unrated, DEPUTY))["items"]}
    await page.get_by_role("radio", name="4星").click()
    await page.get_by_role("button", name="评价", exact=True).click()
    await expect(page.get_by_text("您的评价")).to_be_visible()
    assert case_id not in {one["id"] for one in (await town.done("GET", unrated, DEPUTY))["items"]}
    await deputy.picture("phone-case")
    found = await town.done("GET", f"/api/cases/{case_id}", DEPUTY)
    assert (found["state"], found["stars"], found["result"]) == ("closed", 4, "explained")

    await page.get_by_role("button", name="转为民生实事线索").click()
    await page.get_by_label("为什么应列入民生实事").fill("全市有同样的问题。")
    await page.get_by_role("button", name="确定").click()
    await expect(page.get_by_text("全市有同样的问题。")).to_be_visible()
    await expect(page.get_by_role("button", name="转为民生实事线索")).to_have_count(0)
    await page.get_by_role("button", name="转为建议").click()
    await expect(page.get_by_label("标题")).to_have_value(found["title"])
    await expect(page.get_by_label("正文")).to_have_value(found["text"])
    await deputy.picture("phone-motion-from-case")
    await page.get_by_role("button", name="保存草稿").click()
    await expect(page).to_have_url(re.compile(r"/m/motions/[0-9a-f-]{36}$"))
    motion = page.url.rpartition("/")[2]
    assert (await town.done("GET", f"/api/motions/{motion}", DEPUTY))["from_case"] == case_id
    await page.get_by_role("link", name="由一件督事转来").click()
    await expect(page.get_by_role("button", name="由本件督事转为议案建议")).to_be_visible()
    await expect(page.get_by_text("草稿已保存")).to_be_hidden()  # it lies over the page for a moment
    await deputy.picture("phone-case-became")
    assert await deputy.axe() == []
    await page.get_by_role("button", name="由本件督事转为议案建议").click()
    await expect(page).to_have_url(re.compile(f"/m/motions/{motion}$"))
    await town.done("POST", f"/api/motions/{motion}/withdraw", DEPUTY, {"reason": "试用"})


async def test_a_page_opens_without_a_connection(deputy: Visit) -> None:
    deputy.expected.append("ERR_INTERNET_DISCONNECTED")
    page = await deputy.open("/")
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    await deputy.open("/cases/new")
    await expect(page.get_by_label("地点")).to_have_value(re.compile("海曙区"))
    await deputy.context.set_offline(True)
    await page.goto(f"{deputy.url}/m/cases/new")
    await expect(page.get_by_label("地点")).to_have_value(re.compile("海曙区"))
    await page.get_by_label("标题").fill("离线打开后写的")
    await expect(page.get_by_text("草稿已保存")).to_be_visible()
    await page.get_by_label("情况说明").fill(TEXT)
    await submit(page)
    await expect(page.get_by_text("待发送").first).to_be_visible()
    await page.goto(f"{deputy.url}/m/")
    await expect(page.get_by_role("button", name="离线打开后写的")).to_contain_text("等待发送")
    await expect(
        page.get_by_role("alert").filter(has_text="督事、议案建议、意见征集暂时读不到")
    ).to_be_visible()
    await deputy.picture("phone-home-offline")
    await page.get_by_role("button", name="提交督事").click()
    await expect(page.get_by_label("标题")).to_be_visible()


async def test_what_cannot_be_read_hides_neither_the_rest_nor_the_way_to_file(deputy: Visit) -> None:
    deputy.expected.append("503")
    page = deputy.page
    await expand(page)
    for asked in ("scores/*", "motions?*"):
        await page.route(f"**/api/{asked}", lambda route: route.fulfill(status=503, json={"code": "down"}))
    await deputy.open("/")
    await expect(page.get_by_role("alert").filter(has_text="议案建议暂时读不到")).not_to_contain_text("督事")
    await expect(page.get_by_text("已答复，请确认办结").first).to_be_visible()
    await expect(page.get_by_text("积分暂时读不到")).to_be_visible()
    await deputy.picture("phone-home-partly")
    await expect(page.get_by_role("button", name="提交督事")).to_be_visible()
    await page.route("**/api/cases/*", lambda route: route.fulfill(status=503, json={"code": "down"}))
    await deputy.open("/motions/new?case=01a21c27-7591-7969-8f96-84ca0269fe1d")
    await page.unroute("**/api/cases/*")
    deputy.expected.append("404")
    await page.get_by_role("alert").get_by_role("button", name="重新加载").click()
    await expect(page.get_by_role("alert").filter(has_text="没有找到")).to_be_visible()


PAGES = {
    "home": "/",
    "cases": "/cases",
    "case-empty": "/cases/new",
    "work": "/work",
    "motions": "/motions",
    "motion-new": "/motions/new",
    "activities": "/activities",
    "consultations": "/consultations",
    "school": "/school",
    "duty-new": "/duties/new",
    "archive": "/archive",
    "appeals": "/appeals",
    "appeal-new": "/appeals/new",
    "code": "/code",
    "notices": "/notices",
    "me": "/me",
    "password": "/me/password",
}


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


async def test_in_english_no_page_says_anything_in_chinese_but_what_people_wrote(
    deputy: Visit, town: Town
) -> None:
    case_id = (await town.cases_titled("小区电梯经常停运"))[0]["id"]
    pages = {**PAGES, "case": f"/cases/{case_id}"}
    for hall, things in (
        ("activities", "activities"),
        ("consultations", "consultations"),
        ("school", "courses"),
    ):
        one = (await town.done("GET", f"/api/{things}", DEPUTY))["items"][0]["id"]
        pages[f"{hall}-one"] = f"/{hall}/{one}"
    content = {"title": "关于增设路灯的建议", "text": "请增设路灯。", "kind": "suggestion"}
    motion = (await town.done("POST", "/api/motions", DEPUTY, content))["id"]
    await town.done("POST", f"/api/motions/{motion}/submit", DEPUTY, {"informed": True})
    pages["motion"] = f"/motions/{motion}"
    await deputy.page.evaluate("localStorage.setItem('daibiaotong.locale', 'en')")
    left = {}
    for name, path in pages.items():
        await deputy.open(path)
        await deputy.picture(f"phone-{name}-en")
        left[name] = await chinese_on(deputy, town)
    assert {name: words for name, words in left.items() if words} == {}
    await town.done("POST", f"/api/motions/{motion}/withdraw", DEPUTY, {"reason": "试用"})


SMALL = """() => {
  const shown = (one) => one.getClientRects().length > 0 && getComputedStyle(one).visibility !== 'hidden' && !one.closest('.hidden, .soft-print')
  const wrong = []
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const parent = texts.currentNode.parentElement
    if (texts.currentNode.textContent.trim() !== '' && shown(parent) && parseFloat(getComputedStyle(parent).fontSize) < 18)
      wrong.push(`text: ${parent.className} ${texts.currentNode.textContent.trim().slice(0, 20)}`)
  }
  const roles = ['button', 'radio', 'checkbox', 'switch', 'tab'].map((role) => `[role=${role}]`)
  const others = ['.van-cascader__option', '.van-cascader__close-icon', '.van-popup__close-icon', '.van-field__clear']
  const pressed = ['a[href]', 'button', 'summary', 'textarea', 'input:not([type=file])', ...roles, ...others]
  for (const one of document.querySelectorAll(pressed)) {
    // A row counts where pressing it anywhere does it: it is a link, a button, or opens what it shows.
    const box = (one.closest('a.van-cell, .van-cell--clickable, .pressed-whole') ?? one).getBoundingClientRect()
    // What still slides in is measured as 59.9999: reckoning, not size.
    const side = Math.round(Math.min(box.width, box.height) * 100) / 100
    if (shown(one) && side < 60)
      wrong.push(`target: ${one.tagName} ${one.className} ${box.width}x${box.height}`)
  }
  for (const one of document.querySelectorAll('h1, h2, h3, p, li, dt, dd, th, td, legend, .van-cell__title, .van-cell__label')) {
    const { fontSize, lineHeight } = getComputedStyle(one)
    if (shown(one) && one.textContent.trim() !== '' && parseFloat(lineHeight) < 1.3 * parseFloat(fontSize))
      wrong.push(`lines touch: ${one.tagName} ${one.className} ${one.textContent.trim().slice(0, 20)}`)
  }
  return wrong
}"""


async def test_what_comes_up_over_a_page_is_large_too(deputy: Visit, town: Town) -> None:
    content = {"kind": "suggestion", "title": "关于大字版的建议", "text": "按钮再大些。", "secret": False}
    motion = (await town.done("POST", "/api/motions", DEPUTY, content))["id"]
    page = await deputy.open("/cases/new")
    await page.evaluate("localStorage.setItem('daibiaotong.large', 'yes')")
    await deputy.open("/cases/new")
    await page.get_by_label("标题").fill("有清除按钮")
    await page.get_by_label("标题").focus()
    await expect(page.locator(".van-field__clear")).to_be_visible()
    assert await page.evaluate(SMALL) == []
    await page.get_by_label("地点").click()
    await expect(page.locator(".van-cascader")).to_be_visible()
    await expect(page.locator(".van-cascader__option").filter(has_text="高桥镇")).to_be_visible()
    await deputy.picture("phone-place-large")
    assert await page.evaluate(SMALL) == []
    await page.locator(".van-cascader__close-icon").click()
    await expect(page.locator(".van-cascader")).to_be_hidden()
    await page.get_by_label("类别").click()
    await expect(page.locator(".van-picker")).to_be_visible()
    assert await page.evaluate(SMALL) == []
    await deputy.open(f"/motions/{motion}")
    await page.get_by_role("button", name="邀请联名").click()
    await page.get_by_role("searchbox", name="搜索代表姓名").fill("没有此人")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("没有找到同级代表")).to_be_visible()
    await page.get_by_role("searchbox", name="搜索代表姓名").fill("水生")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("checkbox", name="水生")).to_be_visible()
    await deputy.picture("phone-invite-large")
    assert await page.evaluate(SMALL) == []
    await town.done("POST", f"/api/motions/{motion}/withdraw", DEPUTY, {"reason": "试用"})


async def test_an_answer_stands_beside_its_radio(deputy: Visit) -> None:
    page = await deputy.open("/duties/new")
    gaps = await page.evaluate(
        """[...document.querySelectorAll('.choice')].map((row) => {
          const words = document.createRange()
          words.selectNodeContents(row.querySelector('.van-radio__label'))
          return words.getBoundingClientRect().left - row.querySelector('.van-radio__icon').getBoundingClientRect().right
        })"""
    )
    assert gaps
    assert max(gaps) < 24


async def test_large_print_and_language_are_offered_before_signing_in(phone: Visit) -> None:
    page = await phone.open("/sign-in")
    await page.get_by_role("switch", name="适老版").click()
    assert await page.evaluate("document.documentElement.className") == "large"
    await phone.picture("phone-sign-in-large")
    assert await page.evaluate(SMALL) == []
    assert await phone.axe() == []
    await page.get_by_role("radio", name="English").click()
    await expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    await page.get_by_role("switch", name="Large print").click()
    assert await page.evaluate("document.documentElement.className") == ""


async def test_a_deputy_sets_another_password_stays_signed_in_and_signs_in_with_it(
    visiting: Callable[..., Any], town: Town
) -> None:
    fresh = "spring-rain-2031"
    async with visiting() as visit:
        visit.expected.append("401")
        await visit.sign_in(OTHER_DEPUTY)
        page = await visit.open("/me")
        await page.get_by_text("修改账号和密码").click()
        await page.get_by_label("账号").fill("town-b2")
        await page.get_by_label("新密码", exact=True).fill(fresh)
        await page.get_by_label("再输一次新密码").fill(fresh + "x")
        await page.get_by_role("button", name="提交").click()
        await expect(page.get_by_role("alert").filter(has_text="两次输入的密码不一样")).to_be_visible()
        await visit.picture("phone-password-filled")
        await page.get_by_label("再输一次新密码").fill(fresh)
        await page.get_by_role("button", name="提交").click()
        await expect(page.get_by_text("密码已修改")).to_be_visible()
        await expect(page).to_have_url(re.compile("/m/me$"))
        await page.get_by_role("button", name="退出登录").click()
        await page.get_by_role("dialog").get_by_role("button", name="退出登录").click()
        await page.get_by_label("账号").fill("town-b2")
        await page.get_by_label("密码", exact=True).fill(fresh)
        await page.get_by_role("button", name="登录", exact=True).click()
        await expect(page.get_by_role("heading", name="水生代表")).to_be_visible()
    content = {"login": "town-b2", "password": PASSWORD}
    await town.done("PUT", f"/api/people/{town.people[OTHER_DEPUTY]}/password", "operator", content)


async def test_what_one_may_not_see_and_what_is_not_there_are_said(
    deputy: Visit, town: Town, visiting: Callable[..., Any]
) -> None:
    deputy.expected += ["403", "404"]
    page = await deputy.open("/cases/00000000-0000-7000-8000-000000000000")
    await expect(page.get_by_text("没有找到")).to_be_visible()
    theirs = (await town.done("GET", "/api/cases", "B2"))["items"]
    me = town.people[DEPUTY]
    foreign = next(one["id"] for one in theirs if me not in (one["deputy_id"], *one["followers"]))
    await deputy.open(f"/cases/{foreign}")
    await expect(page.get_by_text("您没有查看权限")).to_be_visible()
    async with visiting() as staff:
        await staff.sign_in("staff")
        await expect(staff.page.get_by_text("手机端供人大代表使用")).to_be_visible()


async def test_a_deputy_signs_up_and_checks_in_with_the_code_shown(deputy: Visit, town: Town) -> None:
    deputy.expected.append("422")  # the wrong code
    title = "民生实事项目主题督查"
    listed = (await town.done("GET", "/api/activities", STAFF))["items"]
    activity = next(one for one in listed if one["title"] == title)
    page = await deputy.open("/work")
    await page.get_by_role("link", name="代表活动").click()
    await page.get_by_text(title).click()
    await page.get_by_role("button", name="报名").click()
    await expect(page.locator(".chip").filter(has_text="已报名")).to_be_visible()
    await page.get_by_label("签到码").fill("不是这个")
    await page.get_by_role("button", name="签到").click()
    await expect(page.get_by_text("签到码不对")).to_be_visible()
    await page.get_by_label("签到码").fill(activity["code"])
    await page.get_by_role("button", name="签到").click()
    await expect(page.locator(".chip").filter(has_text="已签到")).to_be_visible()
    await deputy.picture("phone-activity")


async def test_a_deputy_answers_a_consultation_once(deputy: Visit) -> None:
    page = await deputy.open("/consultations")
    await page.get_by_text("城市绿化条例").click()
    await page.get_by_role("button", name="提交").click()
    await expect(page.get_by_text("请先回答")).to_be_visible()
    await page.get_by_role("radio", name="基本赞成").click()
    await page.get_by_label("您的修改意见").fill("建议明确行道树修剪的责任单位。")
    await deputy.picture("phone-consultation")
    assert await deputy.axe() == []
    await page.get_by_role("button", name="提交").click()
    await expect(page.get_by_text("我的意见")).to_be_visible()
    await expect(page.get_by_text("基本赞成")).to_be_visible()


async def test_a_deputy_studies_resumes_passes_the_quiz_and_has_a_certificate(deputy: Visit) -> None:
    page = await deputy.open("/school")
    course = page.get_by_role("listitem").filter(has_text="怎样提出高质量的建议")
    await course.click()
    await page.get_by_text("代表法与代表的权利义务").click()
    await expect(page.get_by_role("heading", name="代表的义务")).to_be_visible()
    assert await page.locator(".lesson ol li").count() == 6
    await deputy.picture("phone-lesson")
    assert await deputy.axe() == []

    # Who comes back goes on where they stopped, also in large print.
    await page.evaluate("scrollTo(0, 600)")
    places = "Object.keys(localStorage).filter((key) => key.startsWith('daibiaotong.read.'))"
    await wait_until(lambda: page.evaluate(places), what="the place being kept", seconds=PATIENCE, every=0.1)
    await page.evaluate("localStorage.setItem('daibiaotong.large', 'yes')")
    address = page.url.partition("/m")[2]
    await deputy.open("/school")
    await expect(course).to_contain_text("开始学习")
    await deputy.open(address)
    await expect(page.get_by_role("heading", name="代表的义务")).to_be_visible()
    await wait_until(
        lambda: page.evaluate("scrollY > 300"),
        what="the place being found again",
        seconds=PATIENCE,
        every=0.1,
    )
    assert await deputy.axe() == []
    await deputy.picture("phone-lesson-large")
    assert await page.evaluate(SMALL) == []
    await page.evaluate("localStorage.removeItem('daibiaotong.large')")

    await page.get_by_role("button", name="学完本课").click()
    await expect(page.locator("main .chip.green")).to_be_visible()  # while it is sent the button has no name
    assert await page.evaluate(places) == []
    await page.get_by_role("button", name="下一课").click()
    await expect(page.get_by_text("本课没有文字内容")).to_be_visible()
    await deputy.open("/school")
    await expect(course).to_contain_text("继续学习")
    await course.click()
    await page.get_by_text("建议的选题和写法").click()
    await page.get_by_role("button", name="学完本课").click()
    await expect(page.locator("main .chip.green")).to_be_visible()
    await page.get_by_role("button", name="回到课程").click()
    await page.get_by_role("radio", name="代表自己").click()
    await page.get_by_role("radio", name=re.compile("(?<!不)能$")).click()
    await page.get_by_role("button", name="提交测验").click()
    await expect(page.get_by_text("0分", exact=True)).to_be_visible()
    await page.get_by_role("radio", name="有关机关、组织").click()
    await page.get_by_role("radio", name="不能").click()
    await page.get_by_role("button", name="提交测验").click()
    await expect(page.get_by_text("100分", exact=True)).to_be_visible()
    await deputy.picture("phone-course")
    assert await deputy.axe() == []
    await page.get_by_role("button", name="结业").click()
    await expect(page.get_by_role("heading", name="结业证书")).to_be_visible()
    await deputy.picture("phone-certificate")
    await page.evaluate("window.print = () => { window.printed = true }")
    await page.get_by_role("button", name="打印或保存为PDF").click()
    assert await page.evaluate("window.printed") is True
    await page.emulate_media(media="print")
    await expect(page.get_by_role("heading", name="结业证书")).to_be_visible()
    for other in ("课程内容", "课程"):
        await expect(page.get_by_role("heading", name=other, exact=True)).to_have_count(0)
    await expect(page.get_by_role("button", name="打印或保存为PDF")).to_have_count(0)
    with pypdfium2.PdfDocument(
        await page.pdf(width="105mm", height="148mm")
    ) as printed:  # A6: the page is longer
        assert len(printed) == 1
        assert "结业证书" in printed[0].get_textpage().get_text_range()


async def test_a_deputy_logs_a_duty_and_takes_it_back(deputy: Visit) -> None:
    page = await deputy.open("/duties/new")
    await page.get_by_role("radio", name="接待选民").click()
    await page.get_by_label("情况说明").fill("在高桥镇联络站接待选民五人。")
    await page.get_by_role("button", name="提交").click()
    await expect(page).to_have_url(re.compile(r"/m/duties$"))
    logged = page.get_by_role("listitem").filter(has_text="在高桥镇联络站接待选民五人。")
    await expect(logged.locator(".chip")).to_have_text("待确认")
    await deputy.picture("phone-duties")
    await page.evaluate("document.documentElement.classList.add('large')")
    await deputy.picture("phone-duties-large")
    assert await page.evaluate(SMALL) == []
    await logged.get_by_role("button", name="撤回").click()
    await page.get_by_role("dialog").get_by_role("button", name="撤回").click()
    await expect(logged.locator(".chip")).to_have_text("已撤回")


async def test_a_motion_is_drafted_co_signed_submitted_followed_and_rated_on_the_phone(
    deputy: Visit, town: Town, visiting: Callable[..., Any]
) -> None:
    title = "关于老旧小区加装电梯的建议"
    page = await deputy.open("/motions")
    await page.get_by_role("link", name="起草").first.click()
    await page.get_by_label("标题").fill(title)
    await page.get_by_label("正文").fill("建议简化审批流程，统一补助标准。")
    await deputy.picture("phone-motion-new")
    assert await deputy.axe() == []
    await page.get_by_role("button", name="保存草稿").click()
    await expect(page.get_by_role("heading", name=title)).to_be_visible()
    motion = page.url.rsplit("/", 1)[-1]
    await page.get_by_role("button", name="邀请联名").click()
    await page.get_by_role("searchbox", name="搜索代表姓名").fill("水生")
    await page.keyboard.press("Enter")
    await page.get_by_role("checkbox", name="水生").click()
    await page.get_by_role("button", name="邀请1人").click()
    await expect(page.get_by_role("heading", name="联名代表")).to_be_visible()
    async with visiting() as other:
        await other.sign_in("B2")
        await other.open(f"/motions/{motion}")
        await other.page.get_by_role("button", name="已阅读，确认联名").click()
        await expect(other.page.get_by_role("button", name="退出联名")).to_be_visible()
    await page.get_by_role("button", name="提交", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="提交").click()
    await expect(page.locator(".chip").filter(has_text="待审查")).to_be_visible()
    await town.done("POST", f"/api/motions/{motion}/accept", STAFF, {"number": "第1号"})
    await town.done("POST", f"/api/motions/{motion}/assign", STAFF, {"lead": HOUSING})
    answer = {"result": "A", "text": "已出台加装电梯补助办法。", "signed_by": "王局长"}
    today = (await town.now()).date().isoformat()
    contact = {"on": today, "form": "face-to-face", "note": "上门沟通。"}
    await town.done("POST", f"/api/motions/{motion}/contact", HOUSING, contact)
    await town.done("POST", f"/api/motions/{motion}/answer", HOUSING, answer)
    await expect(page.get_by_text("已出台加装电梯补助办法。")).to_be_visible()
    for axis in ("办理态度", "办理结果"):
        await (
            page.get_by_role("radiogroup", name=axis)
            .get_by_role("radio", name=re.compile("(?<![本不])满意$"))
            .click()
        )
    await page.get_by_role("button", name="评价", exact=True).click()
    await expect(page.get_by_role("heading", name="请评价答复")).to_have_count(0)
    await deputy.picture("phone-motion")
    assert await deputy.axe() == []


async def draft_of(town: Town, who: str, title: str) -> str:
    """A motion that somebody has drafted."""
    content = {"kind": "suggestion", "title": title, "text": "请研究解决。", "secret": False}
    return str((await town.done("POST", "/api/motions", who, content))["id"])


async def test_the_home_page_leads_to_an_invitation_and_a_signature_is_taken_back(
    deputy: Visit, town: Town
) -> None:
    deputy.expected.append(
        "404.*/api/motions/"
    )  # what is told of the change may come before the page is left
    title = "关于增设公交站的建议"
    motion = await draft_of(town, OTHER_DEPUTY, title)
    body = {"deputies": [town.people[DEPUTY]]}
    await town.done("POST", f"/api/motions/{motion}/invitations", OTHER_DEPUTY, body)
    await expand(deputy.page)
    page = await deputy.open("/")
    await page.get_by_role("listitem").filter(has_text=title).filter(has_text="邀请您联名").click()
    await page.get_by_role("button", name="已阅读，确认联名").click()
    await page.get_by_role("button", name="退出联名").click()
    await page.get_by_role("dialog").get_by_role("button", name="退出联名").click()
    # Who has no part in it any more is led away from it.
    await expect(page).to_have_url(re.compile(r"/m/motions$"))
    found = await town.done("GET", f"/api/motions/{motion}", OTHER_DEPUTY)
    assert [one["state"] for one in found["cosigners"]] == ["withdrawn"]
    await town.done("POST", f"/api/motions/{motion}/withdraw", OTHER_DEPUTY, {"reason": "不再提出"})


async def test_a_motion_given_back_waits_on_the_home_page_and_is_withdrawn(deputy: Visit, town: Town) -> None:
    title = "关于增设路灯的建议"
    motion = await draft_of(town, DEPUTY, title)
    await town.done("POST", f"/api/motions/{motion}/submit", DEPUTY, {"informed": True})
    await town.done("POST", f"/api/motions/{motion}/give-back", STAFF, {"reason": "请写明路段"})
    await deputy.open("/motions?of=waiting")
    await expect(deputy.page.get_by_text(title)).to_be_visible()
    await expand(deputy.page)
    page = await deputy.open("/")
    await page.get_by_role("listitem").filter(has_text=title).filter(has_text="请补正").click()
    await expect(page.get_by_text("退回修改：请写明路段")).to_be_visible()
    await page.get_by_role("button", name="撤回").click()
    await page.get_by_label("撤回原因").fill("已经安装")
    await page.locator("form.ask").get_by_role("button", name="撤回").click()
    await expect(page.locator(".chip").filter(has_text="撤回")).to_be_visible()
    assert (await town.done("GET", f"/api/motions/{motion}", DEPUTY))["state"] == "withdrawn"


async def test_a_promise_that_was_reported_waits_on_the_home_page_and_is_rated(
    deputy: Visit, town: Town
) -> None:
    title = "关于修缮河埠头的建议"
    motion = await draft_of(town, DEPUTY, title)
    at = f"/api/motions/{motion}"
    day = (await town.now()).date()
    due = (day + timedelta(days=90)).isoformat()
    pledges = [{"text": "三个月内修好。", "due": due}]
    answer = {"result": "C", "text": "列入计划。", "signed_by": "王局长", "promises": pledges}
    await town.done("POST", f"{at}/submit", DEPUTY, {"informed": True})
    await town.done("POST", f"{at}/accept", STAFF, {"number": "第2号"})
    await town.done("POST", f"{at}/assign", STAFF, {"lead": HOUSING})
    await town.done("POST", f"{at}/contact", HOUSING, {"on": day.isoformat(), "form": "phone"})
    await town.done("POST", f"{at}/answer", HOUSING, answer)
    await expand(deputy.page)
    page = await deputy.open("/")
    waits = page.get_by_role("listitem").filter(has_text=title)
    await expect(waits).to_contain_text("已答复，请评价")
    good = {"attitude": "satisfied", "result": "satisfied"}
    await town.done("POST", f"{at}/rate", DEPUTY, {"ratings": good})
    await expect(waits).to_have_count(0)
    report = {"promise": 1, "outcome": "kept", "text": "已经修好。"}
    await town.done("POST", f"{at}/promises/report", HOUSING, report)
    await waits.filter(has_text="承诺事项已报告").click()
    await expect(page.get_by_text("落实情况：已经修好。")).to_be_visible()
    await (
        page.get_by_role("radiogroup", name="请评价承诺落实情况")
        .get_by_role("radio", name=re.compile("(?<![本不])满意$"))
        .click()
    )
    await page.get_by_role("button", name="评价", exact=True).click()
    await expect(page.get_by_text("您的评价：满意")).to_be_visible()
    await deputy.picture("phone-motion-promise")
    assert await deputy.axe() == []
    (promise,) = (await town.done("GET", at, DEPUTY))["promises"]
    assert promise["rating"] == "satisfied"


async def test_who_put_a_bill_forward_sees_where_it_is(deputy: Visit, town: Town) -> None:
    motion = await draft_of(town, DEPUTY, "关于制定无障碍条例的议案")
    whole = await town.done("GET", f"/api/motions/{motion}", DEPUTY)
    due = {
        "kind": "committee",
        "at": "2036-03-31T15:59:59Z",
        "reason": "专门委员会报告期限",
        "department": None,
    }
    more = {"why": [], "provisional": False, "promise": None, "ended": None, "met": None}
    bill = {**whole, "kind": "bill", "state": "in-committee", "committee": "法制委员会", "lead": None}
    bill |= {"due": {**due, **more}, "deadlines": [{**due, **more}]}
    await deputy.page.route(f"**/api/motions/{motion}", lambda route: route.fulfill(json=bill))
    page = await deputy.open(f"/motions/{motion}")
    await expect(page.locator(".chip").filter(has_text="专委会审议")).to_be_visible()
    await expect(page.locator("dl.facts")).to_contain_text("法制委员会")
    await expect(page.locator("dl.facts")).to_contain_text("专委会报告期限2036年3月31日")
    await expect(page.get_by_role("button", name="撤回")).to_be_visible()
    await deputy.picture("phone-bill")
    await town.done("POST", f"/api/motions/{motion}/withdraw", DEPUTY, {"reason": "试用"})


async def test_what_waits_is_shown_whole_on_request(deputy: Visit, town: Town) -> None:
    motion = await draft_of(town, DEPUTY, "关于等待处理的建议")
    await town.done("POST", f"/api/motions/{motion}/withdraw", DEPUTY, {"reason": "试用"})
    own = await town.done("GET", f"/api/motions?deputy={town.people[DEPUTY]}&size=100", DEPUTY)
    like = next(one for one in own["items"] if one["id"] == motion)
    items = [
        {
            **like,
            "id": f"00000000-0000-7000-8000-00000000000{n}",
            "title": f"第{n}件建议",
            "state": "answered",
        }
        for n in range(8)
    ]
    said = {"items": items, "total": 8, "page": 1, "size": 100}
    await deputy.page.route("**/api/motions?*mine=waiting*", lambda route: route.fulfill(json=said))
    page = await deputy.open("/")
    rest = page.get_by_role("button", name=re.compile(r"还有\d+项，全部展开"))
    await expect(rest).to_be_visible()
    await expect(page.get_by_text("第7件建议")).to_have_count(0)
    await rest.click()
    await expect(page.get_by_text("第7件建议")).to_be_visible()


async def unfold(page: Page) -> None:
    """Show all rows of the archive, of which the newest stand there at first."""
    await expect(page.locator(".way .plus").first).to_be_visible()
    rest = page.get_by_role("button", name=re.compile("条，全部展开"))
    if await rest.count():
        await rest.click()


async def test_the_archive_explains_the_score_of_the_year(deputy: Visit, town: Town) -> None:
    await town.scored()
    page = await deputy.open("/archive")
    await expect(page.get_by_text("历年对比")).to_be_visible()

    async def adds_up() -> bool:
        """Whether rows, their sum and the year's score agree: the last events of other tests may still come."""
        await unfold(page)
        rows = await page.locator(".way .plus").all_inner_texts()
        total = await page.locator(".way h2 .total").inner_text()
        shown, _, most = (await page.locator(".card > h2 > .total").first.inner_text()).partition(" / ")
        counted = sum(Decimal(row.removeprefix("+").removesuffix("分")) for row in rows)
        said = Decimal(total.removeprefix("合计").removesuffix("分"))
        return counted == said == Decimal(shown) and most == "100"

    await wait_until(adds_up, what="rows, sum and score that are the same", seconds=PATIENCE, every=0.2)
    await expect(page.locator(".way").get_by_text("提交代表督事").first).to_be_visible()


async def test_what_a_cap_took_is_said_beside_the_row_and_what_would_still_add_below(deputy: Visit) -> None:
    page = deputy.page
    row = {
        "item": "case-filed",
        "title": "提交代表督事",
        "category": "supervision",
        "event_type": "case.filed",
        "evidence": "1",
        "happened_on": "2026-01-05",
        "points": 100,
        "counts": 100,
        "cuts": [],
    }
    reason = "“提交代表督事”每年上限1分，超出部分不计：1分"
    cut = {"part": "item", "key": "case-filed", "title": "提交代表督事", "by_cap": True, "window": "year"}
    cut |= {"limit": 100, "points": 100, "reason": ""}
    capped = {**row, "evidence": "2", "counts": 0, "cuts": [cut]}
    chance = {"item": "motion-bill", "title": "领衔提出议案", "adds": 400, "room": 800}
    said = {"year": 2026, "total": 100, "begins": 0, "lines": [row, capped], "chances": [chance]}
    await page.route("**/api/scores/*/explanation*", lambda route: route.fulfill(json=said))
    await deputy.open("/archive")
    rows = page.locator(".way .van-step")
    await expect(rows.nth(0)).to_contain_text("+0分")
    await expect(rows.nth(0)).to_contain_text("应计1分")
    await expect(rows.nth(0)).to_contain_text(reason)
    await expect(rows.nth(1)).to_contain_text("+1分")
    await expect(page.locator(".way h2")).to_contain_text("合计1分")
    await expect(page.get_by_text("每次加4分，还可加8分")).to_be_visible()
    await deputy.picture("phone-archive-capped")
    assert await deputy.axe() == []


async def test_two_years_are_compared_by_category_and_the_address_says_which(
    deputy: Visit, town: Town
) -> None:
    told: dict[str, Any] = {}

    async def once(route: Route) -> None:
        """A year's score as it was first told: the last events of other tests may still raise it."""
        asked = route.request.url.rpartition("=")[2]
        if asked not in told:
            said = await (await route.fetch()).json()
            told.setdefault(asked, said)
        await route.fulfill(json=told[asked])

    await town.scored()
    await deputy.page.route("**/api/scores/*?year=*", once)
    page = await deputy.open("/archive")
    year = int(re.sub(r"\D", "", await page.locator(".compared thead th").nth(1).inner_text()))
    sums = page.locator(".compared .sum td")
    totals = [told[str(one)]["total"] for one in (year, year - 1, year - 2)]
    assert totals[0] != totals[1], "figures by which a year is known"
    figures = [f"{total / 100:g}" for total in totals]
    await expect(sums).to_have_text(figures[:2])
    await page.get_by_role("button", name=f"与{year - 2}年比").click()
    await expect(page.locator(".compared thead th").nth(2)).to_have_text(f"{year - 2}年")
    await expect(sums).to_have_text([figures[0], figures[2]])
    await page.get_by_role("button", name=f"{year - 1}年", exact=True).click()
    await expect(page).to_have_url(re.compile(f"year={year - 1}"))
    await expect(page).to_have_url(re.compile(f"against={year - 2}"))
    await page.reload()
    heads = page.locator(".compared thead th")
    await expect(heads).to_have_text(["类别", f"{year - 1}年", f"{year - 2}年"])
    await expect(sums).to_have_text(figures[1:])
    await page.get_by_role("button", name=f"{year}年", exact=True).click()
    await expect(heads).to_have_text(["类别", f"{year}年", f"{year - 2}年"])
    await expect(sums).to_have_text([figures[0], figures[2]])
    for name in ("督事", "议案建议", "总分"):
        await expect(page.locator(".compared tbody th").filter(has_text=name)).to_have_count(1)


async def test_a_row_is_contested_upheld_and_shown_with_what_it_is_worth_and_a_missing_one_is_taken_back(
    deputy: Visit, town: Town
) -> None:
    page = await deputy.open("/archive")
    await unfold(page)
    await page.get_by_role("link", name="对“提交代表督事”提出申诉").first.click()
    await expect(page.get_by_role("heading", name="提交代表督事")).to_be_visible()
    press = page.get_by_role("button", name="提交", exact=True)
    await expect(press).to_be_disabled()
    await page.get_by_role("radio", name="分值有误").click()
    await page.get_by_label("申诉理由").fill("这件督事应计三分。")
    await deputy.picture("phone-appeal")
    assert await deputy.axe() == []
    await press.click()
    await expect(page).to_have_url(re.compile(r"/m/appeals$"))
    row = page.get_by_role("listitem").filter(has_text="这件督事应计三分。")
    await expect(row).to_contain_text("待核定")

    async def appeal(state: str) -> dict[str, Any]:
        found = await town.done("GET", f"/api/appeals?state={state}&size=100", DEPUTY)
        return next(one for one in found["items"] if one["reason"] == "这件督事应计三分。")

    filed = await appeal("open")
    decision = {"upheld": True, "points": filed["row_points"] + 200, "reason": "属实"}
    await town.done("POST", f"/api/appeals/{filed['id']}/decide", STAFF, decision)
    await expect(row).to_contain_text("已采纳")
    await expect(row).to_contain_text("核定说明：属实")

    async def corrected() -> bool:
        """Whether the row has its points; the score may stand at a cap."""
        return bool((await appeal("upheld"))["row_points"] == filed["row_points"] + 200)

    await wait_until(corrected, what="the corrected row", seconds=PATIENCE, every=0.2)

    await page.get_by_role("link", name="有漏记").click()
    await page.get_by_label("评分项").click()
    await page.get_by_role("button", name="确定").click()
    await page.get_by_label("申诉理由").fill("上周走访没有记上。")
    await press.click()
    missing = page.get_by_role("listitem").filter(has_text="上周走访没有记上。")
    await missing.get_by_role("button", name="撤回申诉").click()
    await page.get_by_role("dialog").get_by_role("button", name="撤回申诉").click()
    await expect(missing).to_contain_text("已撤回")
    await deputy.picture("phone-appeals")
    assert await deputy.axe() == []


async def test_the_code_leads_to_the_deputys_public_page(deputy: Visit) -> None:
    page = await deputy.open("/code")
    async with page.expect_download() as saved:
        await page.get_by_role("button", name="保存图片").click()
    assert (await saved.value).suggested_filename == "代表码.png"
    inked = await page.evaluate(
        """() => {
          const canvas = document.querySelector('canvas')
          const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
          let dark = 0
          for (let n = 0; n < data.length; n += 4) dark += data[n] < 64 ? 1 : 0
          return dark / (data.length / 4)
        }"""
    )
    assert 0.15 < inked < 0.6


async def test_the_pages_speak_english_too(deputy: Visit) -> None:
    page = await deputy.open("/me")
    await page.get_by_role("radio", name="English").click()
    await expect(page.get_by_role("heading", name="Me", exact=True)).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Me", exact=True)).to_be_visible()
    assert await page.evaluate("document.documentElement.lang") == "en"


async def test_the_archive_is_taken_along_as_pdf_signed_package_spreadsheet_and_draft_report(
    deputy: Visit,
) -> None:
    note = {"id": "00000000-0000-7000-8000-000000000001", "part": "reports", "title": "向选民述职"}
    note |= {"happened_on": "2026-03-05", "approving": 46, "ballots": 50, "state": "noted", "reason": None}
    note |= {"band": {"key": "competent", "title": "称职"}}

    async def noted(route: Route) -> None:
        said = await (await route.fetch()).json()
        next(part for part in said["parts"] if part["key"] == "reports")["notes"] = [note]
        await route.fulfill(json=said)

    await deputy.page.route("**/api/archive/*/parts", noted)
    page = await deputy.open("/archive")
    shown = page.locator("section").filter(has=page.get_by_role("heading", name="述职与奖励"))
    report = shown.get_by_role("listitem").filter(has_text="向选民述职")
    await expect(report).to_contain_text("测评50票，赞成46票 · 称职")
    for name, begin, suffix in (
        ("积分明细（PDF）", b"%PDF-", ".pdf"),
        ("述职报告初稿（Word）", b"PK", ".docx"),
        ("述职报告初稿（PDF）", b"%PDF-", ".pdf"),
        ("签名档案包（ZIP）", b"PK", ".zip"),
        ("履职档案表格（Excel）", b"PK", ".xlsx"),
    ):
        async with page.expect_download() as coming:
            await page.get_by_role("button", name=name).click()
        file = await coming.value
        assert file.suggested_filename.endswith(suffix)
        content = await asyncio.to_thread(Path(await file.path()).read_bytes)
        assert content.startswith(begin)
    await deputy.picture("phone-archive-downloads")
    assert await deputy.axe() == []


async def test_cases_about_the_same_show_while_one_is_being_written_and_are_joined(
    deputy: Visit, town: Town
) -> None:
    title, text = "轮渡码头候船厅漏雨", "轮渡码头候船厅顶棚漏雨，座椅全湿，候船的人只能站着等。"
    content = {"title": title, "text": text, "county": "330203", "town": "330203100", "category": "城乡建设"}
    case_id = (await town.done("POST", "/api/cases", OTHER_DEPUTY, content))["id"]

    async def found() -> bool:
        asked = {"title": title, "text": text, "county": "330203"}
        status, said = await town.ask("POST", "/api/cases/similar", DEPUTY, asked)
        return status == 200 and case_id in {one["id"] for one in said["items"]}

    await wait_until(found, what="the similar case", seconds=PATIENCE, every=0.2)
    page = await deputy.open("/cases/new")
    await page.get_by_label("标题").fill(title)
    await page.get_by_label("情况说明").fill(text)
    similar = page.get_by_role("status").filter(has_text="可能是同一件事")
    await expect(similar).to_be_visible()
    await expect(similar.get_by_text("高桥镇 · 城乡建设")).to_be_visible()
    await expect(similar.get_by_text("很可能是同一件事").first).to_be_visible()
    await deputy.picture("phone-similar")
    assert await deputy.axe() == []
    await page.evaluate("document.documentElement.classList.add('large')")
    await deputy.picture("phone-similar-large")
    assert await page.evaluate(SMALL) == []
    await similar.get_by_role("button", name="附议").first.click()
    await page.get_by_role("dialog").get_by_role("button", name="附议").click()
    await expect(similar.get_by_text("已附议").first).to_be_visible()
    case = await town.done("GET", f"/api/cases/{case_id}", OTHER_DEPUTY)
    assert case["followers"] == [town.people[DEPUTY]]
