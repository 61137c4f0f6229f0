"""The script of a session, its department program and the service's handlers agree, without broker and processes.

What the simulation sends over HTTP is put to the handlers as the commands that the gateway makes of it; what the
service says to departments goes through the example program, and its replies come back on the departments' topics.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from deploy.local.stack import LocalStack
from examples.department_system import department_system as example
from services.cases.__main__ import motion_rules_by_day
from services.cases.deadlines.calendar import ChinaCalendar
from services.cases.deadlines.pack import load
from services.cases.motions import figures, handlers, queries
from services.cases.motions.store import MotionStore, keep_deputies
from shared.contracts import identity, motions
from shared.contracts.envelope import Envelope
from shared.contracts.registry import Contract, commands
from shared.messaging.clock import BusinessClock
from shared.messaging.received import Decoder
from shared.messaging.runner import Limits, Runner
from shared.security.sealing import Sealer
from shared.security.tokens import TokenVerifier
from shared.testing.issuer import Issuer
from shared.testing.messages import message
from simulation.city import CITY_CODE, City, Scale, build_city
from simulation.gateway_client import Write
from simulation.report import _session_lines
from simulation.script import END
from simulation.session import SessionPlay
from simulation.year import Year, write_year
from tests.cases_inside import Inside, cases_inside
from tests.unit.test_department_system import Broker, Record

SHARES_STACK = True
WORDS = ("title", "text", "cause", "basis", "plan")


class Hall:
    """Stands between the script and the handlers: makes commands of writes, and answers what the play asks."""

    def __init__(self, inside: Inside, city: City) -> None:
        self.inside, self.city = inside, city
        self.deputies = [str(uuid4()) for _ in city.deputies]
        self.clerk = str(uuid4())
        self.departments: dict[str, example.Department] = {}
        self.refused: list[tuple[str, str]] = []

    def make(
        self, kind: str, subject: str, who: str, path: str, body: Mapping[str, Any], at: datetime
    ) -> Write:
        return Write(kind, subject, str(uuid4()), who, "POST", path, body, at)

    async def send(self, write: Write) -> None:
        role: Any = "staff" if write.who == self.clerk else "deputy"
        type_ = write.kind.removesuffix(".again")
        if type_ == "motion.draft":
            words = {name: write.body[name] for name in WORDS if name in write.body}
            data: Contract = motions.DraftMotion(
                sealed=Sealer(self.inside.opener.public_jwk).seal(words),
                kind=write.body["kind"],
                secret=write.body["secret"],
            )
        else:
            data = commands()[type_].model.model_validate(write.body)
        sent = self.inside.command(
            data,
            UUID(write.subject),
            role,
            person=write.who,
            org=CITY_CODE if role == "staff" else None,
            at=write.at or END,
        )
        await self.tell("cases.commands", [sent])

    async def tell(self, topic: str, envelopes: list[Envelope]) -> None:
        await self.inside.feed(topic, envelopes)
        for one in await self.inside._taken("command.outcomes"):
            if one["data"]["state"] != "accepted":
                types = {str(envelope.id): envelope.type for envelope in envelopes}
                self.refused.append((types[one["data"]["command_id"]], one["data"]["problem"]["code"]))

    async def departments_answer(self) -> None:
        """Each department's program reads its topic, and what it replies is handled, until nothing is left."""
        codes = [department.code for department in self.city.departments]
        said = True
        while said:
            said = False
            for code in codes:
                records = [
                    Record(json.dumps(one).encode())
                    for one in await self.inside._taken(f"department.{code}.routed")
                ]
                if not records:
                    continue
                options = argparse.Namespace(
                    door="kafka", return_share=0.0, live_seconds=0.0, simulated_until=END
                )
                program = self.departments.setdefault(code, example.Department(code, {}, options))
                broker = Broker()
                await program._handle(records, broker)
                replies = [Envelope.model_validate(reply) for reply in broker.replies]
                if replies:
                    said = True
                    await self.tell(f"department.{code}.replies", replies)


