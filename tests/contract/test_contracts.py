"""The contract: schemas, topics, consumers, and messages of an older and of a newer version.

`samples/` holds one message per type as version 1 first wrote it, with nothing optional in it. They are
never edited: a change that makes one unreadable breaks every message that lies in a log.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from deploy.kafka.provision import Catalogue, department_topics
from deploy.local.stack import SERVICES
from gateway.stream import TOPICS as SHOWN_LIVE
from shared.contracts import asyncapi, cases, motions
from shared.contracts.envelope import Envelope
from shared.contracts.registry import EVERY_SERVICE, Declaration, commands, contract_of, events
from shared.messaging.clock import TICK_TOPIC, BusinessClock
from shared.messaging.received import Decoder, Received
from shared.security.tokens import TokenVerifier
from shared.testing.issuer import Issuer
from shared.testing.messages import HandRecord
from tests.contract.from_schema import permitted

SAMPLES = Path(__file__).with_name("samples")
DECLARED: dict[str, Declaration] = {**commands(), **events()}
TO_ONE_DEPARTMENT = (
    "department.routed",
    "department.refused",
    "department.told",
    "department.motion",
    "department.motion-told",
    "department.motion-refused",
)
READ_OTHERWISE = {
    "command.outcomes": "every gateway reads them to answer who waits",
    "clock.ticked": "every process follows it for its business time",
    "department.routed": "the department's own system reads it",
    "department.refused": "the department's own system reads it",
    "department.told": "the department's own system reads it",
    "department.motion": "the department's own system reads it",
    "department.motion-told": "the department's own system reads it",
    "department.motion-refused": "the department's own system reads it",
    "rubric.adopted": "the audit recomputes every score by it; evaluation knows its own",
    "score.changed": "the gateway shows it live; the score itself is asked of evaluation",
}
MAPS = {"answers", "categories", "ratings", "rows", "rubric"}
KINDS = ("commands", "dead", "replay")
ISSUER = Issuer()


def schema_of(type_: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((asyncapi.FOLDER / f"{type_}.json").read_text("utf-8"))
    return found


def sample_of(type_: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / f"{type_}.json").read_text("utf-8"))
    return found


def owner_of(declaration: Declaration) -> str:
    """A service that decides on the command or publishes the event."""
    return "cases" if declaration.owner == EVERY_SERVICE else declaration.owner


# --- schemas


def test_the_committed_documents_equal_the_code() -> None:
    assert asyncapi.differing() == []


def test_a_change_of_the_code_shows_in_the_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases.CaseRated, "__doc__", "Something else.")
    assert asyncapi.differing() == ["case.rated.json", "cases.asyncapi.json"]


@pytest.mark.parametrize("type_", sorted(DECLARED))
def test_what_a_schema_permits_the_code_reads_and_writes_again_within_the_schema(type_: str) -> None:
    schema = schema_of(type_)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)

    @settings(max_examples=15, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(permitted(schema, schema.get("$defs", {})))
    def check(whole: dict[str, Any]) -> None:
        validator.validate(whole)
        envelope = Envelope.model_validate_json(json.dumps(whole))
        data = DECLARED[type_].model.model_validate(envelope.data)
        again = envelope.model_copy(update={"data": data.model_dump(mode="json")})
        validator.validate(json.loads(again.model_dump_json(exclude_none=True)))

    check()


@pytest.mark.parametrize("type_", sorted(DECLARED))
def test_a_schema_refuses_another_type_and_content_that_lacks_a_required_field(type_: str) -> None:
    validator = Draft202012Validator(schema_of(type_))
    sample = sample_of(type_)
    assert not validator.is_valid(sample | {"type": "some.other"})
    assert not validator.is_valid({k: v for k, v in sample.items() if k != "data"})
    for name, field in DECLARED[type_].model.model_fields.items():
        if field.is_required():
            without = {k: v for k, v in sample["data"].items() if k != name}
            assert not validator.is_valid(sample | {"data": without}), name


def test_a_committee_named_by_blanks_alone_is_permitted_by_neither_schema_nor_code() -> None:
    sample = sample_of("motion.refer")
    blank = sample | {"data": {**sample["data"], "committee": " \u3000"}}
    assert not Draft202012Validator(schema_of("motion.refer")).is_valid(blank)
    with pytest.raises(ValidationError):
        motions.ReferBill.model_validate(blank["data"])
    named = motions.ReferBill.model_validate({**sample["data"], "committee": " 城建 环境委员会 "})
    assert named.committee == "城建 环境委员会"


# --- topics, writers, readers


def writers() -> dict[str, tuple[str, ...]]:
    declared = {topic.name: topic.writers for topic in Catalogue.load().topics}
    routed, replies = department_topics("code")
    return declared | {"department.code.routed": routed.writers, "department.code.replies": replies.writers}


@pytest.mark.parametrize("type_", sorted(events()))
def test_an_event_has_a_topic_that_its_owner_alone_may_write(type_: str) -> None:
    declaration = events()[type_]
    topic = "department.code.routed" if type_ in TO_ONE_DEPARTMENT else declaration.topic
    wanted = SERVICES if declaration.owner == EVERY_SERVICE else (declaration.owner,)
    assert sorted(writers()[topic]) == sorted(wanted)


@pytest.mark.parametrize("type_", sorted(commands()))
def test_a_command_travels_on_its_owners_topic_that_gateways_alone_may_write(type_: str) -> None:
    declaration = commands()[type_]
    owners = SERVICES if declaration.owner == EVERY_SERVICE else (declaration.owner,)
    if declaration.of_system:
        assert writers()[declaration.topic] == (declaration.owner,), (
            "nobody else may say that something is due"
        )
        return
    assert {writers()[f"{owner}.commands"] for owner in owners} == {("gateway",)}
    assert writers()["department.code.replies"] == ("dept-code",)


def test_every_declared_topic_carries_something() -> None:
    carried = {d.topic for d in DECLARED.values()} | {f"{s}.{kind}" for s in SERVICES for kind in KINDS}
    assert {topic.name for topic in Catalogue.load().topics} - carried == set()


def test_every_event_has_a_consumer_or_a_reason() -> None:
    read: set[str] = set()
    for service in SERVICES:
        read |= set(getattr(importlib.import_module(f"services.{service}.consumers"), "EVENT_TOPICS", ()))
    unread = {type_ for type_, declaration in events().items() if declaration.topic not in read}
    assert unread == set(READ_OTHERWISE)
    assert "score.changed" in SHOWN_LIVE
    assert TICK_TOPIC in READ_OTHERWISE


# --- versions


def test_every_type_has_a_sample_and_every_sample_a_type() -> None:
    assert {path.stem for path in SAMPLES.glob("*.json")} == set(DECLARED)


def received(whole: dict[str, Any], declaration: Declaration) -> Received[Any]:
    """The message as the runner's decoder gives it to a handler of the type's owner or reader."""
    topic, service = declaration.topic, owner_of(declaration)
    if declaration.kind == "command" and not declaration.of_system:
        token = ISSUER.token("0192f0a0-0000-7000-8000-000000000201", *sorted(declaration.roles))
        whole, topic = whole | {"actortoken": token}, f"{service}.commands"
    verifier = TokenVerifier("http://127.0.0.1:9/jwks")
    verifier.use_keys(ISSUER.keys)
    now = int(datetime.now(UTC).timestamp() * 1000)
    record = HandRecord(topic, json.dumps(whole).encode(), timestamp=now)
    unit = asyncio.run(Decoder(service, verifier, BusinessClock("append")).decode(record))
    assert isinstance(unit, Received), unit
    return unit


def with_unknown_fields(value: Any) -> Any:
    """Every object of a message with a field that only a later version knows."""
    if isinstance(value, dict):
        return {k: with_unknown_fields(v) for k, v in value.items()} | {"addedlater": {"by": ["version", 2]}}
    return [with_unknown_fields(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("type_", sorted(DECLARED))
def test_a_message_of_the_version_before_is_read(type_: str) -> None:
    sample, declaration = sample_of(type_), DECLARED[type_]
    Draft202012Validator(schema_of(type_)).validate(sample)
    message = received(sample, declaration)
    assert type(message.data) is declaration.model
    optional = {name for name, field in declaration.model.model_fields.items() if not field.is_required()}
    for name in optional - set(sample["data"]):
        assert getattr(message.data, name) == declaration.model.model_fields[name].get_default(
            call_default_factory=True
        )
    # Whatever of the sample became optional since is not missed either.
    least = {k: v for k, v in sample["data"].items() if k not in optional}
    assert type(received(sample | {"data": least}, declaration).data) is declaration.model


@pytest.mark.parametrize("type_", sorted(DECLARED))
def test_a_message_of_the_version_after_is_read_as_if_its_new_fields_were_not_there(type_: str) -> None:
    sample, declaration = sample_of(type_), DECLARED[type_]
    newer = with_unknown_fields(sample)
    if MAPS & set(sample["data"]):  # there a new key is content, not a field
        newer["data"] = sample["data"] | {"addedlater": 1}
    assert received(newer, declaration).data == received(sample, declaration).data


@given(st.sampled_from(sorted(DECLARED)))
def test_a_next_version_of_an_event_travels_on_the_same_topic(type_: str) -> None:
    declaration = DECLARED[type_]
    if declaration.kind == "event":
        newer = Declaration(f"{type_}.v2", declaration.model, declaration.owner, "event", declaration.key)
        assert newer.topic == declaration.topic
    assert contract_of(f"{type_}.v2") is None
