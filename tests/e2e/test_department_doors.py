"""A department's doors on the whole suite: the example works over each, and none shows or gives what is another's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from confluent_kafka import Consumer, KafkaError, Producer

from deploy.kafka.provision import client_config
from deploy.local.runfolder import CHECKOUT
from deploy.local.suite import Suite
from shared.contracts import cases
from shared.contracts.operations import CommandOutcome
from shared.testing.messages import encoded, message
from shared.testing.topics import messages_in, read_all
from shared.testing.wait import wait_until
from tests.conftest import kafka_settings
from tests.webhook_receiver import Receiver, receiving

pytestmark = pytest.mark.timeout(900)

PATIENCE = 60.0
RENEWED_AFTER_SECONDS = 540
"""A token is good for a quarter of an hour, and a test may take some of it; all take longer on a slow host."""
REFUSED = "TOPIC_AUTHORIZATION_FAILED"
DEPARTMENTS = {"housing": "城乡建设", "health": "卫生计生"}
CASE = {"title": "窨井盖", "text": "路口窨井盖破损。", "county": "330203", "category": "城乡建设"}
PASSWORD = "correct-horse-battery-7"
YEAR = datetime.now(UTC).year
ROSTER = (
    "编号,姓名,层级,县(市、区)代码,乡镇代码,选区,任期起,任期止\n"
    f"A1,方玲,县,330203,,海曙第一选区,{YEAR - 1}-01-01,{YEAR + 3}-12-31"
)
Answer = tuple[int, Any]


@dataclass
class Town:
    """A running suite with two departments and a deputy; requests are made as somebody."""

    suite: Suite
    session: aiohttp.ClientSession
    receiver: Receiver
    tokens: dict[str, str] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)
    renewed: float = float("-inf")

    async def ask(self, method: str, path: str, who: str, content: Any = None, form: Any = None) -> Answer:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        async with self.session.request(
            method, self.suite.gateway_url + path, headers=headers, json=content, data=form
        ) as answer:
            if answer.status == 202:
                return await self._later(answer.headers["Location"], who)
            return answer.status, await answer.json(content_type=None)

    async def _later(self, location: str, who: str) -> Answer:
        async def known() -> Answer | None:
            found = await self.ask("GET", location, who)
            return None if found[0] in {404, 503} else found

        found = await wait_until(known, what="an outcome", seconds=PATIENCE, every=0.1)
        assert found is not None
        return found

    async def done(self, method: str, path: str, who: str, content: Any = None, form: Any = None) -> Any:
        status, found = await self.ask(method, path, who, content, form)
        assert status == 200, found
        return found

    async def exchange(self, who: str, person: str) -> None:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": self.tokens["simulation"],
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "requested_subject": person,
        }
        self.tokens[who], self.people[who] = await self._token(form), person

    async def _token(self, form: dict[str, str]) -> str:
        async with self.session.post(f"{self.suite.gateway_url}/api/token", data=form) as answer:
            assert answer.status == 200
            return str((await answer.json())["access_token"])

    async def client(self, name: str) -> None:
        secret = self.suite.secrets.get(name)
        form = {"grant_type": "client_credentials", "client_id": name, "client_secret": secret}
        self.tokens[name] = await self._token(form)

    async def renew(self) -> None:
        """New tokens for everybody, if those that they have may run out soon."""
        if time.monotonic() - self.renewed < RENEWED_AFTER_SECONDS:
            return
        self.renewed = time.monotonic()
        for client in ("operator", "simulation"):
            await self.client(client)
        for who, person in self.people.items():
            await self.exchange(who, person)

    async def file(self) -> str:
        """A case that was routed to housing, which may have gone on with it already; its id."""
        case_id = str((await self.done("POST", "/api/cases", "deputy", CASE))["id"])
        case = await self.case(case_id)
        steps = [step["step"] for step in case["steps"]]
        assert (steps[:2], case["department"]) == (["filed", "routed"], "housing"), case
        return case_id

    async def case(self, case_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.done("GET", f"/api/cases/{case_id}", "staff")
        return found


@pytest_asyncio.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    quick = {"WEBHOOK_POLL_SECONDS": "0.1", "WEBHOOK_FIRST_SECONDS": "0.2"}
    patient = {"OUTCOME_WAIT_SECONDS": "30"}  # a department's program and Open311 take no later outcome here
    suite = Suite(
        tmp_path_factory.mktemp("suite"),
        environment="test",
        fsync=False,
        extra_env={"cases": quick, "gateway": patient},
    )
    async with contextlib.AsyncExitStack() as end:
        await asyncio.to_thread(suite.start)
        end.push_async_callback(asyncio.to_thread, suite.stop)
        session = await end.enter_async_context(aiohttp.ClientSession())
        found = Town(suite, session, await end.enter_async_context(receiving()))
        await found.renew()
        staff = str(uuid4())
        await found.done("PUT", f"/api/staff/{staff}", "operator", {"name": "石磊", "organisation": "3302"})
        await found.exchange("staff", staff)
        for code, category in DEPARTMENTS.items():
            await found.done(
                "PUT", f"/api/departments/{code}", "staff", {"name": code, "categories": [category]}
            )
            await found.exchange(code, f"department:{code}")
            sign_in = {"login": code, "password": PASSWORD}
            await found.done("PUT", f"/api/people/department:{code}/password", "operator", sign_in)
        form = aiohttp.FormData()
        form.add_field("file", ROSTER.encode(), filename="roster.csv")
        await found.ask("POST", "/api/roster-imports", "staff", form=form)
        (deputy,) = (await found.done("GET", "/api/deputies", "staff"))["items"]
        await found.exchange("deputy", deputy["id"])

        async def routes() -> bool:
            # Cases hears of the departments on a topic of its own, so the first cases may come before them.
            case_id = (await found.done("POST", "/api/cases", "deputy", CASE))["id"]
            return bool((await found.case(case_id))["state"] == "routed")

        await wait_until(routes, what="routing", seconds=PATIENCE, every=0.2)
        yield found


@pytest_asyncio.fixture(autouse=True)
async def _good_tokens(town: Town) -> None:
    await town.renew()


# -- the example ---------------------------------------------------------------------------------------


@asynccontextmanager
async def department_system(town: Town, door: str, folder: Path) -> AsyncIterator[Path]:
    """The example as a process, for housing alone; gives the file of what it prints."""
    kafka = town.suite.stack.env_for("dept-housing")
    credentials = {"username": "housing", "password": PASSWORD}
    if door == "kafka" and "KAFKA_USERNAME" in kafka:
        credentials = {"username": kafka["KAFKA_USERNAME"], "password": kafka["KAFKA_PASSWORD"]}
    file, said = folder / "departments.json", folder / "said"
    file.write_text(json.dumps({"housing": credentials}))
    program = CHECKOUT / "examples/department_system/department_system.py"
    with said.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, program, "--door", door, "--departments-file", file, "--live-seconds", "0.2",
            env={**os.environ, **kafka, "GATEWAY_URL": town.suite.gateway_url},
            stdout=out, stderr=out,
        )  # fmt: skip
    try:
        yield said
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0, said.read_text()


@pytest.mark.parametrize("door", ["kafka", "webhook", "open311", "http"])
async def test_the_example_accepts_and_answers_each_case_once_over_every_door(
    town: Town, door: str, tmp_path: Path
) -> None:
    before = await town.file()
    async with department_system(town, door, tmp_path) as said:

        async def answered(case_id: str) -> bool:
            return bool((await town.case(case_id))["state"] == "answered")

        await wait_until(lambda: answered(before), what="an answer to what came before", seconds=PATIENCE)
        after = [await town.file() for _ in range(3)]
        for case_id in after:
            await wait_until(lambda case_id=case_id: answered(case_id), what="an answer", seconds=PATIENCE)  # type: ignore[misc]
    for case_id in (before, *after):
        steps = [step["step"] for step in (await town.case(case_id))["steps"]]
        assert steps == ["filed", "routed", "accepted", "answered"]
    for private in (CASE["text"], PASSWORD, "whsec_"):
        assert private not in said.read_text()
    if door == "webhook":
        (hook,) = (await town.done("GET", "/api/webhooks", "housing"))["items"]
        deliveries = await town.done("GET", f"/api/webhooks/{hook['id']}/deliveries?size=500", "housing")
        assert set(after) <= {one["case_id"] for one in deliveries["items"]}
        await town.done("DELETE", f"/api/webhooks/{hook['id']}", "housing")


async def test_a_deputys_open311_request_goes_its_way_and_shows_each_update(town: Town) -> None:
    base = "/open311/v2"
    form = {"service_code": "城乡建设", "description": "路口窨井盖破损。", "attribute[county]": "330203"}
    beijing = {**form, "lat": "39.9042", "long": "116.4074"}
    status, (refusal,) = await town.ask("POST", f"{base}/requests.json", "deputy", form=beijing)
    assert (status, refusal["description"].partition(":")[0]) == (400, "position-outside")
    form |= {"lat": "29.868336", "long": "121.543991"}
    (made,) = await town.done("POST", f"{base}/requests.json", "deputy", form=form)
    case_id = made["service_request_id"]
    listed = await town.done("GET", f"{base}/requests.json?status=open&service_code=城乡建设", "housing")
    where = {one["service_request_id"]: (one["lat"], one["long"]) for one in listed}
    assert where[case_id] == (29.868336, 121.543991)
    update = {"service_request_id": case_id, "update_id": "1", "status": "accepted"}
    first = await town.done("POST", f"{base}/servicerequestupdates.json", "housing", form=update)
    again = await town.done("POST", f"{base}/servicerequestupdates.json", "housing", form=update)
    assert first == again == [{"update_id": f"{case_id}.3"}]
    fixed = {"service_request_id": case_id, "update_id": "2", "status": "fixed", "description": "已修复 <好>"}
    await town.done("POST", f"{base}/servicerequestupdates.json", "housing", form=fixed)
    found = await town.done(
        "GET", f"{base}/servicerequestupdates.json?service_request_id={case_id}", "deputy"
    )
    assert [one["status_notes"].split()[0] for one in found] == ["filed", "routed", "accepted", "answered"]
    assert found[-1]["description"] == "已修复 <好>"
    await town.done("POST", f"/api/cases/{case_id}/close", "deputy", {})
    (shown,) = await town.done("GET", f"{base}/requests/{case_id}.json", "deputy")
    assert (shown["status"], shown["status_notes"]) == ("closed", "closed 已办结: solved 已解决")
    closed = await town.done("GET", f"{base}/requests.json?status=closed", "housing")
    assert case_id in [one["service_request_id"] for one in closed]


# -- isolation -----------------------------------------------------------------------------------------


async def leaks(town: Town) -> set[str]:
    """What the department health can see or do of a case that is housing's, over every door; should be nothing."""
    found: set[str] = set()

    def note(leak: str, *, when: bool) -> None:
        if when:
            found.add(leak)

    hooks = {}
    for code in DEPARTMENTS:
        registered = await town.done("POST", "/api/webhooks", code, {"url": f"{town.receiver.url}/{code}"})
        assert registered["secret"].startswith("whsec_")
        hooks[code] = registered["id"]
    case_id, unknown = await town.file(), str(uuid4())

    async def delivered() -> bool:
        return bool(town.receiver.to("/housing", case_id))

    await wait_until(delivered, what="the delivery to housing", seconds=PATIENCE)
    theirs = f"/api/webhooks/{hooks['housing']}"
    own = await town.done("GET", f"/api/webhooks/{hooks['health']}/deliveries", "health")
    note("webhook delivery", when=own["total"] > 0 or bool(town.receiver.to("/health", case_id)))
    listed = (await town.done("GET", "/api/webhooks", "health"))["items"]
    note("webhook list", when=hooks["housing"] in [one["id"] for one in listed])
    status, _ = await town.ask("GET", f"{theirs}/deliveries", "health")
    note("webhook deliveries", when=status != 404)
    status, _ = await town.ask("POST", f"{theirs}/replay", "health", {"since": "2020-01-01T00:00:00Z"})
    note("webhook replay", when=status != 404)
    status, _ = await town.ask("DELETE", theirs, "health")
    note("webhook removal", when=status != 404)

    base = "/open311/v2"
    listed = await town.done("GET", f"{base}/requests.json", "health")
    note("open311 list", when=case_id in str(listed))
    listed = await town.done("GET", f"{base}/requests.json?service_request_id={case_id}", "health")
    note("open311 ids", when=listed != [])
    of_it = await town.ask("GET", f"{base}/requests/{case_id}.json", "health")
    note("open311 single", when=of_it != await town.ask("GET", f"{base}/requests/{unknown}.json", "health"))
    listed = await town.done("GET", f"{base}/servicerequestupdates.json", "health")
    note("open311 updates", when=case_id in str(listed))
    fixed = {"status": "fixed", "description": "x"}
    told = [
        await town.ask(
            "POST", f"{base}/servicerequestupdates.json", "health", form={**fixed, "service_request_id": one}
        )
        for one in (case_id, unknown)
    ]
    note("open311 update", when=told[0] != told[1] or told[0][0] != 404)

    listed = (await town.done("GET", "/api/cases?size=500", "health"))["items"]
    note("http list", when=case_id in str(listed))
    status, _ = await town.ask("GET", f"/api/cases/{case_id}", "health")
    note("http single", when=status == 200)

    note("kafka read", when=await asyncio.to_thread(_kafka_read, town, "housing") != REFUSED)
    reply = message(cases.ReturnCase(reason="x"), subject=case_id)
    note("kafka write", when=await asyncio.to_thread(_kafka_write, town, "housing", reply) != REFUSED)
    assert await asyncio.to_thread(_kafka_write, town, "health", reply) is None

    async def outcome() -> list[CommandOutcome]:
        topic = "command.outcomes"
        read = await read_all(kafka_settings(town.suite.stack, "admin"), topic)
        told = messages_in(read, topic)
        return [CommandOutcome.model_validate(one.data) for one in told if one.subject == str(reply.id)]

    (settled,) = await wait_until(outcome, what="the outcome of a reply", seconds=PATIENCE, every=0.2)
    note("kafka reply", when=settled.state != "rejected")
    case = await town.case(case_id)
    note("changed", when=(case["state"], case["version"]) != ("routed", 2))
    for code, hook in hooks.items():
        await town.ask("DELETE", f"/api/webhooks/{hook}", code)
    return found


