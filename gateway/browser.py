"""A browser's session 登录会话: its tokens in cookies that no script can read.

The access token travels with every request; the refresh token, which lives as long as the session, only to where
a session begins, goes on and ends.
Invariants: no token is in an answer's body or in an address; a session that was signed out of goes on nowhere, for
the answer comes after identity ended it; a cookie alone writes nothing that another
site asked for: the request must say that it comes from our own pages (`Sec-Fetch-Site`, else `Origin`,
which a browser sets and a page cannot); a machine's bearer token needs none of this.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import json
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import Response

from gateway.answers.identity import Me
from gateway.commands import json_response
from gateway.reads import SignIn, passed_on
from gateway.services import Services
from gateway.settings import GatewaySettings
from shared.http.callers import bearer
from shared.http.problems import Problem

COOKIE = "daibiaotong_session"
RENEWAL_COOKIE = "daibiaotong_renewal"
_PATH = "/api"
_SESSION = "/api/session"
_READS = frozenset({"GET", "HEAD"})
_SCOPE = {"scope": "browser"}


class SessionStart(SignIn):
    """Sign-in name and password; operators 运维人员, who are no people of the roster, have a client id and its secret."""

    operator: bool = False


def token_of(request: Request) -> str:
    """The caller's token: the Authorization header's, else the cookie's. Raises Problem 401 or 403."""
    found = request.cookies.get(COOKIE)
    if found is None or "authorization" in request.headers:
        return bearer(request)
    if request.method not in _READS:
        require_own_page(request)
    return found


def require_own_page(request: Request) -> None:
    """Raise Problem 403 unless the browser says that one of our own pages asks."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        own = site == "same-origin"
    else:  # browsers before 2023
        asked_by = urlsplit(request.headers.get("origin", "")).netloc
        own = asked_by != "" and asked_by == request.headers.get("host")
    if not own:
        raise Problem(403, "foreign-page", "A session in a browser is for this site's own pages.")


def add(app: FastAPI, services: Services, settings: GatewaySettings) -> None:
    """Add signing in and out for browsers."""
    secure = settings.environment == "production"  # a browser keeps it over plain HTTP on localhost, too

    def begun(granted: dict[str, Any]) -> Response:
        """Who is signed in, with the cookies."""
        response = json_response(
            {name: granted[name] for name in ("person", "name", "roles", "organisation")}
        )
        keep(response, COOKIE, granted["access_token"], granted["expires_in"], _PATH)
        if "refresh_token" in granted:
            seconds = granted["refresh_expires_in"]
            keep(response, RENEWAL_COOKIE, granted["refresh_token"], seconds, _SESSION)
        return response

    def keep(response: Response, name: str, token: str, seconds: int, path: str) -> None:
        response.set_cookie(
            name, token, max_age=seconds, path=path, secure=secure, httponly=True, samesite="strict"
        )

    @app.post(
        _SESSION,
        summary="Sign in, in a browser: the tokens go into cookies",
        tags=["me"],
        responses={200: {"model": Me}},
    )
    async def sign_in(request: Request, body: SessionStart) -> Response:
        require_own_page(request)
        if body.operator:
            form = {
                "grant_type": "client_credentials",
                "client_id": body.login,
                "client_secret": body.password,
            }
        else:
            form = {"grant_type": "password", "username": body.login, "password": body.password}
        if (before := request.cookies.get(RENEWAL_COOKIE)) is not None:
            form["refresh_token"] = before  # a browser has one session: the new one replaces it
        answer = await services.ask("identity", "/token", form=form | _SCOPE)
        if answer.status != 200:
            return passed_on(answer)
        granted: dict[str, Any] = json.loads(answer.body)
        if body.operator and ("operator" not in granted["roles"] or "simulation" in granted["roles"]):
            raise Problem(403, "role-not-allowed", "This door is for people and operators.")
        return begun(granted)

    @app.post(
        f"{_SESSION}/renewal",
        summary="Go on with the session, in a browser: new tokens go into the cookies",
        tags=["me"],
        responses={200: {"model": Me}},
    )
    async def renew(request: Request) -> Response:
        require_own_page(request)
        shown = request.cookies.get(RENEWAL_COOKIE)
        if shown is None:
            raise Problem(401, "session-ended", "This session has ended; sign in again.")
        form = {"grant_type": "refresh_token", "refresh_token": shown} | _SCOPE
        answer = await services.ask("identity", "/token", form=form)
        # The cookies stay where it is refused: another tab may have got new ones meanwhile.
        return begun(json.loads(answer.body)) if answer.status == 200 else passed_on(answer)

    @app.delete(_SESSION, summary="Sign out, in a browser", tags=["me"], status_code=204)
    async def sign_out(request: Request) -> Response:
        require_own_page(request)
        if (shown := request.cookies.get(RENEWAL_COOKIE)) is not None:
            answer = await services.ask("identity", "/revocation", form={"token": shown})
            if answer.status != 200:
                return passed_on(answer)
        response = Response(status_code=204)
        for name, path in ((COOKIE, _PATH), (RENEWAL_COOKIE, _SESSION)):
            response.delete_cookie(name, path=path, secure=secure, httponly=True, samesite="strict")
        return response
