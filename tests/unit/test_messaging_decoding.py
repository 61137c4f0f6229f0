"""Decoding one record: it never raises for what somebody sent, believes no claim of its own, and repeats nothing."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts import cases, identity, participation
from shared.contracts.envelope import Envelope
from shared.messaging.clock import BusinessClock
from shared.messaging.received import Decoder, Received, Unreadable, fingerprint_of, origin_headers
from shared.security.tokens import TokenVerifier
from shared.testing.issuer import Issuer
from shared.testing.messages import HandRecord, encoded, message

ISSUER = Issuer()
APPENDED = datetime.now(UTC).replace(microsecond=0)
CLAIMED = APPENDED - timedelta(days=400)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


def decode(
    record: HandRecord, *, service: str = "cases", mode: Literal["append", "message"] = "append"
) -> Received[Any] | Unreadable:
    verifier = TokenVerifier("http://127.0.0.1:9/jwks")
    verifier.use_keys(ISSUER.keys)
    clock = BusinessClock(mode)
    return asyncio.run(Decoder(service, verifier, clock).decode(record))


def issued(*who: Any, **more: Any) -> str:
    """A token of the moment at which every record here was taken."""
    return ISSUER.token(*who, issued_at=APPENDED.timestamp(), **more)


def record(value: bytes | None, topic: str = "cases.commands", **more: Any) -> HandRecord:
    return HandRecord(topic, value, timestamp=int(APPENDED.timestamp() * 1000), **more)


def rating(**more: Any) -> Envelope:
    more.setdefault("token", issued("wang", "deputy"))
    return message(cases.RateCase(stars=3), subject=uuid4(), time=CLAIMED, **more)


@settings(max_examples=300)
@given(st.binary(max_size=300), st.sampled_from(["cases.commands", "cases.replay", "department.x1.replies"]))
def test_no_bytes_make_decoding_raise(value: bytes, topic: str) -> None:
    assert isinstance(decode(record(value, topic)), Unreadable)


@settings(max_examples=300)
@given(st.data())
def test_no_message_that_is_nearly_right_makes_decoding_raise(data: st.DataObject) -> None:
    whole: dict[str, Any] = json.loads(encoded(rating()))
    for _ in range(data.draw(st.integers(1, 3))):
        inside = data.draw(st.booleans())
        target = whole["data"] if inside and isinstance(whole.get("data"), dict) else whole
        key = data.draw(st.sampled_from(sorted(target)) if target else st.text(max_size=5))
        if data.draw(st.booleans()):
            target.pop(key, None)
        else:
            target[key] = data.draw(JSON_VALUES)
    unit = decode(record(json.dumps(whole).encode()))
    assert isinstance(unit, (Received, Unreadable))
    if isinstance(unit, Received):
        assert "\0" not in unit.envelope.subject
        assert unit.fingerprint == fingerprint_of(unit.envelope)


@given(st.binary(max_size=60))
def test_no_origin_header_makes_decoding_raise(origin: bytes) -> None:
    unit = decode(record(encoded(rating()), "cases.replay", headers=[("origin", origin)]))
    assert isinstance(unit, Unreadable)
    assert unit.replay_of is None


@given(st.text("abcdefghij0123456789", min_size=12, max_size=30))
def test_what_is_wrong_is_told_without_what_was_written(secret: str) -> None:
    token = issued("wang", "deputy")
    answers: list[dict[str, Any]] = [
        {"answers": {secret: 7}},
        {"answers": {f"{secret} {secret}": "x"}},
        {"answers": {"key": {secret: secret}}},
        {"answers": secret, secret: secret},
    ]
    for answer in answers:
        sent = message(participation.AnswerConsultation(answers={"a": "b"}), subject=uuid4(), token=token)
        wrong = sent.model_copy(update={"data": answer})
        unit = decode(record(encoded(wrong), "participation.commands"), service="participation")
        assert isinstance(unit, Unreadable)
        assert unit.reason == "invalid-data"
        assert unit.detail.startswith("answers")
        assert secret not in unit.detail


def test_a_fault_says_where_and_what() -> None:
    wrong = rating().model_copy(update={"data": {"stars": 6}})
    unit = decode(record(encoded(wrong)))
    assert isinstance(unit, Unreadable)
    assert unit.detail == "stars: less_than_equal"


def test_a_fault_deep_in_a_list_says_which_item() -> None:
    token = issued("clerk", "staff")
    rows = {"part": 1, "parts": 1, "first_line": 2, "rows": [{"a": "b"}, {"a": 7}]}
    sent = message(
        identity.ImportRoster(part=1, parts=1, first_line=2, rows=()), subject=uuid4(), token=token
    )
    unit = decode(
        record(encoded(sent.model_copy(update={"data": rows})), "identity.commands"), service="identity"
    )
    assert isinstance(unit, Unreadable)
    assert unit.detail == "rows.1: string_type"


# --- who, and when


def test_a_department_is_its_topic_whatever_the_message_says() -> None:
    claims = issued("department:parks", "department", organisation="parks")
    reply = message(cases.AcceptCase(), subject=uuid4(), token=claims)
    unit = decode(record(encoded(reply), "department.roads.replies"))
    assert isinstance(unit, Received)
    assert unit.sender().organisation == "roads"
    assert unit.sender().person == "department:roads"


def test_a_department_may_send_its_own_kind_of_command_only() -> None:
    unit = decode(record(encoded(rating()), "department.roads.replies"))
    assert isinstance(unit, Unreadable)
    assert unit.reason == "wrong-topic"


@pytest.mark.parametrize(
    ("mode", "now"), [("append", APPENDED), ("message", CLAIMED)], ids=["production", "simulation"]
)
def test_a_command_happens_when_the_broker_took_it_or_in_a_simulation_when_its_gateway_says(
    mode: Literal["append", "message"], now: datetime
) -> None:
    unit = decode(record(encoded(rating())), mode=mode)
    assert isinstance(unit, Received)
    assert unit.now == now


@pytest.mark.parametrize("mode", ["append", "message"])
def test_a_department_cannot_date_its_reply_back_unless_it_is_the_simulations(
    mode: Literal["append", "message"],
) -> None:
    def now(token: str | None) -> datetime:
        reply = message(cases.AcceptCase(), subject=uuid4(), token=token, time=CLAIMED)
        unit = decode(record(encoded(reply), "department.roads.replies"), mode=mode)
        assert isinstance(unit, Received)
        return unit.now

    simulated = issued("department:roads", "department", organisation="roads", simulated=True)
    own = issued("department:roads", "department", organisation="roads")
    assert now(None) == now(own) == APPENDED
    assert now(simulated) == (CLAIMED if mode == "message" else APPENDED)


def test_a_fact_happened_when_its_owner_says() -> None:
    known = identity.DepartmentChanged(code="roads", name="r", categories=(), counties=(), state="active")
    fact = message(known, subject="roads", time=CLAIMED, sequence=1)
    unit = decode(record(encoded(fact), "department.changed"))
    assert isinstance(unit, Received)
    assert (unit.now, unit.is_command, unit.actor) == (CLAIMED, False, None)


def test_time_of_one_aggregate_never_runs_back() -> None:
    unit = decode(record(encoded(rating())), mode="message")
    assert isinstance(unit, Received)
    assert unit.not_before(None) == unit.not_before(CLAIMED - timedelta(1)) == CLAIMED
    assert unit.not_before(APPENDED) == APPENDED


# --- identity of a message


def test_the_same_id_of_two_people_is_two_keys_and_an_unreadable_record_is_known_by_its_place() -> None:
    same = uuid4()
    keys = {
        decode(record(encoded(rating(message_id=same, token=issued(who, "deputy"))))).key
        for who in ("wang", "li")
    }
    assert keys == {f"{same}/wang", f"{same}/li"}
    assert decode(record(b"rubbish", partition=3, offset=7)).key == "cases.commands/3/7"
    untrusted = decode(record(encoded(rating(message_id=same, token="a.b.c")), partition=3, offset=8))
    assert untrusted.key == "cases.commands/3/8", "nobody may use up an id without being known"


def test_a_replayed_record_keeps_its_first_place_time_and_key() -> None:
    sent = rating()
    first = decode(record(encoded(sent), partition=4, offset=44))
    headers = [(name, value.encode()) for name, value in origin_headers(first.position, "old-key").items()]
    again = decode(HandRecord("cases.replay", encoded(sent), offset=1, headers=headers))
    assert isinstance(again, Received)
    assert (again.position, again.replay_of, again.key) == (first.position, "old-key", first.key)


@given(st.dictionaries(st.text(max_size=5), JSON_VALUES, min_size=2, max_size=5))
def test_a_fingerprint_depends_on_content_not_on_the_order_of_fields(data: dict[str, Any]) -> None:
    def of(content: dict[str, Any]) -> bytes:
        return fingerprint_of(rating().model_copy(update={"subject": "s", "data": content}))

    assert of(data) == of(dict(reversed(data.items())))
    changed = dict(data)
    changed.pop(next(iter(changed)))
    assert of(changed) != of(data)


def test_a_fingerprint_tells_type_subject_and_content_apart_and_takes_the_gateways_digest_for_sealed_content() -> (
    None
):
    first = rating()
    others = [
        first.model_copy(update={"subject": str(uuid4())}),
        first.model_copy(update={"type": "case.close"}),
        first.model_copy(update={"data": {"stars": 4}}),
        first.model_copy(update={"datadigest": "d1"}),
        first.model_copy(update={"datadigest": "d2"}),
    ]
    assert len({fingerprint_of(e) for e in (first, *others)}) == 6
    same_words = [
        first.model_copy(update={"id": UUID(int=n), "datadigest": "d1", "data": {"sealed": str(n)}})
        for n in range(2)
    ]
    assert fingerprint_of(same_words[0]) == fingerprint_of(same_words[1])
