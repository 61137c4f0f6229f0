"""Evaluation as real processes, through its topics and its HTTP; and the audit against them."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from docx import Document
from openpyxl import load_workbook
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid6 import uuid7

from deploy.local.stack import LocalStack
from services.evaluation import tables
from services.evaluation.consumers import taken_in
from services.evaluation.package import verify
from services.evaluation.rebuild import NoRebuild, Rebuild
from services.evaluation.rubric_file import read_rubric
from shared.contracts.cases import CaseClosed, CaseFiled
from shared.contracts.envelope import Envelope
from shared.contracts.evaluation import (
    AdoptRubric,
    AppealScore,
    DecideAppeal,
    NoteInArchive,
    RewindEvents,
    StrikeNote,
)
from shared.contracts.identity import DeputyChanged
from shared.contracts.learning import CourseCompleted
from shared.contracts.operations import CommandOutcome
from shared.contracts.participation import DutyLogged
from shared.contracts.registry import Contract, contract_of
from shared.database.engine import make_engine
from shared.database.migrate import differences
from shared.messaging.kafka import connection_options, open_reader
from shared.testing.issuer import Issuer
from shared.testing.messages import encoded, message
from shared.testing.wait import wait_until
from tests.conftest import CHECKOUT, Processes, kafka_settings, started_producer
from tests.warehouse_house import House
from warehouse import reading

RUBRIC_FILE = CHECKOUT / "services/evaluation/rubrics/ningbo.yaml"
SHIPPED = read_rubric(RUBRIC_FILE.read_text(encoding="utf-8"))[0]


@dataclass
class City:
    """Sends facts as their owners, commands as the gateway, and asks the service's HTTP."""

    stack: LocalStack
    issuer: Issuer
    url: str
    gateway: str
    producers: dict[str, AIOKafkaProducer]
    said: dict[str, list[Envelope]] = field(default_factory=dict)
    sent: int = 0

    async def tell(self, *facts: Envelope, times: int = 1) -> None:
        """Send facts; `sent` counts records, as the service does."""
        pending = []
        for fact in facts * times:
            declared = contract_of(fact.type)
            assert declared is not None
            producer = self.producers[declared.owner]
            pending.append(
                await producer.send(declared.topic, value=encoded(fact), key=fact.subject.encode())
            )
        await asyncio.gather(*pending)
        self.sent += len(facts) * times

    async def command(self, envelope: Envelope, *, count: int = 1) -> CommandOutcome:
        await self.producers["gateway"].send_and_wait(
            "evaluation.commands", value=encoded(envelope), key=envelope.subject.encode()
        )

        async def outcomes() -> list[CommandOutcome]:
            known = [e for e in self.said.get("command.outcomes", []) if e.subject == str(envelope.id)]
            return [CommandOutcome.model_validate(e.data) for e in known] if len(known) >= count else []

        return (await wait_until(outcomes, what="the outcome"))[-1]

    async def get(self, path: str, token: str, **query: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{self.url}{path}", params={k: str(v) for k, v in query.items()}) as answer,
        ):
            return answer.status, await answer.json()

    async def file(self, path: str, token: str) -> bytes:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{self.url}{path}") as answer,
        ):
            assert answer.status == 200, await answer.text()
            assert answer.headers["Content-Disposition"].startswith("attachment;")
            return await answer.read()

    @property
    def staff(self) -> str:
        return self.issuer.token(uuid4(), "staff")

    async def all_taken_in(self) -> None:
        async def counted() -> bool:
            status, figures = await self.get("/figures", self.staff)
            assert status == 200, figures
            return sum(figures["events"].values()) == self.sent

        await wait_until(counted, what=f"{self.sent} events", seconds=120)
        await self.settled()

    async def settled(self) -> None:
        """Until no total is to be derived anew."""
        operator = self.issuer.token("operator", "operator")

        async def nothing_left() -> bool:
            return bool((await self.get("/status", operator))[1]["lag"]["evaluation.scores"] == 0)

        await wait_until(nothing_left, what="totals derived from all events")

    async def audit(self, *more: str) -> tuple[int, str]:
        """Run the audit as anyone would."""
        env = {**self.stack.env_for("auditor"), "AUDIT_TOKEN": self.staff, "PATH": "", "COLUMNS": "160"}
        process = await asyncio.create_subprocess_exec(
sys.executable, "-m", "audit", "--rubric", str(RUBRIC_FILE), "--gateway", self.gateway, *more,
            cwd=CHECKOUT, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode()


@pytest_asyncio.fixture(scope="module")
async def city(
    stack: LocalStack, processes: Processes, as_gateway: AIOKafkaProducer, issuer: Issuer
) -> AsyncIterator[City]:
    stack.postgres.ensure_database("evaluation", stack.secrets.database_password("evaluation"), anew=True)
    await asyncio.to_thread(processes.migrate, "evaluation")
    url = await asyncio.to_thread(processes.start, "evaluation")
    owners = ("identity", "cases", "participation", "learning")
    producers = {owner: await started_producer(stack, owner) for owner in owners} | {"gateway": as_gateway}

    async def ranking(request: web.Request) -> web.Response:
        headers = {"Authorization": request.headers["Authorization"]}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{url}/ranking", params=request.query) as answer,
        ):
            return web.json_response(await answer.json(), status=answer.status)

    app = web.Application()
    app.router.add_get("/api/ranking", ranking)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    gateway = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]

    found = City(stack, issuer, url, gateway, producers)
    reading = asyncio.create_task(_follow(stack, found.said))
    yield found
    reading.cancel()
    await runner.cleanup()
    for owner in owners:
        await producers[owner].stop()
    await asyncio.to_thread(processes.stop, "evaluation-1")


