"""Who calls: the bearer token of a request, verified, as a FastAPI dependency."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import aiohttp
from fastapi import Request

from shared.contracts.envelope import Actor
from shared.contracts.registry import Role
from shared.http.problems import Problem
from shared.security.tokens import TokenVerifier, Untrusted

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def bearer(request: Request) -> str:
    """The token of the Authorization header. Raises Problem 401."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Problem(
            401, "not-signed-in", "Sign in first and send the token as a bearer token.", headers=_CHALLENGE
        )
    return token


def callers(verifier: TokenVerifier) -> Callable[[Request], Awaitable[Actor]]:
    """A dependency that gives the caller, or answers 401 (503 while identity is away)."""

    async def caller(request: Request) -> Actor:
        return await whose(bearer(request), verifier)

    return caller


async def whose(token: str, verifier: TokenVerifier) -> Actor:
    """Who a token speaks for now. Raises Problem 401, or 503 while identity is away."""
    try:
        return await verifier.verify(token, at=time.time())
    except Untrusted as error:
        raise Problem(401, "token-not-valid", f"Sign in again: {error}.", headers=_CHALLENGE) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Problem(503, "identity-away", "Sign-in cannot be checked now; try again soon.") from error


def require(actor: Actor, *roles: Role) -> None:
    """Raise Problem 403 unless the caller has one of the roles."""
    if not actor.roles.intersection(roles):
        raise Problem(403, "role-not-allowed", f"This is for: {', '.join(roles)}.")
