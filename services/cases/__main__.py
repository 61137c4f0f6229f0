"""Composition root of cases: the only place that builds its parts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import yaml
from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases import api, consumers, due, errors, following, open311, photo_api, photos, tables
from services.cases.deadlines.calendar import ChinaCalendar
from services.cases.deadlines.pack import in_force, load
from services.cases.deadlines.reckoning import CHINA, Calendar
from services.cases.deadlines.rules import Pack
from services.cases.domain import Rules
from services.cases.motions.api import router as motion_router
from services.cases.motions.domain import Rules as MotionRules
from services.cases.motions.store import MotionStore, ReferralStore
from services.cases.motions.store import RulesAt as MotionRulesAt
from services.cases.search import api as search_api
from services.cases.search import indexing
from services.cases.settings import CasesSettings
from services.cases.store import CaseStore, RulesAt
from services.cases.webhooks import api as webhooks_api
from services.cases.webhooks import sending
from services.cases.webhooks.desk import WebhookStore
from shared.host import Service, WhoCalls, run
from shared.security.sealing import Opener

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


def main() -> None:
    """Serve, or migrate with the argument `migrate`."""
    settings = CasesSettings()
    opener = Opener(json.loads(settings.sealing_key.get_secret_value()))
    keyed = indexing.keyed_by(opener)
    calendar = ChinaCalendar()
    packs = load()
    rules_at = rules_by_day(packs, settings.jurisdiction, calendar)
    motion_rules_at = motion_rules_by_day(packs, settings.jurisdiction, calendar)
    words = yaml.safe_load((HERE / "category_words.yaml").read_text("utf-8"))
    shelves = photos.Shelves(settings)
    webhooks = WebhookStore(opener, loopback_allowed=settings.webhook_loopback_allowed)

    def router(engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
        routes = api.router(opener, keyed, engine, caller)
        routes.include_router(search_api.router(opener, keyed, engine, caller))
        routes.include_router(following.router(opener, engine, caller))
        routes.include_router(open311.router(words, opener, engine, caller))
        routes.include_router(photo_api.router(shelves, engine, caller))
        routes.include_router(webhooks_api.router(engine, caller))
        routes.include_router(motion_router(opener, motion_rules_at, engine, caller))
        return routes

    service = Service(
        name="cases",
        metadata=tables.metadata,
        migrations=HERE / "migrations",
        handlers=consumers.handlers(
            CaseStore(words, opener, rules_at),
            MotionStore(opener, motion_rules_at),
            ReferralStore(opener, motion_rules_at),
            webhooks,
            opener,
        ),
        router=router,
        refusals_by_constraint={"cases_receipt_idx": errors.receipt_taken()},
        event_topics=consumers.EVENT_TOPICS,
        replies=True,
        loops={
            due.LOOP: due.falling_due(calendar.version),
            photos.LOOP: photos.taking_over(shelves),
            indexing.LOOP: indexing.indexing(opener, keyed),
            sending.LOOP: sending.delivering(opener, settings),
        },
    )
    run(service, settings, sys.argv[1:])


if __name__ == "__main__":
    main()
