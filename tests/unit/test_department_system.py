"""The department system that integrators copy repeats nothing wrongly, stops at nothing, and tells nobody's words."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiokafka.errors import KafkaConnectionError
from hypothesis import given
from hypothesis import strategies as st

from examples.department_system import department_system as example

YEARS_END = datetime(2022, 6, 16, 10, 0, tzinfo=UTC)
WORDS = "张三家门口的路灯不亮"


@dataclass
class Broker:
    """Takes records as a producer does; `broken` after that many, if set."""

    sent: list[tuple[str, dict[str, Any], bytes]] = field(default_factory=list)
    broken_after: int | None = None

    async def send(self, topic: str, *, value: bytes, key: bytes, headers: Any) -> asyncio.Future[None]:
        assert headers == example.JSON_EVENT
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.broken_after is not None and len(self.sent) >= self.broken_after:
            raise KafkaConnectionError
        self.sent.append((topic, json.loads(value), key))
        acknowledged.set_result(None)
        return acknowledged

    @property
    def replies(self) -> list[dict[str, Any]]:
        return [reply for _, reply, _ in self.sent]


@dataclass
class Record:
    value: bytes | None


def _options(**more: Any) -> argparse.Namespace:
    return argparse.Namespace(
        **{"door": "kafka", "return_share": 0.0, "live_seconds": 0.0, "simulated_until": None, **more}
    )


def _dossier(case_id: str | None = None, at: str = "2021-09-01T09:00:00+08:00", **more: Any) -> Record:
    message = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/services/cases",
        "type": "department.routed",
        "time": at,
        "data": {"case_id": case_id or str(uuid4()), "title": WORDS, "text": WORDS},
        **more,
    }
    return Record(json.dumps(message).encode())


async def _handled(
    department: example.Department, records: list[Record], broker: Broker | None = None
) -> Broker:
    broker = broker or Broker()
    await department._handle(records, broker)
    return broker


@given(seed=st.text(), share=st.floats(0, 1))
def test_the_same_dossier_is_always_handled_alike(seed: str, share: float) -> None:
    assert example.steps_for(seed, share) == example.steps_for(seed, share)


@given(seed=st.text())
def test_the_return_share_is_between_never_and_always(seed: str) -> None:
    assert [step[0] for step in example.steps_for(seed, 0.0)] == ["accept", "answer"]
    assert [step[0] for step in example.steps_for(seed, 1.0)] == ["return"]


@given(
    routed=st.datetimes(datetime(2021, 7, 15), datetime(2022, 6, 16, 10), timezones=st.just(UTC)),  # noqa: DTZ001
    hours=st.floats(0.01, 6),
    days=st.floats(0.01, 5),
)
def test_simulated_steps_rise_and_stay_inside_the_year(routed: datetime, hours: float, days: float) -> None:
    first, second = timedelta(hours=hours), timedelta(hours=hours, days=days)
    accepted = example.simulated_time(routed, first, YEARS_END)
    answered = example.simulated_time(routed, second, YEARS_END)
    assert routed <= accepted <= answered <= YEARS_END


@given(value=st.none() | st.binary() | st.text().map(str.encode) | st.recursive(
    st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
).map(lambda x: json.dumps(x).encode()))  # fmt: skip
def test_what_is_no_message_is_passed_over(value: bytes | None) -> None:
    assert example.read_event(value) is None


async def test_a_dossier_is_accepted_and_answered_on_the_departments_own_topic() -> None:
    record = _dossier(correlationid="first", traceparent="00-1-2-01")
    dossier = json.loads(record.value or b"")
    broker = await _handled(example.Department("housing", {}, _options()), [record])
    assert [topic for topic, _, _ in broker.sent] == ["department.housing.replies"] * 2
    assert [reply["type"] for reply in broker.replies] == ["case.accept", "case.answer"]
    for _, reply, key in broker.sent:
        assert reply["subject"] == dossier["data"]["case_id"] == key.decode()
        assert (reply["causationid"], reply["correlationid"]) == (dossier["id"], "first")
        assert reply["traceparent"] == "00-1-2-01"
    assert broker.replies[1]["data"]["result"] in {"solved", "explained", "unsolved"}


async def test_a_dossier_that_arrives_again_is_answered_once() -> None:
    department, record = example.Department("housing", {}, _options()), _dossier()
    assert len((await _handled(department, [record, record])).sent) == 2
    assert (await _handled(department, [record])).sent == []


async def test_after_a_restart_the_same_replies_go_out_under_the_same_ids() -> None:
    records = [_dossier() for _ in range(20)]
    options = _options(return_share=0.3)
    before = await _handled(example.Department("housing", {}, options), records)
    after = await _handled(example.Department("housing", {}, options), records)

    def what(broker: Broker) -> list[tuple[str, str, Any]]:
        return sorted((reply["id"], reply["type"], reply["data"]) for reply in broker.replies)

    assert what(before) == what(after)
    assert len({reply["id"] for reply in before.replies}) == len(before.replies)


async def test_a_batch_cut_short_by_the_broker_is_repeated_whole_and_alike() -> None:
    department = example.Department("housing", {}, _options(return_share=0.5))
    records = [_dossier() for _ in range(10)]
    cut_short = Broker(broken_after=4)
    with pytest.raises(KafkaConnectionError):
        await _handled(department, records, cut_short)
    whole = await _handled(department, records)
    assert [reply["id"] for reply in whole.replies][:4] == [reply["id"] for reply in cut_short.replies]
    assert {reply["subject"] for reply in whole.replies} == {
        json.loads(record.value or b"")["data"]["case_id"] for record in records
    }


async def test_a_case_handed_back_that_comes_again_is_handled() -> None:
    department = example.Department("housing", {}, _options(return_share=1.0))
    case_id = str(uuid4())
    first = await _handled(department, [_dossier(case_id)])
    again = await _handled(department, [_dossier(case_id)])
    assert [reply["type"] for reply in first.replies] == ["case.return"]
    assert [reply["type"] for reply in again.replies] == ["case.accept", "case.answer"]


async def test_what_is_in_dispute_is_handed_back_until_this_department_is_designated() -> None:
    department, case_id = example.Department("housing", {}, _options()), str(uuid4())
    disputed = {"case_id": case_id, "title": "桥", "text": f"桥上灯不亮。{example.DISPUTED}。"}
    broker = await _handled(department, [_dossier(data=disputed)])
    broker = await _handled(department, [_dossier(data=disputed)], broker)
    gone_up = {"case_id": case_id, "reply_id": str(uuid4()), "code": "designated", "detail": "x"}
    broker = await _handled(department, [_dossier(type="department.refused", data=gone_up)], broker)
    assert [reply["type"] for reply in broker.replies] == [*["case.return"] * 2, "case.accept", "case.answer"]
    assert {reply["subject"] for reply in broker.replies} == {case_id}


@pytest.mark.parametrize("decision", ["extension-granted", "extension-refused"])
async def test_where_many_are_concerned_time_is_asked_for_and_the_answer_follows_the_decision(
    decision: str,
) -> None:
    department, case_id = example.Department("housing", {}, _options()), str(uuid4())
    many = {"case_id": case_id, "title": "桥", "text": f"涉及{example.CONCERNS_MANY}。"}
    broker = await _handled(department, [_dossier(data=many)])
    assert [reply["type"] for reply in broker.replies] == ["case.accept", "case.ask-extension"]
    told = {"case_id": case_id, "step": decision}
    broker = await _handled(department, [_dossier(type="department.told", data=told)], broker)
    assert broker.replies[-1]["type"] == "case.answer"
    again = await _handled(department, [_dossier(data={**many, "again": True})])
    assert [reply["type"] for reply in again.replies] == ["case.accept", "case.answer"]


@pytest.mark.parametrize(
    ("words", "wait", "news"),
    [
        (example.INCOMPLETE, "case.ask", "supplied"),
        (example.INCOMPLETE, "case.ask", "resumed"),
        (example.TOGETHER, "case.progress", "opinion"),
    ],
)
async def test_what_has_to_wait_for_somebody_is_answered_when_that_is_told(
    words: str, wait: str, news: str
) -> None:
    department, case_id = example.Department("housing", {}, _options()), str(uuid4())
    case = {"case_id": case_id, "title": "桥", "text": f"桥上灯不亮。{words}。"}
    broker = await _handled(department, [_dossier(data=case)])
    assert [reply["type"] for reply in broker.replies] == ["case.accept", wait]
    told = {"case_id": case_id, "step": news}
    broker = await _handled(department, [_dossier(type="department.told", data=told)], broker)
    assert broker.replies[-1]["type"] == "case.answer"


async def test_what_is_anothers_business_waits_for_staff_and_is_answered_where_they_move_it() -> None:
    case = {"case_id": str(uuid4()), "title": "桥", "text": f"{example.ELSEWHERE}。"}
    first = await _handled(example.Department("housing", {}, _options()), [_dossier(data=case)])
    assert [reply["type"] for reply in first.replies] == ["case.accept", "case.progress"]
    moved = {**case, "reason": "transferred by staff"}
    second = await _handled(example.Department("transport", {}, _options()), [_dossier(data=moved)])
    assert [reply["type"] for reply in second.replies] == ["case.accept", "case.answer"]


async def test_a_co_handler_gives_its_opinion_and_nothing_else() -> None:
    case = {"case_id": str(uuid4()), "title": "桥", "text": example.TOGETHER, "role": "co-handler"}
    broker = await _handled(example.Department("housing", {}, _options()), [_dossier(data=case)])
    assert [reply["type"] for reply in broker.replies] == ["case.opinion"]


def _motion(role: str = "lead", round_: int = 1, **more: Any) -> Record:
    data = {"motion_id": str(uuid4()), "role": role, "round": round_, "title": WORDS, "text": WORDS, **more}
    return _dossier(type="department.motion", data=data)


async def test_a_motion_is_answered_after_a_contact_and_what_is_promised_has_a_date(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIMULATION_TOKEN", "token")
    department = example.Department("housing", {}, _options(simulated_until=YEARS_END))
    for _ in range(30):
        contact, answer = (await _handled(department, [_motion(secret=True)])).replies
        assert (contact["type"], answer["type"]) == ("motion.contact", "motion.answer")
        assert datetime.fromisoformat(contact["time"]) < datetime.fromisoformat(answer["time"])
        assert "2021-09-01" < contact["data"]["on"] <= contact["time"][:10] < answer["time"][:10]
        assert answer["data"]["public"] is False, "the answer to a secret motion"
        promises = answer["data"].get("promises", [])
        assert bool(promises) == (answer["data"]["result"] in example.PROMISING)
        assert all(promise["due"] > answer["time"][:10] for promise in promises)
    (opinion,) = (await _handled(department, [_motion("co-handler")])).replies
    assert opinion["type"] == "motion.opinion"


async def test_only_the_simulated_year_carries_a_claimed_time_and_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIMULATION_TOKEN", "token")
    department = example.Department("housing", {}, _options(simulated_until=YEARS_END))
    in_the_year = (await _handled(department, [_dossier()])).replies
    after_it = (await _handled(department, [_dossier(at="2022-06-16T18:00:01+08:00")])).replies
    assert all(reply["actortoken"] == "token" for reply in in_the_year)
    times = [datetime.fromisoformat(reply["time"]) for reply in in_the_year]
    assert datetime.fromisoformat("2021-09-01T09:00:00+08:00") < times[0] < times[1] < YEARS_END
    assert not any("actortoken" in reply for reply in after_it)
    assert all(datetime.fromisoformat(reply["time"]).year > 2022 for reply in after_it)


async def test_poison_costs_no_neighbour() -> None:
    good = _dossier()
    poison = [Record(None), Record(b"\xff"), Record(b"[]"), Record(b'{"id": "1", "time": "2021-01-01"}')]
    unknown = _dossier(type="department.something-new")
    broker = await _handled(example.Department("housing", {}, _options()), [*poison, unknown, good])
    assert len(broker.sent) == 2


async def test_a_refusal_is_told_and_no_word_of_a_case_is(capsys: pytest.CaptureFixture[str]) -> None:
    data = {"case_id": "the-case", "reply_id": "the-reply", "code": "not-your-case", "detail": WORDS}
    refused = _dossier(type="department.refused", data=data)
    broker = await _handled(example.Department("housing", {}, _options()), [refused, _dossier()])
    said = capsys.readouterr().out
    assert "not-your-case" in said
    assert "the-case" in said
    assert WORDS not in said
    assert len(broker.sent) == 2


@pytest.mark.parametrize(
    ("arguments", "environment", "complaint"),
    [
        ([], {}, "--departments-file"),
        (["--departments-file", "x"], {}, "KAFKA_BOOTSTRAP_SERVERS"),
        (["--departments-file", "x", "--door", "http"], {}, "GATEWAY_URL"),
        (
            ["--departments-file", "x", "--simulated-until", "2022-06-16T18:00:00+08:00"],
            {"KAFKA_BOOTSTRAP_SERVERS": "x"},
            "SIMULATION_TOKEN",
        ),
        (["--departments-file", "x", "--simulated-until", "2022-06-16"], {}, "simulated-until"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused_with_its_reason(
    arguments: list[str],
    environment: dict[str, str],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "GATEWAY_URL", "SIMULATION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["department_system.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        example.read_options()
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


class SmallGateway:
    """Two cases of one department, and what was posted about them."""

    def __init__(self) -> None:
        self.cases = [
            {"id": "new", "state": "routed", "returned": 0},
            {"id": "left-over", "state": "accepted", "returned": 0},
        ]
        self.posted: list[tuple[str, str, str]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/token", self.token)
        app.router.add_get("/api/cases", self.listed)
        app.router.add_post("/api/cases/{id}/{step}", self.step)
        return app

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        known = (form["grant_type"], form["username"], form["password"]) == ("password", "housing", "secret")
        return web.json_response({"access_token": "token"}, status=200 if known else 401)

    async def listed(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer token"
        found = [case for case in self.cases if case["state"] == request.query["state"]]
        return web.json_response({"items": found, "total": len(found)})

    async def step(self, request: web.Request) -> web.Response:
        case_id, step = request.match_info["id"], request.match_info["step"]
        self.posted.append((case_id, step, request.headers["Idempotency-Key"]))
        case = next(case for case in self.cases if case["id"] == case_id)
        case["state"] = {"accept": "accepted", "answer": "answered"}[step]
        return web.json_response({"id": case_id})


@pytest_asyncio.fixture
async def small() -> AsyncIterator[tuple[SmallGateway, str]]:
    gateway = SmallGateway()
    async with TestServer(gateway.app()) as server:
        yield gateway, str(server.make_url(""))


async def test_over_http_new_cases_are_accepted_and_answered_and_left_over_ones_finished(
    small: tuple[SmallGateway, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, url = small
    monkeypatch.setenv("GATEWAY_URL", url)
    credentials = {"username": "housing", "password": "secret"}
    serving = asyncio.create_task(
        example.Department("housing", credentials, _options(door="http", live_seconds=0.01)).serve()
    )
    await _until(lambda: all(case["state"] == "answered" for case in gateway.cases))
    serving.cancel()
    assert [(case, step) for case, step, _ in gateway.posted] == [
        ("left-over", "answer"),
        ("new", "accept"),
        ("new", "answer"),
    ]
    assert gateway.posted[1][2] == example.reply_id("new/0", "accept")


async def test_over_http_a_gateway_that_refuses_the_sign_in_is_asked_again(
    small: tuple[SmallGateway, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, url = small
    monkeypatch.setenv("GATEWAY_URL", url)
    department = example.Department(
        "housing", {"username": "housing", "password": "wrong"}, _options(door="http")
    )
    with pytest.raises(aiohttp.ClientResponseError):
        await department._serve_http()
    serving = asyncio.create_task(department.serve())
    said: list[str] = []

    def told() -> bool:
        said.append(capsys.readouterr().out)
        return "trying again" in "".join(said)

    await _until(told)
    serving.cancel()
    assert "wrong" not in "".join(said)


class DepartmentsFile:
    """A file that changes while it is read again and again; None: not there."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.reads = 0

    def read_text(self, encoding: str) -> str:
        assert encoding == "utf-8"
        self.reads += 1
        if self.text is None:
            raise FileNotFoundError
        return self.text

    async def change(self, text: str) -> None:
        """Change it and wait until it has been read."""
        self.text, before = text, self.reads
        await _until(lambda: self.reads > before)


async def test_departments_of_the_file_are_served_as_they_come_and_go_until_sigterm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    serving: set[str] = set()

    async def serve(department: example.Department) -> None:
        serving.add(department.code)
        try:
            await asyncio.Event().wait()
        finally:
            serving.discard(department.code)

    monkeypatch.setattr(example.Department, "serve", serve)
    file = DepartmentsFile()
    running = asyncio.create_task(example.main(_options(departments_file=file, department=None)))
    await _until(lambda: file.reads > 0)
    await file.change('{"housing": {}}')
    await _until(lambda: serving == {"housing"})
    await file.change('{"housing": {}, "labour": {')  # half written
    assert serving == {"housing"}
    await file.change('{"housing": {}, "labour": {}}')
    await _until(lambda: serving == {"housing", "labour"})
    await file.change('{"labour": {}}')
    await _until(lambda: serving == {"labour"})
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(60):
        await running
    assert serving == set()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited for a minute"
        await asyncio.sleep(0.01)