async def _follow(stack: LocalStack, said: dict[str, list[Envelope]]) -> None:
    topics = ("archive.noted", "command.outcomes", "rubric.adopted", "score.changed")
    reader = await open_reader(kafka_settings(stack, "admin"), *topics, from_end=False)
    try:
        while True:
            for records in (await reader.getmany(timeout_ms=100)).values():
                for record in records:
                    said.setdefault(record.topic, []).append(Envelope.model_validate_json(record.value))
    finally:
        await reader.stop()


STATION = "7k2m9q4t1x"


def deputy(number: int, sequence: int = 1, **more: Any) -> Envelope:
    data = DeputyChanged(
        deputy_id=UUID(int=number), number=str(number), name=f"代表{number}", level="county", county="330203",
        constituency="一", code=str(number), term_from=date(2021, 1, 1), term_until=date(2026, 1, 1), state="active",
        **more,
    )  # fmt: skip
    return message(data, subject=data.deputy_id, sequence=sequence, time=datetime(2021, 1, 1, tzinfo=UTC))


def case(
    deputy_id: UUID, case_id: UUID, result: str | None = None, sequence: int = 1, month: int = 6
) -> Envelope:
    known: dict[str, Any] = {"case_id": case_id, "deputy_id": deputy_id, "county": "330203"}
    data: Contract = (
        CaseClosed(**known, state="closed", result=result) if result else CaseFiled(**known, state="routed")
    )
    return message(data, subject=case_id, sequence=sequence, time=datetime(2021, month, 1, tzinfo=UTC))


async def test_the_shipped_rubric_is_told_once_at_the_first_start(city: City) -> None:
    async def told() -> list[Envelope]:
        return city.said.get("rubric.adopted", [])

    found = await wait_until(told, what="rubric.adopted")
    assert [(e.data["name"], e.data["effective_from"]) for e in found] == [("ningbo", "2020-01-01")]
    assert found[0].data["rubric"] == json.loads(json.dumps(SHIPPED))


async def test_facts_become_a_score_that_the_deputy_can_read_and_trace(city: City) -> None:
    me, other, case_id = UUID(int=1), UUID(int=2), uuid4()
    await city.tell(
        deputy(1, occupation="farmer"), deputy(2), case(me, case_id), case(me, case_id, "solved", 5)
    )
    await city.tell(case(me, case_id, "explained", 9))
    await city.all_taken_in()
    token = city.issuer.token(me, "deputy")
    status, found = await city.get(f"/scores/{me}", token, year=2021)
    assert (status, found["total"], found["categories"]["supervision"]) == (200, 200, 200)
    assert found["rubric"] == {"name": "ningbo", "version": 1}
    assert (await city.get(f"/scores/{me}", token))[1]["year"] == 2021
    _, archive = await city.get(f"/archive/{me}", token)
    assert [(row["item"], row["points"], row["evidence"]) for row in archive["items"]] == [
        ("case-explained", 100, str(case_id)),
        ("case-filed", 100, str(case_id)),
    ]
    assert archive["items"][0]["title"] == "督事办结并说明"
    _, whole = await city.get(f"/archive/{me}", token, with_zero="true")
    assert [row["item"] for row in whole["items"] if not row["points"]] == ["case-solved"]
    assert (await city.get(f"/scores/{other}", token))[0] == 403
    assert (await city.get(f"/archive/{other}", token))[0] == 403
    assert (await city.get("/ranking", token))[0] == 403
    assert (await city.get(f"/scores/{uuid4()}", city.staff, year=2021))[0] == 404
    assert (await city.get(f"/scores/{other}", city.staff, year=2021))[1]["total"] == 0

    async def told() -> list[Envelope]:
        return [e for e in city.said.get("score.changed", []) if e.data["deputy_id"] == str(me)]

    async def latest() -> bool:
        found = max(await told(), key=lambda e: e.sequence or 0, default=None)
        return found is not None and found.data["total"] == 200

    await wait_until(latest, what="the newest score on its topic")
    sequences = [e.sequence for e in await told()]
    assert sequences == sorted(set(sequences), key=lambda s: s or 0)


