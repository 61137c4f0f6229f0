"""Who gets a token, and what it says: clients by secret, people by password, the simulation in anybody's name.

A browser, which says so by its scope, also gets a refresh token, with which its session 登录会话 goes on.

Invariants: a wrong password, an unknown name and a name without a password get the same answer after
the same work; five failures lock a name for fifteen minutes, whether it exists or not; in somebody
else's name acts only the simulation, and only where simulated time is allowed; whoever may not sign in any
more renews no session, and each refusal of a renewal ends the session and says the same.
Sources: RFC 6749 (client_credentials, password, refresh_token), RFC 8693 (token exchange), RFC 7009 (revocation).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.identity import queries, sessions, store
from services.identity.domain import printable, read_login, read_person
from services.identity.passwords import Passwords, TooBusy
from services.identity.queries import Person
from services.identity.sessions import SECRET_BYTES, Renewed, Terms, Token, read_token
from services.identity.settings import Client
from services.identity.signing_keys import Keyring
from shared.http.problems import Problem
from shared.refusals import Refusal
from shared.security.tokens import AUDIENCE, ISSUER, TokenVerifier, Untrusted, sign
from shared.telemetry.logging import logger

SIMULATION = "simulation"
BROWSER = "browser"
LIFETIME_SECONDS = 15 * 60
EXCHANGED_LIFETIME_SECONDS = 60 * 60

log = logger(__name__)


@dataclass(frozen=True)
class Granted:
    """A token for somebody, and a browser's refresh token; both `expires_in` count seconds."""

    access_token: str
    expires_in: int
    person: Person
    refresh_token: str | None = field(default=None, repr=False)
    refresh_expires_in: int = 0


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
        terms: Terms,
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._verifier = verifier
        self._passwords = passwords
        self._clients = clients
        self._simulation_allowed = simulation_allowed
        self._terms = terms

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

    async def to_operator(self, name: str, secret: str, *, use: str, instead_of: str) -> Granted:
        """As `to_client`; in a browser, where of all machines only operators 运维人员 sign in, with a session."""
        granted = self.to_client(name, secret)
        if not _of_operators(granted.person):
            return granted
        async with self._engine.begin() as connection:
            return await self._begin(
                connection, granted, use=use, credentials=self._secret_of(name), instead_of=instead_of
            )

    async def to_person(self, typed: str, password: str, *, use: str = "", instead_of: str = "") -> Granted:
        """A token for a person who knows the password of a sign-in name.

        With a `use` it begins a session, in place of the one of the refresh token `instead_of`.
        """
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
            granted = self._issue(person, LIFETIME_SECONDS) if person is not None else None
            if granted is not None and use:
                granted = await self._begin(
                    connection, granted, use=use, credentials=str(known.version), instead_of=instead_of
                )
        if granted is None:
            raise Problem(403, "person-not-active", "This account is not active; ask the congress's staff.")
        return granted

    async def renewed(self, refresh_token: str, *, use: str) -> Granted:
        """The next tokens of a session, for what its person is now."""
        shown = read_token(refresh_token)
        granted = await self._renew(shown, use) if shown is not None else None
        if granted is None:  # the transaction is over: what ended stays ended
            raise Problem(401, "session-ended", "This session has ended; sign in again.")
        return granted

    async def end(self, refresh_token: str) -> None:
        """End the session of a refresh token, if there is one."""
        shown = read_token(refresh_token)
        if shown is not None:
            async with self._engine.begin() as connection:
                await store.end_session(connection, shown.session)

    async def _begin(
        self, connection: AsyncConnection, granted: Granted, *, use: str, credentials: str, instead_of: str
    ) -> Granted:
        before = read_token(instead_of)
        if before is not None:
            await store.end_session(connection, before.session)
        token = Token(UUID(bytes=secrets.token_bytes(16)), secrets.token_bytes(SECRET_BYTES))
        at = await queries.clock(connection)
        session = sessions.begin(token, person=granted.person.person, use=use, credentials=credentials, at=at)
        await store.begin_session(connection, session, forgotten_before=at - self._terms.longest_idle)
        left = session.ends_at(self._terms.of(granted.person.roles)) - at
        return _with_refresh(granted, token, left)

    async def _renew(self, shown: Token, use: str) -> Granted | None:
        async with self._engine.begin() as connection:
            locked = await store.lock_session(connection, shown.session)
            if locked is None:
                return None
            found, at = locked
            person, credentials = await self._present(connection, found.person)
            limits = self._terms.of(person.roles if person else frozenset())
            decided = sessions.renew(
                found,
                shown,
                use=use,
                credentials=credentials,
                limits=limits,
                grace=self._terms.grace,
                at=at,
                key=secrets.token_bytes(SECRET_BYTES),
            )
            if person is None or not isinstance(decided, Renewed):
                if decided == "reused":
                    log.warning("refresh-token-reused")
                await store.end_session(connection, found.id)
                return None
            if decided.session is not found:
                await store.save_session(connection, decided.session)
            granted = self._issue(person, LIFETIME_SECONDS)
            return _with_refresh(granted, decided.token, decided.session.ends_at(limits) - at)

    async def _present(self, connection: AsyncConnection, name: str) -> tuple[Person | None, str | None]:
        """A session's person and credentials as they are now; None for who may not act any more."""
        client = self.client(name)
        if client is not None:
            return (client, self._secret_of(name)) if _of_operators(client) else (None, None)
        try:
            person = await queries.person(connection, read_person(name))
        except Refusal:  # a client that is no more
            return None, None
        version = await queries.credentials_version(connection, name)
        return person, None if version is None else str(version)

    def _secret_of(self, client: str) -> str:
        """What stands for a client's secret where a change must show: a part of the digest of a long random text."""
        secret = self._clients[client].secret.get_secret_value()
        return hashlib.sha256(secret.encode()).hexdigest()[:16]

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


def _of_operators(client: Person) -> bool:
    return "operator" in client.roles and SIMULATION not in client.roles


def _with_refresh(granted: Granted, token: Token, left: timedelta) -> Granted:
    return replace(granted, refresh_token=token.text, refresh_expires_in=int(left.total_seconds()))


def _subject_unknown() -> Problem:
    return Problem(400, "subject-unknown", "There is nobody active with the requested subject.")
