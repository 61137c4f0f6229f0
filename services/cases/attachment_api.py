"""The routes that show a photo of a case and give a document of one.

Invariants: who may see a case may see its attachments, and nobody else; no browser takes one for a page.
"""

# No postponed annotations here: FastAPI could not find names that are made inside `router`.

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases import api, errors, tables
from services.cases.attachments import THUMBNAIL, Kind, Shelves
from shared.contracts.envelope import Actor
from shared.host import WhoCalls
from shared.http.problems import Problem
from shared.storage import StorageAway

Digest = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")]

_UNKNOWN = {"photo": errors.photo_unknown, "document": errors.document_unknown}
_FORMS: dict[Kind, tuple[str, str]] = {"photo": ("image/jpeg", "jpg"), "document": ("application/pdf", "pdf")}


def router(shelves: Shelves, engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]

    @routes.get("/cases/{case_id}/photos/{digest}")
    async def photo(
        case_id: UUID, digest: Digest, actor: who, size: Literal["full", "thumbnail"] = "full"
    ) -> Response:
        return await given("photo", case_id, digest, actor, ending=THUMBNAIL if size == "thumbnail" else "")

    @routes.get("/cases/{case_id}/documents/{digest}")
    async def document(case_id: UUID, digest: Digest, actor: who) -> Response:
        return await given("document", case_id, digest, actor)

    async def given(kind: Kind, case_id: UUID, digest: str, actor: Actor, *, ending: str = "") -> Response:
        attachments = tables.case_photos.c
        async with engine.connect() as connection:
            state = await connection.scalar(
                select(attachments.state)
                .join(tables.cases, tables.cases.c.id == attachments.case_id)
                .where(
                    attachments.case_id == case_id,
                    attachments.digest == digest,
                    attachments.kind == kind,
                    ~tables.ERASED,
                    *api.visible(actor),
                )
            )
        unknown = _UNKNOWN[kind]()
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
