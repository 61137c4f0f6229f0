"""Sessions of browsers at identity's own HTTP, on real PostgreSQL: who renews, who does not any more, and what is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest_asyncio
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.stack import LocalStack
from services.identity import api, tables
from services.identity.passwords import Passwords
from services.identity.sessions import Terms, read_token
from services.identity.settings import Client, IdentitySettings
from services.identity.signing_keys import Keyring, OwnVerifier
from shared.database.engine import make_engine
from shared.database.migrate import differences, migrate
from shared.http import problems
from shared.http.callers import callers
from shared.security.sealing import Opener, new_private_key
from tests.gateway_door import served

MIGRATIONS = Path(api.__file__).parent / "migrations"
PASSWORD = "at-nine-in-the-hall"
SECRET = "a secret of an operator"
Tokens = dict[str, Any]


@dataclass
class Identity:
    """Identity without a broker."""

    engine: AsyncEngine
    session: aiohttp.ClientSession
    url: str
    hashed: str

    async def sql(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        async with self.engine.begin() as connection:
            result = await connection.exec_driver_sql(statement, arguments)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    async def ask(self, path: str, **form: str) -> tuple[int, Any]:
        async with self.session.post(self.url + path, data=form) as answer:
            return answer.status, await answer.json()

    async def move_in(self) -> tuple[str, str]:
        """A deputy with a password; id and sign-in name."""
        person, login = uuid4(), f"login-{uuid4().hex[:8]}"
        await self.sql(
            "INSERT INTO deputies VALUES ($1, 1, $2, '方玲', 'county', NULL, NULL, 'c', $2, '2026-01-01', "
            "'2030-12-31', 'active', now())",
            person,
            login,
        )
        await self.sql(
            "INSERT INTO credentials VALUES ($1, 1, $2, $3, now())", str(person), login, self.hashed
        )
        return str(person), login

    async def sign_in(self, login: str, **more: str) -> Tokens:
        form = {"grant_type": "password", "username": login, "password": PASSWORD, "scope": "browser"}
        status, found = await self.ask("/token", **form, **more)
        assert status == 200, found
        return dict(found)

    async def renew(self, tokens: Tokens, scope: str = "browser") -> tuple[int, Any]:
        token = tokens["refresh_token"]
        return await self.ask("/token", grant_type="refresh_token", refresh_token=token, scope=scope)

    async def refused(self, tokens: Tokens) -> None:
        """The token renews nothing, and the answer does not say why."""
        status, found = await self.renew(tokens)
        assert (status, found["code"]) == (401, "session-ended")

    async def older(self, tokens: Tokens, column: str, time: str) -> None:
        """Let a session have begun, or been renewed, earlier."""
        await self.sql(
            f"UPDATE browser_sessions SET {column} = {column} - $1::text::interval WHERE id = $2",
            time,
            session_of(tokens),
        )


def session_of(tokens: Tokens) -> UUID:
    found = read_token(tokens["refresh_token"])
    assert found is not None
    return found.session


@pytest_asyncio.fixture(scope="module")
async def identity(stack: LocalStack, tmp_path_factory: Any) -> AsyncIterator[Identity]:
    stack.postgres.ensure_database("identity", stack.secrets.database_password("identity"), anew=True)
    url = SecretStr(stack.env_for("identity")["DATABASE_URL"])
    await migrate(url, MIGRATIONS)
    engine = make_engine(url, pool_size=6, application="test")
    keyring = Keyring(tmp_path_factory.mktemp("keys"))
    keyring.ensure()
    verifier, passwords = OwnVerifier(keyring), Passwords()
    clients = {
        "operator": Client(secret=SecretStr(SECRET), roles=frozenset({"operator", "staff"})),
        "intake": Client(secret=SecretStr(SECRET), roles=frozenset({"intake"})),
    }
    app = FastAPI()
    problems.install(app)
    opener = Opener(new_private_key())
    routes = api.router(
        opener, keyring, verifier, passwords, clients, False, terms(), engine, callers(verifier)
    )
    app.include_router(routes)
    async with served(app) as at, aiohttp.ClientSession() as session:
        yield Identity(engine, session, at, await passwords.hash(PASSWORD))
    await engine.dispose()


def terms() -> Terms:
    """The limits as they are set where nobody sets them."""
    return IdentitySettings(
        environment="test",
        kafka_bootstrap_servers="none:0",
        http_port=0,
        jwks_url="http://127.0.0.1:9/none",
        database_url=SecretStr("postgresql+asyncpg://none"),
        sealing_key=SecretStr(json.dumps(new_private_key())),
        identity_keys_dir=Path("none"),
    ).session_terms


async def test_the_migrations_make_the_tables_that_the_code_knows(identity: Identity) -> None:
    async with identity.engine.connect() as connection:
        assert await connection.run_sync(lambda sync: differences(sync, tables.metadata)) == []


async def test_a_session_is_renewed_with_new_tokens_and_only_digests_are_kept(identity: Identity) -> None:
    person, login = await identity.move_in()
    first = await identity.sign_in(login)
    assert first["refresh_expires_in"] == 14 * 24 * 3600
    status, second = await identity.renew(first)
    assert (status, second["person"], second["roles"]) == (200, person, ["deputy"])
    assert second["refresh_token"] != first["refresh_token"]
    (row,) = await identity.sql("SELECT * FROM browser_sessions WHERE id = $1", session_of(first))
    for tokens in (first, second):
        token = read_token(tokens["refresh_token"])
        assert token is not None
        assert token.secret not in row.values()
    assert (await identity.renew(second))[0] == 200


async def test_whoever_does_not_ask_as_a_browser_gets_no_refresh_token(identity: Identity) -> None:
    _, login = await identity.move_in()
    for scope in ("", "openid"):
        form = {"grant_type": "password", "username": login, "password": PASSWORD, "scope": scope}
        status, found = await identity.ask("/token", **form)
        assert status == 200
        assert "refresh_token" not in found
    tokens = await identity.sign_in(login)
    assert (await identity.renew(tokens, scope=""))[0] == 401


async def test_two_tabs_at_once_get_the_same_and_both_go_on(identity: Identity) -> None:
    _, login = await identity.move_in()
    first = await identity.sign_in(login)
    found = await asyncio.gather(*(identity.renew(first) for _ in range(5)))
    assert [status for status, _ in found] == [200] * 5
    assert len({said["refresh_token"] for _, said in found}) == 1
    assert (await identity.renew(found[0][1]))[0] == 200


async def test_an_old_token_after_the_grace_ends_the_session_for_both_who_have_one(
    identity: Identity,
) -> None:
    _, login = await identity.move_in()
    first = await identity.sign_in(login)
    _, second = await identity.renew(first)
    await identity.older(first, "renewed_at", "31 seconds")
    await identity.refused(first)
    await identity.refused(second)


async def test_a_session_ends_when_idle_and_as_a_whole(identity: Identity) -> None:
    _, login = await identity.move_in()
    for column, good, bad in (
        ("renewed_at", "13 days 23 hours", "14 days"),
        ("begun_at", "89 days 23 hours", "90 days"),
    ):
        tokens = await identity.sign_in(login)
        await identity.older(tokens, column, good)
        assert (await identity.renew(tokens))[0] == 200
        tokens = await identity.sign_in(login)
        await identity.older(tokens, column, bad)
        await identity.refused(tokens)


async def test_who_left_was_suspended_or_has_another_password_renews_nothing(identity: Identity) -> None:
    for statement in (
        "UPDATE deputies SET state = 'left' WHERE id::text = $1",
        "UPDATE deputies SET state = 'suspended' WHERE id::text = $1",
        "UPDATE credentials SET version = version + 1 WHERE person = $1",
    ):
        person, login = await identity.move_in()
        tokens = await identity.sign_in(login)
        await identity.sql(statement, person)
        await identity.refused(tokens)
        assert await identity.sql("SELECT 1 FROM browser_sessions WHERE person = $1", person) == []


async def test_signing_out_ends_the_session_and_signing_in_anew_replaces_it(identity: Identity) -> None:
    _, login = await identity.move_in()
    first = await identity.sign_in(login)
    second = await identity.sign_in(login, refresh_token=first["refresh_token"])
    await identity.refused(first)
    assert (await identity.ask("/revocation", token=second["refresh_token"]))[0] == 200
    await identity.refused(second)
    for nothing in ("", "x" * 64, "é" * 64):
        assert (await identity.ask("/revocation", token=nothing))[0] == 200
        await identity.refused({"refresh_token": nothing})


async def test_of_machines_operators_alone_have_sessions_and_shorter_ones(identity: Identity) -> None:
    form = {"grant_type": "client_credentials", "client_secret": SECRET, "scope": "browser"}
    _, operator = await identity.ask("/token", client_id="operator", **form)
    assert operator["refresh_expires_in"] == 12 * 3600
    assert (await identity.renew(operator))[1]["person"] == "operator"
    assert "refresh_token" not in (await identity.ask("/token", client_id="intake", **form))[1]


async def test_sessions_that_nobody_can_renew_are_forgotten(identity: Identity) -> None:
    person, login = await identity.move_in()
    tokens = await identity.sign_in(login)
    await identity.older(tokens, "renewed_at", "15 days")
    await identity.sign_in(login)
    rows = await identity.sql("SELECT id FROM browser_sessions WHERE person = $1", person)
    assert session_of(tokens) not in {row["id"] for row in rows}
    assert len(rows) == 1