async def test_a_score_is_explained_row_by_row_and_the_list_adds_up(city: City) -> None:
    me, other = UUID(int=1), UUID(int=2)
    token = city.issuer.token(me, "deputy")
    _, score = await city.get(f"/scores/{me}", token, year=2021)
    status, found = await city.get(f"/scores/{me}/explanation", token, year=2021)
    assert status == 200
    assert (
        found["begins"] + sum(line["counts"] for line in found["lines"]) == found["total"] == score["total"]
    )
    assert {(line["item"], line["points"], line["counts"]) for line in found["lines"]} == {
        ("case-filed", 100, 100),
        ("case-explained", 100, 100),
    }
    assert all(UUID(line["event_id"]) and line["rubric_version"] == 1 for line in found["lines"])
    assert found["grade"]["key"] == "low"
    assert "motion-bill" in {one["item"] for one in found["chances"]}
    _, nothing = await city.get(f"/scores/{me}/explanation", token, on="2021-05-31")
    assert (nothing["total"], nothing["lines"]) == (0, [])
    _, between = await city.get(f"/scores/{me}/difference", token, begin="2021-05-31", until="2021-12-31")
    assert (between["before"], between["after"], len(between["lines"])) == (0, 200, 2)
    assert (await city.get(f"/scores/{other}/explanation", token))[0] == 403
    assert (await city.get(f"/scores/{me}/difference", token, begin="2022-01-01", until="2021-01-01"))[
        0
    ] == 422
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{city.url}/scores/{me}/sheet?year=2021") as answer,
    ):
        assert (answer.status, answer.content_type) == (200, "application/pdf")
        assert (await answer.read()).startswith(b"%PDF-")


async def test_the_archive_its_files_and_the_report_say_what_the_ledger_holds(city: City) -> None:
    me, other = UUID(int=1), UUID(int=2)
    token = city.issuer.token(me, "deputy")
    status, found = await city.get(f"/archive/{me}/parts", token)
    assert status == 200
    assert [part["title"] for part in found["parts"]][:2] == ["基本情况", "会议"]
    (case_part,) = [part for part in found["parts"] if part["entries"]]
    assert case_part["key"] == "suggestions"
    assert sum(entry["points"] for entry in case_part["entries"]) == found["years"][0]["total"] == 200
    package = await city.file(f"/archive/{me}/package", token)
    _, keys = await city.get("/archive-keys", "")
    assert verify(package, keys)["deputy_id"] == str(me)
    with zipfile.ZipFile(BytesIO(package)) as folder:
        assert json.loads(folder.read("archive.json"))["parts"] == found["parts"]
        assert folder.read("archive.pdf").startswith(b"%PDF-")
    sheets = load_workbook(BytesIO(await city.file(f"/archive/{me}/spreadsheet", token))).worksheets
    assert sheets[1].max_row == 1 + sum(len(entry["rows"]) for entry in case_part["entries"])
    report = Document(BytesIO(await city.file(f"/scores/{me}/report?year=2021", token)))
    assert any("提交代表督事 1 次" in paragraph.text for paragraph in report.paragraphs)
    assert (await city.file(f"/scores/{me}/report?year=2021&kind=pdf", token)).startswith(b"%PDF-")
    for path in (f"/archive/{other}/parts", f"/archive/{other}/package", f"/scores/{other}/report"):
        assert (await city.get(path, token))[0] == 403
    assert (await city.get(f"/archive/{uuid4()}/package", city.staff))[0] == 404


async def test_staff_note_a_report_with_its_ballots_and_strike_it_once(city: City) -> None:
    me, note = UUID(int=1), uuid4()
    token, noted = city.issuer.token(me, "deputy"), date(2021, 12, 1)
    report = NoteInArchive(
        deputy_id=me,
        part="reports",
        happened_on=noted,
        title="向选民述职",
        ballots=50,
        approving=41,
    )
    wrong = {
        "deputy-unknown": report.model_copy(update={"deputy_id": uuid4()}),
        "note-in-the-future": report.model_copy(update={"happened_on": date(2999, 1, 1)}),
        "note-ballots-wrong": report.model_copy(update={"approving": 51}),
    }
    for code, one in wrong.items():
        refused = await city.command(message(one, subject=uuid4(), token=city.staff))
        assert refused.problem is not None
        assert refused.problem.code == code
    assert (await city.command(message(report, subject=uuid4(), token=token))).state == "rejected"
    elsewhere = city.issuer.token(uuid4(), "staff", organisation="330212")
    refused = await city.command(message(report, subject=note, token=elsewhere))
    assert refused.problem is not None
    assert refused.problem.code == "not-your-area"
    assert (await city.command(message(report, subject=note, token=city.staff))).state == "accepted"
    strike = StrikeNote(reason="记错了人")
    refused = await city.command(message(strike, subject=note, token=elsewhere))
    assert refused.problem is not None
    assert refused.problem.code == "not-your-area"
    assert (await city.command(message(strike, subject=note, token=city.staff))).state == "accepted"
    again = await city.command(message(strike, subject=note, token=city.staff))
    assert again.problem is not None
    assert again.problem.code == "note-struck"
    _, found = await city.get(f"/archive/{me}/parts", token)
    (told,) = next(part["notes"] for part in found["parts"] if part["key"] == "reports")
    assert (told["state"], told["reason"], told["band"]["title"]) == ("struck", "记错了人", "称职")

    async def both() -> bool:
        return [e.data["state"] for e in city.said.get("archive.noted", [])] == ["noted", "struck"]

    await wait_until(both, what="archive.noted")


