"""The whole suite as processes, two gateways, driven over HTTP alone: the main way, and what people get wrong.

The tests use one suite and go from top to bottom: the last one looks for what must not have been left anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4, uuid5

import aiohttp
import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient
from joserfc.jwk import OKPKey
from yarl import URL

from deploy.local.suite import Suite
from shared.contracts.operations import CommandOutcome
from shared.contracts.registry import EVERY_SERVICE, commands
from shared.messaging.kafka import connection_options
from shared.security.tokens import AUDIENCE, ISSUER, sign
from shared.testing.issuer import Issuer
from shared.testing.topics import messages_in, read_all
from shared.testing.wait import wait_until
from tests.conftest import kafka_settings, started_producer
from tests.e2e import fuzzing
from tests.warehouse_house import House

pytestmark = pytest.mark.timeout(900)

PATIENCE = 60.0
"""Seconds; other people's programs may be using the machine."""
RENEWED_AFTER_SECONDS = 540
"""A token is good for a quarter of an hour, and a test may take some of it; all take longer on a slow host."""
LOOKS = 2.0
"""Seconds between looks through a follow link, which may be asked sixty times a minute."""

NAME, PHONE, WORDS = "欧阳夏雨", "13907458866", "三楼阳台漏水已有两个月"
LATITUDE = 29.868337
PASSWORD, LOGIN = "correct-horse-battery-7", "fang.ling"
RESIDENTS_CASE = {
    "title": f"{NAME}家房屋漏水",
    "text": f"居民{NAME}反映：{WORDS}，下水道堵塞。",
    "contact": f"{NAME} {PHONE}",
    "position": {"latitude": LATITUDE, "longitude": 121.543991, "accuracy": 12},
    "county": "330203",
    "category": "城乡建设",
    "origin": "resident",
}
DEPARTMENTS = {"housing": "城乡建设", "health": "卫生计生"}
"""Each with the category that it handles."""
CASE = {"title": "窨井盖", "text": "路口窨井盖破损。", "county": "330203", "category": "城乡建设"}

TODAY = datetime.now(UTC).date()
ROSTER = "\n".join(
    [
        "编号,姓名,层级,县(市、区)代码,乡镇代码,选区,任期起,任期止",
        f"A1,方玲,县,330203,,海曙第一选区,{TODAY.year - 1}-01-01,{TODAY.year + 3}-12-31",
        f"A2,水生,县,330203,,海曙第二选区,{TODAY.year - 1}-01-01,{TODAY.year + 3}-12-31",
        f"A3,错行,省,330203,,海曙第三选区,{TODAY.year - 1}-01-01,明年",
        f"A4,江河,市,,,市直选区,{TODAY.year - 1}-01-01,{TODAY.year + 3}-12-31",
    ]
)


@dataclass(frozen=True)
class Said:
    """What a gateway answered."""

    status: int
    headers: dict[str, str]
    raw: str = field(repr=False)

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def code(self) -> str:
        """A problem's stable code."""
        assert self.headers["Content-Type"] == "application/problem+json", self.raw
        return str(self.body["code"])


