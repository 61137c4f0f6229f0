"""Kill -9 of the real process between every two steps of the write path, on PostgreSQL and Apache Kafka.

Each kill happens at a named point inside the process (`shared.messaging.failpoints`), in the middle of
a stream of commands; then the process is started again without it. The last tests take one guard out
(`mutants.py`) and show that the same kill then breaks the same invariant.
"""

from __future__ import annotations

import pytest

from shared.testing.wait import wait_until
from tests.chaos.conftest import CasesProcesses
from tests.chaos.lives import Lives

SHARES_STACK = True

CASES = 60


@pytest.mark.parametrize("point", ["after-receive", "before-commit", "after-commit", "after-publish"])
async def test_a_kill_between_two_steps_loses_and_doubles_nothing(
    cases: CasesProcesses, lives: Lives, point: str
) -> None:
    reached = cases.reached(point)
    await cases.start_to_die_at(point, 5)
    await lives.send(CASES)
    await cases.dead()
    assert cases.reached(point) == reached + 1
    await cases.start()
    await wait_until(lives.settled, seconds=240, every=0.2, what="the rest of the stream")
    assert await lives.violations() == []


async def test_a_kill_in_a_rebalance_loses_and_doubles_nothing(cases: CasesProcesses, lives: Lives) -> None:
    reached = cases.reached("in-rebalance")
    await cases.start(keep_alive=False, FAILPOINT="in-rebalance")
    await lives.send(CASES)
    await wait_until(lives.begun, seconds=240, what="the first process at work, with partitions to lose")
    await cases.start("cases-2")
    await cases.dead()
    assert cases.reached("in-rebalance") == reached + 1
    await lives.send(5)
    await wait_until(lives.settled, seconds=240, every=0.2, what="the rest of the stream")
    assert await lives.violations() == []


@pytest.mark.parametrize(
    ("mutation", "point", "damage"),
    [
        ("without-inbox", "after-commit", "stored outcome ('rejected'"),
        ("mark-before-send", "after-publish", "first occurrences carry sequences ()"),
        ("offsets-before-commit", "before-commit", "stored outcome None"),
    ],
    ids=["without-inbox", "mark-before-send", "offsets-before-commit"],
)
async def test_without_its_guard_the_same_kill_breaks_the_invariant(
    cases: CasesProcesses, lives: Lives, mutation: str, point: str, damage: str
) -> None:
    mutant = ("-m", "tests.chaos.mutants", mutation)
    reached = cases.reached(point)
    await cases.start_to_die_at(point, 3, program=mutant)
    await lives.send(20)
    await cases.dead()
    assert cases.reached(point) == reached + 1
    await cases.start(program=mutant)
    await wait_until(lives.settled, seconds=240, every=0.2, what="the rest of the stream")
    violations = await lives.violations()
    assert any(damage in violation for violation in violations), violations[:5]