async def test_a_draft_is_tried_on_the_log_beside_the_adopted_rubric_and_changes_nothing(city: City) -> None:
    async def simulate(token: str, **body: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{city.url}/simulations", json=body) as answer,
        ):
            return answer.status, await answer.json()

    document = json.loads(json.dumps(SHIPPED))
    document["items"]["case-explained"]["points"] = 3
    status, found = await simulate(city.staff, rubric=document, begin="2021-01-01", until="2021-12-31")
    assert status == 200, found
    assert (found["deputies"], found["rise"], found["fall"]) == (2, 1, 0)
    assert [(one["name"], one["present"], one["draft"]) for one in found["risers"]] == [("代表1", 200, 400)]
    assert found["groups"]["county"] == [
        {"key": "330203", "deputies": 2, "rise": 1, "fall": 0, "present_mean": 100.0, "draft_mean": 200.0}
    ]
    assert found["groups"]["occupation"] == [
        {"key": "farmer", "deputies": 1, "rise": 1, "fall": 0, "present_mean": 200.0, "draft_mean": 400.0},
        {"key": None, "deputies": 1, "rise": 0, "fall": 0, "present_mean": 0.0, "draft_mean": 0.0},
    ]
    assert found["risers"][0]["occupation"] == "farmer"
    assert (await city.get(f"/scores/{UUID(int=1)}", city.staff, year=2021))[1]["total"] == 200
    same = await simulate(city.staff, rubric=SHIPPED, begin="2021-01-01", until="2021-12-31")
    assert (same[1]["rise"], same[1]["fall"]) == (0, 0)
    assert (await simulate(city.staff, rubric={**document, "items": {}}))[0] == 422
    assert (await simulate(city.staff, rubric=document, begin="2022-01-01", until="2021-01-01"))[0] == 422
    assert (await simulate(city.issuer.token(UUID(int=1), "deputy"), rubric=document))[0] == 403
    elsewhere = city.issuer.token(uuid4(), "staff", organisation="330212")
    _, others = await simulate(elsewhere, rubric=document, begin="2021-01-01", until="2021-12-31")
    assert (others["deputies"], others["risers"], others["groups"]["county"]) == (0, [], [])


async def test_an_upheld_appeal_corrects_the_row_and_the_audit_follows(city: City) -> None:
    me, appeal = UUID(int=1), uuid4()
    token = city.issuer.token(me, "deputy")
    _, before = await city.get(f"/scores/{me}/explanation", token, year=2021)
    row = next(line for line in before["lines"] if line["item"] == "case-explained")
    contest = AppealScore(
        kind="wrong",
        item=row["item"],
        evidence=row["evidence"],
        happened_on=date(2021, 6, 1),
        reason="应为两分",
    )
    assert (await city.command(message(contest, subject=appeal, token=token))).state == "accepted"
    again = await city.command(message(contest, subject=uuid4(), token=token))
    assert again.problem is not None
    assert again.problem.code == "appeal-open"
    _, listed = await city.get("/appeals", city.staff, state="open")
    assert [(one["id"], one["state"]) for one in listed["items"]] == [(str(appeal), "open")]
    assert (listed["items"][0]["title"], listed["items"][0]["row_points"]) == ("督事办结并说明", 100)
    assert (await city.get("/appeals", city.issuer.token(UUID(int=2), "deputy")))[1]["total"] == 0
    decided = DecideAppeal(upheld=True, points=150, reason="属实")
    elsewhere = city.issuer.token(uuid4(), "staff", organisation="330212")
    assert (await city.get("/appeals", elsewhere))[1]["total"] == 0
    refused = await city.command(message(decided, subject=appeal, token=elsewhere))
    assert refused.problem is not None
    assert refused.problem.code == "not-your-area"
    of_county = city.issuer.token(uuid4(), "staff", organisation="330203")
    assert (await city.get("/appeals", of_county, state="open"))[1]["total"] == 1
    assert (await city.command(message(decided, subject=appeal, token=of_county))).state == "accepted"

    async def corrected() -> bool:
        return bool((await city.get(f"/scores/{me}", token, year=2021))[1]["total"] == 250)

    await wait_until(corrected, what="the corrected score", seconds=60)
    city.sent += 1  # a correction is an event like any other
    _, after = await city.get(f"/scores/{me}/explanation", token, year=2021)
    row = next(line for line in after["lines"] if line["item"] == "case-explained")
    assert (row["event_type"], row["points"], after["total"]) == ("score.corrected", 150, 250)

    async def agrees() -> bool:
        return (await city.audit())[0] == 0

    await wait_until(agrees, what="an audit that agrees", seconds=60)


async def test_a_rubric_is_read_as_yaml_and_a_draft_is_checked_with_line_and_reason(city: City) -> None:
    async def check(token: str, text: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{city.url}/rubric-checks", json={"text": text}) as answer,
        ):
            return answer.status, await answer.json()

    status, told = await city.get("/rubrics/ningbo", city.staff, version=1)
    assert (status, told["version"]) == (200, 1)
    _, adopted = await city.get("/rubrics", city.staff)
    (document,) = [one["document"] for one in adopted if (one["name"], one["version"]) == ("ningbo", 1)]
    for part in ("categories", "items"):
        assert list(document[part]) == list(SHIPPED[part]), "in the order in which people wrote them"
    status, found = await check(city.staff, told["text"])
    assert (status, found["flaws"]) == (200, [])
    assert found["rubric"]["document"] == SHIPPED
    assert found["rubric"]["starts"][-1]["refused"] == "rubric-version-taken"
    _, found = await check(city.staff, told["text"].replace("version: 1", "version: 2", 1))
    starts = found["rubric"]["starts"]
    scored = {one["day"] for one in starts if one["refused"] == "rubric-touches-scored-period"}
    assert [one["refused"] for one in starts if one["day"] not in scored] == [None] * (3 - len(scored))
    wrong = told["text"].replace("category: duties", "category: nothing", 1)
    line = wrong[: wrong.index("category: nothing")].count("\n") + 1
    _, found = await check(city.staff, wrong)
    assert found["rubric"] is None
    assert [(flaw["line"], flaw["reason"]) for flaw in found["flaws"]] == [
        (line, "there is no such category")
    ]
    assert [(flaw["code"], flaw["values"]) for flaw in found["flaws"]] == [("category-unknown", {})]
    assert (await check(city.staff, "x" * 100_001))[0] == 422
    assert (await check(city.issuer.token(UUID(int=1), "deputy"), told["text"]))[0] == 403
    assert (await city.get("/rubrics/none", city.staff))[0] == 404
    assert (await city.get("/rubrics/ningbo", city.issuer.token(UUID(int=1), "deputy")))[0] == 403