@dataclass
class Town:
    """A running suite with two gateways, and tokens of the people in it."""

    suite: Suite
    session: aiohttp.ClientSession
    tokens: dict[str, str] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    renewed: float = float("-inf")
    given: set[str] = field(default_factory=set, repr=False)
    """Every token that was given."""
    link: str = field(default="", repr=False)
    """The secret of a resident's link."""
    report: dict[str, Any] = field(default_factory=dict)
    roster_key: UUID = field(default_factory=uuid4)

    async def ask(
        self,
        method: str,
        path: str,
        who: str | None = None,
        content: Any = None,
        *,
        key: UUID | None = None,
        gateway: int = 0,
        form: Any = None,
        token: str | None = None,
    ) -> Said:
        """One request to a gateway, as somebody."""
        headers = {}
        if who is not None or token is not None:
            headers["Authorization"] = f"Bearer {token or self.tokens[str(who)]}"
        if key is not None:
            headers["Idempotency-Key"] = str(key)
        async with self.session.request(
            method, self.suite.gateway_urls[gateway] + path, headers=headers, json=content, data=form
        ) as answer:
            return Said(answer.status, dict(answer.headers), await answer.text())

    async def told(self, method: str, path: str, who: str, content: Any = None, **more: Any) -> Said:
        """What became of a request; a write that takes longer than the gateway waits is followed."""
        said = await self.ask(method, path, who, content, **more)
        return await self.outcome(said.headers["Location"], who) if said.status == 202 else said

    async def done(self, method: str, path: str, who: str, content: Any = None, **more: Any) -> Any:
        """A request that must succeed."""
        said = await self.told(method, path, who, content, **more)
        assert said.status == 200, said
        return said.body

    async def outcome(self, location: str, who: str, *, gateway: int = 0) -> Said:
        """The outcome at a place, once it is there."""

        async def known() -> Said | None:
            said = await self.ask("GET", location, who, gateway=gateway)
            waits = said.status == 404 and said.code in {"no-outcome-yet", "import-unknown"}
            return None if waits or said.status == 503 else said

        found = await wait_until(known, what=f"an outcome at {location}", seconds=PATIENCE, every=0.1)
        assert found is not None
        return found

    async def upload(self, content: str, key: UUID, *, gateway: int = 0) -> Said:
        """Import a roster as staff."""
        form = aiohttp.FormData()
        form.add_field("file", content.encode(), filename="roster.csv")
        said = await self.ask("POST", "/api/roster-imports", "staff", key=key, form=form, gateway=gateway)
        return await self.outcome(said.headers["Location"], "staff") if said.status == 202 else said

    async def routed_case(self, who: str, content: Any = None) -> str:
        """File a case and wait until it is with the department."""
        case_id = str((await self.done("POST", "/api/cases", who, content or CASE))["id"])
        case = await self.done("GET", f"/api/cases/{case_id}", who)
        assert (case["state"], case["department"]) == ("routed", "housing"), case
        return case_id

    async def register(self, code: str, category: str) -> None:
        """Make a department responsible for a category, as staff do."""
        await self.done("PUT", f"/api/departments/{code}", "staff", {"name": code, "categories": [category]})

    async def routes(self) -> None:
        """Wait until cases go to the department: it hears of departments on a topic of its own, so later."""

        async def routed() -> bool:
            case_id = (await self.done("POST", "/api/cases", "A4", CASE))["id"]
            return bool((await self.done("GET", f"/api/cases/{case_id}", "A4"))["department"] == "housing")

        await wait_until(routed, what="routing", seconds=PATIENCE, every=0.2)

    async def count(self, path: str, who: str) -> int:
        return int((await self.done("GET", path, who))["total"])

    async def renew(self) -> None:
        """New tokens for everybody, if those that they have may run out soon."""
        if time.monotonic() - self.renewed < RENEWED_AFTER_SECONDS:
            return
        self.renewed = time.monotonic()
        for client in ("operator", "simulation"):
            secret = self.suite.secrets.get(client)
            form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
            said = await self.ask("POST", "/api/token", form=form)
            assert said.status == 200, said
            self.tokens[client] = said.body["access_token"]
            self.given.add(self.tokens[client])
        for who, person in self.people.items():
            with contextlib.suppress(
                AssertionError
            ):  # a random command may have taken an office from somebody
                await self.exchange(who, person)

    async def exchange(self, who: str, person: str) -> None:
        """Get a token in somebody's name from the simulation's."""
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": self.tokens["simulation"],
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "requested_subject": person,
        }
        said = await self.ask("POST", "/api/token", form=form)
        assert said.status == 200, said
        self.tokens[who], self.people[who] = said.body["access_token"], person
        self.given.add(self.tokens[who])


@pytest_asyncio.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """The suite with two departments, one member of staff, and the roster's deputies."""
    suite = Suite(tmp_path_factory.mktemp("suite"), replicas={"gateway": 2}, environment="test", fsync=False)
    async with contextlib.AsyncExitStack() as end:
        await asyncio.to_thread(suite.start)
        end.push_async_callback(asyncio.to_thread, suite.stop)
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        session = await end.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        found = Town(suite, session)
        await found.renew()
        staff = str(uuid4())
        await found.done("PUT", f"/api/staff/{staff}", "operator", {"name": "石磊", "organisation": "3302"})
        await found.exchange("staff", staff)
        for code, category in DEPARTMENTS.items():
            await found.register(code, category)
            await found.exchange(code, f"department:{code}")
        said = await found.upload(ROSTER, found.roster_key)
        assert said.status == 200, said
        found.report = said.body
        deputies = (await found.done("GET", "/api/deputies?size=100", "staff"))["items"]
        for deputy in deputies:
            await found.exchange(deputy["number"], deputy["id"])
        await found.routes()
        yield found


@pytest_asyncio.fixture(autouse=True)
async def _good_tokens(town: Town) -> None:
    await town.renew()


# -- the main way ------------------------------------------------------------------------------------


async def test_a_wrong_row_of_a_roster_is_reported_and_stops_no_other(town: Town) -> None:
    assert (town.report["rows"], town.report["accepted"]) == (4, 3)
    assert {(error["line"], error["column"]) for error in town.report["errors"]} == {
        (4, "level"),
        (4, "term_until"),
    }
    assert "错行" not in json.dumps(town.report, ensure_ascii=False)
    assert {"A1", "A2", "A4"} <= set(town.tokens)
    again = await town.ask("GET", f"/api/roster-imports/{town.roster_key}", "staff", gateway=1)
    assert again.body == town.report


async def test_the_same_roster_again_acts_once_and_another_under_its_id_is_refused(town: Town) -> None:
    again = await town.upload(ROSTER, town.roster_key, gateway=1)
    assert (again.status, again.body) == (200, town.report)
    other = await town.upload(ROSTER.replace("方玲", "方灵"), town.roster_key)
    assert (other.status, other.code) == (409, "command-id-reused")
    assert await town.count("/api/deputies", "staff") == 3


