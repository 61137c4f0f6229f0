"""Pages are served as they were built and nothing else is; a browser's session is for our own pages alone."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.browser import COOKIE, RENEWAL_COOKIE
from gateway.services import Answer
from tests.gateway_door import Door, door, served

OWN = {"Sec-Fetch-Site": "same-origin"}
SCRIPT = "console.log('代表通')" * 20
GRANTED = {
    "access_token": "a.signed.token",
    "token_type": "Bearer",
    "expires_in": 900,
    "person": "p",
    "name": "方玲",
    "roles": ["deputy"],
    "organisation": None,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Door:
    """A gateway with pages."""
    folder = tmp_path_factory.mktemp("dist")
    for name, text in {
        "m/index.html": "<!doctype html>",
        "console/index.html": "<!doctype html>",
        "assets/m-1a2b.js": SCRIPT,
        ".sources": "x",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    (folder.parent / "secret.txt").write_text("secret", "utf-8")
    return door(web_folder=folder)


async def test_a_page_is_asked_for_again_each_time_and_a_named_file_is_kept_for_ever(built: Door) -> None:
    page = await built.ask("GET", "/m/", role=None)
    assert (page.status, page.headers["cache-control"]) == (200, "no-cache")
    again = await built.ask("GET", "/m/", role=None, headers={"If-None-Match": page.headers["etag"]})
    assert (again.status, again.raw) == (304, b"")
    script = await built.ask("GET", "/assets/m-1a2b.js", role=None)
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.raw.decode() == SCRIPT


async def test_every_address_of_a_face_shows_its_page_and_the_root_leads_to_the_phone(built: Door) -> None:
    assert (await built.ask("GET", "/m/cases/new", role=None)).raw == b"<!doctype html>"
    for path, to in (("/", "/m/"), ("/m", "/m/"), ("/console", "/console/")):
        found = await built.ask("GET", path, role=None)
        assert (found.status, found.headers["location"]) == (303, to)


async def test_texts_travel_compressed_to_who_can_read_that(built: Door) -> None:
    script = await built.ask("GET", "/assets/m-1a2b.js", role=None, headers={"Accept-Encoding": "br, gzip"})
    assert script.headers["content-encoding"] == "gzip"
    assert gzip.decompress(script.raw).decode() == SCRIPT


async def test_a_page_runs_and_asks_nothing_but_of_its_own_origin(built: Door) -> None:
    policy = (await built.ask("GET", "/m/", role=None)).headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    for path, asks in (("/m/cases/new", "(self)"), ("/console/", "()")):
        may = (await built.ask("GET", path, role=None)).headers["permissions-policy"].split(", ")
        assert f"geolocation={asks}" in may, "the phone alone asks where one is, and for us alone"
    api = await built.ask("GET", "/api/me")
    assert api.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize(
    "path", ["/assets/../../secret.txt", "/m/%2e%2e/%2e%2e/secret.txt", "/assets/none.js", "/console/"]
)
async def test_nothing_but_what_was_built_is_served(path: str, built: Door) -> None:
    found = await built.ask("GET", path, role=None)
    assert b"secret" not in found.raw
    assert found.status == 404 or found.raw == b"<!doctype html>"


async def test_without_pages_the_gateway_says_how_to_build_them(tmp_path: Path) -> None:
    found = await door(web_folder=tmp_path / "none").ask("GET", "/m/", role=None)
    assert (found.status, found.code) == (404, "pages-not-built")
    assert "make web" in found.body["detail"]


async def test_signing_in_puts_the_token_into_a_cookie_and_nowhere_else() -> None:
    at = door()
    at.services.answers["identity", "/token"] = Answer(200, {}, json.dumps(GRANTED).encode())
    body = {"login": "fang", "password": "x"}
    said = await at.ask("POST", "/api/session", role=None, headers=OWN, content=body)
    assert said.status == 200
    assert "a.signed.token" not in said.raw.decode()
    assert said.body["roles"] == ["deputy"]
    cookie = said.headers["set-cookie"]
    assert f"{COOKIE}=a.signed.token" in cookie
    assert all(part in cookie for part in ("HttpOnly", "SameSite=strict", "Path=/api", "Max-Age=900"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://elsewhere.example", "Host": "here.example"}, 403),
        ({"Origin": "null", "Host": "here.example"}, 403),
        ({"Origin": "https://here.example", "Host": "here.example"}, 200),
        (OWN, 200),
    ],
)
async def test_a_cookie_writes_only_for_our_own_pages(headers: dict[str, str], status: int) -> None:
    at = door()
    cookie = {"Cookie": f"{COOKIE}={at.token('deputy')}"}
    body = {"kind": "visit", "happened_on": "2026-01-01", "note": "走访"}
    said = await at.ask("POST", "/api/duties", role=None, headers=cookie | headers, content=body)
    assert said.status == status
    assert len(at.post.sent) == (status == 200)


async def test_a_cookie_is_enough_to_read_and_a_bearer_token_needs_no_page() -> None:
    at = door()
    cookie = {"Cookie": f"{COOKIE}={at.token('deputy')}"}
    assert (await at.ask("GET", "/api/me", role=None, headers=cookie)).status == 200
    body = {"kind": "visit", "happened_on": "2026-01-01", "note": "走访"}
    assert (await at.ask("POST", "/api/duties", role="deputy", content=body)).status == 200
    assert (await at.ask("GET", "/api/me", role=None)).status == 401


async def test_an_operator_signs_in_with_client_id_and_secret_and_no_other_machine_does() -> None:
    at = door()
    body = {"login": "operator", "password": "a-secret", "operator": True}
    for roles, status in ((["operator", "staff"], 200), (["operator", "simulation"], 403), (["intake"], 403)):
        told = {**GRANTED, "person": "operator", "roles": roles}
        at.services.answers["identity", "/token"] = Answer(200, {}, json.dumps(told).encode())
        said = await at.ask("POST", "/api/session", role=None, headers=OWN, content=body)
        assert said.status == status
        assert ("set-cookie" in said.headers) == (status == 200)
    form = {"grant_type": "client_credentials", "client_id": "operator", "client_secret": "a-secret"}
    form["scope"] = "browser"
    assert at.services.bodies == [form] * 3


REFRESHING = GRANTED | {"refresh_token": "a.refresh.token", "refresh_expires_in": 1209600}


async def cookies_of(at: Door, method: str, path: str, headers: dict[str, str], body: Any = None) -> Any:
    """Status, body and every cookie that an answer sets, through a real server: there are two headers of one name."""
    async with (
        served(at.app) as url,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        session.request(method, url + path, headers=OWN | headers, json=body) as answer,
    ):
        return answer.status, await answer.text(), answer.headers.getall("set-cookie", [])


@pytest.mark.parametrize("environment", ["test", "production"])
async def test_the_refresh_token_goes_into_a_cookie_for_the_sessions_routes_alone(environment: str) -> None:
    at = door(environment=environment)
    at.services.answers["identity", "/token"] = Answer(200, {}, json.dumps(REFRESHING).encode())
    held = {"Cookie": f"{RENEWAL_COOKIE}=the.one.before"}
    body = {"login": "fang", "password": "x"}
    for path, content in (("/api/session", body), ("/api/session/renewal", None)):
        status, text, cookies = await cookies_of(at, "POST", path, held, content)
        assert status == 200
        assert "token" not in text
        session, renewal = cookies
        assert f"{COOKIE}=a.signed.token" in session
        assert f"{RENEWAL_COOKIE}=a.refresh.token" in renewal
        parts = {part.strip() for part in renewal.split(";")}
        assert {"HttpOnly", "SameSite=strict", "Path=/api/session", "Max-Age=1209600"} <= parts
        assert ("Secure" in parts) == (environment == "production")
    asked = {"refresh_token": "the.one.before", "scope": "browser"}
    assert at.services.bodies == [
        {"grant_type": "password", "username": "fang", "password": "x"} | asked,
        {"grant_type": "refresh_token"} | asked,
    ]
    assert at.services.asked == [("identity", "/token", "")] * 2


async def test_a_renewal_is_for_our_own_pages_with_the_cookie_and_a_refused_one_leaves_the_cookies() -> None:
    at = door()
    held = {"Cookie": f"{RENEWAL_COOKIE}=old"}
    path = "/api/session/renewal"
    foreign = {"Sec-Fetch-Site": "cross-site"} | held
    assert (await at.ask("POST", path, role=None, headers=foreign)).code == "foreign-page"
    assert (await at.ask("POST", path, role=None, headers=OWN)).code == "session-ended"
    assert at.services.asked == []
    problem = json.dumps({"status": 401, "code": "session-ended"}).encode()
    at.services.answers["identity", "/token"] = Answer(
        401, {"content-type": "application/problem+json"}, problem
    )
    said = await at.ask("POST", path, role=None, headers=OWN | held)
    assert (said.status, said.code) == (401, "session-ended")
    assert "set-cookie" not in said.headers


async def test_signing_out_ends_the_session_at_identity_before_it_says_so() -> None:
    at = door()
    held = {"Cookie": f"{RENEWAL_COOKIE}=the.token"}
    status, _, cookies = await cookies_of(at, "DELETE", "/api/session", held)
    assert status == 204
    assert [cookie.partition("=")[0] for cookie in cookies] == [COOKIE, RENEWAL_COOKIE]
    assert all("Max-Age=0" in cookie for cookie in cookies)
    assert at.services.asked == [("identity", "/revocation", "")]
    assert at.services.bodies == [{"token": "the.token"}]
    at.services.away.add("identity")
    status, _, cookies = await cookies_of(at, "DELETE", "/api/session", held)
    assert (status, cookies) == (503, [])


async def test_what_asks_for_a_refresh_token_is_not_passed_on_for_machines() -> None:
    at = door()
    form = {"content-type": "application/x-www-form-urlencoded"}
    raw = b"grant_type=password&username=fang&password=x&scope=browser&refresh_token=t"
    await at.ask("POST", "/api/token", role=None, raw=raw, headers=form)
    assert at.services.bodies == [{"grant_type": "password", "username": "fang", "password": "x"}]
