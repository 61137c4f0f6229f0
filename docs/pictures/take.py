"""Takes the README's pictures of a suite that `make demo` left running.

    python docs/pictures/take.py ADDRESS CITY_DEPUTY:PASSWORD STAFF:PASSWORD

as `make demo` prints them. Chromium is found as the tests find it, or named in CHROMIUM.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 1.5,
    "is_mobile": True,
    "has_touch": True,
}
DESK = {"viewport": {"width": 1440, "height": 900}}


def keep(page: Page, name: str) -> None:
    """Keep what is seen, with few colours: a README is read over slow lines too."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(800)  # charts grow; a picture needs no proof of it
    picture = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(HERE / f"{name}.png", optimize=True)


def signed_in(browser: Browser, url: str, door: str, who: str, options: dict[str, object]) -> Page:
    """A page on which somebody is signed in."""
    login, _, password = who.partition(":")
    page = browser.new_context(locale="zh-CN", timezone_id="Asia/Shanghai", **options).new_page()
    page.goto(f"{url}{door}")
    page.get_by_label("账号").fill(login)
    page.get_by_label("密码", exact=True).fill(password)
    page.get_by_role("button", name="登录", exact=True).click()
    page.wait_for_url(re.compile(f"{door}(?!sign-in)"))
    return page


def main() -> None:
    """Take all of them."""
    url, deputy, staff = sys.argv[1:]
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        phone = signed_in(browser, url, "/m/", deputy, PHONE)
        keep(phone, "phone-home")
        phone.goto(f"{url}/m/cases")
        phone.locator("main .van-cell").first.click()
        phone.wait_for_url(re.compile(r"/m/cases/[0-9a-f-]{36}"))
        keep(phone, "phone-case")
        phone.goto(f"{url}/m/archive")
        keep(phone, "phone-archive")
        me = phone.request.get(f"{url}/api/me").json()["person"]
        code = phone.request.get(f"{url}/api/deputies/{me}").json()["code"]
        resident = browser.new_context(locale="zh-CN", **PHONE).new_page()
        resident.goto(f"{url}/r/{code}")
        keep(resident, "resident")
        console = signed_in(browser, url, "/console/", staff, DESK)
        keep(console, "console-overview")
        console.goto(f"{url}/console/cases")
        console.locator("main tbody a").first.click()
        console.wait_for_url(re.compile(r"/console/cases/[0-9a-f-]{36}"))
        keep(console, "console-case")
        browser.close()


if __name__ == "__main__":
    main()
