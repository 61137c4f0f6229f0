"""Read-only HTTP of the search: similar cases while filing and in triage, and clusters of reports.

Invariants: what a deputy learns of somebody else's case is where, what kind, how far and since when, and how
alike in tenths; never its words, its filer, nor who joined. Clusters are for staff, of their area.
"""

# No postponed annotations here: FastAPI could not find names that are made inside `router`.

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases import api, errors
from services.cases import queries as lists
from services.cases.domain import STEPS
from services.cases.handlers import Words, read_words
from services.cases.search import queries
from services.cases.search.clusters import Cluster, Report, clusters_of
from services.cases.search.grams import Keyed
from services.cases.search.sketches import joined
from shared.contracts.envelope import Actor
from shared.contracts.identity import PlaceCode
from shared.contracts.registry import Role
from shared.host import WhoCalls
from shared.http.callers import require
from shared.refusals import Refusal
from shared.security.sealing import Opener

LEAST_LIKE = 0.1
"""Cases less alike than this are not shown as similar."""
_MOST_SIMILAR = 10
_MOST_REPORTS = 5_000
_STAFF: tuple[Role, ...] = ("staff", "operator", "simulation")


class Asked(BaseModel):
    """A case that is about to be filed."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(max_length=200)] = ""
    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    county: PlaceCode
    town: PlaceCode | None = None
    category: Annotated[str, Field(max_length=40)] | None = None


def router(opener: Opener, keyed: Keyed, engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]
    # Two threads that both want the interpreter take it from each other, and take longer than one after the other.
    reckoning = asyncio.Lock()

    async def found(
        actor: Actor,
        sketch: int,
        *,
        county: str,
        town: str | None,
        category: str | None,
        at: datetime,
        besides: UUID | None = None,
    ) -> dict[str, Any]:
        async with engine.connect() as connection:
            rows = await queries.similar(
                connection,
                sketch,
                county=county,
                town=town,
                at=at,
                besides=besides,
                least=LEAST_LIKE,
                most=_MOST_SIMILAR,
            )
        return {"items": [_similar(row, actor, opener, town=town, category=category, at=at) for row in rows]}

    @routes.post("/cases/similar")
    async def similar(request: Request, asked: Asked, actor: who) -> dict[str, Any]:
        require(actor, "deputy", *_STAFF)
        return await found(
            actor,
            keyed.sketch(Words.model_construct(title=asked.title, text=asked.text).searched),
            county=asked.county,
            town=asked.town,
            category=asked.category,
            at=request.app.state.clock.now(),
        )

    @routes.get("/cases/{case_id}/similar")
    async def similar_to(case_id: UUID, actor: who) -> dict[str, Any]:
        require(actor, "deputy", *_STAFF)
        async with engine.connect() as connection:
            case = await lists.one(connection, case_id)
            if case is None:
                raise errors.case_unknown()
            if not api.may_read(case, actor):
                raise errors.not_your_case()
            sketch = await queries.sketch_of(connection, case_id)
        if sketch is None:
            try:
                sketch = keyed.sketch(read_words(opener, case["sealed"]).searched)
            except Refusal:  # erased
                return {"items": []}
        return await found(
            actor,
            sketch,
            county=case["county"],
            town=case["town"],
            category=case["category"],
            at=case["filed_at"],
            besides=case_id,
        )

    @routes.get("/case-clusters")
    async def case_clusters(
        request: Request,
        actor: who,
        county: PlaceCode | None = None,
        days: Annotated[int, Query(ge=1, le=90)] = 7,
        least: Annotated[int, Query(ge=2, le=1000)] = 3,
        size: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Response:
        require(actor, *_STAFF)
        conditions = api.visible(actor)
        if county is not None:
            conditions += api.in_place(county)
        since = request.app.state.clock.now() - timedelta(days=days)
        async with lists.reading(engine) as connection:
            reports, states = await queries.open_reports(
                connection, conditions, since=since, most=_MOST_REPORTS
            )
        async with reckoning:
            clusters = (await asyncio.to_thread(clusters_of, reports, joined, least=least))[:size]
        parents = [_parent(cluster, states) for cluster in clusters]
        async with engine.connect() as connection:
            known = await queries.shown_in_clusters(connection, [parent.id for parent in parents])
        async with reckoning:
            told = await asyncio.to_thread(_told, clusters, parents, known, states, opener)
        return Response(told, media_type="application/json")

    return routes


def _similar(
    row: dict[str, Any], actor: Actor, opener: Opener, *, town: str | None, category: str | None, at: datetime
) -> dict[str, Any]:
    is_theirs = not api.may_read(row, actor)
    digits = 1 if is_theirs else 2
    shown = {name: row[name] for name in ("id", "category", "county", "town", "state", "filed_at")}
    shown |= {
        "followers": len(row["followers"]),
        "mine": actor.person == str(row["deputy_id"]),
        "joined": actor.person in row["followers"],
        "score": round(float(row["score"]), digits),
        "why": {
            "likeness": round(float(row["likeness"]), digits),
            "place": "same-town" if town is not None and row["town"] == town else "same-county",
            "days_apart": abs(row["filed_at"] - at) // timedelta(days=1),
            "same_category": category is not None and row["category"] == category,
        },
    }
    if not is_theirs:
        shown |= {"title": _title(row["sealed"], opener), "department": row["department"]}
    return shown


def _told(
    clusters: Sequence[Cluster],
    parents: Sequence[Report],
    known: Mapping[UUID, Mapping[str, Any]],
    states: Mapping[UUID, str],
    opener: Opener,
) -> bytes:
    """The answer, with the titles of the parents alone: to open many takes a while."""
    items = [
        _cluster(cluster, parent.id, known.get(parent.id), states, opener)
        for cluster, parent in zip(clusters, parents, strict=True)
    ]
    return to_json({"items": items})


def _parent(cluster: Cluster, states: Mapping[UUID, str]) -> Report:
    """The case proposed as parent: the first that a department works on, else the first filed."""
    worked_on = STEPS["answered"].before | {"waiting"}
    reports = (report for report, _ in cluster.reports)
    return next((report for report in reports if states[report.id] in worked_on), cluster.first)


def _cluster(
    cluster: Cluster,
    parent: UUID,
    known: Mapping[str, Any] | None,
    states: Mapping[UUID, str],
    opener: Opener,
) -> dict[str, Any]:
    return {
        "parent": str(parent),
        "title": _title(known["sealed"], opener) if known else None,
        "category": known["category"] if known else None,
        "department": known["department"] if known else None,
        "county": cluster.first.county,
        "town": cluster.first.town,
        "size": len(cluster.reports),
        "first_filed_at": cluster.first.filed_at,
        "last_filed_at": cluster.last_filed_at,
        "cases": [
            {
                "id": str(report.id),
                "state": states[report.id],
                "filed_at": report.filed_at,
                "likeness": round(alike, 2),
            }
            for report, alike in cluster.reports
        ],
    }


def _title(sealed: str, opener: Opener) -> str | None:
    try:
        return read_words(opener, sealed).title
    except Refusal:  # erased
        return None
