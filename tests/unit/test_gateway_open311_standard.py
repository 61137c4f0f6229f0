"""The Open311 door against the field tables of GeoReport v2, element by element, in XML and in JSON.

Each table below is one "Response" of the specification (wiki.open311.org/GeoReport_v2) in our own words: the names
of its fields, what each may hold, and whether it may be left empty. A document must have exactly these fields, and
say the same in both formats.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest

from gateway import open311
from gateway.services import Answer
from services.cases.domain import FINISHED, STATES, STEPS
from shared.contracts import cases
from tests.gateway_door import Door, Said, accepted, door

CODE = "市容环卫"
ID, UNKNOWN = str(UUID(int=2207)), str(UUID(int=1))
CASE: dict[str, Any] = {
    "id": ID,
    "state": "in-progress",
    "result": None,
    "title": "绿化带 <积水>",
    "text": "雨后两天不退 & 有异味。",
    "category": CODE,
    "county": "330205",
    "town": "330205003",
    "department": "parks",
    "filed_at": "2026-06-01T01:02:03Z",
    "changed_at": "2026-06-02T04:05:06+08:00",
    "answer_by": "2026-06-09T15:59:59.999999Z",
    "position": {"latitude": 29.8845, "longitude": 121.5512, "accuracy": None},
}

Check = Callable[[Any], bool]


@dataclass(frozen=True)
class Items:
    """A list whose items are called so in XML, each with the fields of a table."""

    tag: str
    table: Mapping[str, Check | Items]


def text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def degrees(value: Any) -> bool:
    """Of WGS-84, as a number: so the examples of the standard have it."""
    return isinstance(value, float) and -180 <= value <= 180


def positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def moment(value: Any) -> bool:
    """A W3C date and time: with an offset, or Z."""
    shape = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
    return (
        isinstance(value, str)
        and re.fullmatch(shape, value) is not None
        and (datetime.fromisoformat(value).tzinfo is not None)
    )


def one_of(*words: str) -> Check:
    return lambda value: value in words


def maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


SERVICE: dict[str, Check | Items] = {
    "service_code": text,
    "service_name": text,
    "description": maybe(text),
    "metadata": flag,
    "type": one_of("realtime", "batch", "blackbox"),
    "keywords": maybe(text),
    "group": maybe(text),
}
ATTRIBUTE: dict[str, Check | Items] = {
    "variable": flag,
    "code": text,
    "datatype": one_of("string", "number", "datetime", "text", "singlevaluelist", "multivaluelist"),
    "required": flag,
    "datatype_description": maybe(text),
    "order": positive,
    "description": text,
    "values": Items("value", {"key": text, "name": text}),
}
DEFINITION: dict[str, Check | Items] = {
    "service_code": text,
    "attributes": Items("attribute", ATTRIBUTE),
}
CREATED: dict[str, Check | Items] = {
    "service_request_id": text,
    "service_notice": maybe(text),
    "account_id": maybe(text),
}
TOKEN: dict[str, Check | Items] = {"token": text}
OF_TOKEN: dict[str, Check | Items] = {"service_request_id": text, "token": text}
REQUEST: dict[str, Check | Items] = {
    "service_request_id": text,
    "status": one_of("open", "closed"),
    "status_notes": maybe(text),
    "service_name": maybe(text),
    "service_code": maybe(text),
    "description": maybe(text),
    "agency_responsible": maybe(text),
    "service_notice": maybe(text),
    "requested_datetime": moment,
    "updated_datetime": moment,
    "expected_datetime": maybe(moment),
    "address": maybe(text),
    "address_id": maybe(text),
    "zipcode": maybe(text),
    "lat": maybe(degrees),
    "long": maybe(degrees),
    "media_url": maybe(text),
}
ERROR: dict[str, Check | Items] = {"code": positive, "description": text}


def agree(table: Mapping[str, Check | Items], shown: Mapping[str, Any], element: ET.Element) -> None:
    """One object has the fields of the table, in JSON and in XML, and both say the same."""
    assert sorted(shown) == sorted(table)
    assert sorted(child.tag for child in element) == sorted(table)
    for name, rule in table.items():
        value, (child,) = shown[name], element.findall(name)
        assert child.attrib == {}
        if isinstance(rule, Items):
            items_agree(rule, value, child)
        else:
            assert rule(value), f"{name}: {value!r}"
            assert (child.text or "", len(child)) == (spelled(value), 0), name


def items_agree(items: Items, shown: Any, element: ET.Element) -> None:
    assert isinstance(shown, list)
    assert [child.tag for child in element] == [items.tag] * len(shown)
    for one, child in zip(shown, element, strict=True):
        agree(items.table, one, child)


def spelled(value: Any) -> str:
    """A JSON value as XML writes it: null is an empty element."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def root_of(said: Said, name: str) -> ET.Element:
    assert said.headers["content-type"] == "text/xml; charset=utf-8"
    assert re.match(rb"<\?xml version=['\"]1.0['\"] encoding=['\"]utf-8['\"]\?>", said.raw, re.IGNORECASE)
    root = ET.fromstring(said.raw)  # noqa: S314 - our own
    assert root.tag == name, "the default namespace, which the standard leaves out"
    return root


@pytest.fixture
def at() -> Door:
    found = door()
    answers = found.services.answers
    answers[("cases", "/open311/categories")] = answer(
        {"items": [{"category": CODE, "words": ["绿化", "积水"]}]}
    )
    answers[("cases", "/open311/cases")] = answer({"items": [CASE, {**CASE, "state": "closed"}], "total": 2})
    answers[("cases", f"/cases/{ID}")] = answer(CASE)
    answers[("cases", f"/cases/{UNKNOWN}")] = answer({"code": "case-unknown", "detail": "no"}, 404)
    return found


