"""What the gateway does around every request: limits, headers, unexpected failures, and silence about input."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from prometheus_client import generate_latest

from gateway.services import Answer
from shared.telemetry import metrics
from tests.gateway_door import Door, door, refused, served

MARKER = "zhang-san-13912345678"
LIMIT = 262_144


@pytest.fixture
def at() -> Door:
    return door()


async def test_a_body_over_256_kb_is_413_before_it_is_read(at: Door) -> None:
    said = await at.ask("POST", "/api/cases", role=None, headers={"content-length": str(LIMIT + 1)})
    assert (said.status, said.code) == (413, "too-large")
    said = await at.ask("POST", "/api/cases", role=None, headers={"content-length": str(LIMIT)})
    assert said.status == 401


async def test_only_the_roster_may_be_larger(at: Door) -> None:
    headers = {"content-length": str(LIMIT + 1)}
    said = await at.ask("POST", "/api/roster-imports", role=None, headers=headers)
    assert said.status != 413
    said = await at.ask("POST", "/api/roster-imports/x", role=None, headers=headers)
    assert said.status == 413


@pytest.mark.parametrize("length", ["-1", "1e3", "", "9" * 5000, "²"])
async def test_a_length_that_is_no_number_is_413(at: Door, length: str) -> None:
    said = await at.ask("POST", "/api/cases", headers={"content-length": length})
    assert (said.status, said.code) == (413, "too-large")


async def test_a_chunked_body_without_length_is_411(at: Door) -> None:
    async def chunks() -> Any:
        yield b"{}"

    async with (
        served(at.app) as url,
        aiohttp.ClientSession() as session,
        session.post(f"{url}/api/cases", data=chunks()) as answer,
    ):
        assert answer.status == 411
        assert (await answer.json(content_type=None))["code"] == "length-required"


@pytest.mark.parametrize("path", ["/api/me", "/api/nothing", "/livez", "/api/openapi.json"])
async def test_every_answer_forbids_framing_sniffing_and_storing(at: Door, path: str) -> None:
    said = await at.ask("GET", path)
    assert said.headers["x-content-type-options"] == "nosniff"
    assert said.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in said.headers["content-security-policy"]
    assert said.headers["cache-control"] == "no-store"


async def test_a_services_own_cache_rule_is_kept(at: Door) -> None:
    at.services.answers["identity", "/codes/abc"] = Answer(200, {"Cache-Control": "max-age=60"}, b"{}")
    said = await at.ask("GET", "/api/codes/abc", role=None)
    assert said.headers["cache-control"] == "max-age=60"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not-found"),
        ("DELETE", "/api/cases", 405, "method-not-allowed"),
        ("GET", "/nothing", 404, "not-found"),
    ],
)
async def test_a_path_without_a_route_is_a_problem_too(
    at: Door, method: str, path: str, status: int, code: str
) -> None:
    said = await at.ask(method, path)
    assert (said.status, said.code) == (status, code)


# -- silence -----------------------------------------------------------------------------------------


def _odd_requests(person: object) -> list[tuple[str, str, Any, dict[str, str]]]:
    """Requests that carry the marker in body, path, query or header, most of them wrong."""
    case = {"title": MARKER, "text": MARKER, "contact": MARKER, "county": "330203"}
    return [
        ("POST", "/api/cases", {**case, "county": MARKER}, {}),
        ("POST", "/api/cases", {**case, "id": MARKER}, {}),
        ("POST", "/api/cases", case, {"idempotency-key": MARKER}),
        ("POST", "/api/cases", case, {"simulated-time": MARKER}),
        ("POST", "/api/cases", case, {"authorization": f"Bearer {MARKER}"}),
        ("POST", "/api/cases", case, {"authorization": MARKER}),
        ("POST", "/api/cases", case, {"traceparent": MARKER}),
        ("POST", "/api/cases", f'{{"title": "{MARKER}', {}),
        ("POST", "/api/cases", MARKER, {"content-type": f"text/{MARKER}"}),
        ("POST", f"/api/cases/{MARKER}/rate", {"stars": MARKER}, {}),
        ("POST", f"/api/cases/{uuid4()}/answer", {"result": MARKER, "text": ""}, {}),
        ("POST", f"/api/cases/{uuid4()}/return", {"reason": MARKER}, {}),
        ("PUT", f"/api/departments/{MARKER.upper()}", {"name": MARKER}, {}),
        ("PUT", "/api/me/password", {"login": MARKER, "password": MARKER, "again": 1}, {}),
        ("POST", "/api/sign-in", {"login": MARKER * 9, "password": MARKER}, {}),
        ("POST", "/api/sign-in", {"login": MARKER, "password": MARKER, "remember": MARKER}, {}),
        ("POST", "/api/rubrics", {"effective_from": MARKER, "rubric": {"a": MARKER}}, {}),
        ("POST", "/api/rubrics", {"effective_from": "2022-01-01", "rubric": {"a": MARKER + "\ud800"}}, {}),
        ("POST", "/api/duties", {"kind": "visit", "happened_on": "2022-01-01", "note": MARKER + "\0"}, {}),
        ("POST", f"/api/operations/{MARKER}/dead-letters/{uuid4()}/replay", None, {}),
        ("POST", "/api/roster-imports", MARKER, {"content-type": f"multipart/form-data; boundary={MARKER}"}),
        ("GET", f"/api/codes/{MARKER}_", None, {}),
        ("GET", f"/api/{MARKER}", None, {}),
        ("GET", f"/api/commands/{MARKER}/{uuid4()}", None, {}),
        ("GET", f"/api/commands/cases/{MARKER}", None, {}),
        ("GET", f"/api/commands/cases/{person}?q={MARKER}", None, {}),
        ("GET", f"/api/deputies?q={MARKER}", None, {}),
        ("GET", f"/api/me?{MARKER}", None, {"accept": MARKER, "user-agent": MARKER, "referer": MARKER}),
        ("DELETE", f"/api/cases?{MARKER}", None, {}),
    ]


@pytest.mark.parametrize("role", ["deputy", "staff"])
async def test_nothing_that_was_sent_comes_back_or_gets_into_logs_and_metrics(
    at: Door,
    role: Any,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    at.post.outcome = refused("conflict")
    # A service that answers nonsense: what it says must not get into the log either.
    nonsense = Answer(200, {}, json.dumps({"text": MARKER}).encode())
    at.services.answers["cases", f"/commands/{at.person}"] = nonsense
    at.services.answers["identity", "/deputies"] = Answer(503, {}, b"{}")
    statuses = set()
    async with served(at.app) as url, aiohttp.ClientSession() as session:
        for method, path, content, headers in _odd_requests(at.person):
            body = content if isinstance(content, str) else json.dumps(content)
            given = {"authorization": f"Bearer {at.token(role)}", "content-type": "application/json"}
            async with session.request(
                method, url + path, data=None if content is None else body, headers=given | headers
            ) as answer:
                statuses.add(answer.status)
                said = str(answer.headers) + await answer.text()
                assert MARKER not in said, (method, path)
    assert {400, 401, 404, 405, 422, 500, 503} <= statuses
    out, err = capfd.readouterr()
    assert "request-failed" in out + err + caplog.text
    assert MARKER.lower() not in (out + err + caplog.text).lower()
    assert MARKER not in generate_latest(metrics.REGISTRY).decode()


async def test_an_unexpected_failure_is_a_problem_500_with_all_headers_and_is_counted(at: Door) -> None:
    class BrokenError(Exception):
        pass

    def fail(_: object) -> None:
        raise BrokenError(MARKER)

    at.post.outcome = fail
    counted = metrics.HTTP_SECONDS.labels("/api/cases/{subject}/accept", "500")
    before = counted._sum.get()
    said = await at.ask("POST", f"/api/cases/{uuid4()}/accept", role="department")
    assert (said.status, said.code) == (500, "internal-error")
    assert said.headers["x-content-type-options"] == "nosniff"
    assert MARKER not in said.raw.decode()
    assert counted._sum.get() > before


async def test_bytes_that_are_no_http_end_with_400_and_the_gateway_goes_on(at: Door) -> None:
    async with served(at.app) as url:
        for raw in (
            b"GET /api/deputies?q=\xff\xfe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            b"GET /api/\xff HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            b"POST /api/cases HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
            b"POST /api/cases HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            b"\x16\x03\x01\x02\x00",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            writer.write(raw)
            writer.write_eof()
            first = await asyncio.wait_for(reader.readline(), 20)
            assert first == b"" or first.split()[1][:1] == b"4"
            writer.close()
        async with aiohttp.ClientSession() as session, session.get(f"{url}/livez") as answer:
            assert answer.status == 200