async def test_staff_adopt_a_rubric_for_a_coming_year_once(city: City) -> None:
    document = {**SHIPPED, "version": 2, "base": 60}
    adopt = message(
        AdoptRubric(effective_from=date(2031, 1, 1), rubric=document), subject="ningbo", token=city.staff
    )
    first = await city.command(adopt)
    again = await city.command(adopt, count=2)
    assert (first.state, first.version, again.state) == ("accepted", 2, "accepted")
    _, rubrics = await city.get("/rubrics", city.staff)
    assert [(r["version"], r["effective_from"]) for r in rubrics] == [(2, "2031-01-01"), (1, "2020-01-01")]

    async def told() -> bool:
        return [e.sequence for e in city.said["rubric.adopted"]] == [1, 2]

    await wait_until(told, what="rubric.adopted of version 2")
    _, ranking = await city.get("/ranking", city.staff, year=2031)
    assert {item["total"] for item in ranking["items"]} == {6000}


async def test_a_rubric_that_cannot_be_is_refused_with_its_reason(city: City) -> None:
    async def code(document: dict[str, Any], begin: date, token: str) -> str:
        command = AdoptRubric(effective_from=begin, rubric=document)
        outcome = await city.command(message(command, subject="ningbo", token=token))
        assert outcome.problem is not None
        return outcome.problem.code

    later = {**SHIPPED, "version": 9}
    assert await code(later, date(2021, 1, 1), city.staff) == "rubric-touches-scored-period"
    assert await code(later, date(2032, 6, 1), city.staff) == "rubric-not-from-new-year"
    assert await code(SHIPPED, date(2032, 1, 1), city.staff) == "rubric-version-taken"
    assert await code({**later, "items": {}}, date(2032, 1, 1), city.staff) == "rubric-invalid"
    assert await code(later, date(2032, 1, 1), city.issuer.token(uuid4(), "deputy")) == "role-not-allowed"


async def test_activity_counts_who_did_something_in_a_month_and_hides_the_few(city: City) -> None:
    status, found = await city.get("/activity", city.staff, year=2021)
    assert status == 200
    assert found["whole"] == {"deputies": 2, "active": None}
    await city.tell(*(deputy(number) for number in range(3, 8)))
    await city.tell(*(case(UUID(int=number), uuid4(), month=6) for number in (3, 3, 4)))
    await city.all_taken_in()
    _, found = await city.get("/activity", city.staff, year=2021)
    assert found["months"][5] == "2021-06"
    assert (found["whole"]["deputies"], found["whole"]["active"][5]) == (7, 3)
    assert [(one["place"], one["active"][5]) for one in found["places"]] == [("330203", 3)]
    known = {"town": "330203100"}
    await city.tell(*(deputy(number, sequence=2, **known, station=STATION) for number in range(1, 6)))
    await city.tell(*(deputy(number, sequence=2, **known) for number in (6, 7)))
    await city.all_taken_in()
    _, found = await city.get("/activity", city.staff, year=2021, county="330203")
    assert [(one["place"], one["active"][5]) for one in found["places"]] == [("330203100", 3)]
    _, found = await city.get("/activity", city.staff, year=2021, town="330203100")
    assert (found["county"], found["town"], found["whole"]["active"][5]) == ("330203", "330203100", 3)
    told = [(one["place"], one["deputies"], one["active"]) for one in found["places"]]
    assert told == [(None, 2, None), (STATION, 5, None)], "two are few, and alone they could be reckoned"
    assert (await city.get("/activity", city.issuer.token(UUID(int=1), "deputy")))[0] == 403


async def test_standings_rank_everybody_among_peers_whatever_is_asked_for(city: City) -> None:
    status, found = await city.get("/standings", city.staff, year=2021)
    assert status == 200
    assert (found["year"], found["total"], len(found["items"])) == (2021, 7, 7)
    totals = {int(one["number"]): one["total"] for one in found["items"]}
    for number, total in totals.items():
        _, score = await city.get(f"/scores/{UUID(int=number)}", city.staff, year=2021)
        assert score["total"] == total
    assert totals[3] == 200 > totals[4] == 100 > totals[5] == 0
    for one in found["items"]:
        assert one["rank"] == 1 + sum(total > one["total"] for total in totals.values()), (
            "equals share a rank"
        )
        assert (one["peers"], one["ranked"]) == (["county"], 7)
    assert found["items"][-1]["grade"] == {"key": "low", "title": "待提升"}
    _, second = await city.get("/standings", city.staff, year=2021, page=2, size=3)
    assert (second["items"], second["total"]) == (found["items"][3:6], 7)
    _, here = await city.get("/standings", city.staff, year=2021, level="county", county="330203")
    assert here["items"] == found["items"]
    for nobody in ({"level": "city"}, {"county": "330206"}, {"outstanding": "true"}):
        assert (await city.get("/standings", city.staff, year=2021, **nobody))[1]["items"] == [], nobody
    assert (await city.get("/standings", city.staff, year=2019))[1]["code"] == "no-rubric"
    assert (await city.get("/standings", city.staff, size=10_001))[0] == 422
    assert (await city.get("/standings", city.issuer.token(UUID(int=1), "deputy")))[0] == 403


