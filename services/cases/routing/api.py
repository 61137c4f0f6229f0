"""HTTP of routing: why a case is where it is, what is in force, and what a draft would have done with past cases.

Invariant: nothing here changes anything, and nothing shows a case's words.
"""

# No postponed annotations here: FastAPI could not find names that are made inside `router`.

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases import api, queries, tables
from services.cases import errors as case_errors
from services.cases.deadlines.reckoning import CHINA
from services.cases.handlers import read_words
from services.cases.routing import errors
from services.cases.routing.catalogue import choose, in_force
from services.cases.routing.desk import BATCH, ENOUGH, RIGHT, InForce, good_enough, held_model, judge_texts
from services.cases.routing.model import Model
from services.cases.routing.replay import Comparison, Past
from services.cases.routing.rules_file import WrittenCatalogue, contradictions, read_catalogue
from services.cases.routing.words import Taxonomy
from services.cases.store import active_departments
from services.cases.yaml_file import FileInvalid, shown
from shared.contracts.envelope import Actor
from shared.host import WhoCalls
from shared.http.callers import require
from shared.refusals import Refusal
from shared.security.sealing import Opener

MOST = 50_000
"""So many cases are replayed at most, the newest of the period."""
_FLAWS_MAX = 200
_MOVES = frozenset({"routed", "transferred", "returned"})


class Draft(BaseModel):
    """A catalogue, or a model that is held, or both; and the days of filing (China time) of the cases to try it on."""

    model_config = ConfigDict(extra="forbid")

    catalogue: WrittenCatalogue | None = None
    model: str | None = None
    begin: date | None = None
    until: date | None = None


class DraftText(BaseModel):
    """A catalogue as it is being written, in YAML."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=200_000)]


def router(
    taxonomy: Taxonomy, opener: Opener, routing: InForce, engine: AsyncEngine, caller: WhoCalls
) -> APIRouter:
    """The routes. Replays run one at a time in a process."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]
    replaying, checking = asyncio.Lock(), asyncio.Lock()

    @routes.get("/cases/{case_id}/routing")
    async def why_here(case_id: UUID, actor: who) -> dict[str, Any]:
        async with engine.connect() as connection:
            found = await queries.one(connection, case_id)
            if found is None:
                raise case_errors.case_unknown()
            if not api.may_read(found, actor):
                raise case_errors.not_your_case()
            held = (await queries.routings(connection, [case_id])).get(case_id)
        way = [step for step in found["steps"] if step["step"] in _MOVES]
        return {
            "case_id": case_id,
            "state": found["state"],
            "category": found["category"],
            "department": found["department"],
            "reason": found["reason"],
            "at_filing": held,
            "moves": [
                {key: step[key] for key in ("step", "at", "department", "reason", "why", "text")}
                for step in way
            ],
        }

    @routes.get("/routing")
    async def held(actor: who) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        async with engine.connect() as connection:
            found = await queries.routing(connection)
        for one in found["models"]:
            one["may_be_adopted"] = good_enough(one["automatic_right"], one["automatic"])
        return {**found, "needed": {"automatic": ENOUGH, "right": RIGHT}}

    @routes.post("/routing/checks")
    async def check(draft: DraftText, actor: who) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        try:
            async with checking:
                written = await asyncio.to_thread(read_catalogue, draft.text, taxonomy)
        except FileInvalid as invalid:
            flaws = [
                {
                    "path": one.place,
                    "line": one.line,
                    "code": one.code,
                    "values": one.values,
                    "reason": one.reason,
                }
                for one in invalid.flaws[:_FLAWS_MAX]
            ]
            return {"catalogue": None, "flaws": flaws, "not_active": []}
        async with engine.connect() as connection:
            departments = await active_departments(connection)
        named = {rule.department for rule in written.rules}
        document = written.model_dump(mode="json")
        return {"catalogue": document, "flaws": [], "not_active": sorted(named - set(departments))}

    @routes.post("/routing/replays")
    async def replay(draft: Draft, actor: who) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        if draft.catalogue is None and draft.model is None:
            raise errors.draft_empty()
        if draft.catalogue is not None:
            for place, why in contradictions(draft.catalogue, taxonomy):
                raise errors.catalogue_invalid(shown(place), why)
        if replaying.locked():
            raise errors.replay_running()
        async with replaying, engine.connect() as connection:
            model = await held_model(connection, draft.model) if draft.model is not None else None
            if draft.model is not None and model is None:
                raise errors.model_unknown()
            departments = await active_departments(connection)
            adopted = await routing.catalogues(connection)
            drafted = draft.catalogue.made() if draft.catalogue is not None else None
            conditions = [*api.visible(actor), *_filed(draft.begin, draft.until)]
            compared = Comparison()
            async for rows in queries.past_routings(connection, conditions, most=MOST, part=BATCH):
                for row, category in zip(rows, await _categories(rows, model, taxonomy, opener), strict=True):
                    catalogue = drafted or in_force(adopted, row.at.astimezone(CHINA).date())
                    choice = category and choose(
                        catalogue, departments, category=category, county=row.county, town=row.town
                    )
                    past = Past(row.id, row.sent, row.settled)
                    compared.add(past, choice.department if choice else None)
        named = {rule.department for rule in drafted.rules} if drafted is not None else set()
        return {
            **compared.result(),
            "not_active": sorted(named - set(departments)),
            "newest_only": compared.cases == MOST,
        }

    return routes


def _filed(begin: date | None, until: date | None) -> list[ColumnElement[bool]]:
    """Filed within two days, both counted, as conditions."""
    filed = tables.cases.c.filed_at
    found = []
    if begin is not None:
        found.append(filed >= datetime.combine(begin, time(), CHINA))
    if until is not None:
        found.append(filed < datetime.combine(until, time(), CHINA) + timedelta(days=1))
    return found


async def _categories(
    rows: Sequence[Any], model: Model | None, taxonomy: Taxonomy, opener: Opener
) -> list[str | None]:
    """The category each case goes by: as it was held, or anew by a model where a classifier had said it."""
    held: list[str | None] = [row.category for row in rows]
    if model is None:
        return held
    anew = [i for i, row in enumerate(rows) if row.classifier is not None]
    said = await asyncio.to_thread(_judge_anew, [rows[i].sealed for i in anew], model, taxonomy, opener)
    for i, category in said.items():
        held[anew[i]] = category
    return held


def _judge_anew(
    sealed: Sequence[str], model: Model, taxonomy: Taxonomy, opener: Opener
) -> dict[int, str | None]:
    """What a model says of words, by their position; those that were erased are left out."""
    texts = {}
    for number, one in enumerate(sealed):
        with contextlib.suppress(Refusal):
            words = read_words(opener, one)
            texts[number] = f"{words.title}\n{words.text}"
    judged = judge_texts(list(texts.values()), model, taxonomy) if texts else []
    return {number: one.category for number, one in zip(texts, judged, strict=True)}
