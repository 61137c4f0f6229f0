"""What every service answers over HTTP to operators, on the real process of cases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from deploy.local.stack import LocalStack
from shared.contracts.asyncapi import document
from shared.security.sealing import Sealer
from shared.testing.issuer import Issuer
from shared.testing.wait import wait_until
from tests.cases_desk import Desk, cases_desk
from tests.conftest import Processes

SHARES_STACK = True

OPERATOR_ROUTES = ["/status", f"/messages/{UUID(int=1)}", "/dead-letters", f"/dead-letters/{UUID(int=2)}"]


@pytest_asyncio.fixture(scope="module")
async def desk(
    stack: LocalStack, processes: Processes, as_gateway: AIOKafkaProducer, issuer: Issuer
) -> AsyncIterator[Desk]:
    async with cases_desk(stack, processes, as_gateway, issuer, topics=("command.outcomes",)) as found:
        yield found


async def get(desk: Desk, path: str, token: str | None = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession() as session, session.get(desk.url + path, headers=headers) as answer:
        if answer.content_type == "text/plain":
            return answer.status, await answer.text()
        if answer.status >= 400 and path not in ("/livez", "/readyz"):
            assert answer.content_type == "application/problem+json"
        return answer.status, await answer.json()


def operator(desk: Desk) -> str:
    return desk.issuer.token("operator", "operator")


async def test_a_process_that_works_is_alive_and_ready(desk: Desk) -> None:
    assert await get(desk, "/livez") == (200, {"alive": True, "stalled": {}})
    assert await get(desk, "/readyz") == (200, {"ready": True, "reasons": {}})


async def test_the_key_to_seal_words_to_is_public_and_fits(desk: Desk) -> None:
    status, key = await get(desk, "/sealing-key")
    assert status == 200
    assert "d" not in key
    desk.sealer = Sealer(key)
    assert (await desk.ask(desk.filing(uuid4(), uuid4()))).state == "accepted"


async def test_metrics_tell_lag_outbox_dead_letters_batches_and_the_active_relay(desk: Desk) -> None:
    await desk.ask(desk.filing(uuid4(), uuid4()))

    async def samples() -> dict[str, float]:
        text = (await get(desk, "/metrics"))[1]
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    async def quiet() -> dict[str, float]:
        found = await samples()
        lag = found['dbt_consumer_lag_records{consumer="cases.commands"}']
        events = found.get('dbt_batch_seconds_count{consumer="cases"}', 0)
        return found if found["dbt_outbox_rows"] == lag == 0 < events else {}

    found = await wait_until(quiet, what="no lag, an empty outbox and the first events in the metrics")
    assert found["dbt_outbox_oldest_seconds"] == 0
    assert found["dbt_outbox_parked_rows"] == 0
    assert found["dbt_relay_active"] == 1
    assert found['dbt_messages_total{consumer="cases",result="done",type="case.file"}'] > 0
    assert "dbt_dead_letters_open" in found
    assert 'dbt_loop_age_seconds{loop="cases.commands"}' in found


async def test_the_contract_is_the_committed_one(desk: Desk) -> None:
    assert await get(desk, "/asyncapi") == (200, document("cases"))


async def test_an_outcome_is_shown_to_its_sender_alone(desk: Desk) -> None:
    deputy = uuid4()
    filing = desk.filing(deputy, uuid4())
    outcome = await desk.ask(filing)
    status, stored = await get(desk, f"/commands/{filing.id}", desk.issuer.token(deputy, "deputy"))
    assert (status, stored["state"], stored["version"]) == (200, "accepted", outcome.version)
    for other in (desk.issuer.token(uuid4(), "deputy"), operator(desk)):
        status, problem = await get(desk, f"/commands/{filing.id}", other)
        assert (status, problem["code"]) == (404, "no-outcome-yet")


async def test_an_operator_sees_what_became_of_a_message_by_its_id(desk: Desk) -> None:
    filing = desk.filing(uuid4(), uuid4())
    await desk.ask(filing)
    status, found = await get(desk, f"/messages/{filing.id}", operator(desk))
    assert status == 200
    assert [(row["type"], row["state"]) for row in found] == [("case.file", "done")]
    assert await get(desk, f"/messages/{uuid4()}", operator(desk)) == (200, [])


async def test_an_operator_lists_and_looks_at_dead_letters_without_their_content(desk: Desk) -> None:
    words = f"rubbish {uuid4()}"
    at = await desk.producer.send_and_wait("cases.commands", value=words.encode(), key=b"key")

    async def listed() -> list[dict[str, Any]]:
        _, letters = await get(desk, "/dead-letters?state=dead&size=50", operator(desk))
        return [x for x in letters["items"] if (x["partition"], x["offset"]) == (at.partition, at.offset)]

    (letter,) = await wait_until(listed, what="the dead letter in the list")
    status, shown = await get(desk, f"/dead-letters/{letter['id']}", operator(desk))
    assert status == 200
    assert (shown["reason"], shown["bytes"], shown["state"]) == ("undecodable", len(words), "dead")
    assert words not in repr((letter, shown))
    status, problem = await get(desk, f"/dead-letters/{uuid4()}", operator(desk))
    assert (status, problem["code"]) == (404, "not-found")
    _, replayed = await get(desk, "/dead-letters?state=replayed", operator(desk))
    assert letter["id"] not in {row["id"] for row in replayed["items"]}


async def test_dead_letters_are_read_page_by_page_each_once_the_newest_first(desk: Desk) -> None:
    async def page(query: str) -> Any:
        return (await get(desk, f"/dead-letters?state=dead{query}", operator(desk)))[1]

    before = (await page("&size=1"))["total"]
    for number in range(3):
        await desk.producer.send_and_wait("cases.commands", value=f"rubbish {number}".encode(), key=b"key")

    async def buried() -> bool:
        return bool((await page("&size=1"))["total"] == before + 3)

    await wait_until(buried, what="three dead letters")
    pages = [await page(f"&size=2&page={number}") for number in range(1, (before + 3) // 2 + 2)]
    assert {(one["total"], one["size"]) for one in pages} == {(before + 3, 2)}
    assert [one["page"] for one in pages] == list(range(1, len(pages) + 1))
    listed = [letter for one in pages for letter in one["items"]]
    assert len({letter["id"] for letter in listed}) == len(listed) == before + 3
    moments = [letter["created_at"] for letter in listed]
    assert moments == sorted(moments, reverse=True)
    assert (await page("&size=2&page=1000"))["items"] == []
    for wrong in ("size=0", "size=501", "page=0"):
        assert (await get(desk, f"/dead-letters?{wrong}", operator(desk)))[0] == 422


async def test_status_sums_up_what_an_operator_asks_first(desk: Desk) -> None:
    status, found = await get(desk, "/status", operator(desk))
    assert status == 200
    assert (found["service"], found["ready"]) == ("cases", True)
    assert set(found["lag"]) == {"cases.commands", "cases", "cases.replies"}
    assert {"outbox", "outbox_oldest_seconds", "outbox_parked", "dead_letters"} <= set(found)


@pytest.mark.parametrize("path", OPERATOR_ROUTES)
async def test_operators_routes_are_closed_to_others(desk: Desk, path: str) -> None:
    assert (await get(desk, path))[1]["code"] == "not-signed-in"
    status, problem = await get(desk, path, desk.issuer.token(uuid4(), "deputy", "staff"))
    assert (status, problem["code"]) == (403, "role-not-allowed")


@pytest.mark.parametrize("case", ["forged", "expired", "not yet issued", "rubbish"])
async def test_a_token_that_is_not_valid_opens_nothing(desk: Desk, case: str) -> None:
    tokens = {
        "forged": Issuer().token("operator", "operator"),
        "expired": desk.issuer.token("operator", "operator", lifetime_seconds=-60),
        "not yet issued": desk.issuer.token("operator", "operator", issued_at=4_000_000_000),
        "rubbish": "a.b.c",
    }
    status, problem = await get(desk, "/status", tokens[case])
    assert (status, problem["code"]) == (401, "token-not-valid")
    assert tokens[case] not in repr(problem)


async def test_no_route_repeats_what_was_asked(desk: Desk) -> None:
    for path in (
        "/commands/zhangsan-13800000000",
        "/zhangsan-13800000000",
        "/dead-letters/zhangsan-13800000000",
    ):
        status, problem = await get(desk, path, operator(desk))
        assert status in (404, 422)
        assert "zhangsan" not in repr(problem)


async def test_one_letter_of_a_token_changed_is_another_token(desk: Desk) -> None:
    token = operator(desk)
    middle = token.index(".") + 10
    other = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    assert (await get(desk, "/status", other))[0] == 401
