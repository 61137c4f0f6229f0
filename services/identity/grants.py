"""Who gets a token, and what it says: clients by secret, people by password, the simulation in anybody's name.

Invariants: a wrong password, an unknown name and a name without a password get the same answer after
the same work; five failures lock a name for fifteen minutes, whether it exists or not; in somebody
else's name acts only the simulation, and only where simulated time is allowed.
Sources: RFC 6749 (client_credentials, password), RFC 8693 (token exchange).
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from services.identity import queries, store
from services.identity.domain import printable, read_login, read_person
from services.identity.passwords import Passwords, TooBusy
from services.identity.queries import Person
from services.identity.settings import Client
from services.identity.signing_keys import Keyring
from shared.http.problems import Problem
from shared.refusals import Refusal
from shared.security.tokens import AUDIENCE, ISSUER, TokenVerifier, Untrusted, sign

SIMULATION = "simulation"
LIFETIME_SECONDS = 15 * 60
EXCHANGED_LIFETIME_SECONDS = 60 * 60


@dataclass(frozen=True)
class Granted:
    """A token for somebody; `expires_in` counts seconds."""

    access_token: str
    expires_in: int
    person: Person


class Grants:
    """Issues tokens. Every refusal is a Problem."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        keyring: Keyring,
        verifier: TokenVerifier,
        passwords: Passwords,
        clients: Mapping[str, Client],
        simulation_allowed: bool,
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._verifier = verifier
        self._passwords = passwords
        self._clients = clients
        self._simulation_allowed = simulation_allowed

    def client(self, name: str) -> Person | None:
        """A client as somebody who acts, or None."""
        client = self._clients.get(name)
        return Person(name, name, client.roles, None) if client else None

    def to_client(self, name: str, secret: str) -> Granted:
        """A token for a machine that knows its secret."""
        client = self._clients.get(name)
        expected = client.secret.get_secret_value() if client else ""
        if not hmac.compare_digest(expected.encode(), secret.encode()) or client is None:
            raise Problem(401, "client-unknown", "There is no such client, or its secret is wrong.")
        return self._issue(Person(name, name, client.roles, None), LIFETIME_SECONDS)

    async def to_person(self, typed: str, password: str) -> Granted:
        """A token for a person who knows the password of a sign-in name."""
        login = read_login(typed)
        async with self._engine.begin() as connection:
            allowed = await store.count_attempt(connection, login)
            known = await queries.credentials(connection, login) if allowed and printable(login) else None
        if not allowed:
            raise Problem(
                429,
                "sign-in-locked",
                f"Too many failed attempts; try again in {store.LOCKED_MINUTES} minutes.",
                headers={"Retry-After": str(store.LOCKED_MINUTES * 60)},
            )
        try:
            right = await self._passwords.matches(known.hash if known else None, password)
        except TooBusy:
            raise Problem(
                503,
                "sign-in-busy",
                "Too many people sign in just now; try again.",
                headers={"Retry-After": "5"},
            ) from None
        if not right or known is None:
            raise Problem(401, "sign-in-failed", "Sign-in name or password is wrong.")
        async with self._engine.begin() as connection:
            await store.forgive(connection, [login])
            person = await queries.person(connection, known.person)
        if person is None:
            raise Problem(403, "person-not-active", "This account is not active; ask the congress's staff.")
        return self._issue(person, LIFETIME_SECONDS)

    async def in_the_name_of(self, requested: str, subject_token: str) -> Granted:
        """A token in somebody's name for the simulation; it says so in `act`."""
        if not self._simulation_allowed:
            raise Problem(403, "exchange-not-allowed", "Tokens are not exchanged here.")
        try:
            actor = await self._verifier.verify(subject_token, at=time.time())
        except Untrusted as error:
            raise Problem(401, "token-not-valid", f"The subject token is not valid: {error}.") from error
        if SIMULATION not in actor.roles:
            raise Problem(403, "exchange-not-allowed", "Only the simulation acts in somebody's name.")
        person = self.client(requested)
        if person is None:
            try:
                person_id = read_person(requested)
            except Refusal:
                raise _subject_unknown() from None
            async with self._engine.connect() as connection:
                person = await queries.person(connection, person_id)
        if person is None or SIMULATION in person.roles:
            raise _subject_unknown()
        return self._issue(person, EXCHANGED_LIFETIME_SECONDS, acting=SIMULATION)

    def _issue(self, person: Person, lifetime: int, *, acting: str | None = None) -> Granted:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": person.person,
            "roles": sorted(person.roles),
            "org": person.organisation,
            "iat": now,
            "exp": now + lifetime,
        }
        if acting is not None:
            claims["act"] = {"sub": acting}
        return Granted(sign(claims, self._keyring.signer()), lifetime, person)


def _subject_unknown() -> Problem:
    return Problem(400, "subject-unknown", "There is nobody active with the requested subject.")
