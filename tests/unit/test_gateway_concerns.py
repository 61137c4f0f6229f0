"""What residents do without an account, at the gateway alone: consent, limits, the link, the cookie, the form."""

from __future__ import annotations

import json
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from gateway.concerns import NOTICE
from gateway.intake import digest_of
from gateway.services import Answer
from shared.contracts import cases
from shared.receipts import read_receipt
from tests.gateway_door import Door, Said, door, refused

DEPUTY, CASE = uuid4(), uuid4()
CODE = "7k2m9q4t1x"
CONCERN = {
    "title": "路灯不亮",
    "text": "门口路灯不亮半个月了。",
    "contact": "王先生 13900000001",
    "consent": NOTICE["version"],
}
SUBMIT = f"/api/codes/{CODE}/concerns"


def answer(status: int, content: Any) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())


def opened(**more: str) -> Door:
    """A gateway behind which identity knows the code and gives the client its token."""
    at = door(**more)
    token = at.issuer.token("intake", "intake")
    at.services.answers = {
        ("identity", "/token"): answer(200, {"access_token": token, "expires_in": 900}),
        ("identity", f"/codes/{CODE}/deputy"): answer(
            200, {"deputy_id": str(DEPUTY), "owner": str(DEPUTY), "county": "330203", "town": None}
        ),
    }
    return at


@pytest.fixture
def at() -> Door:
    return opened(concerns_per_address="1000/hour", follow_attempts_per_address="1000/hour")


async def submit(at: Door, key: UUID | None = None, **more: Any) -> Said:
    headers = {"idempotency-key": str(key)} if key else {}
    return await at.ask("POST", SUBMIT, role=None, content=CONCERN | more, headers=headers)


async def follow(at: Door, key: UUID | None = None) -> tuple[Said, str, dict[str, str]]:
    """The answer to a link that leads somewhere, the receipt number, and the header with its cookie."""
    told = (await submit(at, key)).body
    receipt = read_receipt(told["receipt"])
    seen = {"case_id": str(CASE), "concern": {"receipt": receipt, "state": "submitted"}}
    at.services.answers["cases", "/concerns/seen"] = answer(200, seen)
    said = await at.ask("GET", told["follow"], role=None)
    cookie = SimpleCookie(said.headers["set-cookie"])
    pairs = "; ".join(f"{name}={one.value}" for name, one in cookie.items())
    return said, told["receipt"], {"cookie": pairs}


async def test_a_concern_leaves_sealed_as_the_gateways_own_client_and_is_answered_with_receipt_and_link(
    at: Door,
) -> None:
    said = await submit(at)
    assert said.status == 200
    ((topic, command),) = at.post.sent
    data = cases.SubmitConcern.model_validate(command.data)
    assert (topic, command.type, data.deputy_id, data.county) == (
        "cases.commands",
        "concern.submit",
        DEPUTY,
        "330203",
    )
    assert read_receipt(said.body["receipt"]) == data.receipt
    secret = said.body["follow"].removeprefix("/f/")
    assert data.follow == digest_of(secret)
    wire = command.model_dump_json()
    for word in (secret, CONCERN["title"], CONCERN["text"], CONCERN["contact"], "13900000001"):
        assert word not in wire
    assert at.services.opener.open(data.sealed) == {"title": CONCERN["title"], "text": CONCERN["text"]}
    assert at.services.opener.open(str(data.contact)) == {"contact": CONCERN["contact"]}


async def test_a_repetition_has_the_same_case_receipt_and_link_and_another_request_others(at: Door) -> None:
    key = uuid4()
    first, again, other = await submit(at, key), await submit(at, key), await submit(at)
    assert first.body == again.body
    assert first.body["receipt"] != other.body["receipt"]
    assert first.body["follow"] != other.body["follow"]
    subjects = [command.subject for _, command in at.post.sent]
    assert subjects[0] == subjects[1] != subjects[2]
    assert str(key) not in subjects, "nobody can choose the id of a case"