class Straight:
    """The phases of a play without HTTP: every write is handled at once, and departments answer when waited for."""

    def __init__(self, hall: Hall) -> None:
        self.hall = hall

    async def send_all(self, _: str, writes: Any, __: int) -> None:
        for write in writes:
            await self.hall.send(write)

    async def wait_for(self, _: str, total: int, count: Any, __: float) -> None:
        await self.hall.departments_answer()
        assert await count() == total

    def counting(self, _: str, __: int) -> Any:
        return contextlib.nullcontext(lambda _: None)


class Asked:
    """What the play asks over HTTP: a motion as a co-signer reads it, and the session's report."""

    def __init__(self, inside: Inside, rules: Any) -> None:
        self.inside, self.rules = inside, rules

    async def get(self, path: str, *, who: str) -> Any:  # noqa: ARG002 - as the gateway client has it
        async with self.inside.engine.connect() as connection:
            if path == "/api/motion-report":
                found = await queries.session(connection, queries.visible_to_staff(CITY_CODE), None, None)
                return figures.report(found, self.rules(END).motions, END)
            motion = await queries.one(connection, UUID(path.rsplit("/", 1)[1]))
        assert motion is not None
        return {"digest": motion.digest}


@pytest.mark.timeout(300)
async def test_the_script_of_a_session_is_played_to_its_figures(
    stack: LocalStack, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = build_city(5, Scale(20))
    year: Year = write_year(city, 5, Scale(20))
    rules = motion_rules_by_day(load(), "ningbo", ChinaCalendar())
    monkeypatch.setenv("SIMULATION_TOKEN", issuer.token("simulation", "simulation", simulated=True))
    async with cases_inside(stack, issuer, now=END) as inside:
        verifier = TokenVerifier("http://127.0.0.1:9/jwks")
        verifier.use_keys(issuer.keys)
        desk = handlers.MotionDesk(MotionStore(inside.opener, rules), handlers.DECISIONS)
        inside.runner = Runner(
            service="cases",
            engine=inside.engine,
            decoder=Decoder("cases", verifier, BusinessClock("message")),
            handlers={**inside.runner._handlers, **desk.handlers(), identity.DeputyChanged: keep_deputies},
            limits=Limits(3, 0.01, 0.02, 50),
        )
        hall = Hall(inside, city)
        for department in city.departments:
            known = identity.DepartmentChanged(
                code=department.code, name=department.name, categories=(), counties=(), state="active"
            )
            await inside.feed("department.changed", [message(known, subject=department.code, sequence=1)])
        for who, deputy in zip(hall.deputies, city.deputies, strict=True):
            if deputy.level == "city":
                known_deputy = identity.DeputyChanged(
                    deputy_id=UUID(who), number=deputy.number, name=deputy.name, level="city",
                    county=deputy.county, constituency=deputy.constituency, code=who[:8],
                    term_from=date(2021, 7, 1), term_until=date(2026, 12, 31), state="active",
                )  # fmt: skip
                await inside.feed("deputy.changed", [message(known_deputy, subject=who, sequence=1)])
        asked: Any = Asked(inside, rules)
        phases: Any = Straight(hall)
        play = SessionPlay(asked, phases, year.motions, hall.deputies, hall.clerk, hall.make)
        await play.submitted_and_assigned()
        await play.answered_and_rated(60)
        # A co-handler that comes after the lead's answer is late; nothing else is refused.
        assert set(hall.refused) <= {("motion.opinion", "step-not-possible")}
        hall.refused.clear()
        report = await asked.get("/api/motion-report", who=hall.clerk)
        for name, _, expected, ask in _session_lines(year):
            if ask.path == "/api/motion-report":
                found: Any = report
                for key in ask.at:
                    found = found[key]
                assert found == expected, name
        for mistake in play.mistakes(3):
            await hall.send(mistake)
        assert set(hall.refused) == {("motion.cosign", "not-invited")}
        told = {
            topic: len(await inside.sent(topic))
            for topic in ("motion.submitted", "motion.cosigned", "motion.rated")
        }
        wanted = {ask.at[-1]: expected for _, _, expected, ask in _session_lines(year) if "events" in ask.at}
        assert told == wanted
