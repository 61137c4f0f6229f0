"""Composition root of cases: the only place that builds its parts."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases import (
    api,
    attachment_api,
    attachments,
    consumers,
    due,
    errors,
    following,
    open311,
    tables,
)
from services.cases.deadlines.calendar import ChinaCalendar
from services.cases.deadlines.pack import in_force, load
from services.cases.deadlines.reckoning import CHINA, Calendar
from services.cases.deadlines.rules import Pack
from services.cases.domain import Rules
from services.cases.handlers import read_words
from services.cases.motions.api import router as motion_router
from services.cases.motions.domain import Rules as MotionRules
from services.cases.motions.store import MotionStore, ReferralStore
from services.cases.motions.store import RulesAt as MotionRulesAt
from services.cases.routing import api as routing_api
from services.cases.routing.desk import AdoptionStore, InForce
from services.cases.routing.rules_file import shipped_taxonomy
from services.cases.search import api as search_api
from services.cases.search import indexing
from services.cases.settings import CasesSettings
from services.cases.store import CaseStore, RulesAt
from services.cases.webhooks import api as webhooks_api
from services.cases.webhooks import sending
from services.cases.webhooks.desk import WebhookStore
from shared.database.engine import make_engine
from shared.host import Service, WhoCalls, run
from shared.refusals import Refusal
from shared.security.sealing import Opener
from shared.telemetry import logging

HERE = Path(__file__).parent


R = TypeVar("R")


def _by_day(packs: Sequence[Pack], jurisdiction: str, of: Callable[[Pack], R]) -> Callable[[datetime], R]:
    """What gives something of the pack in force at a moment; a day's pack is looked up once."""

    @lru_cache(maxsize=4096)
    def on(day: date) -> R:
        return of(in_force(packs, jurisdiction, day))

    return lambda moment: on(moment.astimezone(CHINA).date())


def rules_by_day(packs: Sequence[Pack], jurisdiction: str, calendar: Calendar) -> RulesAt:
    """What gives the rules of cases in force at a moment."""
    return _by_day(packs, jurisdiction, lambda pack: Rules(calendar, pack.cases))


def motion_rules_by_day(packs: Sequence[Pack], jurisdiction: str, calendar: Calendar) -> MotionRulesAt:
    """What gives the rules of motions in force at a moment."""
    return _by_day(packs, jurisdiction, lambda pack: MotionRules(calendar, pack.motions))


JOBS = """\
learn [--if-due] [PAST.jsonl]
keep-learning [PAST.jsonl]
install-model FOLDER CHECK.jsonl"""
_NICE = 10
"""How far training stands back behind whatever else runs there."""


async def _keep_model(job: str, names: Sequence[str], settings: CasesSettings, opener: Opener) -> int:
    """A job that trains or brings a model, and ends; `keep-learning` stays, and has others learn when it is due."""
    from services.cases.routing import learner, learning

    if_due = job == "learn" and "--if-due" in names
    paths = [Path(name) for name in names if name != "--if-due"]
    if len(paths) != 2 if job == "install-model" else len(paths) > 1:
        print(JOBS, file=sys.stderr)  # noqa: T201 - a job
        return 2
    if job == "keep-learning":
        logging.configure(service="cases", instance=settings.instance, level=settings.log_level)
        lesson = (sys.executable, "-m", "services.cases", "learn", "--if-due", *names)
        await learner.keep_learning(settings, lesson)
        return 0
    engine = make_engine(settings.database_url, pool_size=1, application="cases-job")
    try:
        if job == "install-model":
            async with engine.begin() as connection:
                said = await learning.install(connection, *paths)
        else:
            os.nice(_NICE)
            past, pace = paths[0] if paths else None, settings if if_due else None
            said = await learning.learn(engine, opener, read_words, past, pace=pace)
    except Refusal as refused:
        print(refused.detail, file=sys.stderr)  # noqa: T201
        return 1
    finally:
        await engine.dispose()
    print(said)  # noqa: T201
    return 0


def main() -> None:
    """Serve; migrate with the argument `migrate`; or make a model, see `_keep_model`."""
    settings = CasesSettings()
    opener = Opener(json.loads(settings.sealing_key.get_secret_value()))
    keyed = indexing.keyed_by(opener)
    calendar = ChinaCalendar()
    packs = load()
    rules_at = rules_by_day(packs, settings.jurisdiction, calendar)
    motion_rules_at = motion_rules_by_day(packs, settings.jurisdiction, calendar)
    shelves = attachments.Shelves(settings)
    taxonomy = shipped_taxonomy()
    routing = InForce(taxonomy, opener, read_words)
    webhooks = WebhookStore(opener, loopback_allowed=settings.webhook_loopback_allowed)

    def router(engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
        routes = api.router(opener, keyed, rules_at, engine, caller)
        routes.include_router(routing_api.router(taxonomy, opener, routing, engine, caller))
        routes.include_router(search_api.router(opener, keyed, engine, caller))
        routes.include_router(following.router(opener, rules_at, engine, caller))
        routes.include_router(open311.router(taxonomy.categories, opener, engine, caller))
        routes.include_router(attachment_api.router(shelves, engine, caller))
        routes.include_router(webhooks_api.router(engine, caller))
        routes.include_router(motion_router(opener, motion_rules_at, engine, caller))
        return routes

    if sys.argv[1:2] in (["learn"], ["keep-learning"], ["install-model"]):
        sys.exit(asyncio.run(_keep_model(sys.argv[1], sys.argv[2:], settings, opener)))
    service = Service(
        name="cases",
        metadata=tables.metadata,
        migrations=HERE / "migrations",
        handlers=consumers.handlers(
            CaseStore(frozenset(taxonomy.categories), opener, rules_at, routing),
            MotionStore(opener, motion_rules_at),
            ReferralStore(opener, motion_rules_at),
            webhooks,
            opener,
            AdoptionStore(taxonomy),
        ),
        router=router,
        refusals_by_constraint={"cases_receipt_idx": errors.receipt_taken()},
        event_topics=consumers.EVENT_TOPICS,
        replies=True,
        loops={
            due.LOOP: due.falling_due(calendar.version),
            attachments.LOOP: attachments.taking_over(shelves),
            indexing.LOOP: indexing.indexing(opener, keyed),
            sending.LOOP: sending.delivering(opener, settings),
        },
    )
    run(service, settings, sys.argv[1:])


if __name__ == "__main__":
    main()