async def test_a_person_signs_in_with_the_password_set_through_the_gateway(town: Town) -> None:
    await town.done("PUT", "/api/me/password", "A1", {"login": LOGIN, "password": PASSWORD})
    said = await town.ask("POST", "/api/sign-in", content={"login": LOGIN, "password": PASSWORD}, gateway=1)
    assert said.status == 200
    assert (said.body["person"], said.body["roles"]) == (town.people["A1"], ["deputy"])
    me = await town.ask("GET", "/api/me", token=said.body["access_token"])
    assert me.body["person"] == town.people["A1"]
    wrong = await town.ask("POST", "/api/sign-in", content={"login": LOGIN, "password": PASSWORD + "8"})
    assert (wrong.status, wrong.code) == (401, "sign-in-failed")


async def _listen(town: Town, who: str, hints: list[dict[str, Any]], connected: asyncio.Event) -> None:
    """Collect the hints that somebody's stream at the second gateway brings."""
    headers = {"Authorization": f"Bearer {town.tokens[who]}"}
    timeout = aiohttp.ClientTimeout(total=None)
    async with town.session.get(
        f"{town.suite.gateway_urls[1]}/api/events", headers=headers, timeout=timeout
    ) as stream:
        assert stream.status == 200
        connected.set()
        async for line in stream.content:
            if line.startswith(b"data: "):
                hints.append(json.loads(line.removeprefix(b"data: ")))  # noqa: PERF401 - read meanwhile


async def test_a_case_goes_its_whole_way_over_http(town: Town) -> None:
    hints: dict[str, list[dict[str, Any]]] = {"A1": [], "A2": [], "housing": []}
    signals = {who: asyncio.Event() for who in hints}
    listeners = [asyncio.create_task(_listen(town, who, hints[who], signals[who])) for who in hints]
    await asyncio.wait_for(asyncio.gather(*(signal.wait() for signal in signals.values())), PATIENCE)

    case_id = await town.routed_case("A1", RESIDENTS_CASE)
    held = await town.done("GET", "/api/cases?state=routed&size=100", "housing")
    assert case_id in {item["id"] for item in held["items"]}
    as_housing = await town.done("GET", f"/api/cases/{case_id}", "housing")
    assert as_housing["text"] == RESIDENTS_CASE["text"]
    assert PHONE not in json.dumps(as_housing)
    steps: list[tuple[str, str, Any]] = [
        ("housing", "accept", None),
        ("housing", "answer", {"result": "solved", "text": "已修复。"}),
        ("A1", "close", {}),
        ("A1", "rate", {"stars": 5}),
    ]
    versions = [
        (await town.done("POST", f"/api/cases/{case_id}/{step}", who, content))["version"]
        for who, step, content in steps
    ]
    assert versions == sorted(set(versions))
    case = await town.done("GET", f"/api/cases/{case_id}", "A1", gateway=1)
    assert (case["state"], case["result"], case["stars"]) == ("closed", "solved", 5)
    assert case["contact"] == RESIDENTS_CASE["contact"]

    async def scored() -> bool:
        # Filed (1), for a resident (0.5) and solved (2), in hundredths.
        score = await town.done("GET", f"/api/scores/{town.people['A1']}", "A1")
        return bool(score["total"] >= 350)

    await wait_until(scored, what="the score", seconds=PATIENCE, every=0.1)

    async def noticed() -> bool:
        notices = (await town.done("GET", "/api/notices?size=100", "A1"))["items"]
        return {"case.routed", "case.accepted", "case.answered", "case.closed"} <= {
            n["kind"] for n in notices
        }

    await wait_until(noticed, what="the notices", seconds=PATIENCE, every=0.1)

    async def unread() -> set[str]:
        return {n["id"] for n in (await town.done("GET", "/api/notices?unread=true&size=500", "A1"))["items"]}

    marked, *others = await unread()
    await town.done("POST", "/api/notices/mark", "A1", {"notices": [marked]})
    left = await unread()  # and perhaps what came meanwhile
    assert marked not in left
    assert set(others) <= left

    later = {"case.routed", "case.progressed", "case.closed", "case.rated"}

    async def hinted() -> bool:
        told = {who: {h["kind"] for h in hints[who] if h["id"] == case_id} for who in hints}
        return later | {"case.filed"} <= told["A1"] and later <= told["housing"]

    await wait_until(hinted, what="the hints", seconds=PATIENCE)
    # A stream begins with what changed a moment before: their own entry in the roster, nothing of others.
    assert {(hint["kind"], hint["id"]) for hint in hints["A2"]} <= {("deputy.changed", town.people["A2"])}
    assert set(hints["A1"][0]) == {"kind", "id", "version"}
    for listener in listeners:
        listener.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)


# -- what people get wrong ---------------------------------------------------------------------------


async def test_somebody_elses_case_is_403_to_see_and_to_act_on(town: Town) -> None:
    case_id = await town.routed_case("A1")
    for method, step, who, content in (
        ("GET", "", "A2", None),
        ("GET", "", "health", None),
        ("POST", "/accept", "health", None),
        ("POST", "/answer", "health", {"result": "solved", "text": "已修复。"}),
        ("POST", "/return", "health", {"reason": "不属于本单位。"}),
        ("POST", "/close", "A2", {}),
        ("POST", "/rate", "A2", {"stars": 1}),
    ):
        said = await town.told(method, f"/api/cases/{case_id}{step}", who, content)
        assert (said.status, said.code) == (403, "not-your-case"), (step, who)
    case = await town.done("GET", f"/api/cases/{case_id}", "A1")
    assert case["state"] == "routed"
    assert case_id not in json.dumps(await town.done("GET", "/api/cases?size=500", "A2"))