async def test_what_was_not_taken_in_has_no_link(at: Door) -> None:
    at.post.outcome = refused("conflict")
    said = await submit(at)
    assert said.code == "a-code"
    assert "/f/" not in said.raw.decode()
    at.post.outcome = lambda _: None
    pending = await submit(at)
    assert (pending.status, pending.body["state"]) == (202, "pending")
    assert "location" not in pending.headers
    assert "/f/" not in pending.raw.decode()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"consent": "2020-01"}, "consent-needed"),
        ({"consent": ""}, "consent-needed"),
        ({"county": "13900000001"}, "invalid-request"),
        ({"county": "05741234567"}, "invalid-request"),
        ({"town": "139000000012"[:11]}, "invalid-request"),
        ({"text": ""}, "invalid-request"),
        ({"text": "a\x00b"}, "invalid-request"),
        ({"deputy_id": str(uuid4())}, "invalid-request"),
    ],
)
async def test_what_cannot_be_submitted_is_refused_and_sends_nothing(
    at: Door, more: dict[str, Any], code: str
) -> None:
    said = await submit(at, **more)
    assert (said.status, said.code) == (422, code)
    assert at.post.sent == []


async def test_a_code_that_leads_to_nobody_and_a_deputy_without_a_county_are_told(at: Door) -> None:
    at.services.answers["identity", f"/codes/{CODE}/deputy"] = answer(404, {})
    assert (await submit(at)).code == "deputy-unknown"
    at.services.answers["identity", f"/codes/{CODE}/deputy"] = answer(
        200, {"deputy_id": str(DEPUTY), "owner": str(DEPUTY), "county": None, "town": None}
    )
    assert (await submit(at)).code == "county-needed"
    assert (await submit(at, county="330203")).status == 200


STATION, OTHER = uuid4(), uuid4()


def at_station(at: Door, deputy: UUID) -> None:
    """Let identity say that the code is a station's and who of its deputies gets it."""
    told = {"deputy_id": str(deputy), "owner": str(STATION), "county": "330203", "town": "330203100"}
    at.services.answers["identity", f"/codes/{CODE}/deputy"] = answer(200, told)


def asked_of_identity(at: Door) -> dict[str, str]:
    """The query with which the last concern's deputy was asked for."""
    found = [query for _, path, query in at.services.asked if path == f"/codes/{CODE}/deputy"]
    return dict(parse_qsl(found[-1]))


async def test_by_a_stations_code_it_goes_to_who_drew_the_lot_or_was_picked_at_the_stations_place(
    at: Door,
) -> None:
    at_station(at, DEPUTY)
    key = uuid4()
    assert (await submit(at, key)).status == 200
    assert asked_of_identity(at) == {"lot": str(key)}
    data = cases.SubmitConcern.model_validate(at.post.sent[-1][1].data)
    assert (data.deputy_id, data.county, data.town) == (DEPUTY, "330203", "330203100")
    assert (await submit(at, key, deputy="abcdefghjk")).status == 200
    assert asked_of_identity(at) == {"lot": str(key), "picked": "abcdefghjk"}


async def test_a_repetition_is_the_same_case_although_another_deputy_would_get_it_now(at: Door) -> None:
    key = uuid4()
    at_station(at, DEPUTY)
    first = await submit(at, key)
    at_station(at, OTHER)
    again = await submit(at, key)
    assert first.body == again.body
    before, after = (command for _, command in at.post.sent)
    assert (before.subject, before.datadigest) == (after.subject, after.datadigest)


@pytest.mark.parametrize(
    ("status", "code"), [(404, "deputy-unknown"), (409, "station-empty"), (422, "deputy-not-there")]
)
async def test_where_nobody_gets_it_nothing_is_sent_and_the_reason_is_told(
    at: Door, status: int, code: str
) -> None:
    at.services.answers["identity", f"/codes/{CODE}/deputy"] = answer(status, {})
    said = await submit(at, deputy="abcdefghjk")
    assert (said.status, said.code, at.post.sent) == (status, code, [])


