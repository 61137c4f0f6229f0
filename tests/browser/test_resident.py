"""The resident's way behind a deputy's code, in a browser that runs no script."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import FilePayload, Page, expect

from shared.testing.wait import wait_until
from tests.browser.conftest import Visit, open_at, sign_in
from tests.browser.town import DEPUTY, HOUSING, OTHER_DEPUTY, PATIENCE, STAFF, STATION, Town
from tests.photo_files import HEIC, photo

pytestmark = pytest.mark.timeout(600, func_only=True)

TEXT = "小区门口的路灯半个月不亮，晚上老人出门容易摔倒。"
DESK = {"viewport": {"width": 1280, "height": 900}, "is_mobile": False, "has_touch": False}


@pytest_asyncio.fixture
async def resident(visiting: Callable[..., Any]) -> AsyncIterator[Visit]:
    """An old phone: no script runs on it."""
    async with visiting(java_script_enabled=False) as visit:
        yield visit


async def come(visit: Visit, path: str) -> Page:
    await visit.page.goto(visit.url + path)
    return visit.page


async def fill(page: Page, town: Town, title: str) -> None:
    """Fill a concern in; the browser does not tell what it sends in a form that may bring photos."""
    contact = "王先生 0574-0000000"
    town.written |= {title, TEXT, contact}
    await page.get_by_label("一句话说是什么事").fill(title)
    await page.get_by_label("具体情况").fill(TEXT)
    await page.get_by_label("您的联系方式").fill(contact)
    await page.get_by_label("我已看过告知书").check()


async def leave(visit: Visit, town: Town, title: str, **photos: bytes) -> tuple[str, str]:
    """Leave a concern by the deputy's code, with photos by their names; its receipt number and its case's id."""
    page = await come(visit, f"/r/{town.codes[DEPUTY]}")
    await fill(page, town, title)
    files: list[FilePayload] = [
        {"name": name, "mimeType": "image/jpeg", "buffer": content} for name, content in photos.items()
    ]
    await page.locator("#photos").set_input_files(files)
    await page.get_by_role("button", name="提交", exact=True).click()
    await expect(page.get_by_role("heading", name="已经收到")).to_be_visible()
    receipt = page.url.rsplit("/", 1)[-1]
    case, *_ = await town.cases_titled(title)  # the newest
    return receipt, str(case["id"])


async def stored(page: Page, town: Town, case_id: str, count: int) -> None:
    """Wait until a concern has so many photos, and its page shows them; the page itself may be asked so often only."""

    async def kept() -> bool:
        found = (await town.done("GET", f"/api/cases/{case_id}", DEPUTY))["photos"]
        return [one["state"] for one in found] == ["kept"] * count

    await wait_until(kept, what=f"{count} photos being kept", every=0.2, seconds=PATIENCE)
    await page.reload()
    await expect(page.locator(".photos img")).to_have_count(count)


async def test_a_resident_finds_the_deputy_leaves_a_concern_and_follows_it_without_a_script(
    resident: Visit, town: Town, visiting: Callable[..., Any]
) -> None:
    page = await come(resident, f"/r/{town.codes[DEPUTY]}")
    await expect(page.get_by_role("heading", name="方玲")).to_be_visible()
    await expect(page.get_by_text("海曙区第一选区")).to_be_visible()
    await expect(page.get_by_label("事情在哪里")).to_have_value("330203100")
    await resident.picture("resident-code")
    photos = {f"IMG_{number}.jpg": photo(colour=colour) for number, colour in enumerate(("green", "gold"))}
    receipt, case_id = await leave(resident, town, "路灯半个月不亮", **photos)
    await expect(page.get_by_text(receipt).first).to_be_visible()
    await expect(page.get_by_text("代表最迟查看日期")).to_be_visible()
    await stored(page, town, case_id, len(photos))
    await resident.picture("resident-receipt")
    link = await page.locator("a.link").get_attribute("href")
    assert link is not None
    secret = link.rsplit("/", 1)[-1]
    assert secret not in page.url

    await town.done("POST", f"/api/cases/{case_id}/take-up", DEPUTY, {"category": "城乡建设"})
    await town.until(case_id, "routed")
    async with visiting(java_script_enabled=False) as other:  # days later, on another phone
        page = await come(other, link.removeprefix(other.url))
        await expect(page).to_have_url(re.compile(rf"/r/concerns/{receipt}$"))
        await expect(page.get_by_role("heading", name="已交承办单位")).to_be_visible()
        await expect(page.get_by_text("市住房和城乡建设局").first).to_be_visible()
        await expect(page.get_by_text("类别“城乡建设”由代表选定；该单位负责全市")).to_be_visible()
        assert secret not in await page.content(), "the link is shown to who submitted it, and then no more"

        await town.done("POST", f"/api/cases/{case_id}/accept", HOUSING)
        await town.done("POST", f"/api/cases/{case_id}/ask", HOUSING, {"text": "请问在几号楼旁边？"})
        await page.reload()
        await expect(page.get_by_text("请问在几号楼旁边？")).to_be_visible()
        town.written.add("三号楼东侧。")
        await page.get_by_label("请回答承办单位的问题").fill("三号楼东侧。")
        where: FilePayload = {"name": "IMG_3.jpg", "mimeType": "image/jpeg", "buffer": photo(colour="navy")}
        await page.locator("#photos").set_input_files([where])
        await other.picture("resident-supply")
        await page.get_by_role("button", name="提交补充").click()
        await expect(page.get_by_role("status")).to_have_text("补充情况已提交。")
        await expect(page.get_by_role("heading", name="正在办理")).to_be_visible()
        await stored(page, town, case_id, len(photos) + 1)
        await other.picture("resident-supplied")
        async with visiting(**DESK) as desk:
            await sign_in(desk, HOUSING)
            console = await open_at(desk, f"/cases/{case_id}")
            given = console.get_by_role("listitem").filter(has_text="三号楼东侧。")
            await expect(given.locator(".case-photos img")).to_have_count(1)
            await desk.picture("console-case-supplied")

        await town.done(
            "POST", f"/api/cases/{case_id}/answer", HOUSING, {"result": "solved", "text": "已更换灯具。"}
        )
        await town.done("POST", f"/api/cases/{case_id}/close", DEPUTY, {})
        await page.reload()
        await expect(page.get_by_text("已更换灯具。").first).to_be_visible()
        await page.get_by_role("group", name="总体评价").get_by_label("2星").check()
        await page.get_by_role("group", name="办理态度").get_by_label("4星").check()
        await page.get_by_role("button", name="提交评价").click()
        await expect(page.get_by_role("status")).to_have_text("感谢您的评价。")
        await other.picture("resident-rated")
        await page.get_by_label("哪里没有解决").fill("昨晚又不亮了。")
        await page.get_by_role("button", name="要求重新办理").click()
        await expect(page.get_by_role("heading", name="已交承办单位")).to_be_visible()
        await expect(page.get_by_text("昨晚又不亮了。")).to_be_visible()


async def test_who_does_not_agree_with_a_refusal_says_so_and_reads_what_staff_answer(
    resident: Visit, town: Town, visiting: Callable[..., Any]
) -> None:
    _, case_id = await leave(resident, town, "不同意不予受理", a=photo(colour="teal"))
    page = resident.page
    await town.done("POST", f"/api/cases/{case_id}/decline", DEPUTY, {"reason": "不属于代表职责。"})
    await page.reload()
    await page.get_by_label("不同意的理由").fill("别的小区都是代表反映后修好的。")
    await resident.picture("resident-object")
    await page.get_by_role("button", name="提出不同意见").click()
    await expect(page.get_by_role("status")).to_have_text("不同意见已提交。")
    await expect(page.get_by_role("heading", name="等待人大工作人员复核")).to_be_visible()
    await expect(page.get_by_text("最迟复核日期")).to_be_visible()
    async with visiting() as phone:
        await phone.sign_in(DEPUTY)
        await phone.open(f"/cases/{case_id}")
        await expect(phone.page.get_by_role("img", name="照片1")).to_be_visible()
        await expect(phone.page.get_by_text("居民有不同意见")).to_be_visible()
        await expect(phone.page.get_by_role("button", name="接收")).to_be_visible()
        await expect(phone.page.get_by_role("button", name="不予受理")).to_have_count(0)
        await phone.picture("phone-case-objected")
    async with visiting(**DESK) as desk:
        await sign_in(desk, STAFF)
        console = await open_at(desk, "/triage?of=submitted")
        await console.get_by_role("button", name="不同意不予受理").click()
        await expect(console.get_by_text("别的小区都是代表反映后修好的。")).to_be_visible()
        await expect(console.get_by_role("img", name="照片1")).to_be_visible()
        await desk.picture("console-triage-objected")
    await town.done("POST", f"/api/cases/{case_id}/explain", STAFF, {"text": "已请供电公司一并检修。"})
    await page.reload()
    await expect(page.get_by_text("已请供电公司一并检修。").first).to_be_visible()
    await expect(page.get_by_label("不同意的理由")).to_have_count(0)


async def test_receipt_number_and_code_open_it_too_and_a_wrong_pair_says_so(
    resident: Visit, town: Town, visiting: Callable[..., Any]
) -> None:
    receipt, _ = await leave(resident, town, "查询码也能打开")
    secret = await resident.page.locator("dd.number").nth(1).text_content() or ""
    async with visiting(java_script_enabled=False) as other:
        other.expected.append("404")
        page = await come(other, "/r/")
        await page.get_by_label("回执编号").fill(receipt.lower())
        await page.get_by_label("查询码").fill("0" * 26)
        await page.get_by_role("button", name="查询").click()
        await expect(page.get_by_role("alert")).to_contain_text("请核对回执编号和查询码")
        await expect(page.get_by_label("回执编号")).to_have_value(receipt.lower())
        await other.picture("resident-start-wrong")
        await page.get_by_label("查询码").fill(secret.lower())
        await page.get_by_role("button", name="查询").click()
        await expect(page).to_have_url(re.compile(rf"/r/concerns/{receipt}$"))
        await expect(page.get_by_role("heading", name="等待代表接收")).to_be_visible()


async def test_a_station_shows_its_deputies_and_the_one_picked_gets_the_concern_or_else_one_of_them(
    resident: Visit, town: Town
) -> None:
    page = await come(resident, f"/r/{town.codes[STATION].upper()}")
    await expect(page.get_by_role("heading", name=STATION)).to_be_visible()
    await page.get_by_text("站内代表（2名）").click()
    await expect(page.get_by_text("海曙区第二选区").first).to_be_visible()
    await expect(page.get_by_label("事情在哪里")).to_have_value("330203100")
    await resident.picture("resident-station")
    for title, pick in (("交给水生代表", "水生 · 海曙区第二选区"), ("交给站内任一代表", "站内任一代表")):
        await come(resident, f"/r/{town.codes[STATION]}")
        await page.get_by_label("交给哪位代表").select_option(label=pick)
        await fill(page, town, title)
        await page.get_by_role("button", name="提交", exact=True).click()
        await expect(page.get_by_role("heading", name="已经收到")).to_be_visible()
        await expect(page.get_by_text("代表最迟查看日期")).to_be_visible()
    assert len(await town.cases_titled("交给水生代表", OTHER_DEPUTY)) == 1
    assert await town.cases_titled("交给水生代表", DEPUTY) == []
    got = [len(await town.cases_titled("交给站内任一代表", who)) for who in (DEPUTY, OTHER_DEPUTY)]
    assert sorted(got) == [0, 1]


async def test_pressing_twice_leaves_one_concern(resident: Visit, town: Town) -> None:
    page = await come(resident, f"/r/{town.codes[DEPUTY]}")
    await fill(page, town, "居民双击只提交一次")
    await page.get_by_role("button", name="提交", exact=True).dblclick()
    await expect(page.get_by_role("heading", name="已经收到")).to_be_visible()
    assert len(await town.cases_titled("居民双击只提交一次")) == 1


async def test_what_is_missing_is_said_and_what_was_typed_stays(resident: Visit, town: Town) -> None:
    resident.expected.append("422")
    page = await come(resident, f"/r/{town.codes[DEPUTY]}")
    await page.get_by_label("一句话说是什么事").fill("只写了一句")
    await page.get_by_label("具体情况").fill("   ")  # the browser takes blanks for words
    await page.get_by_label("我已看过告知书").check()
    chosen = [("a.jpg", photo(colour="gold")), ("b.HEIC", HEIC)]
    files: list[FilePayload] = [{"name": n, "mimeType": "image/jpeg", "buffer": c} for n, c in chosen]
    await page.locator("#photos").set_input_files(files)
    await page.get_by_role("button", name="提交", exact=True).click()
    await expect(page.get_by_role("alert")).to_contain_text("请写具体情况")
    await expect(page.get_by_role("alert")).to_contain_text("不是能收的照片")
    await expect(page.get_by_label("照片1已收下")).to_be_checked()
    await expect(page.get_by_label("一句话说是什么事")).to_have_value("只写了一句")
    await expect(page.get_by_label("我已看过告知书")).to_be_checked()
    await resident.picture("resident-faults")


async def test_withdrawing_erasing_and_closing_the_link_do_what_they_say(resident: Visit, town: Town) -> None:
    resident.expected.append("404")
    receipt, case_id = await leave(resident, town, "后来不想反映了")
    page = resident.page
    await town.done("GET", f"/api/cases/{case_id}/contact?purpose=handling", STAFF)
    await page.reload()
    await expect(page.get_by_text("，人大工作人员，为了办理")).to_be_visible()
    await page.get_by_text("删除联系方式", exact=True).first.click()
    await page.get_by_role("button", name="删除联系方式").click()
    await expect(page.get_by_role("status")).to_have_text("联系方式已删除。")
    await expect(page.get_by_text("没有保存联系方式。")).to_be_visible()
    await page.get_by_text("撤回这件事").click()
    await page.get_by_label("我确定撤回").check()
    await page.get_by_role("button", name="撤回", exact=True).click()
    await expect(page.get_by_role("heading", name="已撤回")).to_be_visible()
    await page.get_by_text("撤回同意，删除全部内容").click()
    await page.get_by_label("我确定全部删除").check()
    await page.get_by_role("button", name="全部删除").click()
    await expect(page.get_by_text("内容已按您的要求删除。")).to_be_visible()
    await page.locator("summary", has_text="停用查询链接").click()
    await page.get_by_role("button", name="停用").click()
    await expect(page.get_by_role("status")).to_have_text("查询链接已停用。")
    await come(resident, f"/r/concerns/{receipt}")
    await expect(page.get_by_role("alert")).to_contain_text("链接不对")


SIZES = {"phone": {}, "desk": DESK}
_SMALL = """() => {
  const wrong = []
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const parent = texts.currentNode.parentElement
    if (texts.currentNode.textContent.trim() !== '' && parent.getClientRects().length > 0 && parseFloat(getComputedStyle(parent).fontSize) < 18)
      wrong.push(`text: ${texts.currentNode.textContent.trim().slice(0, 20)}`)
  }
  for (const one of document.querySelectorAll('a[href], button, summary, select, textarea, input:not([type=hidden])')) {
    const box = (one.closest('.tick, .stars label') ?? one).getBoundingClientRect()
    if (one.getClientRects().length > 0 && (box.width < 60 || box.height < 60)) wrong.push(`target: ${one.outerHTML.slice(0, 80)} ${box.width}x${box.height}`)
  }
  if (document.documentElement.scrollWidth > innerWidth) wrong.push('wider than its window')
  return wrong
}"""


@pytest.mark.parametrize("size", SIZES)
async def test_every_page_is_accessible_in_large_print_and_in_both_sizes(
    size: str, town: Town, visiting: Callable[..., Any]
) -> None:
    async with visiting(bypass_csp=True, **SIZES[size]) as visit:  # axe is a script, which the policy forbids
        page = await come(visit, "/r/")
        paths = {"start": "/r/", "code": f"/r/{town.codes[DEPUTY]}"}
        receipt, case_id = await leave(visit, town, f"大字版 {size}")
        await town.done("POST", f"/api/cases/{case_id}/take-up", DEPUTY, {"category": "城乡建设"})
        await town.until(case_id, "routed")
        await town.answer(case_id, "已处理。")
        await town.done("POST", f"/api/cases/{case_id}/close", DEPUTY, {})
        paths["concern"] = f"/r/concerns/{receipt}"
        for name, path in paths.items():
            for language in ("zh", "en"):
                await come(visit, f"{path}?lang={language}")
                await visit.picture(f"resident-{name}-{size}-{language}")
                assert await visit.axe() == [], (name, language)
                assert await page.evaluate(_SMALL) == [], (name, language)