async def test_an_illegal_transition_is_409_and_changes_nothing(town: Town) -> None:
    case_id = await town.routed_case("A1")
    before = await town.done("GET", f"/api/cases/{case_id}", "A1")
    for step, who, content in (
        ("close", "A1", {}),
        ("rate", "A1", {"stars": 3}),
        ("route", "staff", {"department": "health"}),
    ):
        said = await town.told("POST", f"/api/cases/{case_id}/{step}", who, content)
        assert (said.status, said.code) == (409, "step-not-possible"), step
    assert await town.done("GET", f"/api/cases/{case_id}", "A1") == before


async def test_an_unknown_case_is_404(town: Town) -> None:
    for method, step, content in (("GET", "", None), ("POST", "/rate", {"stars": 3})):
        said = await town.told(method, f"/api/cases/{uuid4()}{step}", "A1", content)
        assert (said.status, said.code) == (404, "case-unknown")


async def test_a_repeated_id_gets_the_first_outcome_on_every_gateway_and_acts_once(town: Town) -> None:
    before, key = await town.count("/api/cases", "A2"), uuid4()
    first = await town.done("POST", "/api/cases", "A2", CASE, key=key)
    for gateway in (0, 1):
        assert await town.done("POST", "/api/cases", "A2", CASE, key=key, gateway=gateway) == first
        assert (await town.outcome(f"/api/commands/cases/{key}", "A2", gateway=gateway)).body == first
    # Also at once: each gateway waits for its own, and only one acts.
    key = uuid4()
    both = await asyncio.gather(
        *(town.done("POST", "/api/cases", "A2", CASE, key=key, gateway=gateway) for gateway in (0, 1, 0, 1))
    )
    assert all(answer == both[0] for answer in both)
    assert await town.count("/api/cases", "A2") == before + 2


async def test_a_repeated_refusal_is_the_first_refusal_even_when_it_would_be_possible_now(town: Town) -> None:
    case_id, key = await town.routed_case("A2"), uuid4()
    path = f"/api/cases/{case_id}/close"
    assert (await town.told("POST", path, "A2", {}, key=key)).code == "step-not-possible"
    answer = {"result": "explained", "text": "已说明。"}
    await town.done("POST", f"/api/cases/{case_id}/answer", "housing", answer)
    again = await town.told("POST", path, "A2", {}, key=key, gateway=1)
    assert (again.status, again.code) == (409, "step-not-possible")
    await town.done("POST", path, "A2", {}, key=uuid4())


async def test_the_same_id_with_another_body_is_refused(town: Town) -> None:
    key = uuid4()
    await town.done("POST", "/api/cases", "A2", CASE, key=key)
    for gateway, other in enumerate(({**CASE, "text": CASE["text"] + "!"}, {**CASE, "county": "330205"})):

        async def answered(gateway: int = gateway, other: Any = other) -> Said | None:
            said = await town.ask("POST", "/api/cases", "A2", other, key=key, gateway=gateway)
            return said if said.status != 202 else None  # the outcome under this id is the first command's

        said = await wait_until(answered, what="a refusal", seconds=PATIENCE)
        assert said is not None
        assert (said.status, said.code) == (409, "command-id-reused")


async def test_somebody_elses_id_tells_nothing_and_is_not_used_up(town: Town) -> None:
    key, case_id = uuid4(), str(uuid4())
    first = await town.done("POST", "/api/cases", "A1", {**CASE, "id": case_id}, key=key)
    said = await town.ask("GET", f"/api/commands/cases/{key}", "A2")
    assert (said.status, said.code) == (404, "no-outcome-yet")
    # The other's own command under this id is his own; the case's id is taken, which he learns.
    said = await town.told("POST", "/api/cases", "A2", {**CASE, "id": case_id}, key=key)
    assert (said.status, said.code) == (409, "case-exists")
    assert (await town.outcome(f"/api/commands/cases/{key}", "A1")).body == first


async def test_an_expired_or_forged_token_is_401_at_every_gateway(town: Town) -> None:
    (file,) = (town.suite.stack.run_dir / "identity-keys").glob("*.json")
    own_key = OKPKey.import_key(json.loads(file.read_text("utf-8")))
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": town.people["A1"], "roles": ["deputy"], "org": None}

    def token(**more: Any) -> str:
        return sign({**claims, "iat": now - 10, "exp": now + 900, **more}, own_key)

    assert (await town.ask("GET", "/api/me", token=token())).status == 200  # so it is not the key that fails
    wrong = {
        "expired": token(iat=now - 2000, exp=now - 1000),
        "for somebody else's system": token(aud="elsewhere"),
        "of somebody else": Issuer().token(town.people["A1"], "deputy"),
        "cut": token()[:-6],
    }
    for fault, text in wrong.items():
        for gateway in (0, 1):
            for method, path, content in (("GET", "/api/me", None), ("POST", "/api/cases", CASE)):
                said = await town.ask(method, path, content=content, token=text, gateway=gateway)
                assert (said.status, said.code) == (401, "token-not-valid"), fault
    # The services check for themselves.
    url = f"{town.suite.service_urls['cases'][0]}/cases"
    headers = {"Authorization": f"Bearer {wrong['expired']}"}
    async with town.session.get(url, headers=headers) as answer:
        assert answer.status == 401


