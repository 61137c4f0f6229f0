"""Cases as a real process, through its topics only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest_asyncio
from aiokafka import AIOKafkaProducer

from deploy.local.stack import LocalStack
from shared.contracts import cases
from shared.contracts.envelope import Envelope
from shared.contracts.operations import CommandOutcome
from shared.testing.issuer import Issuer
from shared.testing.messages import encoded, message
from shared.testing.wait import wait_until
from tests.cases_desk import Desk, cases_desk
from tests.conftest import Processes, started_producer

TOPICS = ("command.outcomes", "case.filed", "case.routed", "department.housing.routed")


@pytest_asyncio.fixture(scope="module")
async def desk(
    stack: LocalStack, processes: Processes, as_gateway: AIOKafkaProducer, issuer: Issuer
) -> AsyncIterator[Desk]:
    async with cases_desk(stack, processes, as_gateway, issuer, topics=TOPICS) as found:
        yield found


async def test_a_filed_case_reaches_the_department_that_handles_its_category(desk: Desk) -> None:
    case_id = uuid4()

    async def routed() -> bool:
        # The catalogue and the command travel on different topics, so the first filing may come first.
        nonlocal case_id
        case_id = uuid4()
        await desk.ask(desk.filing(uuid4(), case_id))
        return bool(desk.log.of("case.routed", case_id))

    await wait_until(routed, what="routing by the catalogue", every=0.3)

    async def dossier() -> list[Envelope]:
        return desk.log.of("department.housing.routed", case_id)

    found = (await wait_until(dossier, what="the dossier"))[0]
    assert found.data["text"].startswith("路口窨井盖")
    assert "窨井盖" not in json.dumps(desk.log.of("case.routed", case_id)[0].data, ensure_ascii=False)


async def test_a_repeated_command_acts_once_and_gets_its_first_outcome_again(desk: Desk) -> None:
    case_id, deputy = uuid4(), uuid4()
    filing = desk.filing(deputy, case_id)
    first = await desk.ask(filing)
    again = await desk.ask(filing, count=2)
    assert first.state == again.state == "accepted"
    assert first.version == again.version

    async def filed() -> list[Envelope]:
        return desk.log.of("case.filed", case_id)

    assert len(await wait_until(filed, what="the filing as a fact")) == 1


async def test_the_same_id_with_another_body_is_refused_and_changes_nothing(desk: Desk) -> None:
    case_id, deputy = uuid4(), uuid4()
    filing = desk.filing(deputy, case_id)
    await desk.ask(filing)
    other = desk.filing(deputy, case_id, "另一件事", message_id=filing.id)
    refused = await desk.ask(other, count=2)
    assert refused.problem is not None
    assert refused.problem.code == "command-id-reused"


async def test_an_illegal_step_is_refused_with_its_code(desk: Desk) -> None:
    case_id, deputy = uuid4(), uuid4()
    await desk.ask(desk.filing(deputy, case_id))
    rating = message(cases.RateCase(stars=5), subject=case_id, token=desk.issuer.token(deputy, "deputy"))
    outcome = await desk.ask(rating)
    assert outcome.problem is not None
    assert outcome.problem.code == "step-not-possible"


async def test_somebody_elses_case_cannot_be_closed(desk: Desk) -> None:
    case_id = uuid4()
    await desk.ask(desk.filing(uuid4(), case_id))
    closing = message(cases.CloseCase(), subject=case_id, token=desk.issuer.token(uuid4(), "deputy"))
    outcome = await desk.ask(closing)
    assert outcome.problem is not None
    assert outcome.problem.code == "not-your-case"


async def test_a_department_acts_only_on_cases_it_holds(desk: Desk, stack: LocalStack) -> None:
    case_id, deputy = uuid4(), uuid4()
    await desk.ask(desk.filing(deputy, case_id))
    for code, allowed in (("other", False), ("housing", True)):
        producer = await started_producer(stack, f"dept-{code}")
        answer = message(cases.AnswerCase(result="solved", text="已修复"), subject=case_id)
        await producer.send_and_wait(
            f"department.{code}.replies", value=encoded(answer), key=str(case_id).encode()
        )
        await producer.stop()

        async def settled(command: UUID = answer.id) -> list[CommandOutcome]:
            return desk.log.outcomes(command)

        outcome = (await wait_until(settled, what=f"outcome of {code}'s reply"))[0]
        assert (outcome.state == "accepted") is allowed
        if not allowed:
            assert outcome.problem is not None
            assert outcome.problem.code == "not-your-case"
