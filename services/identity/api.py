"""HTTP of identity: tokens and keys, the lists, the report of an import.

What writes here are signing in, renewing and signing out only. Invariant: without a token one gets keys, tokens, and what a public code 代表码 stands for, nothing else.
"""

# No `from __future__ import annotations` here: FastAPI could not find `who`, which is made inside `router`.

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Query, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from services.identity import errors, queries, store, tables
from services.identity.domain import (
    DeputyState,
    Level,
    StationState,
    deputy_id,
    drawn,
    printable,
    read_code,
    read_person,
)
from services.identity.grants import BROWSER, Granted, Grants
from services.identity.passwords import Passwords
from services.identity.roster import judge_rows, within_reach
from services.identity.sessions import Terms
from services.identity.settings import Client
from services.identity.signing_keys import Keyring
from shared.contracts.envelope import Actor
from shared.contracts.identity import PlaceCode, StationCode
from shared.host import WhoCalls
from shared.http.callers import require
from shared.http.problems import Problem
from shared.security.sealing import Opener
from shared.security.tokens import TokenVerifier

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind of token

PageNumber = Annotated[int, Query(ge=1, le=1_000_000)]
PageSize = Annotated[int, Query(ge=1, le=500)]


class TokenForm(BaseModel):
    """The form of RFC 6749 and RFC 8693; which fields it needs depends on `grant_type`.

    With the scope `browser` a sign-in begins a session; the `refresh_token` it comes with is one that it replaces.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    grant_type: str = Field(max_length=100)
    client_id: str = Field(default="", max_length=100)
    client_secret: SecretStr = Field(default=SecretStr(""), max_length=500)
    username: str = Field(default="", max_length=200, repr=False)
    password: SecretStr = Field(default=SecretStr(""), max_length=1000)
    subject_token: SecretStr = Field(default=SecretStr(""), max_length=4096)
    subject_token_type: str = Field(default=ACCESS_TOKEN, max_length=100)
    requested_subject: str = Field(default="", max_length=100)
    scope: str = Field(default="", max_length=100)
    refresh_token: SecretStr = Field(default=SecretStr(""), max_length=4096)


class RevocationForm(BaseModel):
    """The form of RFC 7009."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    token: SecretStr = Field(default=SecretStr(""), max_length=4096)


class RosterCheck(BaseModel):
    """Rows of a roster to judge without taking them in, as in the command `roster.import`."""

    first_line: int = Field(default=2, ge=2, le=10_000_000)
    rows: tuple[dict[str, str], ...] = Field(max_length=20_000)


async def _grant(grants: Grants, form: TokenForm) -> Granted:
    use = BROWSER if form.scope == BROWSER else ""
    refresh_token = form.refresh_token.get_secret_value()
    if form.grant_type == "client_credentials":
        secret = form.client_secret.get_secret_value()
        if use:
            return await grants.to_operator(form.client_id, secret, use=use, instead_of=refresh_token)
        return grants.to_client(form.client_id, secret)
    if form.grant_type == "password":
        password = form.password.get_secret_value()
        return await grants.to_person(form.username, password, use=use, instead_of=refresh_token)
    if form.grant_type == "refresh_token":
        return await grants.renewed(refresh_token, use=use)
    if form.grant_type == EXCHANGE:
        if form.subject_token_type != ACCESS_TOKEN:
            raise Problem(400, "token-type-unsupported", "The subject token must be an access token.")
        return await grants.in_the_name_of(form.requested_subject, form.subject_token.get_secret_value())
    raise Problem(
        400,
        "grant-type-unsupported",
        "Use client_credentials, password, refresh_token or the token exchange of RFC 8693.",
    )


