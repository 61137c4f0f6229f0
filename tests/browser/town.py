"""A small town for the browser: the whole suite with departments, staff, deputies who sign in, and things to see."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from deploy.local.suite import Suite
from shared.testing.wait import wait_until
from simulation.lesson_texts import LESSON_TEXTS

PATIENCE = 60.0
"""Seconds; other people's programs may be using the machine."""
CHINA = timezone(timedelta(hours=8))
PASSWORD = "town-hall-at-nine"
DEPUTY, OTHER_DEPUTY = "B1", "B2"
HOUSING, STAFF = "housing", "staff"
LATE_SECONDS = 20
"""How long the gateway waits for an outcome: a page of a slow machine says what it does on a fast one."""
STATION = "高桥镇代表联络站"
"""The station to which both deputies belong."""
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
RENEWED_AFTER_SECONDS = 300
"""A token is good for a quarter of an hour, which the tests of a slow host take longer than."""

DIVISIONS = {
    "code": "3302",
    "name": "宁波市",
    "children": [
        {
            "code": "330203",
            "name": "海曙区",
            "children": [
                {"code": "330203001", "name": "南门街道"},
                {"code": "330203100", "name": "高桥镇"},
                {"code": "330203101", "name": "横街镇"},
            ],
        },
        {
            "code": "330225",
            "name": "象山县",
            "children": [{"code": "330225100", "name": "石浦镇"}, {"code": "330225200", "name": "东陈乡"}],
        },
    ],
}


def texts_in(content: Any) -> Iterator[str]:
    """Every text in what JSON or YAML holds."""
    match content:
        case str():
            yield content
        case dict():
            for value in content.values():
                yield from texts_in(value)
        case list():
            for value in content:
                yield from texts_in(value)