def _kafka_config(town: Town) -> dict[str, Any]:
    """Health's own account."""
    env = town.suite.stack.env_for("dept-health")
    return client_config(env["KAFKA_BOOTSTRAP_SERVERS"], env.get("KAFKA_USERNAME"), env.get("KAFKA_PASSWORD"))


def _kafka_read(town: Town, code: str) -> str:
    config = {"group.id": "department.health", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({**_kafka_config(town), **config})
    try:
        consumer.subscribe([f"department.{code}.routed"])
        record = consumer.poll(PATIENCE)
        assert record is not None
        error = record.error()
        return error.name() if error else "a record"
    finally:
        consumer.close()


def _kafka_write(town: Town, code: str, reply: Any) -> str | None:
    answers: list[KafkaError | None] = []
    producer = Producer({**_kafka_config(town), "acks": "all"})
    producer.produce(
        f"department.{code}.replies",
        encoded(reply),
        reply.subject,
        on_delivery=lambda error, _: answers.append(error),
    )
    assert producer.flush(PATIENCE) == 0
    return answers[0].name() if answers[0] else None


async def test_a_department_neither_sees_nor_touches_what_is_routed_to_another_over_any_door(
    town: Town,
) -> None:
    assert await leaks(town) == set()


@pytest.mark.parametrize(
    ("mutation", "expected"),
    [
        ("shows-every-case", {"open311 list", "open311 updates", "http list"}),
        ("held-by-anybody", {"open311 update", "changed"}),
        ("delivers-to-all", {"webhook delivery"}),
        ("shows-every-webhook", {"webhook list", "webhook deliveries"}),
        ("anybodys-webhook", {"webhook replay", "webhook removal"}),
    ],
)
async def test_without_a_wall_the_same_look_finds_the_hole(
    town: Town, mutation: str, expected: set[str]
) -> None:
    sound = town.suite._spec("cases-1")
    program = (sys.executable, "-m", "tests.e2e.leaking_cases", mutation)
    await asyncio.to_thread(town.suite.supervisor.replace, replace(sound, argv=program))
    try:
        assert await leaks(town) >= expected
    finally:
        await asyncio.to_thread(town.suite.supervisor.replace, sound)