async def test_staff_see_the_scores_of_the_congresses_in_their_area_alone(city: City) -> None:
    of_county, of_town, of_city = UUID(int=1), UUID(int=91), UUID(int=92)
    for person, place in ((of_town, {"level": "town", "town": "330203101"}), (of_city, {"level": "city"})):
        data = DeputyChanged.model_validate({**deputy(person.int).data, **place})
        told = message(data, subject=person, sequence=1, time=datetime(2021, 1, 1, tzinfo=UTC))
        await city.tell(told)
    await city.all_taken_in()

    async def listed(token: str) -> set[str]:
        """Of whom a list tells, the same in both lists; of a fact's deputy that no roster knows the ranking alone."""
        _, standings = await city.get("/standings", token, year=2021, size=500)
        _, ranking = await city.get("/ranking", token, year=2021, size=500)
        numbers = {one["number"] for one in standings["items"]}
        assert numbers == {one["number"] for one in ranking["items"]} - {None}
        assert (standings["total"], ranking["total"]) == (len(numbers), len(ranking["items"]))
        return numbers

    everybody = await listed(city.staff)
    assert {"1", "91", "92"} < everybody
    seen = {
        "3302": (everybody, {of_county, of_town, of_city}),
        "330203": (everybody - {"92"}, {of_county, of_town}),
        "330203101": ({"91"}, {of_town}),
        "330203102": (set(), set()),
        "330212": (set(), set()),
    }
    days = "begin=2021-01-01&until=2021-12-31"
    reads = ("scores/{}?year=2021", "scores/{}/explanation?year=2021", f"scores/{{}}/difference?{days}",
             "archive/{}", "archive/{}/parts")  # fmt: skip
    files = ("scores/{}/sheet", "scores/{}/report", "archive/{}/package", "archive/{}/spreadsheet")
    for organisation, (numbers, people) in seen.items():
        token = city.issuer.token(uuid4(), "staff", organisation=organisation)
        assert await listed(token) == numbers, organisation
        for person in (of_county, of_town, of_city):
            for path in reads if person in people else (*reads, *files):
                status, found = await city.get(f"/{path.format(person)}", token)
                told_of = status if status == 200 else (status, found["code"])
                assert told_of == (200 if person in people else (403, "not-your-area")), (organisation, path)
        for path in (*reads, *files):
            status, found = await city.get(f"/{path.format(uuid4())}", token)
            assert (status, found["code"]) == (404, "deputy-unknown"), (organisation, path)


async def test_a_rewind_takes_every_event_in_again_and_changes_no_score(city: City) -> None:
    _, before = await city.get("/ranking", city.staff, year=2021)
    operator = city.issuer.token("operator", "operator")
    refused = await city.command(message(RewindEvents(), subject=uuid4(), token=city.staff))
    assert refused.problem is not None
    assert refused.problem.code == "role-not-allowed"
    unknown = await city.command(message(RewindEvents(topics=("no.such",)), subject=uuid4(), token=operator))
    assert unknown.problem is not None
    assert unknown.problem.code == "topic-not-taken-in"
    assert (
        await city.command(message(RewindEvents(topics=("case.filed",)), subject=uuid4(), token=operator))
    ).state == "accepted"
    await city.all_taken_in()
    _, after = await city.get("/ranking", city.staff, year=2021)
    assert after == before


async def test_killed_and_rebalanced_processes_score_every_event_exactly_once(
    city: City, processes: Processes
) -> None:
    dice = random.Random(11)
    people = [UUID(int=n) for n in range(100, 160)]
    facts: list[Envelope] = [deputy(person.int) for person in people]
    for n in range(1500):
        who, thing = dice.choice(people), UUID(int=1_000_000 + dice.randrange(400))
        moment = datetime(2021, 3, 1, tzinfo=UTC) + timedelta(hours=dice.randrange(24 * 300))
        data: Contract = dice.choice([
            CaseFiled(case_id=thing, deputy_id=who, state="routed", county="330203"),
            CaseClosed(case_id=thing, deputy_id=who, state="closed", county="330203", result=dice.choice(("solved", "explained", "unsolved"))),
            CourseCompleted(course_id=thing, deputy_id=who, minutes=dice.randrange(90), mark=dice.randrange(60, 101)),
            DutyLogged(duty_id=thing, deputy_id=who, kind="visit", state=dice.choice(("declared", "confirmed", "withdrawn")), happened_on=moment.date()),
        ])  # fmt: skip
        facts.append(
            message(data, subject=thing, time=moment, sequence=n % 7, message_id=UUID(int=uuid7().int))
        )
    second = processes.spec("evaluation", "evaluation-2", FAILPOINT="before-commit:3", BATCH_RECORDS_MAX="50")
    await asyncio.to_thread(city.stack.supervisor.start, second)
    for start in range(0, len(facts), 300):
        part = facts[start : start + 300]
        await city.tell(*part)
        for fact in dice.sample(part, 20):  # a relay that was taken over says things twice
            await city.tell(fact)
            city.sent -= fact.type == "deputy.changed"  # comes one by one, which counts a repetition once
        if start == 600:
            city.stack.supervisor.kill("evaluation-1", signal.SIGKILL)
    await asyncio.to_thread(city.stack.supervisor.wait_ready, "evaluation-1", 90)
    await city.all_taken_in()
    log = city.stack.supervisor.log_path("evaluation-2").read_text("utf-8")
    assert "failpoint reached: before-commit" in log
    await asyncio.to_thread(processes.stop, "evaluation-2")
    code, output = await city.audit()
    assert code == 0, output
    assert "every score agrees" in output


