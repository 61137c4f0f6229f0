"""Composition root of cases: the only place that builds its parts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases import api, consumers, open311, tables
from services.cases.settings import CasesSettings
from services.cases.store import CaseStore
from services.cases.webhooks import api as webhooks_api
from services.cases.webhooks import sending
from services.cases.webhooks.desk import WebhookStore
from shared.host import Service, WhoCalls, run
from shared.security.sealing import Opener

HERE = Path(__file__).parent


def main() -> None:
    """Serve, or migrate with the argument `migrate`."""
    settings = CasesSettings()
    opener = Opener(json.loads(settings.sealing_key.get_secret_value()))
    words = yaml.safe_load((HERE / "category_words.yaml").read_text("utf-8"))
    webhooks = WebhookStore(opener, loopback_allowed=settings.webhook_loopback_allowed)

    def router(engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
        routes = api.router(opener, engine, caller)
        routes.include_router(open311.router(words, opener, engine, caller))
        routes.include_router(webhooks_api.router(engine, caller))
        return routes

    service = Service(
        name="cases",
        metadata=tables.metadata,
        migrations=HERE / "migrations",
        handlers=consumers.handlers(CaseStore(words, opener), webhooks, opener),
        router=router,
        event_topics=consumers.EVENT_TOPICS,
        replies=True,
        loops={sending.LOOP: sending.delivering(opener, settings)},
    )
    run(service, settings, sys.argv[1:])


if __name__ == "__main__":
    main()
