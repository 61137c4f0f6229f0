"""A real browser on the real suite: one suite for all files, a new context for each test.

Every test ends with the same questions: did the console stay silent, was nothing asked of a foreign host, did
the policy block nothing, and has every answer that a page read the form that the OpenAPI document describes?
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
import yaml
from jsonschema import Draft202012Validator
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    async_playwright,
    expect,
)
from playwright.async_api import Error as PlaywrightError

from deploy.local import webbuild
from tests.browser.town import DIVISIONS, HOUSING, PASSWORD, PATIENCE, STAFF, Town, open_town, texts_in

CHECKOUT = Path(__file__).resolve().parents[2]
PICTURES = CHECKOUT / "test-results" / "pictures"
AXE = CHECKOUT / "web" / "node_modules" / "axe-core" / "axe.min.js"
_DOCUMENT = json.loads((CHECKOUT / "gateway" / "openapi.json").read_text("utf-8"))
_FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PHONE = {"width": 390, "height": 844}
DESK = {
    "viewport": {"width": 1440, "height": 900},
    "is_mobile": False,
    "has_touch": False,
    "device_scale_factor": 1,
}
NARROW = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": False,
    "has_touch": False,
    "device_scale_factor": 1,
}
"""A narrow window at a desk, as with large print."""


def _chromium() -> str:
    """The browser: its headless shell where there is one, which paints the same with half the processor's time."""
    named = os.environ.get("CHROMIUM")
    for program in ("chromium-headless-shell", "chromium", "google-chrome"):
        named = named or shutil.which(program)
    if named is None:
        pytest.fail(
            "no Chromium here (Debian, Ubuntu: apt install chromium-headless-shell fonts-noto-cjk),"
            " or name it in CHROMIUM"
        )
    return named


@pytest_asyncio.fixture(scope="package")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """The suite with people and things in it, and its pages built."""
    webbuild.build()
    async with open_town(tmp_path_factory.mktemp("town")) as found:
        yield found


@pytest_asyncio.fixture(scope="package")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests."""
    expect.set_options(timeout=PATIENCE * 1000)
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=_chromium(), args=_FLAGS)
        yield found
        await found.close()


def _typed(request: Request) -> Iterator[str]:
    """What somebody wrote that a page sends."""
    raw = request.post_data_buffer or b""
    if raw[:1] == b"{":
        yield from texts_in(json.loads(raw))
    elif raw and "urlencoded" in request.headers.get("content-type", ""):
        yield from (value for values in parse_qs(raw.decode()).values() for value in values)


def texts_of_the_place() -> set[str]:
    """The words of its rules, categories, rubrics and divisions, which are data and have one language.

    With them the few Chinese words of the English pages (tests/unit/test_web_words.py knows which).
    """
    services = CHECKOUT / "services"
    english = json.loads((CHECKOUT / "web" / "src" / "words" / "en.json").read_text("utf-8"))
    files = [
        *(services / "cases" / "deadlines" / "packs").glob("*.yaml"),
        services / "cases" / "routing" / "taxonomy.yaml",
        *(services / "evaluation" / "rubrics").glob("*.yaml"),
    ]
    return set(texts_in([*(yaml.safe_load(file.read_text("utf-8")) for file in files), DIVISIONS, english]))


CHINESE = re.compile("[\u4e00-\u9fff]")
_ALL_WORDS = """() => {
  const found = []
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (texts.nextNode()) {
    const parent = texts.currentNode.parentElement
    if (!parent.closest('script, style, textarea, pre, [lang|=zh]')) found.push(texts.currentNode.textContent)
  }
  for (const one of document.querySelectorAll('*'))
    for (const name of ['aria-label', 'placeholder', 'title', 'alt']) found.push(one.getAttribute(name) ?? '')
  return [document.title, ...found]
}"""


_MARKS = re.compile(r"[*#>`|\[\]\n]+|\d+\. |- ")


async def chinese_on(visit: Visit, town: Town) -> list[str]:
    """What is Chinese on a page and was neither written by people nor is a text of the place's rules, each whole."""
    marked = (
        piece for text in town.written if "\n" in text for piece in _MARKS.split(text)
    )  # a lesson's text
    data = [one.strip() for one in {*town.written, *texts_of_the_place(), *marked} if CHINESE.search(one)]
    either = "|".join(map(re.escape, sorted(data, key=len, reverse=True)))
    known = re.compile(f"(?<!{CHINESE.pattern})(?:{either})(?!{CHINESE.pattern})")
    said = [one.strip() for one in await visit.page.evaluate(_ALL_WORDS) if CHINESE.search(one)]
    return [one for one in said if CHINESE.search(known.sub("", one))]


