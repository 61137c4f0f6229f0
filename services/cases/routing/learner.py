"""The process that learns by itself: it looks now and then whether enough is new, and has a job learn.

Each lesson is a process of its own, which gives back what training takes of memory and whose end a stop does not
wait for. It decides once more, under a lock, so several of these processes learn no lesson twice. A database that
is away is waited for; a lesson that failed is tried again at the next look.
"""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import PIPE
from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases.routing import lessons
from services.cases.settings import CasesSettings, LearningSettings
from shared.database.engine import make_engine
from shared.host import serve_http, stop_signals
from shared.http.operations import health_router
from shared.telemetry.health import Health
from shared.telemetry.logging import logger

_AWAY_SECONDS = 5.0

REGISTRY = CollectorRegistry()
"""Its own, as this process has no consumers and no relay, whose standing still would alarm."""
NEW = Gauge("dbt_routing_new_cases", "Cases confirmed since routing last learnt", registry=REGISTRY)
FAILED = Counter("dbt_routing_lessons_failed_total", "Lessons that could not be learnt", registry=REGISTRY)

log = logger(__name__)


async def keep_learning(settings: CasesSettings, lesson: Sequence[str]) -> None:
    """Learn whenever it is due until a stop signal; `lesson` is the command that learns if it is still due."""
    stop = stop_signals()
    health = Health()
    health.not_ready("start", "starting")
    engine = make_engine(settings.database_url, pool_size=1, application=f"cases-{settings.instance}")
    server, http = await serve_http(_answers(health), settings.http_host, settings.http_port)
    work = asyncio.create_task(_learning(engine, health, settings, lesson), name="learning")
    for task in (http, work):
        task.add_done_callback(lambda _: stop.set())
    await stop.wait()
    log.info("stopping")
    work.cancel()
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await work
    finally:
        server.should_exit = True
        await http
        await engine.dispose()


def _answers(health: Health) -> FastAPI:
    app = FastAPI(title="daibiaotong cases: learning", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(health_router(health))

    @app.get("/metrics")
    async def prometheus() -> PlainTextResponse:
        return PlainTextResponse(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    return app


async def _learning(
    engine: AsyncEngine, health: Health, pace: LearningSettings, lesson: Sequence[str]
) -> None:
    async def look() -> lessons.Standing:
        async with engine.connect() as connection:
            found = await lessons.standing(connection)
        NEW.set(found.new)
        for part in ("start", "database"):
            health.ready(part)
        return found

    away = _AWAY_SECONDS
    while True:
        try:
            if lessons.is_due(await look(), pace) and await learnt(lesson):
                await look()
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            health.not_ready("database", f"{type(error).__name__}, trying again")
            log.warning("learning-waits", error=type(error).__name__)
            await asyncio.sleep(min(away, pace.learn_look_seconds))
            away *= 2  # counting the cases may itself be what takes too long
        else:
            away = _AWAY_SECONDS
            await asyncio.sleep(pace.learn_look_seconds)


async def learnt(lesson: Sequence[str]) -> bool:
    """Run a lesson; whether it ended well. Whoever cancels this ends it at once: nothing of it is kept then."""
    log.info("lesson-begins")
    try:
        child = await asyncio.create_subprocess_exec(*lesson, stdout=PIPE)
    except OSError as error:
        FAILED.inc()
        log.warning("lesson-failed", error=type(error).__name__)
        return False
    try:
        said, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        FAILED.inc()
        log.warning("lesson-failed", exit=child.returncode)
    else:
        log.info("lesson-ended", said=said.decode().strip())
    return not child.returncode