async def test_nobody_but_the_simulation_chooses_the_time(town: Town) -> None:
    said = await town.ask("POST", "/api/sign-in", content={"login": LOGIN, "password": PASSWORD})
    headers = {
        "Authorization": f"Bearer {said.body['access_token']}",
        "Simulated-Time": (datetime.now(UTC) - timedelta(days=30)).isoformat(),
    }
    async with town.session.post(f"{town.suite.gateway_url}/api/cases", json=CASE, headers=headers) as answer:
        assert answer.status == 403
        assert (await answer.json(content_type=None))["code"] == "simulated-time-not-allowed"


async def test_text_that_no_database_keeps_is_refused_and_becomes_no_dead_letter(town: Town) -> None:
    for method, path, who, content in (
        ("POST", "/api/cases", "A1", {**CASE, "text": "a\0b"}),
        ("POST", "/api/duties", "A1", {"kind": "visit", "happened_on": str(TODAY), "note": "a\0b"}),
        ("PUT", "/api/departments/other", "staff", {"name": "a\0b"}),
    ):
        said = await town.ask(method, path, who, content)
        assert said.status == 422, path
    said = await town.upload(ROSTER.replace("方玲", "方\0玲"), uuid4())
    assert said.status == 200
    status = await town.done("GET", "/api/operations/status", "operator")
    assert {name: found["dead_letters"] for name, found in status["services"].items()} == dict.fromkeys(
        town.suite.service_urls, 0
    )


async def test_a_service_that_is_down_costs_time_and_nothing_else(town: Town) -> None:
    stop, start = town.suite.supervisor.stop_one, town.suite.supervisor.restart
    course = {"title": "代表法", "lessons": [{"key": "one", "title": "第一课", "minutes": 30}]}
    key = uuid4()
    await asyncio.to_thread(stop, "learning-1")
    said = await town.ask("POST", "/api/courses", "staff", course, key=key)
    assert said.status == 202
    location = said.headers["Location"]
    assert location == f"/api/commands/learning/{key}"
    for path in (location, "/api/courses"):
        away = await town.ask("GET", path, "staff", gateway=1)
        assert (away.status, away.code) == (503, "service-away")
        assert away.headers["Retry-After"]
    await town.routed_case("A2")  # its neighbours work on
    await asyncio.to_thread(start, "learning-1")
    for gateway in (0, 1):
        found = await town.outcome(location, "staff", gateway=gateway)
        assert (found.status, found.body["id"]) == (200, str(key))
    assert (await town.done("GET", f"/api/courses/{key}", "A1"))["title"] == course["title"]
    again = await town.done("POST", "/api/courses", "staff", course, key=key)
    assert again == found.body
    assert await town.count("/api/courses", "A1") == 1


# -- without an account ------------------------------------------------------------------------------


async def _as_resident(
    town: Town, method: str, path: str, *, cookie: str = "", gateway: int = 0, **more: Any
) -> tuple[int, Any, Any]:
    """One request without a token that follows no redirect: status, headers, body."""
    headers = {"Cookie": cookie} if cookie else {}
    url = town.suite.gateway_urls[gateway] + path
    headers |= more.pop("headers", {})
    async with town.session.request(method, url, headers=headers, allow_redirects=False, **more) as answer:
        return answer.status, answer.headers, await answer.text()


