"""Read-only HTTP of learning: courses with the caller's own progress, certificates and figures.

Invariant: nobody is shown the right answers of a quiz; a deputy is shown only their own progress, and staff
who studies a course and completed it; drafts are for staff alone.
"""

# No `from __future__ import annotations` here: FastAPI could not find `who`, which is made inside `router`.

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from services.learning import errors, markup, queries, tables
from services.learning.domain import Level
from shared.contracts.envelope import Actor
from shared.contracts.learning import LESSON_TEXT_MAX
from shared.host import WhoCalls
from shared.http.callers import require


def _person(actor: Actor) -> UUID | None:
    try:
        return UUID(actor.person)
    except ValueError:
        return None  # a machine or a department


def _counted(actor: Actor) -> bool:
    return bool(actor.roles & {"staff", "simulation"})


def _writes(actor: Actor) -> bool:
    return "staff" in actor.roles


class LessonDraft(BaseModel):
    """A lesson's text as it is being written."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=LESSON_TEXT_MAX)]


def router(engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]

    async def shown(course_id: UUID, actor: Actor) -> dict[str, Any]:
        async with engine.connect() as connection:
            found = await queries.course(
                connection,
                course_id,
                person=_person(actor),
                counted=_counted(actor),
                drafts=_writes(actor),
            )
        if found is None:
            raise errors.course_unknown()
        return found

    @routes.get("/courses")
    async def courses(
        actor: who,
        level: Level | None = None,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        size: Annotated[int, Query(ge=1, le=500)] = 20,
    ) -> dict[str, Any]:
        conditions = queries.visible(drafts=_writes(actor))
        if level is not None:
            conditions.append(tables.courses.c.levels.contains([level]))
        async with engine.connect() as connection:
            rows, total = await queries.courses(
                connection,
                conditions,
                person=_person(actor),
                counted=_counted(actor),
                number=page,
                size=size,
            )
        return {"items": rows, "total": total, "page": page, "size": size}

    @routes.get("/courses/{course_id}")
    async def course(course_id: UUID, actor: who) -> dict[str, Any]:
        return await shown(course_id, actor)

    @routes.get("/courses/{course_id}/lessons/{key}")
    async def lesson(course_id: UUID, key: str, actor: who) -> dict[str, Any]:
        async with engine.connect() as connection:
            found = await queries.lesson(connection, course_id, key, drafts=_writes(actor))
        if found is None:
            raise errors.lesson_missing()
        text = found.pop("text")
        source = {"text": text} if _writes(actor) else {}
        return {**found, "html": text and await asyncio.to_thread(markup.html, text), **source}

    @routes.post("/lesson-previews")
    async def preview(draft: LessonDraft, actor: who) -> dict[str, str]:
        require(actor, "staff")
        return {"html": await asyncio.to_thread(markup.html, draft.text)}

    @routes.get("/courses/{course_id}/learners")
    async def learners(
        course_id: UUID,
        actor: who,
        completed: bool | None = None,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        size: Annotated[int, Query(ge=1, le=500)] = 20,
    ) -> dict[str, Any]:
        require(actor, "staff", "simulation")
        async with engine.connect() as connection:
            known = await queries.course(connection, course_id, person=None, counted=False, drafts=True)
            if known is None:
                raise errors.course_unknown()
            rows, total = await queries.learners(
                connection, course_id, completed=completed, number=page, size=size
            )
        return {"items": rows, "total": total, "page": page, "size": size}

    @routes.get("/courses/{course_id}/certificate")
    async def certificate(course_id: UUID, actor: who) -> dict[str, Any]:
        found = await shown(course_id, actor)
        progress = found["progress"]
        if progress is None or progress["completed_at"] is None:
            raise errors.no_certificate()
        return {
            "number": progress["certificate"],
            "course_id": found["id"],
            "title": found["title"],
            "minutes": found["minutes"],
            "mark": progress["mark"],
            "completed_at": progress["completed_at"],
            "deputy_id": actor.person,
        }

    @routes.get("/figures")
    async def figures(actor: who) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        async with engine.connect() as connection:
            return await queries.figures(connection)

    return routes
