"""The gateway as the client `intake`: it speaks for residents, who have no account.

What a resident holds follows from the case's id and a key of the gateways: a receipt number, which names the
concern, and a secret of 128 bits, which opens it. Invariants: the same request gives the same receipt and the
same secret, at every gateway; of the secret only the SHA-256 leaves here; nothing here is logged.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from typing import Literal
from uuid import UUID

from fastapi import Request

from gateway.commands import Caller
from gateway.services import Services
from gateway.settings import GatewaySettings
from shared.contracts.envelope import Actor
from shared.contracts.registry import Role
from shared.http.callers import require
from shared.http.problems import Problem
from shared.receipts import receipt_of, spelled

CLIENT: Literal["intake"] = "intake"
SECRET_SIGNS = 26
"""Of five bits each: 128 bits and two that are always 0."""
_EARLY_SECONDS = 60.0


class Intake:
    """Tokens, numbers and secrets for residents' concerns."""

    def __init__(
        self,
        services: Services,
        settings: GatewaySettings,
        caller: Callable[[Request], Awaitable[Caller]],
    ) -> None:
        self._services = services
        self._caller = caller
        self._client_secret = settings.intake_client_secret
        self._key = settings.intake_secret.get_secret_value().encode()
        self._held: tuple[str, float] | None = None

    async def speaker(self, request: Request, *others: Role) -> Caller:
        """Who speaks for the resident: this gateway, or who signed in with the role `intake` or one of `others`.

        Raises Problem 403 for anybody else who signed in.
        """
        if "authorization" not in request.headers:
            return await self.gateway()
        person = await self._caller(request)
        require(person.actor, CLIENT, *others)
        return person

    async def is_simulated(self, request: Request) -> bool:
        """Whether the simulation speaks for a resident. Raises Problem for a token that is not valid."""
        if "authorization" not in request.headers:
            return False
        return (await self._caller(request)).actor.acting_for_simulation

    async def gateway(self) -> Caller:
        """This gateway as who speaks for residents. Raises Problem 503 while identity is away."""
        held = self._held
        if held is None or time.monotonic() > held[1]:
            held = self._held = await self._token()
        return Caller(Actor(CLIENT, frozenset({CLIENT})), held[0])

    async def _token(self) -> tuple[str, float]:
        secret = self._client_secret.get_secret_value()
        form = {"grant_type": "client_credentials", "client_id": CLIENT, "client_secret": secret}
        answer = await self._services.ask("identity", "/token", form=form)
        if answer.status != 200:
            raise Problem(503, "intake-away", "Concerns cannot be taken in now; try again later.")
        content = json.loads(answer.body)
        return content["access_token"], time.monotonic() + content["expires_in"] - _EARLY_SECONDS

    def case_id(self, code: str, key: UUID) -> UUID:
        """The id of the case that a request makes: nobody can choose it, and a repetition has the same."""
        return UUID(bytes=self._derived(f"case/{code}/{key}")[:16], version=4)

    def receipt(self, case_id: UUID) -> str:
        """The receipt number of a case."""
        return receipt_of(int.from_bytes(self._derived(f"receipt/{case_id}"), "little"))

    def secret(self, case_id: UUID) -> str:
        """The secret that opens a case, as the follow link has it."""
        return spelled(int.from_bytes(self._derived(f"follow/{case_id}")[:16], "little"), SECRET_SIGNS)

    def cookie_key(self) -> bytes:
        """The key under which the cookies of opened concerns are signed."""
        return self._derived("cookie")

    def _derived(self, purpose: str) -> bytes:
        return hmac.new(self._key, purpose.encode(), hashlib.sha256).digest()


def digest_of(secret: str) -> str:
    """What leaves the gateway of a secret: its SHA-256, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()