async def test_a_resident_goes_the_whole_way_by_code_and_link_and_leaves_nothing_behind(town: Town) -> None:
    deputies = (await town.done("GET", "/api/deputies?q=A2", "staff"))["items"]
    code = deputies[0]["code"]
    public = (await town.ask("GET", f"/api/codes/{code}")).body
    assert set(public) == {"kind", "name", "level", "county", "town", "constituency"}
    notice = (await town.ask("GET", "/api/concern-notice")).body
    concern = {name: RESIDENTS_CASE[name] for name in ("title", "text", "contact")}
    sent = {"json": {**concern, "consent": notice["version"]}, "headers": {"Idempotency-Key": str(uuid4())}}
    path = f"/api/codes/{code.upper()}/concerns"

    async def submitted(gateway: int) -> Any:
        status, _, body = await _as_resident(town, "POST", path, gateway=gateway, **sent)
        return json.loads(body) if status == 200 else None

    told = await wait_until(lambda: submitted(0), what="a receipt", seconds=PATIENCE, every=0.5)
    again = await wait_until(lambda: submitted(1), what="a receipt again", seconds=PATIENCE, every=0.5)
    assert again == told, "the same request at another gateway has the same receipt and link"
    town.link = told["follow"].removeprefix("/f/")  # must be found nowhere, like any token

    status, headers, _ = await _as_resident(town, "GET", told["follow"], gateway=1)
    assert (status, headers["Location"]) == (303, f"/api/concerns/{told['receipt']}")
    assert headers["Referrer-Policy"] == "no-referrer"
    cookie = headers["Set-Cookie"].partition(";")[0]
    nearly = told["follow"][:-1] + ("1" if told["follow"].endswith("0") else "0")
    for wrong in ("/f/" + "0" * 26, nearly):
        assert (await _as_resident(town, "GET", wrong))[0] == 404
    form = {"receipt": told["receipt"], "secret": town.link}
    assert (await _as_resident(town, "POST", "/api/concerns/open", data=form))[0] == 303

    async def seen() -> Any:
        status, _, body = await _as_resident(town, "GET", headers["Location"], cookie=cookie)
        assert status == 200, body
        return json.loads(body)

    async def said(what: str, body: Any = None) -> None:
        status, _, told_ = await _as_resident(
            town, "POST", f"{headers['Location']}/{what}", cookie=cookie, json=body
        )
        assert status in {200, 202}, told_

    async def reached(state: str) -> None:
        async def there() -> bool:
            return bool((await seen())["state"] == state)

        await wait_until(there, what=f"{state} at the resident's", seconds=PATIENCE, every=LOOKS)

    assert (await seen())["state"] == "submitted"
    waiting = (await town.done("GET", "/api/cases?state=submitted", "A2"))["items"]
    case_id = waiting[0]["id"]
    assert (await town.ask("GET", f"/api/cases/{case_id}", "A1")).status == 403

    async def heard() -> bool:
        notices = (await town.done("GET", "/api/notices?size=100", "A2"))["items"]
        return any(one["kind"] == "concern.submitted" for one in notices)

    await wait_until(heard, what="the deputy's notice", seconds=PATIENCE, every=0.3)
    assert (await town.done("GET", f"/api/cases/{case_id}", "A2"))["contact"] == concern["contact"]
    await town.done("POST", f"/api/cases/{case_id}/take-up", "A2", {})
    await reached("routed")
    await town.done("POST", f"/api/cases/{case_id}/accept", "housing")
    asked = await town.done("GET", f"/api/cases/{case_id}/contact?purpose=handling", "housing")
    assert asked == {"contact": concern["contact"]}
    await town.done("POST", f"/api/cases/{case_id}/ask", "housing", {"text": "请问几号楼？"})
    await reached("waiting")
    await said("supply", {"text": f"{NAME}：三号楼"})
    await reached("in-progress")
    await town.done("POST", f"/api/cases/{case_id}/answer", "housing", {"result": "solved", "text": "已修复"})
    await town.done("POST", f"/api/cases/{case_id}/close", "A2", {})
    await said("rate", {"stars": 5, "attitude": 5, "result": 4})
    await reached("closed")
    shown = await seen()
    assert [(read["role"], read["organisation"]) for read in shown["contact_reads"]] == [
        ("deputy", None),
        ("department", "housing"),
    ]
    await said("erase", {"what": "all"})

    async def erased() -> bool:
        return bool((await seen())["erased"])

    await wait_until(erased, what="the erasure", seconds=PATIENCE, every=LOOKS)
    after = await town.done("GET", f"/api/cases/{case_id}", "A2")
    assert (after["title"], after["contact"]) == (None, None)
    await said("close-link")

    async def closed() -> bool:
        return (await _as_resident(town, "GET", told["follow"]))[0] == 404

    await wait_until(closed, what="the link's end", seconds=PATIENCE, every=LOOKS)


# -- whatever people send --------------------------------------------------------------------------------

NOT_FUZZED = frozenset(
    {
        "post /api/token",  # whose answers are tokens; they have tests of their own and slow every guess down
        "post /api/sign-in",
        "post /api/roster-imports",  # which take files and forms, and have tests of their own
        "post /api/photos",
        "post /api/documents",
        "post /api/concerns/open",
    }
)
PEOPLE = ("A1", "A2", "staff", "housing", "health", "operator")


async def _ids(town: Town) -> list[str]:
    """Ids of things that exist and belong to different people."""
    case_id, motion_id = await town.routed_case("A1"), str(uuid4())
    draft = {"id": motion_id, "kind": "suggestion", "title": "电梯", "text": "加装电梯。"}
    await town.done("POST", "/api/motions", "A2", draft)
    return [case_id, motion_id, town.people["A1"], town.people["A2"], "housing", "health"]


