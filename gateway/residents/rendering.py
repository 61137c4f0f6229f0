"""Makes the resident's pages out of templates, in the reader's language, with dates as people write them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")
HERE = Path(__file__).parent
LOOKS = (HERE / "looks.css").read_bytes()
LOOKS_ADDRESS = f"/r/looks.css?v={hashlib.sha256(LOOKS).hexdigest()[:16]}"

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_ZONE = ZoneInfo("Asia/Shanghai")
_COOKIE, _COOKIE_SECONDS = "lang", 365 * 24 * 3600
_ACTION = re.compile(r"^(/r/concerns/[^/]+)/.*")
"""Where a form goes: no page, so that the other language is the concern's own."""
_WEEKDAYS_ZH = "一二三四五六日"


def _flat(part: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", str(value)


def words(language: Language) -> dict[str, str]:
    """Every word of a language by its dotted key."""
    return dict(_flat(json.loads((HERE / f"{language}.json").read_text("utf-8"))))


WORDS = {language: words(language) for language in LANGUAGES}


def language_of(request: Request) -> Language:
    """The language asked for, else the one kept, else the browser's first that we have, else Chinese."""
    for asked in (request.query_params.get("lang"), request.cookies.get(_COOKIE)):
        for language in LANGUAGES:
            if asked == language:
                return language
    for part in request.headers.get("accept-language", "").split(","):
        for language in LANGUAGES:
            if part.strip().lower().startswith(language):
                return language
    return "zh"


def day(at: datetime | str, language: Language) -> str:
    """A day as people write it, in China Standard Time."""
    when = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(_ZONE)
    if language == "zh":
        return f"{when.year}年{when.month}月{when.day}日（周{_WEEKDAYS_ZH[when.weekday()]}）"
    return f"{when:%A}, {when.day} {when:%B %Y}"


def moment(at: datetime | str, language: Language) -> str:
    """A day with its time of day."""
    when = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(_ZONE)
    return f"{day(when, language)} {when:%H:%M}"


_TEMPLATES = Environment(
    loader=FileSystemLoader(HERE),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(request: Request, template: str, *, status: int = 200, **more: Any) -> Response:
    """A page from a template; `t` in it gives a word by its key, `known` says whether there is one."""
    language = language_of(request)
    own = WORDS[language]
    say: Callable[..., str] = lambda key, **gaps: own[key].format(**gaps)  # noqa: E731
    text = _TEMPLATES.get_template(template).render(
        language=language,
        other="en" if language == "zh" else "zh",
        path=_ACTION.sub(r"\1", request.url.path),
        looks=LOOKS_ADDRESS,
        t=say,
        known=lambda key: key in own,
        day=lambda at: day(at, language),
        moment=lambda at: moment(at, language),
        **more,
    )
    answer = HTMLResponse(text, status, {"Content-Security-Policy": _POLICY, "Content-Language": language})
    if request.query_params.get("lang") == language:
        answer.set_cookie(
            _COOKIE, language, max_age=_COOKIE_SECONDS, path="/r", httponly=True, samesite="lax"
        )
    return answer
