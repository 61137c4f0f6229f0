"""The routes that show a photo of a case and give a document of one.

Invariants: who may see a case may see its attachments, and nobody else; by the follow link a resident sees the
photos that came with the concern and those that they supplied themselves; no browser takes one for a page.
"""

# No postponed annotations here: FastAPI could not find names that are made inside `router`.

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases import api, errors, tables
from services.cases.attachments import THUMBNAIL, Kind, Shelves
from services.cases.handlers import RESIDENT
from shared.contracts.cases import Follow
from shared.contracts.envelope import Actor
from shared.host import WhoCalls
from shared.http.callers import require
from shared.http.problems import Problem
from shared.storage import StorageAway

_DIGEST = r"^[0-9a-f]{64}$"
Digest = Annotated[str, Path(pattern=_DIGEST)]

_UNKNOWN = {"photo": errors.photo_unknown, "document": errors.document_unknown}
_FORMS: dict[Kind, tuple[str, str]] = {"photo": ("image/jpeg", "jpg"), "document": ("application/pdf", "pdf")}


class OwnPhoto(BaseModel):
    """Which photo of which concern: its own digest, and that of the secret."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    follow: Follow
    digest: Annotated[str, Field(pattern=_DIGEST)]
    size: Literal["full", "thumbnail"] = "full"


def router(shelves: Shelves, engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]

    @routes.get("/cases/{case_id}/photos/{digest}")
    async def photo(
        case_id: UUID, digest: Digest, actor: who, size: Literal["full", "thumbnail"] = "full"
    ) -> Response:
        ending = THUMBNAIL if size == "thumbnail" else ""
        return await given("photo", digest, [_of(case_id), *api.visible(actor)], ending=ending)

    @routes.get("/cases/{case_id}/documents/{digest}")
    async def document(case_id: UUID, digest: Digest, actor: who) -> Response:
        return await given("document", digest, [_of(case_id), *api.visible(actor)])

    @routes.post("/concerns/photo")
    async def own_photo(asked: OwnPhoto, actor: who) -> Response:
        require(actor, "intake")
        own = [tables.cases.c.follow == asked.follow, or_(tables.case_photos.c.number == 1, _by_resident())]
        ending = THUMBNAIL if asked.size == "thumbnail" else ""
        return await given("photo", asked.digest, own, ending=ending)

    async def given(
        kind: Kind, digest: str, conditions: list[ColumnElement[bool]], *, ending: str = ""
    ) -> Response:
        attachments = tables.case_photos.c
        async with engine.connect() as connection:
            rows = await connection.execute(
                select(attachments.case_id, attachments.state)
                .join(tables.cases, tables.cases.c.id == attachments.case_id)
                .where(
                    attachments.digest == digest,
                    attachments.kind == kind,
                    ~tables.WITHOUT_ATTACHMENTS,
                    *conditions,
                )
            )
        unknown = _UNKNOWN[kind]()
        case_id, state = rows.one_or_none() or (None, None)
        if state is None or state == "missing":
            raise unknown
        soon = Problem(
            503,
            f"{kind}-not-yet",
            f"The {kind} is being taken over; ask again.",
            headers={"Retry-After": "2"},
        )
        if state == "claimed":
            raise soon
        try:
            content = await shelves.own.get(f"{case_id}/{digest}{ending}")
        except StorageAway as error:
            raise soon from error
        if content is None:  # erased just now
            raise unknown
        media_type, extension = _FORMS[kind]
        # A download with a name, and no guessing: whatever its bytes, no browser shows it as a page of ours.
        headers = {
            "Content-Disposition": f'attachment; filename="{digest[:12]}.{extension}"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        }
        return Response(content, media_type=media_type, headers=headers)

    return routes


def _by_resident() -> ColumnElement[bool]:
    photos, steps = tables.case_photos.c, tables.case_steps.c
    return (
        select(steps.case_id)
        .where(steps.case_id == photos.case_id, steps.number == photos.number)
        .where(steps.step == "supplied", steps.actor == RESIDENT)
        .exists()
    )


def _of(case_id: UUID) -> ColumnElement[bool]:
    return tables.case_photos.c.case_id == case_id