async def _all_is_well(town: Town) -> None:
    """No consumer is dead and none stands still; what is right works in every service."""

    async def calm() -> bool:
        said = await town.ask("GET", "/api/operations/status", "operator")
        if said.status != 200:
            return False
        services = said.body["services"].values()
        return all(s["outbox"] == 0 and not any((s["lag"] or {"": 1}).values()) for s in services)

    await wait_until(calm, what="every service having taken in everything", seconds=4 * PATIENCE, every=0.2)
    # Among what was sent some is right: staff may have taken a department's categories from it.
    for code, category in DEPARTMENTS.items():
        await town.register(code, category)
    await town.routes()
    await town.routed_case("A1")
    motion_id = str(uuid4())
    draft = {"id": motion_id, "kind": "suggestion", "title": "电梯", "text": "加装电梯。"}
    await town.done("POST", "/api/motions", "A1", draft)
    await town.done("POST", f"/api/motions/{motion_id}/submit", "A1", {"informed": True})
    visit = {"kind": "visit", "happened_on": str(TODAY), "note": "走访"}
    await town.done("POST", "/api/duties", "A2", {**visit, "id": str(uuid4())})
    course = {"title": "代表法", "lessons": [{"key": "one", "title": "第一课", "minutes": 30}]}
    await town.done("POST", "/api/courses", "staff", course)
    await town.done("PUT", f"/api/staff/{uuid4()}", "operator", {"name": "石磊", "organisation": "3302"})
    for name in town.suite.supervisor.names():
        assert town.suite.supervisor.starts(name) <= STARTS.get(name, 1), f"{name} died"


STARTS = {"learning-1": 2}
"""How often a test above started a process again by intent."""


async def test_no_request_whatever_makes_a_server_error_and_every_refusal_has_a_code(town: Town) -> None:
    day, each = fuzzing.seed_of_the_day(), 6
    ids, gate, seen = await _ids(town), asyncio.Semaphore(16), dict[str, set[int]]()
    wrong: list[str] = []

    async def send(number: int, asked: fuzzing.Request) -> None:
        who = PEOPLE[number % len(PEOPLE)]
        headers = {"Authorization": f"Bearer {town.tokens[who]}", "Content-Type": "application/json"}
        url = URL(town.suite.gateway_urls[number % 2] + asked.path, encoded=True)
        async with gate, town.session.request(asked.method, url, data=asked.body, headers=headers) as answer:
            status, kind, raw = answer.status, answer.content_type, await answer.read()
        seen.setdefault(asked.operation, set()).add(status)
        told = json.loads(raw) if kind == "application/problem+json" else {}
        if status >= 500 or (status >= 400 and not told.get("code")):
            wrong.append(f"{who} {asked}: {status} {raw[:200]!r}")
        elif told.get("code") == "invalid-request" and not all(e["place"] for e in told["errors"]):
            wrong.append(f"{who} {asked}: a fault without its place")

    await asyncio.gather(*(send(*one) for one in enumerate(fuzzing.requests(day, each, ids, NOT_FUZZED))))
    assert wrong[:10] == [], f"seed {day}"
    assert fuzzing.writing() - set(seen) == NOT_FUZZED
    told = set().union(*seen.values())
    assert {200, 403, 404, 422} <= told
    assert {400, 409, 413} & told, f"seed {day}"
    await _all_is_well(town)


async def test_no_message_whatever_ends_a_consumer_and_every_command_gets_its_outcome(town: Town) -> None:
    """The same straight on the topics, as a gateway gone wrong or a department could write."""
    day, ids, stack = fuzzing.seed_of_the_day(), await _ids(town), town.suite.stack
    producer = await started_producer(stack, "gateway")
    department = await started_producer(stack, "dept-housing")
    sent: dict[str, list[UUID]] = {}
    for number, declaration in enumerate(commands().values()):
        if declaration.of_system or declaration.owner == EVERY_SERVICE:
            continue
        who = next((w for w in PEOPLE if _role(w) in declaration.roles), "operator")
        who = who if number % 4 else PEOPLE[number % len(PEOPLE)]
        for n, (_, data) in enumerate(fuzzing.messages(declaration, day, 9, ids)):
            envelope = {
                "specversion": "1.0", "id": str(uuid4()), "source": "/tests", "type": declaration.type,
                "subject": ids[n % len(ids)], "time": datetime.now(UTC).isoformat(),
                "datacontenttype": "application/json", "actortoken": town.tokens[who], "data": data,
            }  # fmt: skip
            value = json.dumps(envelope).encode()
            if len(value) > 900_000:
                continue
            topic = f"{declaration.owner}.commands"
            await producer.send_and_wait(topic, value=value, key=b"fuzz")
            sent.setdefault(topic, []).append(UUID(envelope["id"]))
            if declaration.owner == "cases" and "department" in declaration.roles:
                envelope |= {"id": str(uuid4()), "actortoken": None}
                value = json.dumps({k: v for k, v in envelope.items() if v is not None}).encode()
                await department.send_and_wait("department.housing.replies", value=value, key=b"fuzz")
                sent.setdefault("department.housing.replies", []).append(UUID(envelope["id"]))
    for (
        value
    ) in fuzzing.WHOLE:  # what is no message at all; few in a row, as a long row of them stops a consumer
        await producer.send_and_wait("cases.commands", value=value, key=b"fuzz")
    await producer.stop()
    await department.stop()
    await _all_is_well(town)
    records = await read_all(kafka_settings(stack, "admin"), "command.outcomes")
    outcomes = {}
    for envelope_ in messages_in(records, "command.outcomes"):
        outcome = CommandOutcome.model_validate(envelope_.data)
        outcomes[outcome.command_id] = outcome
    asked = [command for found in sent.values() for command in found]
    assert len(asked) > 500
    assert [command for command in asked if command not in outcomes] == [], f"seed {day}"
    for command in asked:
        outcome = outcomes[command]
        assert outcome.state == "accepted" or (outcome.problem and outcome.problem.code), f"seed {day}"
        if outcome.problem and outcome.problem.code == "invalid-data":
            # NUL is found in the bytes, before there are fields.
            named = ":" in outcome.problem.detail or "NUL" in outcome.problem.detail
            assert named, "which field is wrong, and how"
        assert outcome.problem is None or outcome.problem.code != "handler-failed", f"seed {day}: {outcome}"


