"""The Open311 door against GeoReport v2, field by field, in both formats; and what it refuses."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlencode
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import open311
from gateway.services import Answer
from shared.contracts.operations import CommandOutcome, Problem
from shared.contracts.registry import Role
from shared.messaging.outcomes import TooManyWaiting
from tests.gateway_door import Door, Said, accepted, door, refused

FORM = {"content-type": "application/x-www-form-urlencoded"}
CASE_ID = str(UUID(int=311))
CASE: dict[str, Any] = {
    "id": CASE_ID,
    "state": "answered",
    "result": "solved",
    "title": "路口井盖 <破损> & 积水",
    "text": "请尽快处理。]]>",
    "category": "城乡建设",
    "county": "330203",
    "town": None,
    "department": "housing",
    "filed_at": "2026-11-20T08:00:00Z",
    "changed_at": "2026-11-21T09:30:00Z",
    "position": {"latitude": 29.868336, "longitude": 121.54399, "accuracy": 12},
    "photos": ["ab" * 32, "cd" * 32],
}
REQUEST_FIELDS = (
    "service_request_id", "status", "status_notes", "service_name", "service_code", "description",
    "agency_responsible", "service_notice", "requested_datetime", "updated_datetime", "expected_datetime",
    "address", "address_id", "zipcode", "lat", "long", "media_url",
)  # fmt: skip
FILING = {
    "service_code": "城乡建设",
    "description": "路口窨井盖破损，\n下水道积水。",
    "attribute[county]": "330203",
}


@pytest.fixture
def at() -> Door:
    found = door()
    found.services.answers[("cases", "/open311/categories")] = _json(
        200, {"items": [{"category": "城乡建设", "words": ["路灯", "井盖"]}]}
    )
    return found


def _json(status: int, content: Any) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())


async def get(at: Door, path: str, role: Role | None = "department") -> Said:
    return await at.ask("GET", f"/open311/v2{path}", role=role)


async def post(
    at: Door, path: str, form: Mapping[str, str], role: Role | None = "department", **more: Any
) -> Said:
    body = urlencode(form).encode()
    return await at.ask("POST", f"/open311/v2{path}", role=role, raw=body, headers=FORM | more)


def xml(said: Said) -> ET.Element:
    assert said.headers["content-type"] == "text/xml; charset=utf-8"
    assert said.raw.startswith(b"<?xml")
    return ET.fromstring(said.raw)  # noqa: S314 - our own


def error(said: Said) -> tuple[int, str]:
    """Code and stable word of an error, after a look at its form: a list of code and description."""
    if said.headers["content-type"].startswith("text/xml"):
        root = xml(said)
        assert (root.tag, [child.tag for child in root]) == ("errors", ["error"])
        found = {child.tag: child.text or "" for child in root[0]}
    else:
        (found,) = said.body
    assert set(found) == {"code", "description"}
    assert int(found["code"]) == said.status
    return said.status, str(found["description"]).partition(":")[0]


# -- discovery and services ----------------------------------------------------------------------------


async def test_discovery_says_where_the_endpoint_is_and_what_it_speaks(at: Door) -> None:
    said = await get(at, "/discovery.json", role=None)
    assert set(said.body) == {"changeset", "contact", "key_service", "endpoints"}
    (endpoint,) = said.body["endpoints"]
    assert set(endpoint) == {"specification", "url", "changeset", "type", "formats"}
    assert endpoint["specification"] == "http://wiki.open311.org/GeoReport_v2"
    assert endpoint["url"].endswith("/open311/v2")
    assert endpoint["type"] in {"production", "test"}
    root = xml(await get(at, "/discovery.xml", role=None))
    assert root.tag == "discovery"
    assert [one.text for one in root.findall("endpoints/endpoint/formats/format")] == endpoint["formats"]
    assert root.findtext("endpoints/endpoint/url") == endpoint["url"]


async def test_the_service_list_has_the_fields_of_the_standard(at: Door) -> None:
    (service,) = (await get(at, "/services.json", role=None)).body
    assert service == {
        "service_code": "城乡建设",
        "service_name": "城乡建设",
        "description": "督事：城乡建设",
        "metadata": True,
        "type": "realtime",
        "keywords": "路灯, 井盖",
        "group": "督事",
    }
    root = xml(await get(at, "/services.xml", role=None))
    assert root.tag == "services"
    found = {child.tag: child.text for child in root.findall("service")[0]}
    assert found == {**service, "metadata": "true"}


async def test_a_service_definition_lists_its_attributes_in_order(at: Door) -> None:
    path = f"/services/{quote('城乡建设')}"
    said = await get(at, f"{path}.json", role=None)
    assert said.body["service_code"] == "城乡建设"
    for number, attribute in enumerate(said.body["attributes"], 1):
        assert set(attribute) == {
            "variable", "code", "datatype", "required", "datatype_description", "order", "description", "values",
        }  # fmt: skip
        assert attribute["order"] == number
    assert [a["code"] for a in said.body["attributes"] if a["required"]] == ["county"]
    root = xml(await get(at, f"{path}.xml", role=None))
    assert root.tag == "service_definition"
    assert [one.findtext("code") for one in root.findall("attributes/attribute")] == [
        "county",
        "town",
        "title",
        "origin",
    ]
    assert [one.text for one in root.findall("attributes/attribute/values/value/key")] == ["own", "resident"]
    assert error(await get(at, "/services/none.xml", role=None)) == (404, "service-code-unknown")


# -- requests ------------------------------------------------------------------------------------------


async def test_requests_have_the_fields_of_the_standard_in_both_formats(at: Door) -> None:
    at.services.answers[("cases", "/open311/cases")] = _json(200, {"items": [CASE], "total": 1})
    (found,) = (await get(at, "/requests.json")).body
    assert tuple(found) == REQUEST_FIELDS
    assert found == {
        **dict.fromkeys(REQUEST_FIELDS),
        "service_request_id": CASE_ID,
        "status": "open",
        "status_notes": "answered 已答复: solved 已解决",
        "service_name": "城乡建设",
        "service_code": "城乡建设",
        "description": f"{CASE['title']}\n{CASE['text']}",
        "agency_responsible": "housing",
        "requested_datetime": CASE["filed_at"],
        "updated_datetime": CASE["changed_at"],
        "address_id": "330203",
        "lat": 29.868336,
        "long": 121.54399,
        "media_url": found["media_url"],
    }
    root = xml(await get(at, "/requests.xml"))
    assert root.tag == "service_requests"
    (request,) = root.findall("request")
    assert {child.tag: child.text for child in request} == {
        **found, "lat": "29.868336", "long": "121.54399",
    }  # fmt: skip


async def test_the_media_url_is_the_first_photo_and_asks_for_the_same_key(at: Door) -> None:
    first, second = CASE["photos"]
    at.services.answers[("cases", "/open311/cases")] = _json(200, {"items": [CASE], "total": 1})
    whole = {**CASE, "photos": [{"digest": one, "step": 1, "state": "kept"} for one in (first, second)]}
    at.services.answers[("cases", f"/cases/{CASE_ID}")] = _json(200, whole)
    said = [await get(at, "/requests.json"), await get(at, f"/requests/{CASE_ID}.json")]
    (url,) = {one.body[0]["media_url"] for one in said}
    assert re.fullmatch(rf"https?://[^/?]+/api/cases/{CASE_ID}/photos/{first}", url)
    path = "/" + url.split("/", 3)[3]
    assert (await at.ask("GET", path, role=None)).status == 401
    at.services.answers[("cases", path.removeprefix("/api"))] = Answer(
        200, {"Content-Type": "image/jpeg"}, b"jpeg"
    )
    assert (await at.ask("GET", path, role="department")).raw == b"jpeg"
    erased = {**CASE, "title": None, "text": None, "position": None, "photos": []}
    at.services.answers[("cases", "/open311/cases")] = _json(200, {"items": [erased], "total": 1})
    (gone,) = (await get(at, "/requests.json")).body
    assert (gone["lat"], gone["long"], gone["media_url"], gone["description"]) == (None,) * 4


@pytest.mark.parametrize("state", ["triage", "routed", "accepted", "answered", "closed"])
async def test_a_request_is_closed_when_the_case_is_and_open_before(at: Door, state: str) -> None:
    at.services.answers[("cases", f"/cases/{CASE_ID}")] = _json(200, {**CASE, "state": state})
    (found,) = (await get(at, f"/requests/{CASE_ID}.json")).body
    assert found["status"] == ("closed" if state == "closed" else "open")
    assert found["status_notes"].startswith(state)


@given(st.text())
def test_whatever_a_text_holds_the_xml_is_well_formed_and_says_the_same(text: str) -> None:
    written = open311.written("xml", "service_requests", [{"description": text}])
    root = ET.fromstring(bytes(written.body))  # noqa: S314 - our own
    found = root[0].findtext("description") or ""
    kept = open311._NOT_XML.sub("\ufffd", text)
    assert found == kept.replace("\r\n", "\n").replace("\r", "\n")


async def test_filters_reach_the_service_with_the_callers_token(at: Door) -> None:
    at.services.answers[("cases", "/open311/cases")] = _json(200, {"items": [], "total": 0})
    token = at.token("department", organisation="housing")
    query = urlencode(
        {
            "start_date": "2026-01-01T00:00:00+08:00",
            "end_date": "2026-02-01T00:00:00+08:00",
            "status": "open",
            "service_code": "城乡建设,环境保护",
            "page": "2",
            "page_size": "50",
        }
    )
    said = await at.ask("GET", f"/open311/v2/requests.json?{query}", token=token)
    assert (said.status, said.body) == (200, [])
    service, path, asked = at.services.asked[-1]
    assert (service, path, at.services.tokens[-1]) == ("cases", "/open311/cases", token)
    assert parse_qs(asked) == {
        "filed_from": ["2026-01-01T00:00:00+08:00"],
        "filed_until": ["2026-02-01T00:00:00+08:00"],
        "ended": ["false"],
        "category": ["城乡建设", "环境保护"],
        "page": ["2"],
        "size": ["50"],
    }


@given(
    start=st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    end=st.none() | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_a_span_is_never_longer_than_90_days_and_keeps_the_end_that_was_named(
    start: datetime | None, end: datetime | None
) -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    first, last = open311.span(start, end, now)
    assert last - first <= timedelta(days=90)
    assert first == start if start else last == (end or now)


async def test_ids_override_every_other_filter_and_unknown_ones_are_left_out(at: Door) -> None:
    foreign, unknown = str(uuid4()), str(uuid4())
    at.services.answers |= {
        ("cases", f"/cases/{CASE_ID}"): _json(200, CASE),
        ("cases", f"/cases/{foreign}"): _json(403, {"code": "not-your-case", "detail": "no"}),
        ("cases", f"/cases/{unknown}"): _json(404, {"code": "case-unknown", "detail": "no"}),
    }
    said = await get(
        at, f"/requests.json?service_request_id={CASE_ID},{foreign},{unknown},rubbish&status=closed"
    )
    assert [found["service_request_id"] for found in said.body] == [CASE_ID]


async def test_a_foreign_request_is_answered_exactly_like_one_that_does_not_exist(at: Door) -> None:
    foreign, unknown = str(uuid4()), str(uuid4())
    at.services.answers |= {
        ("cases", f"/cases/{foreign}"): _json(403, {"code": "not-your-case", "detail": "not yours"}),
        ("cases", f"/cases/{unknown}"): _json(404, {"code": "case-unknown", "detail": "none"}),
    }
    answers = [await get(at, f"/requests/{one}.xml") for one in (foreign, unknown, "rubbish")]
    at.post.outcome = _refused_as("not-your-case", "forbidden")
    form = {"service_request_id": CASE_ID, "status": "fixed", "description": "已修复"}
    first = await post(at, "/servicerequestupdates.xml", form)
    at.post.outcome = _refused_as("case-unknown", "not-found")
    answers += [first, await post(at, "/servicerequestupdates.xml", form)]
    answers.append(await post(at, "/servicerequestupdates.xml", {**form, "service_request_id": "rubbish"}))
    assert {(said.status, said.raw) for said in answers} == {(404, answers[0].raw)}
    assert error(answers[0]) == (404, "service-request-unknown")


def _refused_as(code: str, kind: str) -> Any:
    def outcome(command: Any) -> CommandOutcome:
        problem = Problem.model_validate({"code": code, "kind": kind, "detail": "What is wrong."})
        return accepted(command).model_copy(update={"state": "rejected", "problem": problem})

    return outcome


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("status=done", "status-unknown"),
        ("start_date=yesterday", "date-malformed"),
        ("start_date=2026-01-01T00:00:00", "date-malformed"),
        ("page=0", "number-malformed"),
        ("page_size=1001", "number-malformed"),
        (f"service_request_id={','.join(str(uuid4()) for _ in range(51))}", "too-many-ids"),
    ],
)
@pytest.mark.parametrize("kind", ["json", "xml"])
async def test_a_filter_that_makes_no_sense_is_refused_in_the_standards_form(
    at: Door, query: str, code: str, kind: str
) -> None:
    assert error(await get(at, f"/requests.{kind}?{query}")) == (400, code)


# -- keys ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/requests.json", "/services.json", f"/requests/{CASE_ID}.xml", "/discovery.xml"]
)
async def test_an_api_key_in_a_url_is_refused_even_where_none_is_needed(at: Door, path: str) -> None:
    said = await get(at, f"{path}?api_key={at.token('department')}")
    assert error(said) == (400, "api-key-in-url")
    assert at.token("department") not in said.raw.decode()
    said = await post(at, "/requests.json?api_key=x", FILING, role="deputy")
    assert error(said) == (400, "api-key-in-url")


async def test_an_api_key_in_a_body_signs_in_like_a_bearer_token(at: Door) -> None:
    form = {"service_request_id": CASE_ID, "status": "accepted", "update_id": "1"}
    said = await post(
        at, "/servicerequestupdates.json", {**form, "api_key": at.token("department")}, role=None
    )
    assert said.status == 200
    assert error(await post(at, "/servicerequestupdates.json", form, role=None)) == (401, "not-signed-in")
    forged = await post(at, "/servicerequestupdates.xml", {**form, "api_key": "forged"}, role=None)
    assert error(forged) == (401, "token-not-valid")
    assert error(await get(at, "/requests.json", role=None)) == (401, "not-signed-in")


# -- filing --------------------------------------------------------------------------------------------


async def test_a_deputy_files_a_case_whose_words_leave_sealed(at: Door) -> None:
    form = {
        **FILING,
        "lat": "29.868336",
        "long": "121.543990",
        "address_string": "药行街 & 解放路口",
        "first_name": "三",
        "last_name": "张",
        "phone": "13800000000",
        "media_url": "https://example.org/1.jpg",
        "jurisdiction_id": "ningbo",
        "device_id": "1",
    }
    said = await post(at, "/requests.json", form, role="deputy")
    ((topic, command),) = at.post.sent
    assert said.body == [{"service_request_id": command.subject, "service_notice": None, "account_id": None}]
    assert (topic, command.type) == ("cases.commands", "case.file")
    assert {k: v for k, v in command.data.items() if k != "sealed"} == {
        "county": "330203", "town": None, "category": "城乡建设", "origin": "own", "photos": [],
    }  # fmt: skip
    words = at.services.opener.open(command.data["sealed"])
    assert words["title"] == "路口窨井盖破损，"
    assert words["contact"] == "三 张 13800000000"
    assert words["position"] == {"latitude": 29.868336, "longitude": 121.54399, "accuracy": None}
    assert words["text"].split("\n") == [
        "路口窨井盖破损，",
        "下水道积水。",
        "地址：药行街 & 解放路口",
        "图片：https://example.org/1.jpg",
    ]
    root = xml(await post(at, "/requests.xml", form, role="deputy"))
    assert root.tag == "service_requests"
    assert UUID(root.findtext("request/service_request_id") or "")


@pytest.mark.parametrize("role", ["department", "staff", "operator"])
async def test_who_may_not_file_is_told_so(at: Door, role: Role) -> None:
    assert error(await post(at, "/requests.xml", FILING, role=role)) == (403, "role-not-allowed")
    assert at.post.sent == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"description": ""}, "field-missing"),
        ({"attribute[county]": ""}, "field-missing"),
        ({"attribute[county]": "宁波"}, "field-malformed"),
        ({"service_code": ""}, "field-missing"),
        ({"lat": "29.8"}, "coordinates-malformed"),
        ({"lat": "95", "long": "121"}, "coordinates-malformed"),
        ({"lat": "nan", "long": "121"}, "coordinates-malformed"),
        ({"lat": "29.8", "long": "180.1"}, "coordinates-malformed"),
        ({"description": "a\x00b"}, "field-malformed"),
        ({"phone": "1" * 201}, "field-malformed"),
    ],
)
async def test_a_filing_that_lacks_something_is_400_and_nothing_is_sent(
    at: Door, change: dict[str, str], code: str
) -> None:
    assert error(await post(at, "/requests.json", {**FILING, **change}, role="deputy")) == (400, code)
    assert at.post.sent == []


async def test_a_filing_without_an_outcome_yet_gets_a_token_to_ask_with(at: Door) -> None:
    at.post.outcome = lambda _: None
    said = await post(at, "/requests.json", FILING, role="deputy")
    assert said.status == 202
    (told,) = said.body
    (_, command), *_ = at.post.sent
    assert told == {"token": str(command.id)}
    outcome = accepted(command)
    at.services.answers[("cases", f"/commands/{command.id}")] = _json(200, outcome.model_dump(mode="json"))
    (found,) = (await get(at, f"/tokens/{command.id}.json", role="deputy")).body
    assert found == {"service_request_id": command.subject, "token": str(command.id)}
    root = xml(await get(at, f"/tokens/{command.id}.xml", role="deputy"))
    assert root.findtext("request/token") == str(command.id)


# -- updates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "type_", "data"),
    [
        ({"status": "accepted"}, "case.accept", {}),
        ({"status": "INVESTIGATING"}, "case.accept", {}),
        ({"status": "in_progress", "description": "已派人"}, "case.progress", {"text": "已派人"}),
        ({"status": "action_scheduled", "description": "下周施工"}, "case.progress", {"text": "下周施工"}),
        ({"status": "fixed", "description": "已修复"}, "case.answer", {"result": "solved", "text": "已修复", "photos": [], "documents": []}),
        ({"status": "no_further_action", "description": "无条件"}, "case.answer", {"result": "unsolved", "text": "无条件", "photos": [], "documents": []}),
        ({"status": "closed", "result": "explained", "description": "已说明"}, "case.answer", {"result": "explained", "text": "已说明", "photos": [], "documents": []}),
        ({"status": "not_councils_responsibility", "description": "非本单位"}, "case.return", {"reason": "非本单位"}),
        ({"status": "information_needed", "description": "请补充位置"}, "case.ask", {"text": "请补充位置"}),
        ({"status": "extension_asked", "days": "5", "description": "待招标"}, "case.ask-extension", {"days": 5, "reason": "待招标"}),
        ({"status": "opinion", "description": "同意主办意见"}, "case.opinion", {"text": "同意主办意见"}),
    ],
)  # fmt: skip
async def test_an_update_becomes_the_command_that_it_means(
    at: Door, form: dict[str, str], type_: str, data: dict[str, str]
) -> None:
    said = await post(
        at, "/servicerequestupdates.json", {"service_request_id": CASE_ID, "update_id": "7", **form}
    )
    ((topic, command),) = at.post.sent
    assert (topic, command.type, command.subject, command.data) == ("cases.commands", type_, CASE_ID, data)
    assert said.body == [{"update_id": f"{CASE_ID}.3"}]


async def test_the_same_update_id_is_the_same_command_and_another_senders_is_not(at: Door) -> None:
    form = {"service_request_id": CASE_ID, "status": "accepted", "update_id": "7"}
    for changed in ({}, {}, {"update_id": "8"}, {"service_request_id": str(uuid4())}):
        await post(at, "/servicerequestupdates.xml", form | changed)
    ids = [command.id for _, command in at.post.sent]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert open311.update_id("department:a", CASE_ID, "7") != open311.update_id("department:b", CASE_ID, "7")


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"status": "done"}, "status-unknown"),
        ({"status": ""}, "field-missing"),
        ({"status": "closed", "description": "x"}, "field-missing"),
        ({"status": "closed", "description": "x", "result": "perfect"}, "field-malformed"),
        ({"status": "fixed"}, "field-malformed"),
        ({"status": "extension_asked", "description": "待招标"}, "field-missing"),
        ({"status": "extension_asked", "description": "待招标", "days": "5.5"}, "field-malformed"),
        ({"status": "extension_asked", "description": "待招标", "days": "0"}, "field-malformed"),
        ({"status": "information_needed"}, "field-malformed"),
        ({"status": "not_responsible", "description": "x" * 501}, "field-malformed"),
        ({"status": "accepted", "description": "会尽快处理"}, "description-not-kept"),
        ({"status": "fixed", "description": "a\x01b"}, "text-not-allowed"),
    ],
)
async def test_an_update_that_means_nothing_is_refused_and_nothing_is_sent(
    at: Door, form: dict[str, str], code: str
) -> None:
    said = await post(at, "/servicerequestupdates.xml", {"service_request_id": CASE_ID, **form})
    assert error(said) == (400, code)
    assert at.post.sent == []


async def test_a_refusal_keeps_its_code_and_status(at: Door) -> None:
    at.post.outcome = refused("conflict")
    form = {"service_request_id": CASE_ID, "status": "accepted"}
    assert error(await post(at, "/servicerequestupdates.json", form)) == (409, "a-code")
    at.post.failure = TooManyWaiting()
    said = await post(at, "/servicerequestupdates.json", form)
    assert error(said) == (503, "too-busy")
    assert said.headers["retry-after"] == "1"


async def test_updates_have_the_fields_of_the_extension_in_both_formats(at: Door) -> None:
    step = {
        "case_id": CASE_ID,
        "number": 3,
        "step": "answered",
        "at": "2026-11-21T09:30:00Z",
        "text": "已修复 <ok>",
    }
    at.services.answers[("cases", "/open311/steps")] = _json(200, {"items": [step]})
    path = f"/servicerequestupdates.{{}}?start_date=2026-11-01T00:00:00%2B08:00&service_request_id={CASE_ID}"
    (found,) = (await get(at, path.format("json"))).body
    assert found == {
        "update_id": f"{CASE_ID}.3",
        "service_request_id": CASE_ID,
        "status": "open",
        "status_notes": "answered 已答复",
        "updated_datetime": "2026-11-21T09:30:00Z",
        "description": "已修复 <ok>",
        "media_url": None,
    }
    root = xml(await get(at, path.format("xml")))
    assert root.tag == "service_request_updates"
    assert {child.tag: child.text for child in root.findall("request_update")[0]} == found
    assert parse_qs(at.services.asked[-1][2])["case"] == [CASE_ID]


# -- what is no request ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/requests.csv", "/requests", "/nothing.json", "/"])
async def test_what_is_not_there_is_404_in_the_standards_form(at: Door, path: str) -> None:
    assert error(await get(at, path))[0] == 404


async def test_a_method_that_is_not_there_is_405_in_the_standards_form(at: Door) -> None:
    said = await at.ask("PUT", "/open311/v2/requests.xml")
    assert error(said) == (405, "http-error")


async def test_an_xml_body_is_never_read(at: Door) -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    said = await at.ask(
        "POST", "/open311/v2/servicerequestupdates.xml", role="department", raw=bomb,
        headers={"content-type": "text/xml"},
    )  # fmt: skip
    assert error(said) == (400, "field-missing")


@given(
    st.binary(max_size=200),
    st.sampled_from(["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]),
)
async def test_no_body_makes_the_door_fail(body: bytes, kind: str) -> None:
    at = door()
    said = await at.ask(
        "POST",
        "/open311/v2/servicerequestupdates.json",
        role="department",
        raw=body or b"x",
        headers={"content-type": kind},
    )
    assert said.status < 500
    error(said)


async def test_an_error_that_nobody_expected_has_the_standards_form_and_tells_nothing(at: Door) -> None:
    at.services.answers[("cases", "/open311/cases")] = _json(200, {"items": [{"id": "a resident's words"}]})
    said = await get(at, "/requests.xml")
    assert error(said) == (500, "internal-error")
    assert b"words" not in said.raw
