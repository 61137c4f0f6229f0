"""The gateway as the simulation reaches it: HTTP, in the name of each person, at a simulated time.

Invariants: every write carries an id of its own, and a repetition of it the same one; a request is
repeated only when its fate is unknown or the gateway asked for it (connection lost, 429, 502, 503,
504); an answer 202 is followed until the outcome is known (where it names no place to ask at, by the same
request); nothing is logged.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, quote

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)
from yarl import URL

from simulation.journal import Entry, Journal

OPERATOR = "simulation"
"""The simulation itself, a client of identity's: it registers the first staff and reads the operations page."""
INTAKE = "intake"
"""Who speaks for residents, who have no account."""

REPEAT_SECONDS = 90.0
"""How long one request is repeated before the play gives up."""
FOLLOW_SECONDS = 180.0
"""How long the outcome of an accepted command is awaited."""
_REQUEST_SECONDS = 30.0
_TOKEN_MARGIN_SECONDS = 120.0
_WORTH_REPEATING = frozenset({429, 502, 503, 504})
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type's name, not a token
_Answered = tuple[int, bytes, CIMultiDictProxy[str]]


class GatewayError(Exception):
    """The gateway could not be used as the simulation needs; the text says for what, and how it answered."""


class _AgainError(Exception):
    """The request's fate is unknown, or it is to be repeated."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Write:
    """One write: who sends it, where, what, and at which business time (None = the gateway's now).

    `link` is a resident's follow link 查询链接, which is opened first.
    """

    kind: str
    subject: str
    command_id: str
    who: str
    method: str
    path: str
    body: Mapping[str, Any] = field(repr=False)
    at: datetime | None = None
    link: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway said in the end: 200, a problem's status, or 0 when the outcome never came."""

    status: int
    body: Any = field(repr=False)

    @property
    def accepted(self) -> bool:
        """Whether the services took the write."""
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The stable code of a problem, else "-"."""
        code = self.body.get("code") if isinstance(self.body, dict) else None
        return str(code) if code and not self.accepted else "-"


class GatewayClient:
    """A connection pool, the tokens, and the journal. Make it with `open_gateway`."""

    def __init__(self, base: URL, session: aiohttp.ClientSession, secret: str, journal: Journal) -> None:
        self._base = base
        self._session = session
        self._secret = secret
        self._journal = journal
        self._tokens: dict[str, tuple[str, float]] = {}

    # -- tokens ------------------------------------------------------------------------------------

    async def token_for(self, who: str) -> str:
        """A token in somebody's name (a person's id, `department:<code>`), or the simulation's own; kept until it ends.

        Raises GatewayError when there is none to be had.
        """
        held = self._tokens.get(who)
        if held is not None and held[1] > time.monotonic():
            return held[0]
        if who == OPERATOR:
            form = {"grant_type": "client_credentials", "client_id": OPERATOR, "client_secret": self._secret}
        else:
            form = {
                "grant_type": _EXCHANGE,
                "subject_token": await self.token_for(OPERATOR),
                "subject_token_type": _ACCESS_TOKEN,
                "requested_subject": who,
            }
        return await self._obtain(who, form)

    async def _obtain(self, who: str, form: Mapping[str, str]) -> str:
        status, raw, _ = await self._repeated("POST", self._url("/api/token"), None, form)
        body = _parsed(raw)
        if status != 200 or not isinstance(body, dict) or "access_token" not in body:
            raise GatewayError(
                f"no token for {who}: the gateway answered {status} {Answer(status, body).code}"
            )
        lasts = float(body.get("expires_in", 300)) - _TOKEN_MARGIN_SECONDS
        token = str(body["access_token"])
        self._tokens[who] = (token, time.monotonic() + max(lasts, 30.0))
        return token

    # -- writes ------------------------------------------------------------------------------------

    async def send(self, write: Write) -> Answer:
        """Send one write, follow it to its outcome, and journal it.

        Raises GatewayError when the gateway stays away for REPEAT_SECONDS; a refusal is an answer.
        """
        token = await self.token_for(write.who)
        headers = _headers(token)
        headers["Idempotency-Key"] = write.command_id
        headers["Content-Type"] = "application/json"
        if write.at is not None:
            headers["Simulated-Time"] = write.at.isoformat()
        if write.link is not None:
            headers["Cookie"] = await self._opened(write.link, token)
        payload = json.dumps(write.body, ensure_ascii=False, separators=(",", ":")).encode()
        status, raw = await self._until_known(write.method, self._url(write.path), headers, payload, token)
        answer = Answer(status, _parsed(raw))
        self._journal.write(Entry(write.command_id, write.kind, write.subject, answer.status, answer.code))
        return answer

    async def send_file(
        self, path: str, name: str, content: bytes, *, who: str, command_id: str, at: datetime
    ) -> Any:
        """Upload a file as multipart field `file`; the answer's body. Raises GatewayError when it is refused."""
        token = await self.token_for(who)
        headers = _headers(token)
        headers["Idempotency-Key"] = command_id
        headers["Simulated-Time"] = at.isoformat()

        def form() -> aiohttp.FormData:
            data = aiohttp.FormData()
            data.add_field("file", content, filename=name, content_type="text/csv")
            return data

        status, raw = await self._until_known("POST", self._url(path), headers, form, token)
        answer = Answer(status, _parsed(raw))
        if not answer.accepted:
            raise GatewayError(f"{name}: the gateway answered {answer.status} {answer.code}")
        return answer.body

    async def _until_known(
        self, method: str, url: URL, headers: CIMultiDict[str], payload: Any, token: str
    ) -> tuple[int, bytes]:
        """One write and its outcome: asked for at the place that a 202 names, else by the same request again.

        Status 0 when the outcome does not come in FOLLOW_SECONDS.
        """
        status, raw, told = await self._repeated(method, url, headers, payload)
        if status == 202 and "Location" in told:
            url = self._base.join(URL(told["Location"]))
            method, headers, payload = "GET", _headers(token), None
        deadline = time.monotonic() + FOLLOW_SECONDS
        pause = 0.1
        while status == 202 or (method == "GET" and status == 404):
            if time.monotonic() > deadline:
                return 0, raw
            await asyncio.sleep(pause)
            pause = min(pause * 1.6, 2.0)
            status, raw, _ = await self._repeated(method, url, headers, payload)
        return status, raw

    async def _opened(self, link: str, token: str) -> str:
        """The cookie that a follow link's address gives. Raises GatewayError when it opens nothing."""
        try:
            status, _, told = await self._repeated("GET", self._url(link), _headers(token), None)
        except GatewayError:  # names the address, which here is a secret
            raise GatewayError("a follow link: the gateway stays away") from None
        if status != 303:
            raise GatewayError(f"a follow link: the gateway answered {status}")
        return told["Set-Cookie"].partition(";")[0]

    # -- reads -------------------------------------------------------------------------------------

    async def get(self, path: str, *, who: str, **query: str | int) -> Any:
        """Read one resource as somebody; the JSON body. Raises GatewayError on anything but 200."""
        token = await self.token_for(who)
        status, raw, _ = await self._repeated("GET", self._url(path, query), _headers(token), None)
        body = _parsed(raw)
        if status != 200:
            raise GatewayError(f"GET {path}: the gateway answered {status} {Answer(status, body).code}")
        return body

    async def pages(
        self, path: str, *, who: str, size: int = 200, **query: str | int
    ) -> AsyncIterator[dict[str, Any]]:
        """All items of a paged list, page by page; by position where the list says where it goes on."""
        asked: dict[str, str | int] = {"page": 1, "size": size, **query}
        seen = 0
        while True:
            body = await self.get(path, who=who, **asked)
            for item in body["items"]:
                yield item
            seen += len(body["items"])
            if "next" in body:
                if body["next"] is None:
                    return
                asked = dict(parse_qsl(body["next"].removeprefix("?")))
            elif not body["items"] or seen >= body["total"]:
                return
            else:
                asked["page"] = int(asked["page"]) + 1

    # -- the wire ----------------------------------------------------------------------------------

    def _url(self, path: str, query: Mapping[str, str | int] | None = None) -> URL:
        # Paths are made of ids and words of our own, so they need no quoting: parsing is half the cost.
        text = "&".join(f"{key}={quote(str(value))}" for key, value in query.items()) if query else ""
        return URL.build(
            scheme=self._base.scheme,
            authority=self._base.raw_authority,
            path=path,
            query_string=text,
            encoded=True,
        )

    async def _repeated(
        self, method: str, url: URL, headers: CIMultiDict[str] | None, payload: Any
    ) -> _Answered:
        """One request, repeated while its fate is unknown; status, body and headers of the answer."""
        try:
            return await self._once(method, url, headers, payload)
        except _AgainError:
            pass  # the retry machinery costs more than a request: it is built only when needed

        def give_up(state: RetryCallState) -> _Answered:
            error = state.outcome.exception() if state.outcome else None
            reason = error.reason if isinstance(error, _AgainError) else "unknown"
            raise GatewayError(f"{method} {url.path}: no answer for {REPEAT_SECONDS:.0f} s, last: {reason}")

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_AgainError),
            wait=wait_random_exponential(multiplier=0.1, max=3),
            stop=stop_after_delay(REPEAT_SECONDS),
            retry_error_callback=give_up,
        )
        answer: _Answered = await retrying(self._once, method, url, headers, payload)
        return answer

    async def _once(self, method: str, url: URL, headers: CIMultiDict[str] | None, payload: Any) -> _Answered:
        data = payload() if callable(payload) else payload
        try:
            async with self._session.request(
                method, url, headers=headers, data=data, allow_redirects=False
            ) as answer:
                raw = await answer.read()
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
            raise _AgainError(type(error).__name__) from error
        if answer.status in _WORTH_REPEATING:
            raise _AgainError(f"status {answer.status}")
        return answer.status, raw, answer.headers


@asynccontextmanager
async def open_gateway(
    url: str, secret: str, journal: Journal, *, connections: int
) -> AsyncIterator[GatewayClient]:
    """A client of the gateway at `url` with at most `connections` kept open."""
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=60)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
    ) as session:
        yield GatewayClient(URL(url.rstrip("/")), session, secret, journal)


def _headers(token: str) -> CIMultiDict[str]:
    return CIMultiDict({"Authorization": f"Bearer {token}"})


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None
