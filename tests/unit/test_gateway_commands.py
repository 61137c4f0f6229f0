"""From a request to a command: who sent what is told apart, and whatever is sent a service can read."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.commands import canonical
from gateway.reads import joined
from gateway.stream import Hints
from gateway.writes import WRITES
from shared.contracts.cases import FileCase
from shared.contracts.envelope import Actor
from shared.contracts.operations import Problem
from shared.contracts.registry import declaration_of
from shared.messaging.clock import BusinessClock
from shared.messaging.outcomes import CommandPost
from shared.messaging.received import Decoder, Received, fingerprint_of
from shared.security.sealing import Opener, new_private_key
from shared.telemetry.health import Health
from shared.testing.messages import HandRecord, encoded
from tests.gateway_door import Door, door, refused
from tests.gateway_door import settings as gateway_settings

CASE = {"title": "井盖", "text": "路口窨井盖破损。", "county": "330203"}
SUBJECT = "018f3a00-0000-7000-8000-00000000aaaa"
DUTY = {"kind": "visit", "happened_on": "2021-09-01", "note": "走访三户"}
COURSE: dict[str, Any] = {
    "title": "代表法",
    "lessons": [{"key": "l-1", "title": "总则", "minutes": 20}],
    "quiz": [{"key": "q-1", "text": "几年一届", "options": ["三", "五"], "answer": 1}],
}
BODIES: dict[str, dict[str, Any]] = {
    "AdoptCatalogue": {"title": "派单目录", "begins": "2022-01-01", "rules": []},
    "RouteCase": {"department": "roads", "reason": "归口"},
    "TransferCase": {"department": "roads", "reason": "职责调整"},
    "TakeUpConcern": {"category": "城乡建设"},
    "ReferBill": {"committee": "城建环资委员会"},
    "AdviseOnBill": {"advice": "agenda", "text": "建议列入常委会会议议程。"},
    "DecideOnBill": {"decision": "agenda"},
    "ConcludeBill": {"outcome": "passed"},
    "ExplainConcern": {"text": "已列入计划"},
    "DeclineConcern": {"reason": "正在审理"},
    "ProgressCase": {"text": "已派人查看"},
    "AskFiler": {"text": "请补充位置"},
    "ReturnCase": {"reason": "不属本单位"},
    "AskExtension": {"days": 5, "reason": "待采购"},
    "DecideExtension": {"granted": True},
    "CoHandle": {"departments": ["parks"]},
    "GiveOpinion": {"text": "同意"},
    "ReopenCase": {"reason": "问题仍在"},
    "UrgeCase": {},
    "SuperviseCase": {"reason": "反映强烈"},
    "WithdrawCase": {},
    "MergeCase": {"into": "0192f0a0-0000-7000-8000-000000000102"},
    "NoteInArchive": {
        "deputy_id": SUBJECT,
        "part": "honours",
        "happened_on": "2021-06-01",
        "title": "优秀代表",
    },
    "StrikeNote": {"reason": "记错了人"},
    "AppealScore": {
        "kind": "wrong",
        "item": "case-filed",
        "evidence": SUBJECT,
        "happened_on": "2021-06-01",
        "reason": "重复计算",
    },
    "DecideAppeal": {"upheld": True, "points": 200, "evidence": "c/1", "reason": "属实"},
    "GatherCases": {"cases": ["0192f0a0-0000-7000-8000-000000000103"], "reason": "同一处"},
    "AnswerCase": {"result": "solved", "text": "已修复"},
    "CloseCase": {"result": None},
    "RateCase": {"stars": 5},
    "ReplayWebhook": {"delivery": "0192f0a0-0000-7000-8000-000000000103"},
    "RegisterDepartment": {"name": "市政", "categories": ["城乡建设"], "counties": [], "state": "active"},
    "RegisterStaff": {"name": "李四", "organisation": "330200"},
    "RegisterStation": {"name": "高桥镇代表联络站", "town": "330203100"},
    "ReferCase": {"case_id": str(SUBJECT), "reason": "多人反映"},
    "InviteCosigners": {"deputies": [str(SUBJECT)]},
    "CosignMotion": {"digest": "a" * 64},
    "SubmitMotion": {"informed": True},
    "WithdrawMotion": {"reason": "已解决"},
    "GiveBackMotion": {"reason": "请补充方案"},
    "AcceptMotion": {"number": "12"},
    "RefuseMotion": {"ground": "personal"},
    "AssignMotion": {"lead": "roads", "co_handlers": ["housing"]},
    "ObjectToMotion": {"reason": "职责不符"},
    "ContactDeputy": {"on": "2022-03-04", "form": "face-to-face"},
    "GiveMotionOpinion": {"text": "同意"},
    "AskMotionExtension": {"more": 1, "reason": "涉及面广"},
    "DecideMotionExtension": {"granted": True},
    "AnswerMotion": {
        "result": "B",
        "text": "已列入计划",
        "signed_by": "局长",
        "promises": [{"text": "年底完成", "due": "2022-12-31"}],
    },
    "SuperviseMotion": {"reason": "群众关注"},
    "RateMotion": {"ratings": {"attitude": "satisfied", "result": "satisfied"}},
    "ReportPromise": {"promise": 1, "outcome": "kept", "text": "已完成"},
    "RatePromise": {"promise": 1, "rating": "satisfied"},
    "AnnounceActivity": {
        "title": "视察",
        "kind": "theme",
        "starts_at": "2021-09-01T09:00:00+08:00",
        "ends_at": "2021-09-01T11:00:00+08:00",
    },
    "CheckIn": {"code": "1234"},
    "OpenConsultation": {
        "title": "条例",
        "kind": "legislation",
        "questions": [{"key": "q-1", "text": "同意吗", "kind": "choice", "options": ["是", "否"]}],
        "closes_at": "2021-10-01T00:00:00+08:00",
    },
    "AnswerConsultation": {"answers": {"q-1": "是"}},
    "DeclareDuty": DUTY,
    "RejectDuty": {"reason": "重复"},
    "PublishCourse": COURSE,
    "DraftCourse": COURSE,
    "WriteLesson": {"lesson": "l-1", "title": "总则", "text": "代表依照代表法执行职务。"},
    "RecordProgress": {"lessons": ["l-1"], "answers": {"q-1": 1}},
}


@pytest.fixture
def at() -> Door:
    return door()


async def _read_by_its_service(at: Door) -> Received[Any]:
    """The last command, as the front door of the service on whose topic it was put reads it."""
    topic, command = at.post.sent[-1]
    decoder = Decoder(topic.removesuffix(".commands"), at.verifier, BusinessClock("append"))
    unit = await decoder.decode(HandRecord(topic, encoded(command)))
    assert isinstance(unit, Received), unit
    return unit


async def test_every_route_reaches_the_owner_of_its_command_who_can_read_it(at: Door) -> None:
    for write in WRITES:
        declaration = declaration_of(write.command)
        path = write.path.format(subject="roads" if write.code else SUBJECT)
        said = await at.ask(
            write.method,
            f"/api{path}",
            role=min(declaration.roles),
            content=BODIES.get(write.command.__name__),
        )
        assert said.status == 200, (path, said.body)
        assert at.post.sent[-1][0] == f"{declaration.owner}.commands"
        assert isinstance((await _read_by_its_service(at)).data, write.command)


async def test_every_route_is_closed_to_roles_that_the_contract_does_not_name(at: Door) -> None:
    for write in WRITES:
        declaration = declaration_of(write.command)
        others = sorted({"deputy", "staff", "department", "operator"} - declaration.roles)
        path = write.path.format(subject="roads" if write.code else SUBJECT)
        said = await at.ask(
            write.method,
            f"/api{path}",
            token=at.token(*others),
            content=BODIES.get(write.command.__name__),
        )
        assert (said.status, said.code) == (403, "role-not-allowed"), path
    assert at.post.sent == []


texts = st.text(max_size=40)


@settings(max_examples=80)
@given(
    st.fixed_dictionaries(
        {"title": texts, "text": texts, "county": st.just("330203") | texts},
        optional={"contact": st.none() | texts, "town": texts, "category": texts, "origin": texts},
    )
)
async def test_any_case_is_refused_with_a_code_or_can_be_read_by_cases(body: dict[str, Any]) -> None:
    at = door()
    said = await at.ask("POST", "/api/cases", role="deputy", content=body)
    if said.status == 200:
        data = (await _read_by_its_service(at)).data
        assert isinstance(data, FileCase)
        assert at.services.opener.open(data.sealed)["text"] == body["text"]
    else:
        assert said.status == 422
        assert said.code


async def test_the_same_id_and_body_of_two_people_are_two_commands(at: Door) -> None:
    # A gateway tells outcomes apart by id and digest: were they the same, one would be told the other's.
    path = f"/api/activities/{SUBJECT}/sign-up"
    headers = {"Idempotency-Key": str(uuid4())}
    for person in (uuid4(), uuid4()):
        await at.ask("POST", path, token=at.issuer.token(person, "deputy"), headers=headers)
    (_, one), (_, other) = at.post.sent
    assert one.id == other.id
    assert fingerprint_of(one) != fingerprint_of(other)


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
contents = st.dictionaries(words, st.recursive(st.integers() | words, st.lists), min_size=1, max_size=6)


@given(contents, contents)
def test_content_has_one_canonical_form_whatever_its_order_and_no_other_has_it(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert canonical(one) == canonical(dict(reversed(one.items())))
    assert (canonical(one) == canonical(other)) is (one == other)


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity"])
async def test_a_number_that_is_none_is_refused_and_does_not_become_nothing(at: Door, value: bytes) -> None:
    raw = b'{"effective_from": "2022-01-01", "rubric": {"points": ' + value + b"}}"
    said = await at.ask("POST", "/api/rubrics", raw=raw)
    assert (said.status, said.code) == (422, "text-not-allowed")
    assert at.post.sent == []


@pytest.mark.parametrize("sign", ["\x01", "\x0b", "\x1f", "\x7f"])
async def test_control_characters_are_refused_and_line_ends_are_not(at: Door, sign: str) -> None:
    said = await at.ask("POST", "/api/duties", role="deputy", content={**DUTY, "note": f"a{sign}b"})
    assert (said.status, said.code) == (422, "text-not-allowed")
    note = "一\n二\t三\r\n"
    said = await at.ask("POST", "/api/duties", role="deputy", content={**DUTY, "note": note})
    assert said.status == 200
    assert at.post.sent[-1][1].data["note"] == note


async def test_who_may_not_file_does_not_even_get_words_sealed(at: Door) -> None:
    said = await at.ask("POST", "/api/cases", role="staff", content=CASE)
    assert said.code == "role-not-allowed"
    assert at.services.asked == []


async def test_after_words_unreadable_the_services_new_key_is_fetched(at: Door) -> None:
    await at.ask("POST", "/api/cases", role="deputy", content=CASE)
    at.services.opener = Opener(new_private_key())
    unreadable = Problem(code="words-unreadable", kind="invalid", detail="Seal them anew.")
    accepts, at.post.outcome = (
        at.post.outcome,
        lambda command: refused("invalid")(command).model_copy(update={"problem": unreadable}),
    )
    said = await at.ask("POST", "/api/cases", role="deputy", content=CASE)
    assert said.code == "words-unreadable"
    at.post.outcome = accepts
    await at.ask("POST", "/api/cases", role="deputy", content=CASE)
    sealed = at.post.sent[-1][1].data["sealed"]
    assert at.services.opener.open(sealed)["text"] == CASE["text"]


async def test_a_rubric_is_keyed_by_its_name(at: Door) -> None:
    body = {"effective_from": "2022-01-01", "rubric": {"name": "ningbo", "points": 1.5}}
    said = await at.ask("POST", "/api/rubrics", content=body)
    assert said.body["id"] == "ningbo"
    assert at.post.sent[-1][1].data == body


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
async def test_a_simulated_time_at_the_end_of_all_calendars_is_refused(moment: str) -> None:
    at = door(allow_simulated_time=True)
    token = at.token("deputy", simulated=True)
    headers = {"Simulated-Time": moment}
    said = await at.ask("POST", "/api/duties", token=token, headers=headers, content=DUTY)
    assert (said.status, said.code) == (422, "simulated-time-malformed")


async def test_a_request_is_logged_by_its_route_and_its_commands_id(at: Door) -> None:
    with capture_logs() as logs:
        await at.ask("POST", "/api/duties?q=secret", role="deputy", content=DUTY)
        await at.ask("GET", "/api/codes/secret", role=None)
        await at.ask("GET", "/secret")
        await at.ask("GET", "/livez", role=None)
    told = [one for one in logs if one["event"] == "request"]
    assert [(one["method"], one["route"], one["status"]) for one in told] == [
        ("POST", "/api/duties", 200),
        ("GET", "/api/codes/{code}", 200),
        ("GET", "none", 404),
    ]
    assert told[0]["correlationid"] == str(at.post.sent[-1][1].id)
    assert "secret" not in json.dumps(told)


def test_a_services_lag_is_the_sum_of_its_replicas_and_unknown_where_one_does_not_know() -> None:
    one = {"ready": True, "reasons": {}, "lag": {"cases.commands": 3, "cases": 0}, "outbox": 2}
    other = {"ready": True, "reasons": {}, "lag": {"cases.commands": 4, "cases": None}, "outbox": 2}
    assert joined([one, other]) == {
        "ready": True,
        "reasons": {},
        "lag": {"cases.commands": 7, "cases": None},
        "outbox": 2,
    }
    found = joined([one, {"ready": False, "reasons": {"cases": "away"}}])
    assert not found["ready"]
    assert found["reasons"] == {"cases": "away"}


async def test_a_producer_that_could_not_start_is_not_used() -> None:
    post = CommandPost(gateway_settings(kafka_bootstrap_servers="127.0.0.1:1"), Health())
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        await post.start()
    with pytest.raises(RuntimeError):
        _ = post.client


async def test_a_stream_ends_after_its_time_so_that_a_lost_right_ends_it_too() -> None:
    hints = Hints(gateway_settings(stream_seconds_max=0.05))
    heard = [one async for one in _within(60, hints.stream(Actor("s", frozenset({"staff"}))))]
    assert heard == []
    assert not hints._clients
    assert not hints._by_audience


async def _within(seconds: float, stream: Any) -> Any:
    async with asyncio.timeout(seconds):
        async for one in stream:
            yield one
