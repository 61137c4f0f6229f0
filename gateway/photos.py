"""Photos on their way in: checked and made anew, kept in quarantine under their digest until a command names them.

`photos/<digest>` and `thumbnails/<digest>` are what was uploaded, the digest being SHA-256 of the new
photo; `claims/<digest>` says that a command was sent which names it. Invariants: what lies here went
through `reencode`; an unclaimed photo goes after a day, a claimed one when no command that names it can
still wait in its topic; what a person may upload in an hour is limited, and how many uploads are in
memory at a time.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import asyncio
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response

from gateway import answers, reencode
from gateway.commands import Caller, json_response
from gateway.edge import PHOTO_PATH
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
}


class Quarantine:
    """Uploaded photos that no service has taken over yet."""

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

    async def keep(self, photo: bytes, thumbnail: bytes) -> str:
        """Keep a photo; its digest. Raises Problem 503."""
        digest = hashlib.sha256(photo).hexdigest()
        try:
            await self._storage.put(f"thumbnails/{digest}", thumbnail)
            await self._storage.put(f"photos/{digest}", photo)  # last: a photo that is here is whole
        except StorageAway as error:
            raise _away(error) from error
        return digest

    async def claim(self, digests: Iterable[str]) -> None:
        """Note that a command names these photos. Raises Problem 422 for one that is not here, or 503."""
        try:
            for digest in dict.fromkeys(digests):
                await self._claim(digest)
        except StorageAway as error:
            raise _away(error) from error

    async def _claim(self, digest: str) -> None:
        claimed = await self._storage.look(f"claims/{digest}")
        found = await self._storage.look(f"photos/{digest}")
        # Not in its last minute: the sweep might be at it just now.
        fresh = found is not None and _age(found.modified) < self._unclaimed - _LAST_MINUTE
        if found is None or not (fresh or claimed):
            detail = "Upload the photo first, and name it within a day."
            raise Problem(422, "photo-unknown", detail)
        if claimed is None:
            await self._storage.put(f"claims/{digest}", b"")

    async def sweep(self) -> int:
        """Remove what nobody claimed in time; how many photos. Raises StorageAway."""
        gone = 0
        async for photo in self._storage.under("photos"):
            if _age(photo.modified) < self._unclaimed:
                continue
            digest = photo.name.rpartition("/")[2]
            claim = await self._storage.look(f"claims/{digest}")
            if claim is not None and _age(claim.modified) < self._claimed:
                continue
            for kind in ("photos", "thumbnails", "claims"):
                await self._storage.delete(f"{kind}/{digest}")
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
                    log.info("quarantine-swept", photos=gone)
            for _ in range(int(_SWEEP_SECONDS // 30)):
                health.turn("quarantine")
                await asyncio.sleep(30)


def _age(modified: datetime) -> timedelta:
    return datetime.now(UTC) - modified


def _away(error: StorageAway) -> Problem:
    log.warning("quarantine-away", error=str(error))
    return Problem(
        503, "storage-away", "Photos cannot be kept now; try again soon.", headers={"Retry-After": "5"}
    )


class Allowance:
    """How many uploads a person has left in the present hour, at this gateway."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._hour = 0
        self._used: Counter[str] = Counter()

    def take(self, person: str) -> None:
        """Use one up. Raises Problem 429."""
        hour = int(time.monotonic() // _HOUR)
        if hour != self._hour:
            self._hour = hour
            self._used.clear()
        if self._used[person] >= self._most:
            detail = f"At most {self._most} photos an hour; go on later."
            raise Problem(429, "too-many-photos", detail, headers={"Retry-After": "600"})
        self._used[person] += 1


class Intake:
    """The way of an upload: read, made anew in a process of its own, kept."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._in_memory = asyncio.Semaphore(_IN_MEMORY)
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def take(self, request: Request) -> dict[str, int | str]:
        """Take in the request's body; digest, width and height. Raises Problem."""
        if self._waiting >= _WAITING_MAX:
            detail = "Too many photos are on their way; try again."
            raise Problem(503, "too-busy", detail, headers={"Retry-After": "5"})
        self._waiting += 1
        try:
            async with self._in_memory:
                try:
                    upload = await asyncio.wait_for(request.body(), _BODY_SECONDS)
                except TimeoutError:
                    raise Problem(408, "too-slow", "The photo did not arrive in time.") from None
                if not upload:
                    raise Problem(422, "photo-unreadable", "Send the photo as the body of the request.")
                async with self._at_once:
                    size, photo, thumbnail = await made_anew(upload)
                digest = await self._quarantine.keep(photo, thumbnail)
        finally:
            self._waiting -= 1
        return {"digest": digest, "width": size[0], "height": size[1]}


async def made_anew(upload: bytes) -> tuple[tuple[int, int], bytes, bytes]:
    """Size in pixels, photo and thumbnail of an upload. Raises Problem."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(Path(reencode.__file__)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(upload), reencode.SECONDS)
    except TimeoutError:
        out = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    first, _, rest = out.partition(b"\n")
    # A file that kills the decoder leaves no answer.
    done = process.returncode == 0 and first
    said: dict[str, Any] = json.loads(first) if done else {"refused": "photo-unreadable"}
    if "refused" in said:
        status, detail = _REFUSALS[said["refused"]]
        raise Problem(status, said["refused"], detail)
    length = said["sizes"][0]
    return (said["width"], said["height"]), rest[:length], rest[length:]


def add(
    app: FastAPI, quarantine: Quarantine, settings: GatewaySettings, caller: Callable[..., Awaitable[Caller]]
) -> None:
    """Add the upload of photos."""
    who = Annotated[Caller, Depends(caller)]
    intake = Intake(quarantine)
    allowance = Allowance(settings.photos_per_hour_max)
    body = {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/*",)}}

    @app.post(
        PHOTO_PATH,
        status_code=201,
        response_model=answers.Photo,
        summary="Upload a photo 照片; commands name it by the digest in the answer",
        tags=["photos"],
        openapi_extra={"requestBody": {"required": True, **body}},
    )
    async def upload(request: Request, person: who) -> Response:
        require(person.actor, "deputy", "staff", "department")
        allowance.take(person.actor.person)
        return json_response(await intake.take(request), 201)
