"""Photos and documents on their way in: made anew, kept in quarantine under their digest until a command names them.

`photos/<digest>` with `thumbnails/<digest>`, and `documents/<digest>`, are what was uploaded, the digest
being SHA-256 of what was made of it; `claims/<digest>` says that a command was sent which names it.
Invariants: what lies here went through `reencode` or `rewrite`; an unclaimed upload goes after a day, a
claimed one when no command that names it can still wait in its topic; what a person may upload in an hour
is limited, and how many uploads are in memory at a time.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import asyncio
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response

from gateway import reencode, rewrite
from gateway.answers.cases import Document, Photo
from gateway.commands import KINDS, Caller, Kind, json_response
from gateway.edge import DOCUMENT_PATH, PHOTO_PATH
from gateway.settings import GatewaySettings
from shared.http.callers import require
from shared.http.problems import Problem
from shared.storage import Storage, StorageAway, open_storage
from shared.telemetry.health import Health
from shared.telemetry.logging import logger

_HOUR = 3600.0
_SWEEP_SECONDS = 600.0
_BODY_SECONDS = 60.0
_LAST_MINUTE = timedelta(minutes=1)
_AT_ONCE = 2
_IN_MEMORY = 8
_WAITING_MAX = 64

log = logger(__name__)

_PROGRAMS: dict[Kind, ModuleType] = {"photo": reencode, "document": rewrite}
"""What makes an upload anew."""
_REFUSALS = {
    "photo-heic": (
        415,
        "HEIC and AVIF are not taken. Send a JPEG: on an iPhone, Settings, Camera, Formats, Most Compatible.",
    ),
    "photo-type-not-allowed": (415, "A photo must be a JPEG, PNG or WebP; what counts is its content."),
    "photo-too-many-pixels": (
        422,
        f"A JPEG may have at most {reencode.PIXELS_MAX:,} pixels, another photo {reencode.OTHER_PIXELS_MAX:,}.",
    ),
    "photo-unreadable": (422, "The file is damaged, or is no picture that can be read."),
    "document-type-not-allowed": (415, "A document must be a PDF; save or print it as one."),
    "document-encrypted": (
        422,
        "The PDF is protected. Send a copy without password and restrictions; printing it as a PDF makes one.",
    ),
    "document-too-many-pages": (422, f"A PDF may have at most {rewrite.PAGES_MAX} pages; send it in parts."),
    "document-form": (
        422,
        "What was filled in, or marked on a page, would be lost. Print the file as a PDF, and send that.",
    ),
    "document-too-large": (
        422,
        "Unpacked, a picture in the PDF is larger than 20 MB. Print it as a PDF with smaller pictures, and send that.",
    ),
    "document-unreadable": (422, "The PDF is damaged. Save or print it as a PDF once more, and send that."),
}


class Quarantine:
    """Uploads that no service has taken over yet."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._opened: Storage | None = None
        self._unclaimed = timedelta(hours=settings.quarantine_hours)
        self._claimed = timedelta(days=settings.quarantine_claimed_days)

    @property
    def _storage(self) -> Storage:
        """Opened when first needed."""
        if self._opened is None:
            self._opened = open_storage(self._settings.quarantine_url, self._settings)
        return self._opened

    async def keep(self, kind: Kind, content: bytes, thumbnail: bytes | None = None) -> str:
        """Keep a photo or a document; its digest. Raises Problem 503."""
        digest = hashlib.sha256(content).hexdigest()
        try:
            if thumbnail is not None:
                await self._storage.put(f"thumbnails/{digest}", thumbnail)
            await self._storage.put(f"{kind}s/{digest}", content)  # last: a photo that is here is whole
        except StorageAway as error:
            raise _away(error) from error
        return digest

    async def thumbnail(self, digest: str) -> bytes | None:
        """The small picture of a photo; None where it is gone, or the storage away."""
        try:
            return await self._storage.get(f"thumbnails/{digest}")
        except StorageAway:
            return None

    async def claim(self, kind: Kind, digests: Iterable[str]) -> None:
        """Note that a command names these uploads. Raises Problem 422 for one that is not here, or 503."""
        try:
            for digest in dict.fromkeys(digests):
                await self._claim(kind, digest)
        except StorageAway as error:
            raise _away(error) from error

    async def _claim(self, kind: Kind, digest: str) -> None:
        claimed = await self._storage.look(f"claims/{digest}")
        found = await self._storage.look(f"{kind}s/{digest}")
        # Not in its last minute: the sweep might be at it just now.
        fresh = found is not None and _age(found.modified) < self._unclaimed - _LAST_MINUTE
        if found is None or not (fresh or claimed):
            detail = f"Upload the {kind} first, and name it within a day."
            raise Problem(422, f"{kind}-unknown", detail)
        # Anew each time: of the commands that name it the last may wait longest.
        await self._storage.put(f"claims/{digest}", b"")

    async def sweep(self) -> int:
        """Remove what nobody claimed in time; how many uploads. Raises StorageAway."""
        gone = 0
        for kind in KINDS:
            async for upload in self._storage.under(f"{kind}s"):
                if _age(upload.modified) < self._unclaimed:
                    continue
                digest = upload.name.rpartition("/")[2]
                claim = await self._storage.look(f"claims/{digest}")
                if claim is not None and _age(claim.modified) < self._claimed:
                    continue
                for name in (upload.name, f"thumbnails/{digest}", f"claims/{digest}"):
                    await self._storage.delete(name)
                gone += 1
        async for left in self._storage.under("thumbnails"):  # of an upload that did not end
            digest = left.name.rpartition("/")[2]
            if _age(left.modified) > self._unclaimed and await self._storage.look(f"photos/{digest}") is None:
                await self._storage.delete(left.name)
        return gone

    async def sweeping(self, health: Health) -> None:
        """Sweep now and again until cancelled."""
        while True:
            health.turn("quarantine")
            try:
                gone = await self.sweep()
            except OSError as error:
                log.warning("quarantine-not-swept", error=type(error).__name__)
            else:
                if gone:
                    log.info("quarantine-swept", uploads=gone)
            for _ in range(int(_SWEEP_SECONDS // 30)):
                health.turn("quarantine")
                await asyncio.sleep(30)


def _age(modified: datetime) -> timedelta:
    return datetime.now(UTC) - modified


def _away(error: StorageAway) -> Problem:
    log.warning("quarantine-away", error=str(error))
    return Problem(
        503, "storage-away", "Uploads cannot be kept now; try again soon.", headers={"Retry-After": "5"}
    )


class Allowance:
    """How many uploads a person, or without an account an address, has left in the present hour, at this gateway."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._hour = 0
        self._used: Counter[str] = Counter()

    def look(self, person: str, kind: Kind) -> None:
        """Raise Problem 429 where none is left."""
        hour = int(time.monotonic() // _HOUR)
        if hour != self._hour:
            self._hour = hour
            self._used.clear()
        if self._used[person] >= self._most:
            detail = f"At most {self._most} uploads an hour; go on later."
            raise Problem(429, f"too-many-{kind}s", detail, headers={"Retry-After": "600"})

    def take(self, person: str, kind: Kind) -> None:
        """Use one up, photo or document. Raises Problem 429."""
        self.look(person, kind)
        self._used[person] += 1


class Uploading:
    """The way of an upload: read, made anew in a process of its own, kept."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._in_memory = asyncio.Semaphore(_IN_MEMORY)
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def room(self) -> AsyncIterator[None]:
        """Room in memory for one upload. Raises Problem 503 where too many wait for it."""
        if self._waiting >= _WAITING_MAX:
            detail = "Too many uploads are on their way; try again."
            raise Problem(503, "too-busy", detail, headers={"Retry-After": "5"})
        self._waiting += 1
        try:
            async with self._in_memory:
                yield
        finally:
            self._waiting -= 1

    async def take(self, request: Request, kind: Kind) -> dict[str, int | str]:
        """Take in the request's body; its digest, and what is said of it. Raises Problem."""
        async with self.room():
            try:
                upload = await asyncio.wait_for(request.body(), _BODY_SECONDS)
            except TimeoutError:
                raise Problem(408, "too-slow", f"The {kind} did not arrive in time.") from None
            if not upload:
                raise Problem(422, f"{kind}-unreadable", f"Send the {kind} as the body of the request.")
            return await self.keep(kind, upload)

    async def keep(self, kind: Kind, upload: bytes) -> dict[str, int | str]:
        """Make an upload anew and keep that; its digest, and what is said of it. Raises Problem."""
        async with self._at_once:
            facts, parts = await made_anew(kind, upload)
        return {"digest": await self._quarantine.keep(kind, *parts), **facts}

    async def thumbnail(self, digest: str) -> bytes | None:
        """The small picture of a photo that was kept; None where it cannot be had."""
        return await self._quarantine.thumbnail(digest)


async def made_anew(kind: Kind, upload: bytes) -> tuple[dict[str, int], list[bytes]]:
    """What is said of an upload, and what was made of it: a photo and its thumbnail, or a document. Raises Problem."""
    program = _PROGRAMS[kind]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(Path(str(program.__file__))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(upload), program.SECONDS)
    except TimeoutError:
        out = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    first, _, rest = out.partition(b"\n")
    # A file that kills the decoder leaves no answer.
    done = process.returncode == 0 and first
    said: dict[str, Any] = json.loads(first) if done else {"refused": f"{kind}-unreadable"}
    if "refused" in said:
        status, detail = _REFUSALS[said["refused"]]
        raise Problem(status, said["refused"], detail)
    parts = []
    for size in said.pop("sizes"):
        parts.append(rest[:size])
        rest = rest[size:]
    return said, parts


def add(
    app: FastAPI, uploading: Uploading, allowance: Allowance, caller: Callable[..., Awaitable[Caller]]
) -> None:
    """Add the uploads of photos and documents."""
    who = Annotated[Caller, Depends(caller)]

    async def taken(request: Request, person: Caller, kind: Kind) -> Response:
        require(person.actor, "deputy", "staff", "department")
        allowance.take(person.actor.person, kind)
        return json_response(await uploading.take(request, kind), 201)

    @app.post(
        PHOTO_PATH,
        status_code=201,
        response_model=Photo,
        summary="Upload a photo 照片; commands name it by the digest in the answer",
        tags=["photos"],
        openapi_extra=_body_of("image/*"),
    )
    async def upload(request: Request, person: who) -> Response:
        return await taken(request, person, "photo")

    @app.post(
        DOCUMENT_PATH,
        status_code=201,
        response_model=Document,
        summary="Upload a document 文件 (PDF); commands name it by the digest in the answer",
        tags=["documents"],
        openapi_extra=_body_of("application/pdf"),
    )
    async def upload_document(request: Request, person: who) -> Response:
        return await taken(request, person, "document")


def _body_of(media_type: str) -> dict[str, Any]:
    """What the OpenAPI document says of a body that is a file."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {"requestBody": {"required": True, "content": content}}
