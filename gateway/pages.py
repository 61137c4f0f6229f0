"""The web pages, as files: what `web/` was built to, held in memory with a compressed copy of each text.

Invariants: only what was built is served, by its name in a table, so that no path leads elsewhere; a file whose
name holds its digest may be kept for ever, everything else is asked for again each time; a page loads, runs and
asks nothing but from its own origin, and no script or style stands in it. Where nothing was built, the
addresses say so and all the rest works.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from shared.http.problems import Problem

FACES = ("m", "console")
"""The faces that were built: the phone's, the console. Each is an entry of its own under its path."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_PERMISSIONS = "geolocation=({}), camera=(self), microphone=(), payment=(), usb=()"
_ASKS_WHERE = "m"
"""The face whose filing page asks where one is. It is one document: the page is not loaded anew for its views."""
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_DIGESTED = "assets/"
_COMPRESSED = frozenset({".html", ".js", ".css", ".json", ".svg", ".webmanifest"})
_MEDIA = {".js": "text/javascript", ".webmanifest": "application/manifest+json", ".woff2": "font/woff2"}


@dataclass(frozen=True)
class _File:
    media_type: str
    etag: str
    cache: str
    plain: bytes = field(repr=False)
    zipped: bytes | None = field(repr=False)


class Pages:
    """All built files, by their path under the root."""

    def __init__(self, folder: Path) -> None:
        self._files: Mapping[str, _File] = {
            path.relative_to(folder).as_posix(): _read(path, folder)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    @property
    def built(self) -> bool:
        """Whether there are any."""
        return bool(self._files)

    def answer(self, path: str, request: Request) -> Response:
        """The file under this path. Raises Problem 404."""
        found = self._files.get(path)
        if found is None:
            if not self.built:
                detail = "The web pages are not built here. Run `make web`, then start the gateway again."
                raise Problem(404, "pages-not-built", detail)
            raise Problem(404, "not-found", "There is no such page.")
        headers = {
            "Cache-Control": found.cache,
            "ETag": found.etag,
            "Vary": "Accept-Encoding",
            "Content-Security-Policy": POLICY,
            "Permissions-Policy": _PERMISSIONS.format("self" if path.startswith(f"{_ASKS_WHERE}/") else ""),
            "Cross-Origin-Opener-Policy": "same-origin",
        }
        if request.headers.get("if-none-match") == found.etag:
            return Response(status_code=304, headers=headers)
        content = found.plain
        if found.zipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
            content = found.zipped
            headers["Content-Encoding"] = "gzip"
        return Response(content, headers=headers, media_type=found.media_type)

    def page(self, face: str, rest: str, request: Request) -> Response:
        """A file of a face, or its page for every other address: which view is shown the page decides."""
        path = f"{face}/{rest}"
        return self.answer(path if path in self._files else f"{face}/index.html", request)


def _read(path: Path, folder: Path) -> _File:
    plain = path.read_bytes()
    name = path.relative_to(folder).as_posix()
    media_type = _MEDIA.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return _File(
        media_type=f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type,
        etag=f'"{hashlib.sha256(plain).hexdigest()[:32]}"',
        cache=_FOR_EVER if name.startswith(_DIGESTED) else _ASK_AGAIN,
        plain=plain,
        zipped=gzip.compress(plain, 9, mtime=0) if path.suffix in _COMPRESSED else None,
    )


def add(app: FastAPI, pages: Pages) -> None:
    """Add the pages."""

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("/m/", 303)

    @app.get("/assets/{rest:path}", include_in_schema=False)
    async def asset(rest: str, request: Request) -> Response:
        return pages.answer(_DIGESTED + rest, request)

    for face in FACES:
        _add(app, pages, face)


def _add(app: FastAPI, pages: Pages, face: str) -> None:
    async def page(rest: str, request: Request) -> Response:
        return pages.page(face, rest, request)

    async def home() -> Response:
        return RedirectResponse(f"/{face}/", 303)

    app.get(f"/{face}/{{rest:path}}", include_in_schema=False)(page)
    app.get(f"/{face}", include_in_schema=False)(home)