async def test_concerns_by_a_stations_code_are_counted_together_whoever_gets_them() -> None:
    at = opened(concerns_per_code="2/hour")
    found = []
    for deputy in (DEPUTY, OTHER, uuid4()):
        at_station(at, deputy)
        found.append((await submit(at)).status)
    assert found == [200, 200, 429]


async def test_staff_take_down_a_concern_in_their_own_name_and_a_deputy_cannot(at: Door) -> None:
    token = at.token("staff")
    assert (await at.ask("POST", SUBMIT, token=token, content=CONCERN)).status == 200
    assert at.post.sent[-1][1].actortoken == token
    assert (await at.ask("POST", SUBMIT, role="deputy", content=CONCERN)).code == "role-not-allowed"
    # In a browser whoever is signed in is nobody on the residents' route, so staff have one of their own.
    told = {**CONCERN, "code": CODE}
    said = await at.ask("POST", "/api/concerns", token=token, content=told)
    assert (said.status, at.post.sent[-1][1].actortoken) == (200, token)
    assert said.body["follow"].startswith("/f/")
    for role in ("deputy", "intake"):
        assert (await at.ask("POST", "/api/concerns", role=role, content=told)).code == "role-not-allowed"


async def test_too_many_concerns_from_one_address_or_for_one_deputy_are_slowed_down() -> None:
    at = opened(concerns_per_address="2/hour")
    assert [(await submit(at)).status for _ in range(3)] == [200, 200, 429]
    assert len(at.post.sent) == 2
    at = opened(concerns_per_code="2/hour")
    said = [await submit(at) for _ in range(3)]
    assert [one.status for one in said] == [200, 200, 429]
    assert said[-1].code == "too-many-requests"
    assert int(said[-1].headers["retry-after"]) > 0


async def test_without_identity_nothing_is_taken_in(at: Door) -> None:
    at = opened(concerns_per_address="999/hour")  # a gateway that has no token yet
    at.services.answers["identity", "/token"] = answer(401, {})
    assert (await submit(at)).code == "intake-away"
    at.services.away = {"identity"}
    assert (await submit(at)).code == "service-away"


# -- following


async def test_the_link_sets_a_cookie_for_its_one_concern_and_leads_to_a_clean_address(at: Door) -> None:
    key = uuid4()
    with capture_logs() as logs:
        said, receipt, _ = await follow(at, key)
    assert said.status == 303
    assert said.headers["location"] == f"/api/concerns/{receipt}"
    assert said.headers["referrer-policy"] == "no-referrer"
    assert said.headers["cache-control"] == "no-store"
    cookie = said.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=lax", "Path=/", "Max-Age=3600"):
        assert part in cookie
    secret = (await submit(at, key)).body["follow"].removeprefix("/f/")
    assert secret not in cookie + str(logs)
    routes = {entry["route"] for entry in logs if entry["event"] == "request"}
    assert routes == {"/api/codes/{code}/concerns", "/f/{secret}"}


async def test_with_the_cookie_the_concern_is_shown_and_without_it_or_with_another_s_it_is_not(
    at: Door,
) -> None:
    _, receipt, cookie = await follow(at)
    said = await at.ask("GET", f"/api/concerns/{receipt}", role=None, headers=cookie)
    assert said.body["receipt"] == receipt
    _, other, others_cookie = await follow(at)
    renamed = {
        "cookie": others_cookie["cookie"].replace(str(read_receipt(other)), str(read_receipt(receipt)))
    }
    altered = {"cookie": cookie["cookie"][:-6] + "AAAAAA"}
    for headers in ({}, others_cookie, renamed, altered, {"cookie": f"concern-{read_receipt(receipt)}="}):
        found = await at.ask("GET", f"/api/concerns/{receipt}", role=None, headers=headers)
        assert (found.status, found.code) == (404, "follow-unknown")


