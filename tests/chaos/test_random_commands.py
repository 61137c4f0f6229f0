"""Random sequences of commands over cases and motions while the service's processes are killed with SIGKILL.

`make soak` runs ten thousand; here some hundreds, with another seed each day. SEQUENCES and SEED say otherwise; a
failure prints the seed, which brings the same commands again.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.stack import LocalStack
from services.cases import dates as case_dates
from services.cases import domain as case_domain
from services.cases.domain import Case
from services.cases.motions import dates as motion_dates
from services.cases.motions import domain as motion_domain
from services.cases.motions import queries as motion_queries
from services.cases.motions import tables as motion_tables
from services.cases.motions.domain import Motion
from services.cases.store import _cases
from shared.contracts.operations import CommandOutcome
from shared.contracts.simulation import ClockTicked
from shared.database.engine import make_engine
from shared.security.sealing import Opener
from shared.testing.issuer import Issuer
from shared.testing.messages import encoded, message
from shared.testing.topics import messages_in, read_all
from shared.testing.wait import wait_until
from tests.cases_desk import announce_departments
from tests.chaos.conftest import CasesProcesses
from tests.chaos.lives import committed_lag
from tests.chaos.random_commands import CASE_RULES, DEPARTMENTS, JURISDICTION, Generator, Said
from tests.conftest import Processes, kafka_settings, started_producer
from tests.database import rows
from tests.motions_desk import COUNTY, OTHER_COUNTY, START, announce_deputies

SHARES_STACK = True

SEQUENCES = int(os.environ.get("SEQUENCES", "240"))
SEED = int(os.environ.get("SEED", date.today().strftime("%Y%m%d")))  # noqa: DTZ011 - another seed each day
COMMANDS_BETWEEN_KILLS = (1_200, 6_000)
MOST_WAITING = 5_000
"""Commands sent and not yet answered, at most."""
AT_BEGIN = START - timedelta(days=30)
"""Where the business clock stands while the commands are sent: nothing falls due."""
AT_END = START + timedelta(days=900)
CASE_TOPICS = ("case.filed", "case.routed", "case.progressed", "case.closed", "case.rated")
ORPHANS = {
    "steps without a case": "SELECT 1 FROM case_steps s LEFT JOIN cases c ON c.id = s.case_id WHERE c.id IS NULL",
    "due rows without a case": "SELECT 1 FROM case_due d LEFT JOIN cases c ON c.id = d.case_id WHERE c.id IS NULL",
    "steps without a motion": "SELECT 1 FROM motion_steps s LEFT JOIN motions m ON m.id = s.motion_id "
    "WHERE m.id IS NULL",
    "deadlines without a motion": "SELECT 1 FROM motion_deadlines d LEFT JOIN motions m ON m.id = d.motion_id "
    "WHERE m.id IS NULL",
    "due rows without a motion": "SELECT 1 FROM motion_due d LEFT JOIN motions m ON m.id = d.motion_id "
    "WHERE m.id IS NULL",
    "referrals of no case": "SELECT 1 FROM case_referrals r LEFT JOIN cases c ON c.id = r.case_id "
    "WHERE c.id IS NULL",
    "motions of no case": "SELECT 1 FROM motions m LEFT JOIN cases c ON c.id = m.from_case "
    "WHERE m.from_case IS NOT NULL AND c.id IS NULL",
    "merged into no case": "SELECT 1 FROM cases c LEFT JOIN cases p ON p.id = c.merged_into "
    "WHERE c.merged_into IS NOT NULL AND p.id IS NULL",
    "merged into a closed case and still open": "SELECT 1 FROM cases c JOIN cases p ON p.id = c.merged_into "
    "WHERE c.state = 'merged' AND p.state = 'closed'",
    "merged into a case that was withdrawn or declined": "SELECT 1 FROM cases c JOIN cases p ON p.id = c.merged_into "
    "WHERE p.state IN ('withdrawn', 'declined')",
    "merged cases that nothing holds": "SELECT 1 FROM cases WHERE state = 'merged' AND merged_into IS NULL",
    "deadlines of cases without a reason": "SELECT 1 FROM cases WHERE answer_by IS NOT NULL "
    "AND coalesce(dates_reason, '') = ''",
    "deadlines of motions without a reason": "SELECT 1 FROM motion_deadlines WHERE reason = '' OR at < begin",
    "rows in the outbox": "SELECT 1 FROM outbox",
}


@dataclass
class Soak:
    """One run: the processes, what was sent, and what is found afterwards."""

    stack: LocalStack
    cases: CasesProcesses
    generator: Generator
    engine: AsyncEngine
    chance: random.Random = field(default_factory=lambda: random.Random(f"{SEED}/kills"))
    kills: int = 0
    sent: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, str]:
        return ("cases-1", "cases-2")

    async def send_all(self) -> None:
        """Send every command, and kill one of the two processes after every so many."""
        producer = await started_producer(self.stack, "gateway", seconds=240)
        began, kill_at = time.monotonic(), self._pause()
        sending: list[Any] = []
        try:
            for command in self.generator.stream():
                value = encoded(command.envelope)
                sending.append(await producer.send("cases.commands", value=value, key=command.key.encode()))
                self.sent += 1
                if self.sent % 500 == 0:
                    await asyncio.gather(*sending)
                    sending.clear()
                    await self._not_too_far_ahead()
                if self.sent >= kill_at:
                    kill_at = self.sent + self._pause()
                    await self.kill()
            await asyncio.gather(*sending)
            await self.kill()
        finally:
            await producer.stop()
        await self.settled()
        self.seconds = time.monotonic() - began

    def _pause(self) -> int:
        return self.chance.randint(*COMMANDS_BETWEEN_KILLS)

    async def kill(self) -> None:
        """SIGKILL the next process, if it has come up since its last end."""
        name = self.names[self.kills % 2]
        supervisor = self.stack.supervisor
        try:
            await asyncio.to_thread(supervisor.wait_ready, name, 240)
        except Exception as error:  # noqa: BLE001 - said below with everything else
            self.wrong.append(f"{name} does not come up again: {error}")
            return
        await asyncio.to_thread(supervisor.kill, name, signal.SIGKILL)
        self.kills += 1

    async def _not_too_far_ahead(self) -> None:
        async def near() -> bool:
            return await self._waiting() < MOST_WAITING

        await wait_until(near, seconds=240, every=0.2, what="the service keeping up")

    async def _waiting(self) -> int:
        return await committed_lag(self.stack, "cases.commands", "cases.commands")

    async def settled(self, until: datetime = AT_BEGIN) -> None:
        """Wait until every command has been handled, also the service's own, and everything has been said.

        What falls due by `until` runs in a circle: a row, the outbox, a record, then perhaps a new row. A look at one
        station after the other can miss what moves on in between; so nothing may have changed from before the
        look at the topics until after it.
        """

        async def done() -> bool:
            before = await self._at_rest(until)
            if before is None:
                return False
            if await self._waiting() or await committed_lag(self.stack, "cases.commands", "cases.due"):
                return False
            return await self._at_rest(until) == before

        await wait_until(done, seconds=480, every=0.5, what="the end of the work and of what it made")

    async def _at_rest(self, until: datetime) -> tuple[int, int] | None:
        """How many steps there are; None while something waits to be said or to fall due."""
        (found,) = await rows(
            self.stack,
            "cases",
            "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM case_due WHERE at <= $1) "
            "+ (SELECT count(*) FROM motion_due WHERE at <= $1) AS waiting, "
            "(SELECT count(*) FROM case_steps) AS cases, (SELECT count(*) FROM motion_steps) AS motions",
            until,
        )
        return None if found["waiting"] else (found["cases"], found["motions"])

    # -- what must hold ----------------------------------------------------------------------------------

    async def check_outcomes(self) -> Counter[str]:
        """Every command has one outcome, the twin's, stored and told; how often each occurred."""
        expected: dict[str, Said] = {}
        reused: set[str] = set()
        for command in self.generator.commands:
            if command.expected[2] == "command-id-reused":
                reused.add(command.inbox_key)
            else:
                expected.setdefault(command.inbox_key, command.expected)
        stored = {
            row["key"]: (row["state"], row["version"], row["code"])
            for row in await self._in_parts(
                "SELECT key, outcome->>'state' AS state, (outcome->>'version')::int AS version, "
                "outcome->'problem'->>'code' AS code FROM inbox WHERE key = ANY($1)",
                list(expected),
            )
        }
        self._differ("stored outcome", expected, stored)
        records = await read_all(kafka_settings(self.stack, "admin"), "command.outcomes")
        told: dict[str, set[Said]] = defaultdict(set)
        for envelope in messages_in(records, "command.outcomes"):
            outcome = CommandOutcome.model_validate(envelope.data)
            code = outcome.problem.code if outcome.problem else None
            told[f"{outcome.command_id}/{outcome.actor}"].add((outcome.state, outcome.version, code))
        for key, wanted in expected.items():
            may = {wanted, ("rejected", None, "command-id-reused")} if key in reused else {wanted}
            if wanted not in told[key] or not told[key] <= may:
                self.wrong.append(f"told outcomes of {key}: {told[key]}, not {wanted}")
        return Counter(said[2] or said[0] for said in expected.values())

    async def _in_parts(self, statement: str, keys: Sequence[Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for begin in range(0, len(keys), 5_000):
            found += await rows(self.stack, "cases", statement, list(keys[begin : begin + 5_000]))
        return found

    def _differ(self, what: str, expected: dict[Any, Any], found: dict[Any, Any]) -> None:
        for key, wanted in expected.items():
            if found.get(key) != wanted:
                self.wrong.append(f"{what} of {key}: {found.get(key)}, not {wanted}")

    async def check_states(self) -> None:
        """What rests is what the twin holds: every field of every case, motion and referral."""
        twin = self.generator.twin
        cases = await self.stored_cases()
        self._differ(
            "case",
            {k: _bare_case(c) for k, c in twin.cases.items()},
            {k: _bare_case(c) for k, c in cases.items()},
        )
        motions = await self.stored_motions()
        self._differ(
            "motion",
            {k: _bare(m) for k, m in twin.motions.items()},
            {k: _bare(m) for k, m in motions.items()},
        )
        referred = await self._in_parts(
            "SELECT id::text AS id, case_id, became FROM case_referrals WHERE id = ANY($1::uuid[])",
            [*twin.referrals, *twin.motions],
        )
        wanted = {key: (one.case_id, "project-lead") for key, one in twin.referrals.items()}
        wanted |= {
            key: (m.from_case, "motion") for key, m in twin.motions.items() if m.from_case and m.submitted_at
        }
        self._differ("referral", wanted, {r["id"]: (r["case_id"], r["became"]) for r in referred})
        if len(referred) != len(wanted):
            self.wrong.append(f"{len(referred)} referrals, not {len(wanted)}")

    async def stored_cases(self) -> dict[str, Case]:
        ids = [UUID(key) for key in self.generator.twin.cases]
        found: dict[str, Case] = {}
        async with self.engine.connect() as connection:
            for begin in range(0, len(ids), 2_000):
                found |= await _cases(connection, ids[begin : begin + 2_000], lock=False)
        return found

    async def stored_motions(self) -> dict[str, Motion]:
        ids = [UUID(key) for key in self.generator.twin.motions]
        found: dict[str, Motion] = {}
        async with self.engine.connect() as connection:
            for begin in range(0, len(ids), 2_000):
                chosen = motion_tables.motions.c.id.in_(ids[begin : begin + 2_000])
                found |= {str(m.id): m for m in await motion_queries._motions(connection, [chosen])}
        return found

    async def check_steps(self) -> Counter[str]:
        """The steps that rest are numbered without a gap and follow the diagram to the state that rests."""
        taken: Counter[str] = Counter()
        for table, key, rules, stored in (
            ("case_steps", "case_id", case_domain.STEPS, await self.stored_cases()),
            ("motion_steps", "motion_id", motion_domain.STEPS, await self.stored_motions()),
        ):
            steps: dict[str, list[tuple[int, str]]] = defaultdict(list)
            for row in await self._in_parts(
                f"SELECT {key}::text AS id, number, step FROM {table} WHERE {key} = ANY($1::uuid[]) "
                "ORDER BY number",
                list(stored),
            ):
                steps[row["id"]].append((row["number"], row["step"]))
            for id_, aggregate in stored.items():
                self._check_way(id_, aggregate, steps[id_], rules)
                taken.update(f"{table.removesuffix('_steps')}: {step}" for _, step in steps[id_])
        return taken

    def _check_way(self, id_: str, aggregate: Any, steps: list[tuple[int, str]], rules: Any) -> None:
        if [number for number, _ in steps] != list(range(1, aggregate.version + 1)):
            self.wrong.append(f"{id_} of version {aggregate.version} has the steps {steps}")
        state: str | None = None
        for _, step in steps:
            if state is not None and state not in rules[step].before:
                self.wrong.append(f"{id_}: {step} out of {state}")
            state = rules[step].after or state
        if state != aggregate.state:
            self.wrong.append(f"{id_}: its steps lead to {state}, it is {aggregate.state}")

    async def check_facts(self) -> None:
        """Each step of a case was told once: one message for each number, the first of each in order."""
        records = await read_all(kafka_settings(self.stack, "admin"), *CASE_TOPICS)
        numbers: dict[str, dict[UUID, int | None]] = defaultdict(dict)
        for topic in CASE_TOPICS:
            for envelope in messages_in(records, topic):
                numbers[envelope.subject].setdefault(envelope.id, envelope.sequence)
        for key, case in (await self.stored_cases()).items():
            told = sorted(number or 0 for number in numbers[key].values())
            if told != list(range(1, case.version + 1)):
                self.wrong.append(f"case {key} of version {case.version} was told as {told}")

    async def check_due(self, until: datetime | None) -> None:
        """What waits to fall due is what the state says, and nothing that has fallen due waits."""
        found: dict[str, dict[str, datetime]] = defaultdict(dict)
        stored = await self.stored_cases()
        for row in await self._in_parts(
            "SELECT case_id::text AS id, due, at FROM case_due WHERE case_id = ANY($1::uuid[])", list(stored)
        ):
            found[row["id"]][row["due"]] = row["at"]
        for key, case in stored.items():
            wanted = dict(case_dates.due(case, CASE_RULES(case_dates.ruled_at(case))))
            if found[key] != wanted:
                self.wrong.append(f"due in case {key}: {found[key]}, not {wanted}")
            if until is not None and any(at <= until for at in found[key].values()):
                self.wrong.append(f"due in case {key} and not done: {found[key]}")

        due: dict[str, dict[int, datetime]] = defaultdict(dict)
        motions = await self.stored_motions()
        for row in await self._in_parts(
            "SELECT motion_id::text AS id, number, at FROM motion_due WHERE motion_id = ANY($1::uuid[])",
            list(motions),
        ):
            due[row["id"]][row["number"]] = row["at"]
        for key, motion in motions.items():
            if due[key] != dict(motion_dates.due(motion)):
                self.wrong.append(f"due in motion {key}: {due[key]}, not {motion_dates.due(motion)}")
            if until is not None and any(at <= until for at in due[key].values()):
                self.wrong.append(f"due in motion {key} and not done: {due[key]}")

    async def check_orphans(self) -> None:
        for what, statement in ORPHANS.items():
            if found := len(await rows(self.stack, "cases", statement)):
                self.wrong.append(f"{what}: {found}")


def _bare_case(case: Case) -> Case:
    """A case without the steps not yet written; of a merged one also without what its parent tells it later."""
    bare = replace(case, steps=())
    if case.merged_into is None:
        return bare
    now = case.filed_at
    return replace(bare, version=0, changed_at=now, closed_at=now, answer=None, result=None, department=None)


def _bare(motion: Motion) -> dict[str, Any]:
    """A motion without what is sealed anew each time, and without the steps not yet written."""
    found = {f.name: getattr(motion, f.name) for f in fields(motion) if f.name != "steps"}
    found["answers"] = tuple(replace(answer, sealed="") for answer in motion.answers)
    found["promises"] = tuple(
        replace(promise, sealed="", report=promise.report and "") for promise in motion.promises
    )
    return found


async def _tick(stack: LocalStack, until: datetime) -> None:
    producer = await started_producer(stack, "simulation")
    told = message(ClockTicked(until=until), subject="clock", time=until)
    await producer.send_and_wait("clock.ticked", value=encoded(told), key=b"clock")
    await producer.stop()


@pytest_asyncio.fixture
async def soak(
    stack: LocalStack, processes: Processes, issuer: Issuer, cases: CasesProcesses
) -> AsyncIterator[Soak]:
    generator = Generator(SEED, SEQUENCES, issuer, Opener(json.loads(processes.sealing_key)))
    await _tick(stack, AT_BEGIN)
    await announce_departments(stack, dict(DEPARTMENTS))
    known: dict[UUID, Any] = dict.fromkeys(generator.deputies, ("county", COUNTY, None))
    known[generator.stranger] = ("county", OTHER_COUNTY, None)
    await announce_deputies(stack, known)
    engine = make_engine(SecretStr(stack.env_for("cases")["DATABASE_URL"]), pool_size=2, application="soak")
    found = Soak(stack, cases, generator, engine)
    for name in found.names:
        await cases.start(name, BATCH_RECORDS_MAX="100", RELAY_BATCH_MAX="500", JURISDICTION=JURISDICTION)

    async def is_known() -> bool:
        count = "SELECT count(*) AS n FROM motion_deputies WHERE id = ANY($1)"
        codes = "SELECT count(*) AS n FROM departments WHERE code = ANY($1)"
        there = (
            await rows(stack, "cases", count, list(known)),
            await rows(stack, "cases", codes, list(DEPARTMENTS)),
        )
        return there == ([{"n": len(known)}], [{"n": len(DEPARTMENTS)}])

    await wait_until(is_known, seconds=240, every=0.2, what="deputies and departments")
    yield found
    await engine.dispose()


@pytest.mark.timeout(3600)
async def test_random_sequences_with_kills_in_between_end_in_a_consistent_store(soak: Soak) -> None:
    try:
        await soak.send_all()
        outcomes = await soak.check_outcomes()
        await soak.check_states()
        await soak.check_due(None)
        await _tick(soak.stack, AT_END)
        await soak.kill()
        await soak.settled(AT_END)
        taken = await soak.check_steps()
        await soak.check_facts()
        await soak.check_due(AT_END)
        await soak.check_orphans()
    finally:
        _say(
            f"seed {SEED}, {SEQUENCES} sequences, {soak.sent} commands, {soak.kills} kills, {soak.seconds:.0f} s "
            f"({soak.sent / max(soak.seconds, 1):.0f} commands/s); {len(soak.wrong)} wrong"
        )
    assert soak.wrong[:20] == [], f"SEED={SEED} SEQUENCES={SEQUENCES}"
    assert soak.kills >= 2
    assert min(outcomes["accepted"], outcomes["step-not-possible"]) > SEQUENCES
    assert {"not-your-case", "not-your-motion", "role-not-allowed", "case-unknown"} <= set(outcomes)
    if SEQUENCES >= 2_000:  # enough for the rarest step of both machines
        wanted = {f"case: {name}" for name in case_domain.STEPS} - {"case: redated", "case: urge-withdrawn"}
        wanted |= {f"motion: {name}" for name in motion_domain.STEPS}
        wanted -= {
            "motion: redated",
            "motion: promise-unstated",
        }  # another calendar; a limit that other places set
        assert wanted <= set(taken), wanted - set(taken)
    _say(f"{sum(taken.values())} steps of {len(taken)} kinds; {len(outcomes)} kinds of outcomes: {outcomes}")


def _say(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")
