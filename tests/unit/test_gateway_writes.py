"""The gateway's writes: who may, what is refused before it is sent, what is sent, and how outcomes are answered."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError
from hypothesis import given
from hypothesis import strategies as st

from gateway.sealing import Seals
from shared.contracts.registry import Role
from shared.http.problems import Problem
from shared.messaging.outcomes import CommandPost, TooManyWaiting
from shared.messaging.received import fingerprint_of
from shared.telemetry.health import Health
from shared.testing.issuer import Issuer
from tests.gateway_door import Door, HandServices, accepted, door, refused, settings

# In names of tests, which must be the same in every process that collects them.
SOME_ID = str(UUID(int=7))
CASE = {"title": "井盖", "text": "路口窨井盖破损。", "contact": "13800000000", "county": "330203"}


@pytest.fixture
def at() -> Door:
    return door()


# -- who ---------------------------------------------------------------------------------------------


async def test_a_write_without_a_token_is_401_with_a_challenge(at: Door) -> None:
    said = await at.ask("POST", "/api/cases", role=None, content=CASE)
    assert (said.status, said.code) == (401, "not-signed-in")
    assert said.headers["www-authenticate"] == "Bearer"
    assert at.post.sent == []


@pytest.mark.parametrize("scheme", ["Basic abc", "Bearer", "Bearer ", "abc"])
async def test_only_a_bearer_token_signs_in(at: Door, scheme: str) -> None:
    said = await at.ask("GET", "/api/me", role=None, headers={"authorization": scheme})
    assert (said.status, said.code) == (401, "not-signed-in")


def _unsigned(person: object) -> str:
    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    now = int(datetime.now(UTC).timestamp())
    claims = {"iss": "daibiaotong-identity", "aud": "daibiaotong", "sub": str(person), "roles": ["staff"]}
    return f"{part({'alg': 'none', 'kid': 'test'})}.{part({**claims, 'iat': now, 'exp': now + 900})}."


@pytest.mark.parametrize("fault", ["expired", "forged", "unsigned", "cut"])
async def test_an_expired_or_forged_token_is_401_and_changes_nothing(at: Door, fault: str) -> None:
    token = {
        "expired": at.token("deputy", issued_at=datetime.now(UTC).timestamp() - 3600),
        "forged": Issuer().token(at.person, "deputy"),  # another key under the same key id
        "unsigned": _unsigned(at.person),
        "cut": at.token("deputy")[:-4],
    }[fault]
    said = await at.ask("POST", "/api/cases", token=token, content=CASE)
    assert (said.status, said.code) == (401, "token-not-valid")
    assert token not in said.raw.decode()
    assert at.post.sent == []


@given(st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), min_size=1, max_size=200))
async def test_no_token_makes_the_gateway_fail(token: str) -> None:
    said = await door().ask("GET", "/api/me", token=token)
    assert said.status == 401


async def test_while_identity_is_away_a_token_of_an_unknown_key_is_503_not_401(at: Door) -> None:
    at.verifier.away = True
    said = await at.ask("GET", "/api/me", token=Issuer().token(at.person, "deputy"))
    assert (said.status, said.code) == (503, "identity-away")


ROLE_OF_ROUTE: list[tuple[str, str, Any, Role]] = [
    ("POST", "/api/cases", CASE, "staff"),
    ("POST", f"/api/cases/{SOME_ID}/route", {"department": "housing"}, "deputy"),
    ("POST", f"/api/cases/{SOME_ID}/accept", None, "deputy"),
    ("POST", f"/api/cases/{SOME_ID}/rate", {"stars": 5}, "department"),
    ("PUT", "/api/departments/housing", {"name": "住建局"}, "deputy"),
    ("PUT", f"/api/staff/{SOME_ID}", {"name": "王芳", "organisation": "3302"}, "department"),
    ("POST", f"/api/duties/{SOME_ID}/confirm", None, "deputy"),
    ("POST", "/api/rubrics", {"effective_from": "2022-01-01", "rubric": {}}, "deputy"),
    ("POST", f"/api/operations/cases/dead-letters/{SOME_ID}/replay", None, "staff"),
    ("PUT", "/api/me/password", {"login": "wang", "password": "a-long-password"}, "simulation"),
]


@pytest.mark.parametrize(("method", "path", "content", "role"), ROLE_OF_ROUTE)
async def test_the_wrong_role_is_403_and_sends_nothing(
    at: Door, method: str, path: str, content: Any, role: Role
) -> None:
    said = await at.ask(method, path, role=role, content=content)
    assert (said.status, said.code) == (403, "role-not-allowed")
    assert at.post.sent == []


# -- what --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"{", b"not json", b'{"title": }', b"\x00", b'{"a":1}x'])
async def test_malformed_json_is_400(at: Door, raw: bytes) -> None:
    said = await at.ask("POST", "/api/cases", role="deputy", raw=raw)
    assert (said.status, said.code) == (400, "malformed-json")


@pytest.mark.parametrize("raw", [b'{"title":"\xff"}', b"[" * 100_000, b'{"title":' + b"9" * 5000 + b"}"])
async def test_bytes_that_no_parser_takes_are_400(at: Door, raw: bytes) -> None:
    said = await at.ask("POST", "/api/cases", role="deputy", raw=raw)
    assert said.status == 400
    assert said.code in {"malformed-json", "bad-request"}


@pytest.mark.parametrize(
    ("path", "content", "place"),
    [
        ("/api/cases", {**CASE, "deputy_id": "x"}, "body.deputy_id"),
        (
            "/api/cases",
            {**CASE, "position": {"latitude": 30, "longitude": 121, "altitude": 3}},
            "body.position.altitude",
        ),
        ("/api/courses", {"title": "a", "lessons": [], "colour": 1}, "body.colour"),
        (
            "/api/courses",
            {"title": "a", "lessons": [{"key": "a", "title": "b", "minutes": 1, "colour": 1}]},
            "body.lessons.0.colour",
        ),
        (
            "/api/consultations",
            {
                "title": "a",
                "kind": "legislation",
                "closes_at": "2022-01-01T00:00:00Z",
                "questions": [{"key": "a", "text": "b", "kind": "text", "weight": 1}],
            },
            "body.questions.0.weight",
        ),
        (f"/api/cases/{SOME_ID}/rate", {"stars": 5, "at": "now"}, "body.at"),
        ("/api/notices/mark", {"notices": [SOME_ID], "person": "x"}, "body.person"),
        ("/api/sign-in", {"login": "a", "password": "b", "remember": True}, "body.remember"),
    ],
)
async def test_an_unknown_field_is_422_that_names_its_place(
    at: Door, path: str, content: Any, place: str
) -> None:
    said = await at.ask("POST", path, role="deputy", content=content)
    assert (said.status, said.code) == (422, "invalid-request")
    assert {"place": place, "code": "extra_forbidden"} in said.body["errors"]
    assert at.post.sent == []


@pytest.mark.parametrize(
    ("path", "content", "place"),
    [
        ("/api/cases", {**CASE, "title": ""}, "body.title"),
        ("/api/cases", {**CASE, "text": "長" * 20_001}, "body.text"),
        ("/api/cases", {**CASE, "text": "bell\x07"}, "body.text"),
        ("/api/cases", {**CASE, "county": "宁波"}, "body.county"),
        ("/api/cases", {**CASE, "position": {"latitude": 90.1, "longitude": 121}}, "body.position.latitude"),
        ("/api/cases", {**CASE, "position": {"latitude": 30, "longitude": -181}}, "body.position.longitude"),
        ("/api/cases", {**CASE, "position": {"latitude": "30", "longitude": 1}}, "body.position.latitude"),
        ("/api/cases", {**CASE, "position": {"latitude": 30}}, "body.position.longitude"),
        (f"/api/cases/{SOME_ID}/rate", {"stars": 6}, "body.stars"),
        ("/api/cases/not-a-uuid/rate", {"stars": 5}, "path.subject"),
        ("/api/operations/nobody/dead-letters/" + SOME_ID + "/replay", None, "path.service"),
    ],
)
async def test_a_wrong_value_is_422_that_names_its_place(
    at: Door, path: str, content: Any, place: str
) -> None:
    said = await at.ask("POST", path, role="deputy", content=content)
    assert (said.status, said.code) == (422, "invalid-request")
    assert place in {error["place"] for error in said.body["errors"]}
    assert at.post.sent == []


_DEEP: Any = "end"
for _ in range(400):
    _DEEP = [_DEEP]


@pytest.mark.parametrize("value", ["a\0b", {"a\0": 1}, ["\\", "\0"], "\ud800", _DEEP])
async def test_what_no_service_could_keep_is_422_before_it_is_sent(at: Door, value: Any) -> None:
    content = {"effective_from": "2022-01-01", "rubric": {"name": value}}
    said = await at.ask("POST", "/api/rubrics", content=content)
    assert (said.status, said.code) == (422, "text-not-allowed")
    assert at.post.sent == []


async def test_a_backslash_before_u0000_is_text_like_any_other(at: Door) -> None:
    said = await at.ask(
        "POST", "/api/rubrics", content={"effective_from": "2022-01-01", "rubric": {"name": "\\u0000"}}
    )
    assert said.status == 200
    assert at.post.sent[0][1].data["rubric"] == {"name": "\\u0000"}


async def test_the_longest_text_that_is_allowed_can_be_sealed_and_sent(at: Door) -> None:
    said = await at.ask("POST", "/api/cases", role="deputy", content={**CASE, "text": "😀" * 20_000})
    assert said.status == 200


async def test_a_department_code_that_cannot_stand_in_a_topic_is_422(at: Door) -> None:
    for code in ("A", "housing.x", "a" * 41, "%00"):
        said = await at.ask("PUT", f"/api/departments/{code}", content={"name": "住建局"})
        assert (said.status, said.code) == (422, "invalid-request")


# -- the command's id --------------------------------------------------------------------------------


async def test_a_bad_idempotency_key_is_422(at: Door) -> None:
    said = await at.ask("POST", "/api/cases", role="deputy", content=CASE, headers={"idempotency-key": "x"})
    assert (said.status, said.code) == (422, "idempotency-key-malformed")


async def test_the_idempotency_key_is_the_commands_id_and_names_the_new_thing(at: Door) -> None:
    key = uuid4()
    said = await at.ask(
        "POST", "/api/cases", role="deputy", content=CASE, headers={"idempotency-key": str(key)}
    )
    assert said.body == {"id": str(key), "command_id": str(key), "version": 3}
    topic, command = at.post.sent[0]
    assert (topic, command.id, command.subject) == ("cases.commands", key, str(key))


async def test_the_bodys_id_names_the_new_thing_before_the_commands_id(at: Door) -> None:
    case_id = uuid4()
    said = await at.ask("POST", "/api/cases", role="deputy", content={**CASE, "id": str(case_id)})
    assert said.body["id"] == str(case_id)
    assert said.body["command_id"] != str(case_id)


async def test_without_a_key_every_command_has_an_id_of_its_own(at: Door) -> None:
    for _ in range(2):
        await at.ask("POST", "/api/cases", role="deputy", content=CASE)
    assert len({command.id for _, command in at.post.sent}) == 2


async def test_the_same_body_has_the_same_digest_under_another_seal_and_another_body_another(
    at: Door,
) -> None:
    key = {"idempotency-key": str(uuid4())}
    for text in ("一", "一", "二"):
        await at.ask("POST", "/api/cases", role="deputy", content={**CASE, "text": text}, headers=key)
    first, again, other = (command for _, command in at.post.sent)
    assert first.data["sealed"] != again.data["sealed"]
    assert first.datadigest == again.datadigest != other.datadigest
    assert fingerprint_of(first) == fingerprint_of(again) != fingerprint_of(other)


async def test_the_digest_tells_nothing_without_the_gateways_key(at: Door) -> None:
    elsewhere = door(digest_key="another key")
    for found in (at, elsewhere):
        headers = {"idempotency-key": str(UUID(int=1))}
        await found.ask("POST", "/api/cases", role="deputy", content=CASE, headers=headers)
    assert at.post.sent[0][1].datadigest != elsewhere.post.sent[0][1].datadigest


async def test_the_same_empty_body_on_another_thing_has_another_digest(at: Door) -> None:
    for _ in range(2):
        await at.ask("POST", f"/api/cases/{uuid4()}/accept", role="department")
    first, second = (command for _, command in at.post.sent)
    assert first.datadigest != second.datadigest


# -- what is sent ------------------------------------------------------------------------------------


async def test_what_a_resident_wrote_leaves_the_gateway_sealed_to_cases(at: Door) -> None:
    where = {"latitude": 29.868336, "longitude": 121.543991, "accuracy": 12}
    content = {**CASE, "origin": "resident", "position": where}
    await at.ask("POST", "/api/cases", role="deputy", content=content)
    command = at.post.sent[0][1]
    wire = command.model_dump_json()
    assert CASE["text"] not in wire
    assert CASE["contact"] not in wire
    assert "29.868" not in wire
    assert command.data["origin"] == "resident"
    assert at.services.opener.open(command.data["sealed"]) == {
        name: content[name] for name in ("title", "text", "contact", "position")
    }


async def test_a_password_leaves_the_gateway_sealed_to_identity(at: Door) -> None:
    content = {"login": "wang.fang", "password": "correct horse battery"}
    await at.ask("PUT", "/api/me/password", role="deputy", content=content)
    topic, command = at.post.sent[0]
    assert (topic, command.subject) == ("identity.commands", str(at.person))
    assert content["password"] not in command.model_dump_json()
    assert at.services.opener.open(command.data["sealed"]) == content


async def test_without_the_key_to_seal_to_nothing_is_sealed() -> None:
    services = HandServices()
    services.away.add("cases")
    with pytest.raises(Problem) as refusal:
        await Seals(services).seal("cases", {"text": "一"})
    assert (refusal.value.status, refusal.value.code) == (503, "service-away")


async def test_the_key_to_seal_to_is_fetched_once(at: Door) -> None:
    seals = Seals(at.services)
    for _ in range(2):
        assert at.services.opener.open(await seals.seal("cases", {"text": "一"})) == {"text": "一"}
    assert at.services.asked == [("cases", "/sealing-key", "")]


async def test_a_key_that_is_due_for_renewal_serves_on_while_the_service_is_away(
    at: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.sealing._KEEP_SECONDS", 0.0)
    seals = Seals(at.services)
    await seals.seal("cases", {"text": "一"})
    at.services.away.add("cases")
    assert at.services.opener.open(await seals.seal("cases", {"text": "二"})) == {"text": "二"}
    assert len(at.services.asked) == 2


async def test_a_command_carries_its_senders_token_and_joins_the_callers_trace(at: Door) -> None:
    token = at.token("deputy")
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    await at.ask(
        "POST", f"/api/cases/{uuid4()}/close", token=token, content={}, headers={"traceparent": trace}
    )
    await at.ask(
        "POST", f"/api/cases/{uuid4()}/close", token=token, content={}, headers={"traceparent": "x" * 99}
    )
    joined, alone = (command for _, command in at.post.sent)
    assert joined.actortoken == token
    assert joined.traceparent is not None
    assert joined.traceparent.split("-")[1] == "a" * 32
    assert joined.traceparent.split("-")[2] != "b" * 16
    assert alone.traceparent is not None
    assert len(alone.traceparent) == 55


async def test_a_dead_letter_is_replayed_by_the_service_that_the_path_names(at: Door) -> None:
    letter = uuid4()
    said = await at.ask("POST", f"/api/operations/learning/dead-letters/{letter}/replay", role="operator")
    assert said.status == 200
    topic, command = at.post.sent[0]
    assert (topic, command.type, command.subject) == ("learning.commands", "dead-letter.replay", str(letter))


# -- business time -----------------------------------------------------------------------------------

MOMENT = "2021-12-31T19:00:00+08:00"


async def test_only_the_simulation_may_choose_the_time_and_only_where_that_is_allowed() -> None:
    open_door, shut = door(allow_simulated_time=True), door()
    for found, simulated, status in ((shut, True, 403), (open_door, False, 403), (open_door, True, 200)):
        said = await found.ask(
            "POST",
            "/api/cases",
            token=found.token("deputy", simulated=simulated),
            content=CASE,
            headers={"simulated-time": MOMENT},
        )
        assert said.status == status
        if status == 403:
            assert said.code == "simulated-time-not-allowed"
            assert found.post.sent == []
    assert open_door.post.sent[0][1].time == datetime.fromisoformat(MOMENT)


async def test_the_simulation_itself_may_choose_the_time() -> None:
    found = door(allow_simulated_time=True)
    token = found.token("simulation", "staff")
    said = await found.ask(
        "PUT",
        "/api/departments/housing",
        token=token,
        content={"name": "住建局"},
        headers={"simulated-time": MOMENT},
    )
    assert said.status == 200


@pytest.mark.parametrize("moment", ["yesterday", "", "2021-12-31T19:00:00", "1640948400"])
async def test_a_simulated_time_without_form_or_offset_is_422(moment: str) -> None:
    found = door(allow_simulated_time=True)
    token = found.token("deputy", simulated=True)
    said = await found.ask(
        "POST", "/api/cases", token=token, content=CASE, headers={"simulated-time": moment}
    )
    assert (said.status, said.code) == (422, "simulated-time-malformed")


async def test_everybody_else_gets_the_gateways_own_time(at: Door) -> None:
    await at.ask("POST", "/api/cases", role="deputy", content=CASE)
    assert abs(at.post.sent[0][1].time - datetime.now(UTC)) < timedelta(minutes=1)


# -- outcomes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status"), [("invalid", 422), ("forbidden", 403), ("not-found", 404), ("conflict", 409)]
)
async def test_a_refusal_is_a_problem_with_the_services_code(at: Door, kind: str, status: int) -> None:
    at.post.outcome = refused(kind)
    said = await at.ask("POST", f"/api/cases/{uuid4()}/accept", role="department")
    assert (said.status, said.code, said.body["detail"]) == (status, "a-code", "What is wrong.")


async def test_a_command_at_which_the_service_failed_is_500_with_its_code(at: Door) -> None:
    at.post.outcome = refused("failed", state="failed")
    said = await at.ask("POST", f"/api/cases/{uuid4()}/accept", role="department")
    assert (said.status, said.code) == (500, "a-code")


async def test_without_an_outcome_in_time_the_answer_is_202_and_says_where_it_will_be(at: Door) -> None:
    at.post.outcome = lambda _: None
    key = uuid4()
    said = await at.ask(
        "POST", "/api/cases", role="deputy", content=CASE, headers={"idempotency-key": str(key)}
    )
    assert said.status == 202
    assert said.headers["location"] == f"/api/commands/cases/{key}"
    said = await at.ask("POST", f"/api/operations/learning/dead-letters/{uuid4()}/replay", role="operator")
    assert said.headers["location"].startswith("/api/commands/learning/")


@pytest.mark.parametrize("failure", [KafkaConnectionError(), TimeoutError()])
async def test_a_broker_that_is_away_is_503_that_says_how_to_repeat_safely(
    at: Door, failure: Exception
) -> None:
    at.post.failure = failure
    said = await at.ask("POST", f"/api/cases/{uuid4()}/accept", role="department")
    assert (said.status, said.code) == (503, "broker-away")
    assert said.headers["retry-after"] == "2"
    assert "Idempotency-Key" in said.body["detail"]


async def test_too_many_waiting_requests_are_503(at: Door) -> None:
    at.post.failure = TooManyWaiting()
    said = await at.ask("POST", f"/api/cases/{uuid4()}/accept", role="department")
    assert (said.status, said.code, said.headers["retry-after"]) == (503, "too-busy", "1")


async def test_a_command_larger_than_the_broker_takes_is_413(at: Door) -> None:
    at.post.failure = MessageSizeTooLargeError()
    said = await at.ask("POST", f"/api/cases/{uuid4()}/accept", role="department")
    assert (said.status, said.code) == (413, "too-large")


async def test_a_gateway_that_has_not_reached_the_broker_yet_says_503(
    at: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    unstarted = CommandPost(settings(), Health())
    monkeypatch.setattr(at.post, "send", unstarted.send)
    said = await at.ask("POST", f"/api/cases/{uuid4()}/accept", role="department")
    assert (said.status, said.code) == (503, "broker-away")


async def test_a_wait_is_registered_before_publishing_and_waits_are_limited(
    at: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await at.ask("POST", f"/api/cases/{uuid4()}/accept", role="department")
    command = at.post.sent[0][1]
    post = CommandPost(settings(), Health(), waiting_max=1)

    class Producer:
        """A broker that answers a command with its outcome while the gateway still publishes it."""

        async def send_and_wait(self, _: str, **__: Any) -> None:
            with pytest.raises(TooManyWaiting):
                await post.send("cases.commands", command, wait_seconds=0.01)
            outcome = accepted(command).model_copy(update={"fingerprint": fingerprint_of(command).hex()})
            told = command.model_copy(update={"data": outcome.model_dump(mode="json")})
            key = str(command.id).encode()
            post.settle(key, b"not an outcome")
            post.settle(b"another command's id", told.model_dump_json().encode())
            post.settle(key, told.model_dump_json().encode())

    monkeypatch.setattr(post, "_producer", Producer())
    outcome = await post.send("cases.commands", command, wait_seconds=5)
    assert outcome is not None
    assert outcome.state == "accepted"
    assert not post._waiting
