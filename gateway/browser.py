"""A browser's session: the token in a cookie that no script can read.

Invariants: the token is in no answer's body and in no address; a cookie alone writes nothing that another
site asked for: the request must say that it comes from our own pages (`Sec-Fetch-Site`, else `Origin`,
which a browser sets and a page cannot); a machine's bearer token needs none of this.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import json
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import Response

from gateway.answers import Me
from gateway.commands import json_response
from gateway.reads import SignIn, passed_on
from gateway.services import Services
from gateway.settings import GatewaySettings
from shared.http.callers import bearer
from shared.http.problems import Problem

COOKIE = "daibiaotong_session"
_PATH = "/api"
_READS = frozenset({"GET", "HEAD"})


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

    @app.post(
        "/api/session",
        summary="Sign in, in a browser: the token goes into a cookie",
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
        answer = await services.ask("identity", "/token", form=form)
        if answer.status != 200:
            return passed_on(answer)
        granted: dict[str, Any] = json.loads(answer.body)
        if body.operator and ("operator" not in granted["roles"] or "simulation" in granted["roles"]):
            raise Problem(403, "role-not-allowed", "This door is for people and operators.")
        shown = {name: granted[name] for name in ("person", "name", "roles", "organisation")}
        response = json_response(shown)
        response.set_cookie(
            COOKIE,
            granted["access_token"],
            max_age=granted["expires_in"],
            path=_PATH,
            secure=secure,
            httponly=True,
            samesite="strict",
        )
        return response

    @app.delete("/api/session", summary="Sign out, in a browser", tags=["me"], status_code=204)
    async def sign_out(request: Request) -> Response:
        require_own_page(request)
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, path=_PATH, secure=secure, httponly=True, samesite="strict")
        return response