def router(
    opener: Opener,
    keyring: Keyring,
    verifier: TokenVerifier,
    passwords: Passwords,
    clients: Mapping[str, Client],
    simulation_allowed: bool,
    terms: Terms,
    engine: AsyncEngine,
    caller: WhoCalls,
) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]
    grants = Grants(
        engine=engine,
        keyring=keyring,
        verifier=verifier,
        passwords=passwords,
        clients=clients,
        simulation_allowed=simulation_allowed,
        terms=terms,
    )

    @routes.get("/jwks")
    async def jwks() -> dict[str, Any]:
        return dict(keyring.public().as_dict(private=False))

    @routes.get("/sealing-key")
    async def sealing_key() -> dict[str, Any]:
        return opener.public_jwk

    @routes.post("/token")
    async def token(form: Annotated[TokenForm, Form()], response: Response) -> dict[str, Any]:
        granted = await _grant(grants, form)
        response.headers["Cache-Control"] = "no-store"
        answer = {
            "access_token": granted.access_token,
            "token_type": "Bearer",
            "expires_in": granted.expires_in,
            "person": granted.person.person,
            "name": granted.person.name,
            "roles": sorted(granted.person.roles),
            "organisation": granted.person.organisation,
        }
        if granted.refresh_token is not None:
            answer["refresh_token"] = granted.refresh_token
            answer["refresh_expires_in"] = granted.refresh_expires_in
        return answer | ({"issued_token_type": ACCESS_TOKEN} if form.grant_type == EXCHANGE else {})

    @routes.post("/revocation")
    async def revoke(form: Annotated[RevocationForm, Form()]) -> dict[str, Any]:
        await grants.end(form.token.get_secret_value())
        return {}

    @routes.get("/people/{person_id}")
    async def person(person_id: str, actor: who) -> dict[str, Any]:
        if person_id != actor.person:
            require(actor, "staff", "operator", "simulation")
        found = grants.client(person_id)
        if found is None:
            async with engine.connect() as connection:
                found = await queries.person(connection, read_person(person_id))
        if found is None:
            raise errors.person_unknown()
        return {
            "person": found.person,
            "name": found.name,
            "roles": sorted(found.roles),
            "organisation": found.organisation,
        }

    @routes.get("/deputies")
    async def deputies(
        _: who,
        county: PlaceCode | None = None,
        town: PlaceCode | None = None,
        level: Level | None = None,
        station: StationCode | None = None,
        state: DeputyState | None = None,
        q: Annotated[str | None, Query(max_length=100)] = None,
        page: PageNumber = 1,
        size: PageSize = 20,
    ) -> dict[str, Any]:
        columns = tables.deputies.c
        asked = {
            columns.county: county,
            columns.town: town,
            columns.level: level,
            columns.station: station,
            columns.state: state,
        }
        conditions = [column == value for column, value in asked.items() if value is not None]
        if q is not None and q.strip():
            if not printable(q):
                raise errors.text_not_printable()
            conditions.append(queries.matching(q.strip()))
        async with engine.connect() as connection:
            return await queries.page(
                connection, tables.deputies, [columns.number], conditions, number=page, size=size
            )

    @routes.get("/deputies/{deputy_id}")
    async def deputy(deputy_id: UUID, _: who) -> dict[str, Any]:
        async with engine.connect() as connection:
            found = await queries.deputy(connection, deputy_id)
        if found is None:
            raise errors.deputy_unknown()
        return found

    @routes.get("/codes/{code}")
    async def behind_code(code: str) -> dict[str, Any]:
        read = read_code(code)
        if read is None:
            raise errors.deputy_unknown()
        async with engine.connect() as connection:
            found = await queries.behind_code(connection, read)
        if found is None:
            raise errors.deputy_unknown()
        return found

    @routes.get("/codes/{code}/deputy")
    async def deputy_of_code(
        code: str, actor: who, lot: UUID, picked: Annotated[str | None, Query(max_length=40)] = None
    ) -> dict[str, Any]:
        """The deputy who gets what somebody puts to this code: the one `picked` by code, else who draws the lot."""
        require(actor, "intake", "staff")
        read = read_code(code)
        if read is None:
            raise errors.deputy_unknown()
        async with engine.connect() as connection:
            found = await queries.reached_by_code(connection, read)
        if found is None:
            raise errors.deputy_unknown()
        if not found.deputies:
            raise errors.station_empty()
        place = {"owner": found.owner, "county": found.county, "town": found.town}
        if picked is None:
            return {**place, "deputy_id": drawn(lot, found.deputies.values())}
        deputy_id = found.deputies.get(read_code(picked) or "")
        if deputy_id is None:
            raise errors.deputy_not_there()
        return {**place, "deputy_id": deputy_id}

    @routes.get("/stations")
    async def stations(
        _: who,
        county: PlaceCode | None = None,
        town: PlaceCode | None = None,
        state: StationState | None = None,
        page: PageNumber = 1,
        size: PageSize = 100,
    ) -> dict[str, Any]:
        kept = tables.stations.c
        conditions = [kept.state == state] if state else []
        conditions += [kept.town.startswith(county)] if county else []
        conditions += [kept.town == town] if town else []
        async with engine.connect() as connection:
            return await queries.stations(connection, conditions, number=page, size=size)

    @routes.get("/stations/{station_id}")
    async def station(station_id: UUID, _: who) -> dict[str, Any]:
        async with engine.connect() as connection:
            condition = tables.stations.c.id == station_id
            found = await queries.stations(connection, [condition], number=1, size=1)
        if not found["items"]:
            raise errors.station_unknown()
        one: dict[str, Any] = found["items"][0]
        return one

    @routes.get("/departments")
    async def departments(_: who, page: PageNumber = 1, size: PageSize = 100) -> dict[str, Any]:
        async with engine.connect() as connection:
            order = [tables.departments.c.code]
            return await queries.page(connection, tables.departments, order, number=page, size=size)

    @routes.get("/staff")
    async def staff(actor: who, page: PageNumber = 1, size: PageSize = 100) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        async with engine.connect() as connection:
            order = [tables.staff.c.organisation, tables.staff.c.id]
            return await queries.page(connection, tables.staff, order, number=page, size=size)

    @routes.post("/roster-imports/check")
    async def check(asked: RosterCheck, actor: who) -> dict[str, Any]:
        require(actor, "staff", "operator")
        async with engine.connect() as connection:
            codes = await store.station_codes(connection)
        judgement = await asyncio.to_thread(judge_rows, asked.first_line, asked.rows, {}, codes)
        ids = [deputy_id(row.entry.number) for row in judgement.right]
        async with engine.connect() as connection:
            known = await store.deputies(connection, ids, lock=False)
        judgement = within_reach(judgement, actor, known)
        return {
            "rows": judgement.rows,
            "accepted": len(judgement.right),
            "errors": [vars(error) for error in judgement.errors],
        }

    @routes.get("/roster-imports/{import_id}")
    async def roster_import(import_id: UUID, actor: who) -> dict[str, Any]:
        require(actor, "staff", "operator")
        async with engine.connect() as connection:
            found = await queries.roster_import(connection, import_id)
        if found is None:
            raise errors.import_unknown()
        return found

    @routes.get("/figures")
    async def figures(actor: who) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        async with engine.connect() as connection:
            return await queries.figures(connection)

    return routes
