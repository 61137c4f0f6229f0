"""Photos that a resident leaves with a concern, or supplies to it later: read with the form, made anew one by one, kept in quarantine.

What was taken stays with the form when something else in it is wrong: the page gets each digest signed for that
form alone. Invariants: a form names only photos that came with it; how many forms are read at a time, and how
many photos an address may bring in an hour, is limited; nobody's photo is decoded in this process.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect

from gateway.intake import Intake
from gateway.settings import GatewaySettings
from gateway.throttle import address_of
from gateway.uploads import Allowance, Uploading
from shared.http.problems import Problem

PHOTOS_MAX = 3
_FILES_MAX = 20
_FIELDS_MAX = 40
_READ_AT_ONCE = 24
_READ_AT_ONCE_OF_ONE = 3
"""So many forms with photos of one network address are read at a time, so that it cannot keep others out."""
_READ_SECONDS = 300.0
"""Long enough for three photos over an old phone's network."""
_WORDS_SECONDS = 30.0
_FAULTS: Mapping[str, str] = {
    "photo-heic": "type",
    "photo-type-not-allowed": "type",
    "photo-too-many-pixels": "large",
    "photo-unreadable": "unreadable",
    "too-many-photos": "often",
}


@dataclass(frozen=True)
class Form:
    """What a form brought: its fields as text, photos that it has kept from before, and new files."""

    fields: dict[str, str]
    kept: Sequence[str]
    files: Sequence[UploadFile]


class Photos:
    """Takes photos with forms."""

    def __init__(
        self, uploading: Uploading, allowance: Allowance, intake: Intake, settings: GatewaySettings
    ) -> None:
        self._uploading, self._allowance, self._intake = uploading, allowance, intake
        self._bytes_max, self._words_max = settings.photo_bytes_max, settings.body_bytes_max
        self._reading: Counter[str] = Counter()

    async def read(self, request: Request) -> Form:
        """A form with its files; line ends are as everywhere else, no blanks around. Raises Problem."""
        length = request.headers.get("content-length")
        if length is not None and int(length) <= self._words_max:
            found = await self._parsed(request, _WORDS_SECONDS)
        else:  # it can only be photos
            found = await self._with_photos(request)
        items = found.multi_items()
        texts = [(name, value) for name, value in items if isinstance(value, str)]
        return Form(
            {name: value.replace("\r\n", "\n").strip() for name, value in texts if name != "kept"},
            [value for name, value in texts if name == "kept"],
            [value for _, value in items if isinstance(value, UploadFile) and value.size],
        )

    async def _with_photos(self, request: Request) -> FormData:
        address = address_of(request)
        self._allowance.look(address, "photo")
        if self._reading.total() >= _READ_AT_ONCE or self._reading[address] >= _READ_AT_ONCE_OF_ONE:
            raise Problem(503, "too-busy", "Too many forms arrive now.", headers={"Retry-After": "5"})
        self._reading[address] += 1
        try:
            return await self._parsed(request, _READ_SECONDS)
        finally:
            self._reading[address] -= 1
            self._reading += Counter()  # an address of which nothing is read is forgotten

    @staticmethod
    async def _parsed(request: Request, seconds: float) -> FormData:
        try:
            async with asyncio.timeout(seconds):
                return await request.form(max_files=_FILES_MAX, max_fields=_FIELDS_MAX)
        except (TimeoutError, ClientDisconnect):
            raise Problem(408, "too-slow", "The form did not arrive in time.") from None

    async def taken(self, request: Request, form: Form, form_id: UUID) -> tuple[list[str], str | None]:
        """The digests of a form's photos, those from before first, and what is wrong with one that was not taken."""
        digests = [one.partition(".")[0] for one in form.kept if self._is_of(form_id, one)][:PHOTOS_MAX]
        fault = None
        for file in form.files:
            if len(digests) >= PHOTOS_MAX:
                fault = "many"
                break
            try:
                digests.append(await self._take(request, file))
            except Problem as problem:
                fault = _FAULTS.get(problem.code, "large" if problem.status == 413 else "away")
        return list(dict.fromkeys(digests)), fault

    async def _take(self, request: Request, file: UploadFile) -> str:
        if (file.size or 0) > self._bytes_max:
            raise Problem(413, "too-large", "The photo is too large.")
        self._allowance.take(address_of(request), "photo")
        async with self._uploading.room():
            return str((await self._uploading.keep("photo", await file.read()))["digest"])

    async def shown(self, digests: Sequence[str], form_id: UUID) -> list[dict[str, str | None]]:
        """Photos for the page of a form: what names each there, and its small picture where that can be had."""
        found = []
        for digest in digests:
            picture = await self._uploading.thumbnail(digest)
            data = None if picture is None else f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
            found.append({"name": f"{digest}.{self._mark(form_id, digest)}", "picture": data})
        return found

    def _mark(self, form_id: UUID, digest: str) -> str:
        said = f"photo/{form_id}/{digest}".encode()
        return hmac.digest(self._intake.cookie_key(), said, "sha256").hex()

    def _is_of(self, form_id: UUID, name: str) -> bool:
        digest, _, mark = name.partition(".")
        return hmac.compare_digest(mark.encode(), self._mark(form_id, digest).encode())
