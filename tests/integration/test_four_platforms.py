"""A department system that misbehaves: what the service keeps stays right, and every wrong reply gets a code."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from deploy.local.runfolder import CHECKOUT
from deploy.local.stack import LocalStack
from examples.four_platforms.four_platforms import MISCHIEF, Platform
from shared.contracts import cases
from shared.contracts.operations import CommandOutcome
from shared.testing.issuer import Issuer
from shared.testing.messages import encoded, message
from shared.testing.wait import wait_until
from tests.cases_desk import Desk, cases_desk
from tests.conftest import Processes, started_producer
from tests.database import rows

CASES = 80
STEP_OF = {"case.accept": "accepted", "case.answer": "answered", "case.return": "returned"}
CODES = {"step-not-possible", "not-your-case", "case-unknown", "command-id-reused"}


@pytest_asyncio.fixture(scope="module")
async def desk(
    stack: LocalStack, processes: Processes, as_gateway: AIOKafkaProducer, issuer: Issuer
) -> AsyncIterator[Desk]:
    topics = ("command.outcomes", "department.housing.routed")
    async with cases_desk(stack, processes, as_gateway, issuer, topics=topics) as found:
        yield found


def test_the_same_seed_misbehaves_alike_and_every_kind_of_mischief_occurs() -> None:
    def told(seed: int) -> list[list[str | None]]:
        platform = Platform("housing", seed, ["x"])
        return [[id_ for id_, _ in platform.receipts(str(n))] for n in range(200)]

    assert told(1) == told(1) != told(2)
    assert {len(receipts) for receipts in told(1)} == {1, 2, 3, 4, 5}
    assert len(set(MISCHIEF)) == len(MISCHIEF)


async def _routed_to(desk: Desk, department: str) -> str:
    """A case that staff routed to a department; its id."""
    case_id, staff = uuid4(), desk.issuer.token(uuid4(), "staff", organisation="3302")
    words = desk.sealer.seal({"title": "其他", "text": "没有任何部门的词语。"})
    data = cases.FileCase(sealed=words, county="330203")
    filed = await desk.ask(message(data, subject=case_id, token=desk.issuer.token(uuid4(), "deputy")))
    assert filed.state == "accepted"
    route = message(cases.RouteCase(department=department), subject=case_id, token=staff)

    async def routed() -> bool:  # the department may not be known yet
        return (await desk.ask(route.model_copy(update={"id": uuid4()}))).state == "accepted"

    await wait_until(routed, what="routing", every=0.2)
    return str(case_id)


async def _handled_up_to_now(desk: Desk, stack: LocalStack) -> None:
    """Wait until the service has handled what lies on the replies topic: its one partition keeps the order."""
    last = message(cases.AcceptCase(), subject=uuid4())
    producer = await started_producer(stack, "dept-housing")
    await producer.send_and_wait("department.housing.replies", value=encoded(last))
    await producer.stop()

    async def handled() -> bool:
        return bool(desk.log.outcomes(last.id))

    await wait_until(handled, what="the outcome of the last reply", seconds=60)


@pytest.mark.parametrize("seed", [1, 7])
async def test_each_accepted_receipt_has_one_effect_and_every_other_a_code(
    desk: Desk, stack: LocalStack, tmp_path: Path, seed: int
) -> None:
    foreign = await _routed_to(desk, "other")
    before = await rows(stack, "cases", "SELECT * FROM cases WHERE id = $1", UUID(foreign))
    letters_before = await _letters(stack)
    journal = tmp_path / "journal.jsonl"
    program = CHECKOUT / "examples/four_platforms/four_platforms.py"
    platform = await asyncio.create_subprocess_exec(
        sys.executable, program, "--department", "housing", "--seed", str(seed), "--cases", str(CASES),
        "--foreign-case", foreign, "--journal", journal,
        env={**os.environ, **stack.env_for("dept-housing")},
    )  # fmt: skip
    for _ in range(CASES):
        await desk.ask(desk.filing(uuid4(), uuid4()))
    assert await asyncio.wait_for(platform.wait(), 90) == 0
    sent = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    by_id: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in sent:
        if line["id"]:
            by_id[line["id"]].append(line)
    assert {len(set(map(str, lines))) for lines in by_id.values()} == {1, 2}, "also other words under one id"

    await _handled_up_to_now(desk, stack)

    async def all_answered() -> bool:  # the same twice in one batch gets one outcome
        return all(
            len({one.fingerprint for one in desk.log.outcomes(UUID(id_))}) >= len(set(map(str, lines)))
            for id_, lines in by_id.items()
        )

    await wait_until(all_answered, what="an outcome of every receipt")
    expected: Counter[tuple[str, str]] = Counter()
    refused: Counter[str] = Counter()
    for id_, lines in by_id.items():
        outcomes = desk.log.outcomes(UUID(id_))
        first = lines[0]
        accepted = [one for one in outcomes if one.state == "accepted"]
        others = {_code(one) for one in outcomes if one.state != "accepted"}
        if first["data"] == {"result": "perfect"}:
            assert [(one.state, _code(one)) for one in outcomes] == [("failed", "invalid-data")]
            continue
        assert others <= CODES, others
        refused.update(others)
        if any(line != first for line in lines):
            assert "command-id-reused" in others
            others -= {"command-id-reused"}
        assert bool(accepted) != bool(others), "one and the same outcome, however often it was sent"
        assert len({one.version for one in accepted}) <= 1
        assert len(others) <= 1
        if accepted:
            expected[first["case"], STEP_OF[first["type"]]] += 1
    assert set(refused) == CODES, "every kind of refusal occurred"

    kept = await rows(
        stack, "cases",
        "SELECT case_id::text, step, count(*) AS n FROM case_steps "
        "WHERE actor = 'department:housing' AND case_id::text = ANY($1) GROUP BY 1, 2",
        sorted({line["case"] for line in sent if line["case"]}),
    )  # fmt: skip
    assert {(row["case_id"], row["step"]): row["n"] for row in kept} == dict(expected)
    assert await rows(stack, "cases", "SELECT * FROM cases WHERE id = $1", UUID(foreign)) == before
    rubbish = sum(1 for line in sent if line["id"] is None)
    perfect = sum(1 for line in sent if line["data"] == {"result": "perfect"})
    assert rubbish > 0 < perfect
    assert await _letters(stack) - letters_before == rubbish + perfect
    whole = await rows(
        stack, "cases",
        "SELECT c.id FROM cases c JOIN case_steps s ON s.case_id = c.id "
        "GROUP BY c.id, c.version HAVING count(*) <> c.version OR max(s.number) <> c.version",
    )  # fmt: skip
    assert whole == []


async def _letters(stack: LocalStack) -> int:
    found = await rows(stack, "cases", "SELECT count(*) AS n FROM dead_letters")
    return int(found[0]["n"])


def _code(outcome: CommandOutcome) -> str:
    return outcome.problem.code if outcome.problem else ""
