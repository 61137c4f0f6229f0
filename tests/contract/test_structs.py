"""The structs of the fast stream take and refuse the same bytes as the contracts that they are made from."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from services.evaluation.consumers import taken_in
from shared.contracts.asyncapi import FOLDER
from shared.contracts.envelope import Envelope
from shared.contracts.registry import Declaration, contract_of
from shared.contracts.structs import (
    HastyDecoder,
    canonical,
    decoder_of,
    hasty_decoder_of,
    struct_of,
    without_control,
)
from tests.contract.from_schema import permitted

SAMPLES = Path(__file__).with_name("samples")
TYPES = sorted(declaration.type for declaration in taken_in())
WRONG: tuple[Any, ...] = (None, True, -1, 10**6, "", "x" * 101, "2021-13-01", "not-an-id", "a\n", [], {}, 1.5)


def declared(type_: str) -> Declaration:
    found = contract_of(type_)
    assert found is not None
    return found


@cache
def decoder(type_: str) -> msgspec.json.Decoder[Any]:
    return decoder_of(declared(type_))


def by_pydantic(declaration: Declaration, raw: bytes) -> tuple[Envelope, BaseModel] | None:
    try:
        envelope = Envelope.model_validate_json(raw)
        if envelope.type != declaration.type:
            return None
        return envelope, declaration.model.model_validate(envelope.data)
    except ValidationError:
        return None


def by_msgspec(declaration: Declaration, raw: bytes) -> Any:
    try:
        return decoder(declaration.type).decode(raw)
    except msgspec.MsgspecError:
        return None


def by_haste(declaration: Declaration, raw: bytes) -> Any:
    hasty = hasty_of(declaration.type)
    try:
        message = hasty.decode(raw)
    except msgspec.MsgspecError:
        return None
    return message if canonical(hasty.ids(message)) and without_control([message.subject]) else None


@cache
def hasty_of(type_: str) -> HastyDecoder:
    return hasty_decoder_of(declared(type_))


def plain(value: Any) -> Any:
    """A value without what tells the two libraries apart."""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: plain(content) for key, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(content) for content in value]
    if isinstance(value, UUID):
        return str(value)
    # The first and last day of all have no form in another zone; the distance from one instant has.
    return value - datetime(2000, 1, 1, tzinfo=UTC) if isinstance(value, datetime) else value


def agree(declaration: Declaration, raw: bytes) -> bool:
    """Whether both take it, with the same values; fails when they disagree."""
    expected, found = by_pydantic(declaration, raw), by_msgspec(declaration, raw)
    assert plain(by_haste(declaration, raw)) == plain(found)
    assert (expected is None) == (found is None), raw
    if expected is None:
        return False
    envelope, data = expected
    assert plain(found.data) == plain(data)
    assert {n: v for n, v in plain(found).items() if n != "data"} == {
        n: v for n, v in plain(envelope).items() if n != "data"
    }
    return True


def sample(type_: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / f"{type_}.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("type_", TYPES)
def test_both_take_and_refuse_the_same(type_: str) -> None:
    declaration, whole = declared(type_), sample(type_)
    assert agree(declaration, json.dumps(whole).encode())
    assert agree(
        declaration, json.dumps({**whole, "more": 1, "data": {**whole["data"], "more": []}}).encode()
    )
    assert not agree(declaration, json.dumps({**whole, "type": "other.event"}).encode())
    assert not agree(declaration, json.dumps(whole).encode()[:-1])
    assert not agree(declaration, b"")
    for name in whole:
        agree(declaration, json.dumps({n: v for n, v in whole.items() if n != name}).encode())
    for name in whole["data"]:
        missing = {n: v for n, v in whole["data"].items() if n != name}
        agree(declaration, json.dumps({**whole, "data": missing}).encode())


@pytest.mark.parametrize("type_", TYPES)
def test_what_a_struct_takes_pydantic_takes_with_the_same_values(type_: str) -> None:
    """With a wrong value anywhere. The reverse may fail: pydantic also takes "5" for 5; then its word is the last."""
    declaration, whole = declared(type_), sample(type_)
    fields = set(declaration.model.model_fields)
    documents = [{**whole, name: wrong} for name in Envelope.model_fields for wrong in WRONG]
    documents += [{**whole, "data": {**whole["data"], name: wrong}} for name in fields for wrong in WRONG]
    refused = 0
    for document in documents:
        raw = json.dumps(document).encode()
        assert plain(by_haste(declaration, raw)) == plain(by_msgspec(declaration, raw))
        if by_msgspec(declaration, raw) is not None:
            assert agree(declaration, raw)
        elif by_pydantic(declaration, raw) is None:
            refused += 1
    assert refused > len(documents) / 3


@pytest.mark.parametrize("type_", TYPES)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(draw=st.data())
def test_both_take_whatever_the_published_schema_permits(type_: str, draw: st.DataObject) -> None:
    schema = json.loads((FOLDER / f"{type_}.json").read_text("utf-8"))
    document = draw.draw(permitted(schema, schema.get("$defs", {})))
    assert agree(declared(type_), json.dumps(document).encode())


ALMOST = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda one: str(one).upper()),
    st.uuids().map(lambda one: str(one)[:-1]),
    st.uuids().map(lambda one: str(one).replace("-", ",", 1)),
    st.uuids().map(lambda one: str(one).replace("-", "") + "----"),
    st.uuids().map(lambda one: f"{one},{one}"),
    st.text(alphabet="0123456789abcdefABCDEFg-,\u00e9\ud800", min_size=34, max_size=38),
)


@settings(max_examples=500)
@given(ids=st.lists(st.none() | ALMOST, max_size=4))
def test_ids_are_canonical_together_exactly_when_each_is(ids: list[str | None]) -> None:
    each = [
        one is None or re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one) is not None
        for one in ids
    ]
    assert canonical(ids) == all(each)


@given(texts=st.lists(st.text(min_size=1), max_size=3))
def test_no_control_character_passes_for_text_without_one(texts: list[str]) -> None:
    if any(sign < " " or sign == "\x7f" for text in texts for sign in text):
        assert not without_control(texts)


@pytest.mark.parametrize("deputy", ["", "a", "x" * 36, "not-an-id", 5, 1.5, True, [], {}])
@pytest.mark.parametrize("type_", ["case.filed", "case.closed", "case.rated", "case.progressed"])
def test_an_id_that_may_be_null_is_null_missing_or_an_id_and_nothing_else(type_: str, deputy: Any) -> None:
    """Also among others, since ids are checked together; and hastily, because nearly every event has this one."""
    declaration, whole = declared(type_), sample(type_)
    hasty = hasty_of(type_)
    raws = [
        json.dumps({**whole, "data": data}).encode()
        for data in (
            whole["data"] | {"deputy_id": str(UUID(int=7))},
            whole["data"] | {"deputy_id": None},
            {name: value for name, value in whole["data"].items() if name != "deputy_id"},
        )
    ]
    assert all(agree(declaration, raw) for raw in raws)
    messages = [hasty.decode(raw) for raw in raws]
    assert [hasty.ids(message)[-1] for message in messages] == [str(UUID(int=7)), None, None]
    together = [one for message in messages for one in hasty.ids(message)]
    assert canonical(together)
    wrong = json.dumps({**whole, "data": whole["data"] | {"deputy_id": deputy}}).encode()
    assert not agree(declaration, wrong)
    if isinstance(deputy, str):
        assert not canonical([*together, *hasty.ids(hasty.decode(wrong)), *together])


def test_an_id_in_another_form_is_left_to_pydantic() -> None:
    whole = sample("case.filed")
    whole["data"]["case_id"] = whole["data"]["case_id"].upper()
    raw = json.dumps(whole).encode()
    assert by_pydantic(declared("case.filed"), raw) is not None
    assert whole["data"]["case_id"].islower() or by_msgspec(declared("case.filed"), raw) is None


def test_a_contract_that_checks_more_than_its_fields_gets_no_struct() -> None:
    from pydantic import field_validator

    class Odd(BaseModel):
        day: date

        @field_validator("day")
        @classmethod
        def _any(cls, value: date) -> date:
            return value

    with pytest.raises(NotImplementedError, match="validators"):
        struct_of(Odd)