def _role(who: str) -> str:
    return {"A1": "deputy", "A2": "deputy", "housing": "department", "health": "department"}.get(who, who)


# -- what must be nowhere ----------------------------------------------------------------------------


async def test_what_a_resident_told_is_in_no_log_event_outcome_metric_command_or_parquet(
    town: Town, tmp_path: Path
) -> None:
    # Filed once more, and wrongly in every way in which words could end in a problem or a log.
    await town.routed_case("A1", RESIDENTS_CASE)
    for path, content in (
        ("/api/cases", {**RESIDENTS_CASE, "county": NAME}),
        ("/api/cases", {**RESIDENTS_CASE, "id": PHONE}),
        ("/api/cases", {**RESIDENTS_CASE, "county": PHONE}),
        ("/api/cases", {**RESIDENTS_CASE, "text": WORDS + "\0"}),
        ("/api/cases", {**RESIDENTS_CASE, "position": {"latitude": LATITUDE, "longitude": LATITUDE * 9}}),
        ("/api/cases", {**RESIDENTS_CASE, "position": {"latitude": LATITUDE, "longitude": LATITUDE}}),
        (f"/api/cases/{PHONE}/rate", {"stars": PHONE}),
        (f"/api/cases/{uuid5(UUID(int=0), NAME)}/rate?{PHONE}", {"stars": 1}),
    ):
        said = await town.told("POST", path, "A1", content)
        assert 400 <= said.status < 500
        assert not _told(said.raw.encode())
    await town.ask("GET", f"/api/deputies?q={NAME}&county={PHONE}", "A1")
    await town.ask("GET", f"/api/codes/{PHONE}")
    # A service asked for what its database cannot even look for.
    assert (await town.ask("GET", f"/api/cases?department={PHONE}%00", "A1")).status >= 400

    run_dir: Path = town.suite.stack.run_dir
    logs = list((run_dir / "logs").iterdir())
    assert {"gateway-1.log", "cases-1.log", "notify-1.log"} <= {log.name for log in logs}
    assert not [log.name for log in logs if _told(log.read_bytes()) or _secret(town, log.read_bytes())]

    urls = [*town.suite.gateway_urls, *(url for found in town.suite.service_urls.values() for url in found)]
    for url in urls:
        async with town.session.get(f"{url}/metrics") as answer:
            metrics = await answer.read()
        assert b"dbt_" in metrics
        assert not _told(metrics)

    settings = kafka_settings(town.suite.stack, "admin")
    admin = AIOKafkaAdminClient(**connection_options(settings))
    await admin.start()
    topics = [topic for topic in await admin.list_topics() if not topic.startswith("__")]
    await admin.close()
    assert {"case.filed", "case.closed", "command.outcomes", "cases.commands", "score.changed"} <= set(topics)
    records = await read_all(settings, *topics)
    assert len(records["case.filed"]) > 5
    told = {
        topic
        for topic, found in records.items()
        for record in found
        if _told((record.key or b"") + (record.value or b"") + repr(record.headers).encode())
    }
    # The department that handles the case is told what it is about, on its own topic, but by whom it can be reached.
    assert told == {"department.housing.routed"}
    dossiers = b"".join(record.value for record in records["department.housing.routed"])
    assert WORDS.encode() in dossiers
    assert str(LATITUDE).encode() in dossiers
    assert PHONE.encode() not in dossiers
    house = House(town.suite.stack, (tmp_path / "warehouse").as_uri())
    assert (await house.round())["rows"] >= len(records["case.filed"])
    cells = await house.everything()
    assert town.people["A1"] in str(cells)
    plain = (cell if isinstance(cell, bytes) else str(cell).encode() for row in cells for cell in row)
    assert not _told(b"\0".join(plain))
    everything = b"".join(record.value or b"" for found in records.values() for record in found)
    assert PASSWORD.encode() not in everything
    assert LOGIN.encode() not in everything
    assert town.link.encode() not in everything


def _told(content: bytes) -> bool:
    """Whether a resident's name, phone number, words or place stand here, also as JSON or a URL writes them."""
    told = (NAME, PHONE, WORDS, str(LATITUDE))
    forms = {text for word in told for text in (word, json.dumps(word).strip('"'), quote(word))}
    return any(form.encode() in content for form in forms)


def _secret(town: Town, content: bytes) -> bool:
    secrets = [
        PASSWORD,
        *town.given,
        town.link,
        town.suite.secrets.get("operator"),
        town.suite.secrets.get("digest"),
    ]
    return any(secret.encode() in content for secret in secrets)
