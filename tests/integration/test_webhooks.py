"""Webhooks with a real cases process, Kafka and PostgreSQL: signed, at least once, in order, to one department alone."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest_asyncio
from aiohttp import web
from aiokafka import AIOKafkaProducer

from deploy.local.stack import LocalStack
from shared.contracts import cases, webhooks
from shared.contracts.operations import CommandOutcome
from shared.contracts.registry import Contract
from shared.testing.issuer import Issuer
from shared.testing.messages import message
from shared.testing.topics import messages_in, read_all
from shared.testing.wait import wait_until
from tests.cases_desk import Desk, cases_desk
from tests.conftest import Processes, kafka_settings
from tests.database import rows
from tests.webhook_receiver import Delivered, Receiver, receiving, takes_it

WORDS = "路口窨井盖破损，下水道积水。"
ATTEMPTS = 4
SETTINGS = {
    "WEBHOOK_LOOPBACK_ALLOWED": "true",
    "WEBHOOK_FIRST_SECONDS": "0.1",
    "WEBHOOK_LONGEST_SECONDS": "0.3",
    "WEBHOOK_ATTEMPTS_MAX": str(ATTEMPTS),
    "WEBHOOK_POLL_SECONDS": "0.1",
    "WEBHOOK_TIMEOUT_SECONDS": "30",
}


@dataclass
class Town:
    """A running cases process, a receiver, and who asks."""

    desk: Desk
    receiver: Receiver
    session: aiohttp.ClientSession
    stack: LocalStack

    def token(self, code: str | None) -> str:
        if code is None:
            return self.desk.issuer.token("operator", "operator")
        return self.desk.issuer.token(f"department:{code}", "department", organisation=code)

    async def command(self, data: Contract, subject: object, code: str | None) -> CommandOutcome:
        return await self.desk.ask(message(data, subject=subject, token=self.token(code)))

    async def register(self, code: str, path: str) -> tuple[UUID, str]:
        """An address of a department at the receiver; its id and secret."""
        secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        data = webhooks.RegisterWebhook(
            url=self.receiver.url + path, sealed=self.desk.sealer.seal({"secret": secret})
        )
        webhook = uuid4()

        async def registered() -> bool:  # the department may not be known yet
            return (await self.command(data, webhook, code)).state == "accepted"

        await wait_until(registered, what="registration", every=0.2)
        return webhook, secret

    async def file(self) -> tuple[UUID, UUID]:
        """A case that is routed to housing; its id and its deputy's."""
        case_id, deputy = uuid4(), uuid4()
        outcome = await self.desk.ask(self.desk.filing(deputy, case_id, WORDS))
        assert (outcome.state, outcome.version) == ("accepted", 2)
        return case_id, deputy

    async def get(self, path: str, code: str | None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token(code)}"}
        async with self.session.get(self.desk.url + path, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def deliveries(self, webhook: UUID, code: str | None, query: str = "?size=500") -> dict[str, Any]:
        """The deliveries of an address by id."""
        status, found = await self.get(f"/webhooks/{webhook}/deliveries{query}", code)
        assert status == 200, found
        return {one["id"]: one for one in found["items"]}

    async def come(self, path: str, case_id: UUID, count: int = 1) -> list[Delivered]:
        async def enough() -> list[Delivered]:
            found = self.receiver.to(path, case_id)
            return found if len(found) >= count else []

        return await wait_until(enough, what=f"{count} deliveries to {path}")

    async def answering(self) -> None:
        """Wait until the process answers, which may be starting again."""

        async def ready() -> bool:
            try:
                async with self.session.get(f"{self.desk.url}/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await wait_until(ready, what="the process", every=0.2)

    async def all_settled(self, webhook: UUID, code: str) -> dict[str, Any]:
        async def none_pending() -> dict[str, Any]:
            found = await self.deliveries(webhook, code)
            return found if all(one["state"] != "pending" for one in found.values()) else {}

        return await wait_until(none_pending, what="all settled")


@pytest_asyncio.fixture(scope="module")
async def running(
    stack: LocalStack, processes: Processes, as_gateway: AIOKafkaProducer, issuer: Issuer
) -> AsyncIterator[Town]:
    topics = ("command.outcomes", "department.housing.routed")
    async with (
        cases_desk(stack, processes, as_gateway, issuer, topics=topics, **SETTINGS) as desk,
        receiving() as receiver,
        aiohttp.ClientSession() as session,
    ):
        yield Town(desk, receiver, session, stack)


@pytest_asyncio.fixture
async def town(running: Town) -> AsyncIterator[Town]:
    """Each test begins without addresses, so that it meets its own deliveries alone."""
    running.receiver.answer = takes_it
    yield running
    _, found = await running.get("/webhooks?size=500", None)
    for webhook in found["items"]:
        await running.command(webhooks.RemoveWebhook(), webhook["id"], None)


async def test_a_dossier_is_delivered_signed_and_is_the_very_message_of_the_topic(town: Town) -> None:
    webhook, secret = await town.register("housing", "/signed")
    case_id, _ = await town.file()
    (found,) = await town.come("/signed", case_id)
    assert found.signed_by(secret)
    assert not found.signed_by("whsec_" + base64.b64encode(bytes(32)).decode())
    assert abs(int(found.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    assert found.headers["content-type"] == "application/cloudevents+json"
    settings = kafka_settings(town.stack, "dept-housing")
    records = await _on_topic(town, case_id)
    assert [record.value for record in records] == [found.body], settings.kafka_username
    assert found.id == found.event["id"]
    assert found.event["data"]["text"] == WORDS
    (kept,) = (await town.all_settled(webhook, "housing")).values()
    assert (kept["state"], kept["attempts"], kept["fault"]) == ("delivered", 1, None)
    assert (kept["type"], kept["case_id"]) == ("department.routed", str(case_id))


async def _on_topic(town: Town, case_id: UUID) -> list[Any]:
    topic = "department.housing.routed"

    async def found() -> list[Any]:
        records = (await read_all(kafka_settings(town.stack, "admin"), topic))[topic]
        return [one for one in records if json.loads(one.value)["subject"] == str(case_id)]

    return await wait_until(found, what="the record")


async def test_words_and_secrets_rest_sealed_and_no_event_or_answer_shows_them(town: Town) -> None:
    webhook, secret = await town.register("housing", "/at-rest")
    case_id, _ = await town.file()
    await town.come("/at-rest", case_id)
    await town.all_settled(webhook, "housing")
    for table in ("webhooks", "webhook_deliveries"):
        kept = str(await rows(town.stack, "cases", f"SELECT * FROM {table}"))
        assert str(webhook) in kept
        for private in (WORDS, "井盖", secret, secret.removeprefix("whsec_")):
            assert private not in kept
    shown = str(await town.get("/webhooks", "housing")) + str(await town.deliveries(webhook, "housing"))
    assert "sealed" not in shown  # the columns that hold them
    assert secret not in shown
    outcomes = messages_in(
        await read_all(kafka_settings(town.stack, "admin"), "command.outcomes", "cases.dead"),
        "command.outcomes",
    )
    assert secret not in str(outcomes)
    log = town.stack.supervisor.log_path("cases-1").read_text()
    for private in (WORDS, secret, "/at-rest", town.receiver.url):
        assert private not in log


async def test_what_fails_comes_again_in_order_until_it_is_taken(town: Town) -> None:
    webhook, _ = await town.register("housing", "/order")
    failures = 2

    async def fails_at_first(_: Delivered) -> web.StreamResponse:
        nonlocal failures
        failures -= 1
        return web.Response(status=500 if failures >= 0 else 200, text="x" * 100_000)

    town.receiver.answer = fails_at_first
    case_id, _ = await town.file()
    await _return_and_route_again(town, case_id, times=2)
    kept = await town.all_settled(webhook, "housing")
    came = town.receiver.to("/order", case_id)
    sequences = [one.event["sequence"] for one in came]
    assert sequences[:3] == sequences[:1] * 3, "the first failed twice"
    order = list(dict.fromkeys(sequences))
    assert order == sorted(order)
    assert len(order) == 3
    assert {one["state"] for one in kept.values()} == {"delivered"}
    assert sorted(one["attempts"] for one in kept.values()) == [1, 1, 3]


async def _return_and_route_again(town: Town, case_id: UUID, *, times: int) -> None:
    staff = town.desk.issuer.token(uuid4(), "staff", organisation="3302")
    for _ in range(times):
        returned = await town.command(cases.ReturnCase(reason="不属于本单位"), case_id, "housing")
        assert returned.state == "accepted", returned
        route = message(cases.RouteCase(department="housing"), subject=case_id, token=staff)
        assert (await town.desk.ask(route)).state == "accepted"


async def test_after_its_attempts_a_delivery_is_dead_holds_up_nothing_and_can_be_replayed(town: Town) -> None:
    webhook, _ = await town.register("housing", "/dead")

    async def never(_: Delivered) -> web.StreamResponse:
        return web.Response(status=503)

    town.receiver.answer = never
    case_id, _ = await town.file()
    (dead,) = (await town.all_settled(webhook, "housing")).values()
    assert (dead["state"], dead["attempts"], dead["fault"]) == ("dead", ATTEMPTS, "answered-503")
    assert len(town.receiver.to("/dead", case_id)) == ATTEMPTS
    town.receiver.answer = takes_it
    other, _ = await town.file()
    await town.come("/dead", other)
    replay = webhooks.ReplayWebhook(delivery=UUID(dead["id"]))
    assert (await town.command(replay, webhook, "housing")).state == "accepted"
    await town.come("/dead", case_id, ATTEMPTS + 1)
    await town.come("/dead", other, 2)
    since = webhooks.ReplayWebhook(since=datetime.now(UTC) + timedelta(hours=1))
    assert (await town.command(since, webhook, None)).state == "accepted"
    since = webhooks.ReplayWebhook(since=datetime.now(UTC) - timedelta(hours=1))
    assert (await town.command(since, webhook, None)).state == "accepted"
    await town.come("/dead", other, 3)
    kept = await town.all_settled(webhook, "housing")
    assert {one["state"] for one in kept.values()} == {"delivered"}
    assert len(town.receiver.to("/dead", case_id)) == ATTEMPTS + 2


async def test_a_redirect_is_not_followed_and_is_no_success(town: Town) -> None:
    webhook, _ = await town.register("housing", "/redirect")

    async def elsewhere(_: Delivered) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"{town.receiver.url}/elsewhere"})

    town.receiver.answer = elsewhere
    await town.file()
    (dead,) = (await town.all_settled(webhook, "housing")).values()
    assert (dead["state"], dead["fault"]) == ("dead", "answered-307")
    assert town.receiver.came["/elsewhere"] == []


async def test_one_department_gets_sees_and_replays_nothing_of_anothers(town: Town) -> None:
    own, _ = await town.register("housing", "/own")
    foreign, _ = await town.register("other", "/foreign")
    case_id, _ = await town.file()
    (delivered,) = await town.come("/own", case_id)
    await town.all_settled(own, "housing")
    assert await town.deliveries(foreign, "other") == {}
    assert town.receiver.came["/foreign"] == []
    _, listed = await town.get("/webhooks", "other")
    assert [one["id"] for one in listed["items"]] == [str(foreign)]
    unknown = await town.get(f"/webhooks/{uuid4()}/deliveries", "other")
    assert await town.get(f"/webhooks/{own}/deliveries", "other") == unknown
    assert unknown[0] == 404
    for data in (
        webhooks.ReplayWebhook(since=datetime(2020, 1, 1, tzinfo=UTC)),
        webhooks.RemoveWebhook(),
    ):
        outcome = await town.command(data, own, "other")
        assert outcome.problem is not None
        assert outcome.problem.code == "webhook-unknown"
    borrowed = await town.command(webhooks.ReplayWebhook(delivery=UUID(delivered.id)), foreign, "other")
    assert borrowed.problem is not None
    assert borrowed.problem.code == "delivery-unknown"
    sealed = town.desk.sealer.seal({"secret": "whsec_" + base64.b64encode(bytes(32)).decode()})
    for_another = webhooks.RegisterWebhook(
        url=f"{town.receiver.url}/theft", sealed=sealed, department="housing"
    )
    refused = await town.command(for_another, uuid4(), "other")
    assert refused.problem is not None
    assert refused.problem.code == "not-your-department"
    assert (await town.get("/webhooks", "housing"))[1]["total"] == 1
    assert len(town.receiver.to("/own", case_id)) == 1
    assert town.receiver.came["/foreign"] == town.receiver.came["/theft"] == []


async def test_a_deputy_and_staff_have_no_webhooks(town: Town) -> None:
    for role in ("deputy", "staff"):
        headers = {"Authorization": f"Bearer {town.desk.issuer.token(uuid4(), role)}"}  # type: ignore[arg-type]
        async with town.session.get(f"{town.desk.url}/webhooks", headers=headers) as answer:
            assert answer.status == 403


async def test_a_secret_or_address_that_is_none_is_refused_with_a_code(town: Town) -> None:
    good = town.desk.sealer.seal({"secret": "whsec_" + base64.b64encode(bytes(32)).decode()})
    wrong: Sequence[tuple[str, str, str]] = [
        ("https://example.org/", "rubbish", "secret-unreadable"),
        ("https://example.org/", town.desk.sealer.seal({"secret": "short"}), "secret-unreadable"),
        ("https://example.org/", town.desk.sealer.seal({}), "secret-unreadable"),
        ("https://10.0.0.1/", good, "webhook-url-not-allowed"),
        ("ftp://example.org/", good, "webhook-url-not-allowed"),
    ]
    for url, sealed, code in wrong:
        outcome = await town.command(webhooks.RegisterWebhook(url=url, sealed=sealed), uuid4(), "housing")
        assert outcome.problem is not None
        assert outcome.problem.code == code


async def test_replicas_share_the_work_and_what_a_killed_one_held_another_delivers(
    town: Town, processes: Processes
) -> None:
    webhook, _ = await town.register("housing", "/shared")
    await asyncio.to_thread(processes.start, "cases", "cases-2", **SETTINGS)
    filed = [(await town.file())[0] for _ in range(30)]
    await town.all_settled(webhook, "housing")
    assert sorted(one.case_id for one in town.receiver.came["/shared"]) == sorted(map(str, filed))

    held = asyncio.Event()

    async def holds(_: Delivered) -> web.StreamResponse:
        held.set()
        await asyncio.sleep(3600)
        raise web.HTTPGone

    town.receiver.answer = holds
    case_id, _ = await town.file()
    await asyncio.wait_for(held.wait(), 60)
    town.stack.supervisor.kill("cases-1", signal.SIGKILL)
    town.stack.supervisor.kill("cases-2", signal.SIGKILL)
    # Of the killed one's claim, which lasts for two timeouts and five seconds, the five are left to wait for.
    passed = "UPDATE webhook_deliveries SET due_at = due_at - interval '1 minute' WHERE state = 'pending'"
    await rows(town.stack, "cases", passed)
    town.receiver.answer = takes_it
    await town.come("/shared", case_id, 2)
    await town.answering()  # the other may have been back first
    kept = await town.all_settled(webhook, "housing")
    assert {one["state"] for one in kept.values()} == {"delivered"}
    await asyncio.to_thread(processes.stop, "cases-2")
