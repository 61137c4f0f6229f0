"""The gateway's reads: asked of one service with the caller's token, by a path of the gateway's own making."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import quote
from uuid import uuid4

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from gateway.reads import READS, Read
from gateway.services import Answer, Services
from shared.contracts.operations import CommandOutcome, Problem
from shared.contracts.registry import Role
from shared.http.problems import Problem as HttpProblem
from tests.gateway_door import NAMES, Door, door


@pytest.fixture
def at() -> Door:
    return door()


@pytest.mark.parametrize("read", READS, ids=lambda read: read.path)
async def test_a_read_asks_its_service_with_the_callers_token_and_query(at: Door, read: Read) -> None:
    path = read.path.format(id="abc-1", code="abc-1", key="abc-1", digest="a" * 64)
    token = at.token("staff")
    said = await at.ask("GET", f"/api{path}?page=2&q=%E5%BC%A0", token=token)
    assert said.status == 200
    assert at.services.asked == [(read.service, path, "page=2&q=%E5%BC%A0")]
    assert at.services.tokens == [None if read.public else token]


@pytest.mark.parametrize("read", [r for r in READS if not r.public], ids=lambda read: read.path)
async def test_every_read_but_the_public_code_needs_a_token(at: Door, read: Read) -> None:
    said = await at.ask("GET", f"/api{read.path.format(id='a', key='a', digest='a')}", role=None)
    assert (said.status, said.code) == (401, "not-signed-in")
    assert at.services.asked == []


def test_public_codes_and_the_keys_of_archives_are_the_only_public_reads() -> None:
    assert [read.path for read in READS if read.public] == ["/codes/{code}", "/archive-keys"]


@pytest.mark.parametrize(
    "escape",
    [
        *("..", "%2e%2e", "..%2fsealing-key", "%2e%2e%2ffigures", "a%2fb", "a/", "a%2f", "..;", "a%5c..%5cb"),
        *("a%3fb=c", "a%23b", "a%00", "%0d%0aX:y", "张", "a b", "a" * 61, "@evil", ":80"),
    ],
)
@pytest.mark.parametrize("route", ["/api/cases/{}", "/api/codes/{}", "/api/operations/cases/dead-letters/{}"])
async def test_a_read_cannot_leave_its_route(at: Door, route: str, escape: str) -> None:
    said = await at.ask("GET", route.format(escape), role="operator")
    assert (said.status, said.code) == (404, "not-found")
    assert at.services.asked == []


@given(st.text(min_size=1, max_size=80))
async def test_whatever_stands_in_the_path_a_service_is_asked_for_an_identifier_only(name: str) -> None:
    at = door()
    said = await at.ask("GET", f"/api/codes/{quote(name, safe='', errors='replace')}", role=None)
    assert said.status in {200, 404}
    for _, path, _ in at.services.asked:
        assert re.fullmatch(r"/codes/[A-Za-z0-9-]{1,60}", path)


async def test_a_query_that_is_no_text_is_passed_on_as_text(at: Door) -> None:
    said = await at.ask("GET", "/api/deputies?q=\xff")
    assert said.status == 200
    assert at.services.asked == [("identity", "/deputies", "q=\ufffd")]


@pytest.mark.parametrize("path", ["/api/commands/gateway/{}", "/api/operations/..%2f/dead-letters/{}"])
async def test_a_service_that_does_not_exist_is_refused(at: Door, path: str) -> None:
    said = await at.ask("GET", path.format(uuid4()), role="operator")
    assert said.status in {404, 422}
    assert at.services.asked == []


async def test_a_services_problem_is_passed_on_as_it_is(at: Door) -> None:
    body = json.dumps({"code": "case-unknown", "status": 404}).encode()
    at.services.answers["cases", "/cases/a"] = Answer(404, {"Content-Type": "application/problem+json"}, body)
    said = await at.ask("GET", "/api/cases/a")
    assert (said.status, said.raw) == (404, body)
    assert said.headers["content-type"] == "application/problem+json"


async def test_a_file_that_a_service_makes_is_waited_for_longer_than_a_list(at: Door) -> None:
    for path in ("scores/a/sheet", "scores/a/report", "archive/a/package", "archive/a/spreadsheet", "cases"):
        await at.ask("GET", f"/api/{path}", role="deputy")
    assert at.services.patience == [60, 60, 60, 60, 10]


async def test_who_one_is_is_asked_about_the_caller_alone(at: Door) -> None:
    await at.ask("GET", "/api/me?person=somebody-else", role="deputy")
    assert at.services.asked == [("identity", f"/people/{at.person}", "")]


async def test_a_sign_in_reaches_identity_as_an_oauth_form(at: Door) -> None:
    said = await at.ask("POST", "/api/sign-in", role=None, content={"login": "wang", "password": "secret"})
    assert said.status == 200
    assert at.services.bodies == [{"grant_type": "password", "username": "wang", "password": "secret"}]


@pytest.mark.parametrize("kind", ["files", "none"])
async def test_a_token_form_hands_on_texts_only(at: Door, kind: str) -> None:
    raw = {
        "files": b'--x\r\nContent-Disposition: form-data; name="client_id"\r\n\r\noperator\r\n'
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n\x00\r\n--x--\r\n',
        "none": b"",
    }[kind]
    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": str(len(raw))}
    await at.ask("POST", "/api/token", role=None, raw=raw, headers=headers)
    assert at.services.bodies in ([{"client_id": "operator"}], [None], [{}])


# -- outcomes ----------------------------------------------------------------------------------------


def _outcome(state: str, problem: Problem | None = None) -> bytes:
    return (
        CommandOutcome.model_validate(
            {
                "command_id": uuid4(),
                "actor": "a",
                "state": state,
                "fingerprint": "f",
                "subject": "s",
                "version": 1 if problem is None else None,
                "problem": problem,
            }
        )
        .model_dump_json()
        .encode()
    )


async def test_an_outcome_asked_for_later_is_answered_as_it_would_have_been(at: Door) -> None:
    command = uuid4()
    place = ("cases", f"/commands/{command}")
    at.services.answers[place] = Answer(200, {}, _outcome("accepted"))
    said = await at.ask("GET", f"/api/commands/cases/{command}")
    assert (said.status, said.body["id"], said.body["version"]) == (200, "s", 1)
    refusal = Problem(code="step-not-possible", kind="conflict", detail="Not now.")
    at.services.answers[place] = Answer(200, {}, _outcome("rejected", refusal))
    said = await at.ask("GET", f"/api/commands/cases/{command}")
    assert (said.status, said.code) == (409, "step-not-possible")
    at.services.answers[place] = Answer(404, {"Content-Type": "application/problem+json"}, b"{}")
    said = await at.ask("GET", f"/api/commands/cases/{command}")
    assert said.status == 404


# -- questions to all services -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "role", "status"),
    [
        ("/api/figures", "deputy", 403),
        ("/api/figures", "department", 403),
        ("/api/figures", "staff", 200),
        ("/api/operations/status", "staff", 403),
        ("/api/operations/status", "operator", 200),
    ],
)
async def test_figures_are_for_staff_and_the_status_for_operators(
    at: Door, path: str, role: Role, status: int
) -> None:
    assert (await at.ask("GET", path, role=role)).status == status


async def test_the_status_names_the_services_that_are_away_and_shows_the_others(at: Door) -> None:
    at.services.away.add("cases")
    at.services.answers["notify", "/status"] = Answer(500, {}, b"{}")
    body = (await at.ask("GET", "/api/operations/status", role="operator")).body
    assert set(body["services"]) == set(NAMES)
    assert body["services"]["cases"] == {"ready": False, "reasons": {"cases": "It is away."}}
    assert body["services"]["notify"]["ready"] is False
    assert body["services"]["identity"] == {"path": "/status"}
    assert body["gateway"] == {"ready": True, "reasons": {}}


# -- replicas ----------------------------------------------------------------------------------------


@dataclass
class Replica:
    url: str
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@asynccontextmanager
async def replica() -> AsyncIterator[Replica]:
    """A service that says its own address and keeps what it was asked."""

    async def answer(request: web.Request) -> web.Response:
        found.paths.append(request.raw_path)
        found.headers.append(dict(request.headers))
        return web.json_response({"at": found.url}, headers={"Set-Cookie": "a=b", "X-Own": "1"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found = Replica(f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield found
    await runner.cleanup()


@asynccontextmanager
async def asking(*urls: str) -> AsyncIterator[Services]:
    services = Services({"cases": list(urls)})
    await services.open()
    yield services
    await services.close()


async def test_when_one_replica_is_away_the_next_is_asked() -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with replica() as there, asking(away, there.url) as services:
            for _ in range(4):
                answer = await services.ask("cases", "/cases")
                assert json.loads(answer.body) == {"at": there.url}
        assert len(there.paths) == 4
        async with asking(away, away) as services:
            with pytest.raises(HttpProblem) as refusal:
                await services.ask("cases", "/cases")
    assert (refusal.value.status, refusal.value.code) == (503, "service-away")
    assert refusal.value.headers == {"Retry-After": "2"}
    assert "cases" in refusal.value.detail


async def test_replicas_take_turns() -> None:
    async with replica() as one, replica() as other, asking(one.url, other.url) as services:
        for _ in range(6):
            await services.ask("cases", "/cases")
    assert (len(one.paths), len(other.paths)) == (3, 3)


async def test_a_service_gets_token_and_query_and_gives_no_headers_of_its_own() -> None:
    async with replica() as there, asking(there.url) as services:
        answer = await services.ask("cases", "/cases", token="t0ken", query="county=330203&page=2")
    assert there.paths == ["/cases?county=330203&page=2"]
    assert there.headers[0]["Authorization"] == "Bearer t0ken"
    assert {name.lower() for name in answer.headers} == {"content-type"}


async def test_a_service_without_replicas_is_503() -> None:
    async with asking() as services:
        with pytest.raises(HttpProblem) as refusal:
            await services.ask("cases", "/cases")
    assert refusal.value.status == 503