def rebuilding(city: City) -> AsyncEngine:
    return make_engine(
        SecretStr(city.stack.env_for("evaluation")["DATABASE_URL"]), pool_size=3, application="rebuild"
    )


async def house_of(city: City, folder: Path) -> tuple[str, reading.Contents]:
    """A warehouse with all that the log holds by now."""
    house = House(city.stack, (folder / "warehouse").as_uri())
    assert (await house.round())["lag"] == 0
    return house.url, await reading.contents(house.storage)


TYPES = {declaration.type for declaration in taken_in()}


async def test_a_rebuild_beside_the_live_service_puts_sums_right_while_everything_goes_on(
    city: City, tmp_path: Path
) -> None:
    """From the warehouse and the log behind it, with facts and questions that do not stop meanwhile."""
    me, damaged = UUID(int=1), UUID(int=3)
    await city.tell(deputy(3), *(case(damaged, uuid4()) for _ in range(4)))
    await city.all_taken_in()
    url, contents = await house_of(city, tmp_path)
    await city.tell(*(case(damaged, uuid4()) for _ in range(3)))
    await city.all_taken_in()
    engine, token = rebuilding(city), city.issuer.token(me, "deputy")
    before = (await city.get(f"/scores/{damaged}", city.staff, year=2021))[1]["total"]
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            "DELETE FROM ledger WHERE (deputy_id, item, evidence) IN "
            f"(SELECT deputy_id, item, evidence FROM ledger WHERE deputy_id = '{damaged}' LIMIT 1)"
        )
        await connection.exec_driver_sql(
            f"UPDATE buckets SET points = points + 700 WHERE deputy_id = '{damaged}' AND item = 'case-filed'"
        )
    going, asked = True, 0

    async def go_on_telling() -> None:
        while going:
            await city.tell(case(me, uuid4()), case(damaged, uuid4()))

    async def go_on_asking() -> None:
        nonlocal asked
        while going:
            status, archive = await city.get(f"/archive/{me}", token)
            assert status == 200
            assert archive["items"]
            asked += 1

    others = [asyncio.create_task(go_on_telling()), asyncio.create_task(go_on_asking())]
    settings = kafka_settings(city.stack, "evaluation")
    compared = await Rebuild(engine, settings).run(swap=False)
    assert [place for place in compared.differing if place[0] != me] == [(damaged, 2021)]
    reader = await asyncpg.connect(city.stack.env_for("evaluation")["DATABASE_URL"].replace("+asyncpg", ""))
    async with reader.transaction():  # the exchange waits for it, so that the rebuild is not over too soon
        await reader.execute("SELECT FROM ledger LIMIT 1")
        building = asyncio.create_task(
            Rebuild(engine, settings).run(reading.records(url, contents, TYPES), contents.positions)
        )

        async def begun() -> bool:
            async with engine.connect() as connection:
                there = await connection.exec_driver_sql("SELECT FROM pg_namespace WHERE nspname = 'rebuilt'")
                return bool(there.rowcount) or building.done()

        await wait_until(begun, what="the other tables")
        with pytest.raises(NoRebuild, match="another rebuild"):
            await Rebuild(engine, settings).run()
    await reader.close()
    found = await building

    async def many_answers() -> bool:
        return asked > 10

    await wait_until(many_answers, what="answers while it was rebuilt")
    going = False
    await asyncio.gather(*others)
    assert found.differing == compared.differing == [(damaged, 2021)]
    await city.all_taken_in()
    code, output = await city.audit()
    assert code == 0, output
    async with engine.connect() as connection:
        assert await connection.run_sync(lambda sync: differences(sync, tables.metadata)) == []
        left = await connection.exec_driver_sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'rebuilt'")
        assert left.scalar() == 0
        options = await connection.exec_driver_sql(
            "SELECT reloptions FROM pg_class WHERE relname = 'buckets'"
        )
        assert options.scalar() == ["fillfactor=70"]
    assert (await Rebuild(engine, settings).run(swap=False)).differing == []
    await engine.dispose()
    assert (await city.get(f"/scores/{damaged}", city.staff, year=2021))[1]["total"] >= before