@dataclass
class Town:
    """A running suite, and tokens of the people in it by their short names."""

    suite: Suite
    session: aiohttp.ClientSession
    tokens: dict[str, tuple[str, float]] = field(default_factory=dict, repr=False)
    """With the moment when each was given."""
    people: dict[str, str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    """The public codes of the deputies and of the station."""
    written: set[str] = field(default_factory=set, repr=False)
    """Every text that people gave to the suite, here or in a browser."""

    @property
    def url(self) -> str:
        """The address of the pages."""
        return self.suite.gateway_url

    async def ask(
        self, method: str, path: str, who: str | None = None, content: Any = None, form: Any = None
    ) -> tuple[int, Any]:
        """One request to the gateway, with its status and body; a late outcome is waited for."""
        headers = {} if who is None else await self.headers(who)
        self.written.update(texts_in(content))
        async with self.session.request(
            method, self.url + path, headers=headers, json=content, data=form
        ) as answer:
            status, text = answer.status, await answer.text()
            location = answer.headers.get("Location", "")
        if status == 202:

            async def outcome() -> tuple[int, Any] | None:
                found = await self.ask("GET", location, who)
                return None if found[0] in {404, 503} else found

            found = await wait_until(outcome, what=f"an outcome at {location}", seconds=PATIENCE, every=0.2)
            assert found is not None
            return found
        return status, json.loads(text) if text else None

    async def upload(self, photo: bytes, who: str) -> tuple[int, Any]:
        """Upload a photo; status and what the gateway says of it."""
        headers = {**await self.headers(who), "Content-Type": "image/jpeg"}
        async with self.session.post(f"{self.url}/api/photos", headers=headers, data=photo) as answer:
            return answer.status, await answer.json()

    async def done(self, method: str, path: str, who: str, content: Any = None) -> Any:
        """A request that must succeed."""
        status, body = await self.ask(method, path, who, content)
        assert status == 200, (method, path, status, body)
        return body

    async def headers(self, who: str) -> dict[str, str]:
        """Those of a request in somebody's name."""
        return {"Authorization": f"Bearer {await self._token(who)}"}

    async def _token(self, who: str) -> str:
        """A client's own token, or a person's by the simulation's; given anew in time."""
        token, given = self.tokens.get(who, ("", 0.0))
        if token and time.monotonic() - given < RENEWED_AFTER_SECONDS:
            return token
        if who in self.people:
            form = {
                "grant_type": EXCHANGE,
                "subject_token": await self._token("simulation"),
                "subject_token_type": ACCESS_TOKEN,
                "requested_subject": self.people[who],
            }
        else:
            secret = self.suite.secrets.get(who)
            form = {"grant_type": "client_credentials", "client_id": who, "client_secret": secret}
        given = time.monotonic()
        status, body = await self.ask("POST", "/api/token", form=form)
        assert status == 200, body
        self.tokens[who] = body["access_token"], given
        return str(body["access_token"])

    async def now(self) -> datetime:
        """The suite's time, in China: its day and year are those of the pages."""
        return datetime.fromisoformat((await self.done("GET", "/api/surroundings", STAFF))["now"]).astimezone(
            CHINA
        )

    async def scored(self) -> None:
        """Wait until the deputy has a score."""

        async def there() -> bool:
            found = await self.done("GET", f"/api/scores/{self.people[DEPUTY]}", DEPUTY)
            return bool(found["total"] > 0)

        await wait_until(there, what="a score", seconds=PATIENCE, every=0.2)

    async def cases_titled(self, title: str, who: str = DEPUTY) -> list[dict[str, Any]]:
        """The cases of somebody with a title, the newest first."""
        found = await self.done("GET", "/api/cases?size=500", who)
        return [case for case in found["items"] if case["title"] == title]

    async def file(self, title: str, text: str, **more: Any) -> str:
        """File a case as the deputy, and wait until it is with the department."""
        content = {"title": title, "text": text, "county": "330203", "category": "城乡建设", **more}
        case_id = str((await self.done("POST", "/api/cases", DEPUTY, content))["id"])
        await self.until(case_id, "routed")
        return case_id

    async def until(self, case_id: str, state: str) -> None:
        """Wait until a case is in a state."""

        async def there() -> bool:
            return bool((await self.done("GET", f"/api/cases/{case_id}", DEPUTY))["state"] == state)

        await wait_until(there, what=f"case {state}", seconds=PATIENCE, every=0.2)

    async def answer(self, case_id: str, text: str) -> None:
        """The department takes a case on and answers it."""
        await self.done("POST", f"/api/cases/{case_id}/accept", HOUSING)
        await self.done("POST", f"/api/cases/{case_id}/answer", HOUSING, {"result": "solved", "text": text})


def _roster(today: datetime, station: str) -> str:
    term = f"{today.year - 1}-01-01,{today.year + 3}-12-31"
    return (
        "编号,姓名,层级,职业,县(市、区)代码,乡镇代码,选区,任期起,任期止,联络站代码\n"
        f"{DEPUTY},方玲,县,农民,330203,330203100,海曙区第一选区,{term},{station}\n"
        f"{OTHER_DEPUTY},水生,县,,330203,330203101,海曙区第二选区,{term},{station}\n"
    )


@contextlib.asynccontextmanager
async def open_town(folder: Path) -> AsyncIterator[Town]:
    """The town, up until the end."""
    divisions = folder / "divisions.json"
    divisions.write_text(json.dumps(DIVISIONS, ensure_ascii=False), "utf-8")
    suite = Suite(
        folder / "run",
        environment="test",
        fsync=False,
        extra_env={
            "gateway": {"DIVISIONS_FILE": str(divisions), "OUTCOME_WAIT_SECONDS": str(LATE_SECONDS)},
            "evaluation": {"DIVISIONS_FILE": str(divisions)},
        },
    )
    async with contextlib.AsyncExitStack() as end:
        await asyncio.to_thread(suite.start)
        end.push_async_callback(asyncio.to_thread, suite.stop)
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        session = await end.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        found = Town(suite, session)
        await _settle(found)
        yield found


async def _settle(town: Town) -> None:
    """Let people move in, and give them passwords and things to see."""
    staff = str(uuid4())
    await town.done("PUT", f"/api/staff/{staff}", "operator", {"name": "石磊", "organisation": "3302"})
    town.people[STAFF] = staff
    departments = (
        (HOUSING, "市住房和城乡建设局", "城乡建设"),
        ("health", "市卫生健康委员会", "卫生计生"),
        ("transport", "市交通运输局", "交通运输"),
    )
    for code, name, category in departments:
        content = {"name": name, "categories": [category]}
        await town.done("PUT", f"/api/departments/{code}", STAFF, content)
    town.people[HOUSING] = f"department:{HOUSING}"
    station = f"/api/stations/{uuid4()}"
    await town.done("PUT", station, STAFF, {"name": STATION, "town": "330203100"})
    town.codes[STATION] = (await town.done("GET", station, STAFF))["code"]
    form = aiohttp.FormData()
    now = datetime.now(UTC)
    roster = _roster(now, town.codes[STATION])
    town.written.update(cell for line in roster.splitlines()[1:] for cell in line.split(","))
    form.add_field("file", roster.encode(), filename="roster.csv")
    status, body = await town.ask("POST", "/api/roster-imports", STAFF, form=form)
    assert (status, body["accepted"]) == (200, 2), body
    for deputy in (await town.done("GET", "/api/deputies", STAFF))["items"]:
        town.people[deputy["number"]] = deputy["id"]
        town.codes[deputy["number"]] = deputy["code"]
    for who in (DEPUTY, OTHER_DEPUTY, STAFF, HOUSING):
        content = {"login": f"town-{who.lower()}", "password": PASSWORD}
        await town.done("PUT", f"/api/people/{town.people[who]}/password", "operator", content)
    await _things(town, now)


async def _things(town: Town, now: datetime) -> None:
    # Deputies sign up before it starts, whenever their test comes, and check in from an hour before.
    soon, later = now + timedelta(minutes=50), now + timedelta(days=20)

    async def routes() -> bool:
        # Cases hears of the departments on a topic of its own, so the first cases may come before them.
        content = {
            "title": "公园长椅损坏",
            "text": "三把长椅的木条断了。",
            "county": "330203",
            "category": "城乡建设",
        }
        case_id = (await town.done("POST", "/api/cases", OTHER_DEPUTY, content))["id"]
        if (await town.done("GET", f"/api/cases/{case_id}", OTHER_DEPUTY))["state"] == "routed":
            return True
        # Only one of them stays, however many it took.
        await town.done("POST", f"/api/cases/{case_id}/withdraw", OTHER_DEPUTY, {"reason": "试用"})
        return False

    await wait_until(routes, what="routing", seconds=PATIENCE, every=0.2)
    rated = await town.file(
        "高桥镇卫生院门前路面积水", "下雨后积水超过二十厘米，老人看病不便，希望疏通下水道。"
    )
    await town.answer(rated, "已疏通三处堵塞的雨水井，并更换破损井盖，经两次降雨检验不再积水。")
    await town.done("POST", f"/api/cases/{rated}/close", DEPUTY, {})
    answered = await town.file(
        "小区电梯经常停运",
        "南门街道老小区电梯一个月停运四次，居民出行不便。",
        origin="resident",
        contact="王阿姨 0574-0000000",
        town="330203001",
    )
    await town.answer(answered, "已约谈维保单位，更换门机控制板，并把该梯列入本年度更新计划。")
    asked = await town.file("人行道上有裸露电线", "横街镇老街拐角处有裸露电线，存在隐患。", town="330203101")
    await town.done("POST", f"/api/cases/{asked}/accept", HOUSING)
    await town.done("POST", f"/api/cases/{asked}/ask", HOUSING, {"text": "请说明具体门牌号或附近的标志物。"})
    await town.done(
        "POST",
        "/api/activities",
        STAFF,
        {
            "title": "民生实事项目主题督查",
            "kind": "inspection",
            "starts_at": soon.isoformat(),
            "ends_at": (soon + timedelta(hours=3)).isoformat(),
            "capacity": 60,
        },
    )
    await town.done(
        "POST",
        "/api/consultations",
        STAFF,
        {
            "title": "城市绿化条例（修订草案）",
            "kind": "legislation",
            "closes_at": later.isoformat(),
            "questions": [
                {
                    "key": "whole",
                    "text": "您对草案总体是否赞成？",
                    "kind": "choice",
                    "options": ["赞成", "基本赞成", "不赞成"],
                    "required": True,
                },
                {"key": "words", "text": "您的修改意见", "kind": "text"},
            ],
        },
    )
    course = await town.done(
        "POST",
        "/api/courses",
        STAFF,
        {
            "title": "怎样提出高质量的建议",
            "lessons": [
                {"key": "law", "title": "代表法与代表的权利义务", "minutes": 40},
                {"key": "write", "title": "建议的选题和写法", "minutes": 35},
            ],
            "quiz": [
                {
                    "key": "q1",
                    "text": "代表提出的建议由谁交办？",
                    "options": ["有关机关、组织", "代表自己", "新闻单位"],
                    "answer": 0,
                },
                {"key": "q2", "text": "代表视察时能否直接处理问题？", "options": ["能", "不能"], "answer": 1},
            ],
        },
    )
    text = {"lesson": "law", "title": "代表法与代表的权利义务", "text": LESSON_TEXTS["deputy-law"]}
    await town.done("POST", f"/api/courses/{course['id']}/lessons", STAFF, text)
