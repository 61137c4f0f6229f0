"""The route that shows a photo of a case.

Invariants: who may see a case may see its photos, and nobody else; no browser takes one for a page.
"""

# No postponed annotations here: FastAPI could not find names that are made inside `router`.

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases import api, errors, tables
from services.cases.photos import THUMBNAIL, Shelves
from shared.contracts.envelope import Actor
from shared.host import WhoCalls
from shared.http.problems import Problem
from shared.storage import StorageAway


def router(shelves: Shelves, engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
    """The route."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]

    @routes.get("/cases/{case_id}/photos/{digest}")
    async def photo(
        case_id: UUID,
        digest: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")],
        actor: who,
        size: Literal["full", "thumbnail"] = "full",
    ) -> Response:
        photos = tables.case_photos.c
        async with engine.connect() as connection:
            state = await connection.scalar(
                select(photos.state)
                .join(tables.cases, tables.cases.c.id == photos.case_id)
                .where(
                    photos.case_id == case_id,
                    photos.digest == digest,
                    ~tables.ERASED,
                    *api.visible(actor),
                )
            )
        if state is None or state == "missing":
            raise errors.photo_unknown()
        soon = Problem(
            503, "photo-not-yet", "The photo is being taken over; ask again.", headers={"Retry-After": "2"}
        )
        if state == "claimed":
            raise soon
        try:
            content = await shelves.own.get(f"{case_id}/{digest}{THUMBNAIL if size == 'thumbnail' else ''}")
        except StorageAway as error:
            raise soon from error
        if content is None:  # erased just now
            raise errors.photo_unknown()
        # A download with a name, and no guessing: whatever its bytes, no browser shows it as a page of ours.
        headers = {
            "Content-Disposition": f'attachment; filename="{digest[:12]}.jpg"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        }
        return Response(content, media_type="image/jpeg", headers=headers)

    return routes