async def test_the_audit_finds_one_altered_point_and_names_the_deputy(city: City) -> None:
    assert (await city.audit())[0] == 0
    dsn = city.stack.env_for("evaluation")["DATABASE_URL"].replace("+asyncpg", "")
    database = await asyncpg.connect(dsn)
    changed = "UPDATE totals SET total = total + $1 WHERE deputy_id = $2 AND year = 2021"
    await database.execute(changed, 1, UUID(int=1))
    code, output = await city.audit()
    await database.execute(changed, -1, UUID(int=1))
    await database.close()
    assert code == 1
    assert str(UUID(int=1)) in output
    assert (await city.audit())[0] == 0


async def test_a_missing_row_whose_fact_staff_named_does_not_count_again_when_the_fact_comes(
    city: City,
) -> None:
    me, appeal, case_id = UUID(int=9), uuid4(), uuid4()
    await city.tell(deputy(9))
    contest = AppealScore(
        kind="missing",
        item="case-explained",
        evidence=f"appeal/{appeal}",
        happened_on=date(2021, 6, 2),
        reason="办结了没有记上",
    )
    token = city.issuer.token(me, "deputy")
    assert (await city.command(message(contest, subject=appeal, token=token))).state == "accepted"
    decided = DecideAppeal(upheld=True, points=150, evidence=str(case_id), reason="属实")
    assert (await city.command(message(decided, subject=appeal, token=city.staff))).state == "accepted"
    city.sent += 1  # the correction
    await city.all_taken_in()
    _, listed = await city.get("/appeals", token, state="upheld")
    (told,) = listed["items"]
    assert (told["evidence"], told["named_by"], told["row_points"]) == (str(case_id), "case_id", 150)
    await city.tell(case(me, case_id, "explained", 3))
    await city.all_taken_in()
    _, found = await city.get(f"/scores/{me}/explanation", token, year=2021)
    rows = [(row["item"], row["evidence"], row["points"]) for row in found["lines"] if row["points"]]
    assert (found["total"], rows) == (150, [("case-explained", str(case_id), 150)])
    again = uuid4()  # the same row corrected once more, named in capitals, is its second correction
    contest = contest.model_copy(update={"evidence": f"appeal/{again}"})
    assert (await city.command(message(contest, subject=again, token=token))).state == "accepted"
    decided = decided.model_copy(update={"points": 250, "evidence": str(case_id).upper()})
    assert (await city.command(message(decided, subject=again, token=city.staff))).state == "accepted"
    city.sent += 1
    await city.all_taken_in()
    _, found = await city.get(f"/scores/{me}/explanation", token, year=2021)
    assert found["total"] == 250
    _, listed = await city.get("/appeals", token, state="upheld")
    assert sorted(one["revision"] for one in listed["items"]) == [1, 2]
    assert (await city.audit())[0] == 0


async def test_the_audit_is_not_fooled_by_a_doubled_event_and_sees_a_lost_one(city: City) -> None:
    doubled = case(UUID(int=2), uuid4())
    await city.tell(doubled)
    await city.all_taken_in()
    await city.tell(doubled)
    await city.all_taken_in()
    code, output = await city.audit()
    assert code == 0, output
    database = await asyncpg.connect(city.stack.env_for("evaluation")["DATABASE_URL"].replace("+asyncpg", ""))
    transaction = "UPDATE totals SET total = $1 WHERE deputy_id = $2 AND year = 2021"
    await database.execute(transaction, 0, UUID(int=2))  # as if the event had never arrived
    lost = (await city.audit())[0]
    await database.execute(transaction, 100, UUID(int=2))
    await database.close()
    assert lost == 1
    assert (await city.audit())[0] == 0


async def test_records_that_were_counted_and_are_not_there_stop_the_audit(city: City, tmp_path: Path) -> None:
    counts = tmp_path / "counts.json"
    for count, expected in ((2, 0), (3, 2)):
        counts.write_text(json.dumps({"rubric.adopted": count, "course.published": 10**6}), "utf-8")
        code, output = await city.audit("--counts", str(counts))
        assert code == expected, output


async def test_a_log_without_its_beginning_is_no_ground_for_an_audit(city: City) -> None:
    admin = AIOKafkaAdminClient(**connection_options(kafka_settings(city.stack, "admin")))
    await admin.start()
    await admin.delete_records({TopicPartition("rubric.adopted", 0): RecordsToDelete(before_offset=1)})
    await admin.close()
    code, output = await city.audit()
    assert code == 2
    assert "begins at offset 1" in output


async def test_what_the_log_has_lost_is_rebuilt_from_the_warehouse_and_from_nothing_else(
    city: City, tmp_path: Path
) -> None:
    url, contents = await house_of(city, tmp_path)
    settings, engine = kafka_settings(city.stack, "evaluation"), rebuilding(city)
    admin = AIOKafkaAdminClient(**connection_options(kafka_settings(city.stack, "admin")))
    await admin.start()
    parts = {
        part: RecordsToDelete(before_offset=-1)
        for part in (TopicPartition("case.filed", n) for n in range(12))
    }
    await admin.delete_records(parts)
    await admin.close()
    with pytest.raises(NoRebuild, match=r"the log of case\.filed begins at"):
        await Rebuild(engine, settings).run()
    found = await Rebuild(engine, settings).run(reading.records(url, contents, TYPES), contents.positions)
    await engine.dispose()
    assert found.differing == []
    assert found.rows > 0