def answer(content: Any, status: int = 200) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())


async def both(at: Door, path: str, role: Any = "department") -> tuple[Said, Said]:
    """The same question in JSON and in XML."""
    url = f"/open311/v2{path}"
    said = [await at.ask("GET", url.format(kind), role=role) for kind in ("json", "xml")]
    assert said[0].headers["content-type"].startswith("application/json")
    return said[0], said[1]


async def posted(at: Door, kind: str) -> Said:
    form = {
        "service_code": CODE,
        "description": "绿化带积水。",
        "attribute[county]": "330205",
        "address_string": "百丈东路与福明路口",
        "email": "zhang@example.org",
    }
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    url = f"/open311/v2/requests.{kind}"
    return await at.ask("POST", url, role="deputy", raw=urlencode(form).encode(), headers=headers)


async def test_the_service_list(at: Door) -> None:
    shown, written = await both(at, "/services.{}", role=None)
    items_agree(Items("service", SERVICE), shown.body, root_of(written, "services"))
    assert len(shown.body) == 1


async def test_a_service_definition(at: Door) -> None:
    shown, written = await both(at, f"/services/{quote(CODE)}.{{}}", role=None)
    agree(DEFINITION, shown.body, root_of(written, "service_definition"))
    orders = [one["order"] for one in shown.body["attributes"]]
    assert len(set(orders)) == len(orders) > 0
    for one in shown.body["attributes"]:
        assert bool(one["values"]) is one["datatype"].endswith("valuelist"), (
            "only lists have values to choose"
        )


async def test_posting_a_request(at: Door) -> None:
    shown, written = await posted(at, "json"), await posted(at, "xml")
    assert (shown.status, written.status) == (200, 200)
    (made,), (element,) = shown.body, root_of(written, "service_requests")
    assert element.tag == "request"
    # Each filing is a request of its own: everything but the id agrees.
    made["service_request_id"] = element.findtext("service_request_id")
    agree(CREATED, made, element)


async def test_a_token_and_the_request_that_it_became(at: Door) -> None:
    at.post.outcome = lambda _: None
    shown, written = await posted(at, "json"), await posted(at, "xml")
    (made,), (element,) = shown.body, root_of(written, "service_requests")
    made["token"] = element.findtext("token")
    agree(TOKEN, made, element)
    (_, command), *_ = at.post.sent
    outcome = accepted(command).model_dump(mode="json")
    at.services.answers[("cases", f"/commands/{command.id}")] = answer(outcome)
    shown, written = await both(at, f"/tokens/{command.id}.{{}}", role="deputy")
    items_agree(Items("request", OF_TOKEN), shown.body, root_of(written, "service_requests"))


@pytest.mark.parametrize("path", ["/requests.{}", f"/requests/{ID}.{{}}"])
async def test_getting_requests(at: Door, path: str) -> None:
    shown, written = await both(at, path)
    items_agree(Items("request", REQUEST), shown.body, root_of(written, "service_requests"))
    assert [one["status"] for one in shown.body] == ["open", "closed"][: len(shown.body)]


async def test_one_request_as_it_is_written(at: Door) -> None:
    """A whole document, so that nothing of the form rests on the tables alone."""
    said = await at.ask("GET", f"/open311/v2/requests/{ID}.xml", role="department")
    expected = f"""<?xml version="1.0" encoding="utf-8"?>
    <service_requests>
        <request>
            <service_request_id>{ID}</service_request_id>
            <status>open</status>
            <status_notes>in-progress 办理中</status_notes>
            <service_name>市容环卫</service_name>
            <service_code>市容环卫</service_code>
            <description>绿化带 &lt;积水&gt;\n雨后两天不退 &amp; 有异味。</description>
            <agency_responsible>parks</agency_responsible>
            <service_notice></service_notice>
            <requested_datetime>2026-06-01T01:02:03Z</requested_datetime>
            <updated_datetime>2026-06-02T04:05:06+08:00</updated_datetime>
            <expected_datetime>2026-06-09T15:59:59.999999Z</expected_datetime>
            <address></address>
            <address_id>330205003</address_id>
            <zipcode/>
            <lat>29.8845</lat>
            <long>121.5512</long>
            <media_url/>
        </request>
    </service_requests>"""
    assert ET.canonicalize(said.raw, strip_text=True) == ET.canonicalize(expected, strip_text=True)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/services/none.{}", 404),
        (f"/requests/{UNKNOWN}.{{}}", 404),
        ("/tokens/none.{}", 404),
        ("/requests.{}?start_date=yesterday", 400),
        ("/requests.{}?status=done", 400),
    ],
)
async def test_errors(at: Door, path: str, status: int) -> None:
    shown, written = await both(at, path)
    assert (shown.status, written.status) == (status, status)
    items_agree(Items("error", ERROR), shown.body, root_of(written, "errors"))
    assert [one["code"] for one in shown.body] == [status], "the code is the one of HTTP"


@pytest.mark.parametrize("state", STATES)
async def test_what_is_finished_is_closed_in_the_list_and_in_the_filter_alike(at: Door, state: str) -> None:
    at.services.answers[("cases", f"/cases/{ID}")] = answer({**CASE, "state": state})
    shown, _ = await both(at, f"/requests/{ID}.{{}}")
    assert shown.body[0]["status"] == ("closed" if state in FINISHED else "open")
    assert shown.body[0]["status_notes"] != state, "told in Chinese as well"


def test_every_part_means_the_same_by_finished() -> None:
    assert cases.FINISHED == FINISHED
    ending = {
        name
        for name, rule in STEPS.items()
        if rule.after in FINISHED or (rule.after is None and rule.before <= FINISHED)
    }
    assert ending == open311._ENDED_STEPS