def _template(path: str) -> tuple[str, dict[str, Any]] | None:
    for template, item in _DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path) and "get" in item:
            return template, item["get"]
    return None


_FAULTS = """async () => {
  const frame = () => new Promise(requestAnimationFrame)
  const ends = (one) => one.playState === 'running' && one.effect?.getComputedTiming().endTime !== Infinity
  const rest = async () => {
    await frame()
    await frame()
    for (let moving; (moving = document.getAnimations().filter(ends)).length > 0; await frame())
      await Promise.allSettled(moving.map((one) => one.finished))
  }
  let moved, found, looks = 0
  const note = () => (moved = true)
  for (const kind of ['transitionrun', 'animationstart']) addEventListener(kind, note)
  do {
    await rest()
    moved = false
    found = await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})
  } while (moved && found.violations.length > 0 && ++looks < 5)
  for (const kind of ['transitionrun', 'animationstart']) removeEventListener(kind, note)
  return found
}"""
"""What axe finds at rest: half faded out, words have no contrast, and what began to fade meanwhile is looked at again."""
_STILL_PENDING = r"status of 404 .*/api/commands/[a-z]+/[0-9a-f-]{36}\)$"
"""What a browser says when a page asks for an outcome that is not there yet; on a busy machine one is late."""


@dataclass
class Visit:
    """A browser context of one person, and what must not have happened in it."""

    context: BrowserContext
    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    """Patterns of console messages that the test itself brings about."""

    async def sign_in(self, who: str) -> None:
        """Sign in through the form, and wait for what comes then."""
        await self.page.goto(f"{self.url}/m/")
        await self.page.get_by_label("账号").fill(f"town-{who.lower()}")
        await self.page.get_by_label("密码", exact=True).fill(PASSWORD)
        await self.page.get_by_role("button", name="登录", exact=True).click()
        await self.page.wait_for_url(re.compile(r"/m/(?!sign-in)"))

    async def open(self, path: str) -> Page:
        """Open a page of the phone and wait until it has read what it shows."""
        await self.page.goto(f"{self.url}/m{path}")
        await self.settled()
        return self.page

    async def settled(self) -> None:
        """Wait until nothing is loading."""
        await self.page.locator("main").first.wait_for()
        await expect(self.page.locator(".van-skeleton, .van-loading")).to_have_count(0)

    async def picture(self, name: str) -> None:
        """Keep a picture of the whole page."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True, animations="disabled")

    async def axe(self) -> list[str]:
        """What axe finds against WCAG 2.2 AA, as one line for each kind of fault."""
        await self.page.evaluate(AXE.read_text("utf-8"))
        found = await self.page.evaluate(_FAULTS)
        return [
            f"{fault['id']}: {fault['help']}: " + "; ".join(node["html"][:160] for node in fault["nodes"][:4])
            for fault in found["violations"]
        ]

    def watch(self, page: Page) -> None:
        """Note what goes wrong on a page."""
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("requestfinished", lambda request: self._asked(request.url))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and parts.netloc != urlsplit(self.url).netloc:
            self.wrong.append(f"asked a foreign host: {url}")

    async def hold(self, response: Response) -> None:
        """Hold an answer against the OpenAPI document."""
        path = urlsplit(response.url).path
        if not path.startswith("/api/") or response.request.method != "GET" or response.status != 200:
            return
        found = _template(path)
        content = found and found[1]["responses"].get("200", {}).get("content", {}).get("application/json")
        if not content or not content.get("schema"):
            return
        try:
            body = await response.json()
        except PlaywrightError:  # the page was left meanwhile, and the browser has dropped the body
            return
        schema = {**content["schema"], "components": _DOCUMENT["components"]}
        for error in Draft202012Validator(schema).iter_errors(body):
            self.wrong.append(f"{path}: {error.json_path}: {error.message[:200]}")

    def nothing_wrong(self) -> None:
        """Raise AssertionError for what must not have happened."""
        expected = [*self.expected, _STILL_PENDING]
        left = [one for one in self.wrong if not any(re.search(known, one) for known in expected)]
        assert left == []


Opening = Callable[..., Any]


@pytest.fixture
def visiting(browser: Browser, town: Town) -> Callable[..., Any]:
    """What opens a context and gives its visit."""

    @asynccontextmanager
    async def visit(**options: Any) -> AsyncIterator[Visit]:
        usual = {
            "viewport": _PHONE,
            "device_scale_factor": 2,
            "is_mobile": True,
            "has_touch": True,
            "locale": "zh-CN",
            "timezone_id": "Asia/Shanghai",
        }
        context = await browser.new_context(**{**usual, **options})
        context.set_default_timeout(PATIENCE * 1000)
        page = await context.new_page()
        found = Visit(context, page, town.url)
        holding: list[asyncio.Task[None]] = []
        found.watch(page)
        context.on("request", lambda request: town.written.update(_typed(request)))
        context.on("response", lambda response: holding.append(asyncio.create_task(found.hold(response))))
        try:
            yield found
            await asyncio.gather(*holding)
            found.nothing_wrong()
        finally:
            await context.close()

    return visit


@pytest_asyncio.fixture
async def phone(visiting: Opening) -> AsyncIterator[Visit]:
    """A phone on which nobody is signed in."""
    async with visiting() as visit:
        yield visit


@pytest_asyncio.fixture
async def deputy(phone: Visit) -> Visit:
    """A phone on which the deputy is signed in."""
    await phone.sign_in("B1")
    return phone


async def sign_in(visit: Visit, who: str) -> Page:
    """Sign in at the console's door."""
    page = visit.page
    await page.goto(f"{visit.url}/console/")
    await page.get_by_label("账号").fill(f"town-{who.lower()}")
    await page.get_by_label("密码").fill(PASSWORD)
    await page.get_by_role("button", name="登录").click()
    await page.wait_for_url(re.compile(r"/console/(?!sign-in)"))
    return page


async def choose_radio(within: Page | Locator, name: str) -> None:
    """Choose one of the console's radios by its words: the button itself is hidden, and may still move."""
    page = within if isinstance(within, Page) else within.page
    radio = page.get_by_role("radio", name=name)
    await within.locator("label").filter(has=radio).click()
    await expect(within.get_by_role("radio", name=name)).to_be_checked()


async def open_at(visit: Visit, path: str) -> Page:
    """Open a page of the console and wait until it has read what it shows."""
    await visit.page.goto(f"{visit.url}/console{path}")
    await visit.page.locator("main h1").first.wait_for()
    await expect(visit.page.locator(".loading")).to_have_count(0)
    return visit.page


@pytest_asyncio.fixture
async def department(visiting: Callable[..., Any]) -> AsyncIterator[Visit]:
    """A desk at which the department is signed in."""
    async with visiting(**DESK) as visit:
        await sign_in(visit, HOUSING)
        yield visit


@pytest_asyncio.fixture
async def staff(visiting: Callable[..., Any]) -> AsyncIterator[Visit]:
    """A desk at which the staff are signed in."""
    async with visiting(**DESK) as visit:
        await sign_in(visit, STAFF)
        yield visit