async def test_every_wrong_secret_gets_the_same_answer(at: Door) -> None:
    at.services.answers["cases", "/concerns/seen"] = answer(404, {})
    said = [
        await at.ask("GET", f"/f/{secret}", role=None)
        for secret in ("0" * 26, "short", "%E4%BD%A0", "U" * 26, "1" * 60)
    ]
    assert {(one.status, one.raw, one.headers.get("set-cookie")) for one in said} == {
        (404, said[0].raw, None)
    }


async def test_number_and_secret_in_a_form_do_the_same_and_only_together(at: Door) -> None:
    _, receipt, _ = await follow(at)

    async def typed(number: str, secret: str) -> Said:
        form = {"content-type": "application/x-www-form-urlencoded"}
        body = urlencode({"receipt": number, "secret": secret}).encode()
        headers = {**form, "content-length": str(len(body))}
        return await at.ask("POST", "/api/concerns/open", role=None, raw=body, headers=headers)

    secret = "0123456789ABCDEFGHJKMNPQRS"
    right = await typed(receipt.lower(), f"{secret[:13]} {secret[13:].lower()}")
    assert (right.status, right.headers["location"]) == (303, f"/api/concerns/{receipt}")
    assert at.services.bodies[-1] == {"follow": digest_of(secret)}
    foreign = (await submit(at)).body["receipt"]
    assert (await typed(foreign, secret)).code == "follow-unknown"
    assert (await typed("not a number", secret)).code == "follow-unknown"


async def test_who_guesses_is_slowed_down_also_with_the_form() -> None:
    at = opened(follow_attempts_per_address="3/minute")
    at.services.answers["cases", "/concerns/seen"] = answer(404, {})
    found = [(await at.ask("GET", f"/f/{'0' * 26}", role=None)).status for _ in range(5)]
    assert found == [404, 404, 404, 429, 429]
    # A whole city's residents come from the one address of the simulation; nobody else may pass so.
    played = at.token("intake", simulated=True)
    assert (await at.ask("GET", f"/f/{'0' * 26}", token=played)).status == 404
    assert (await at.ask("GET", f"/f/{'0' * 26}", token=at.token("intake"))).status == 429
    assert (await at.ask("GET", f"/f/{'0' * 26}", role="staff")).status == 429


async def test_what_a_resident_asks_for_is_a_command_on_that_case_with_the_digest_and_sealed_words(
    at: Door,
) -> None:
    _, receipt, cookie = await follow(at)
    asked: dict[str, tuple[dict[str, Any] | None, str]] = {
        "supply": ({"text": "在东门口"}, "concern.supply"),
        "reopen": ({"text": "还是不亮"}, "concern.reopen"),
        "object": ({"text": "不同意"}, "concern.object"),
        "rate": ({"stars": 2, "attitude": 4}, "concern.rate"),
        "withdraw": (None, "concern.withdraw"),
        "erase": ({"what": "all"}, "concern.erase"),
        "close-link": (None, "concern.close-link"),
    }
    for name, (body, type_) in asked.items():
        path = f"/api/concerns/{receipt}/{name}"
        assert (await at.ask("POST", path, role=None, content=body)).code == "follow-unknown"
        said = await at.ask("POST", path, role=None, content=body, headers=cookie)
        assert said.status == 200, said.raw
        command = at.post.sent[-1][1]
        assert (command.type, command.subject) == (type_, str(CASE))
        assert len(command.data["follow"]) == 64
        assert not {"在东门口", "还是不亮"} & set(map(str, command.data.values()))


async def test_a_cookie_in_production_is_for_this_host_and_for_tls_alone() -> None:
    at = opened(environment="production")
    said, _, cookie = await follow(at)
    assert "; Secure" in said.headers["set-cookie"]
    assert cookie["cookie"].startswith("__Host-concern-")
