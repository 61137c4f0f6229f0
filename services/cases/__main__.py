"""Composition root of cases: the only place that builds its parts."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import date
from functools import lru_cache, partial
from pathlib import Path

import yaml

from services.cases import consumers, due, tables
from services.cases.api import router
from services.cases.deadlines.calendar import ChinaCalendar
from services.cases.deadlines.pack import in_force, load
from services.cases.deadlines.reckoning import CHINA, Calendar
from services.cases.deadlines.rules import Pack
from services.cases.domain import Rules
from services.cases.settings import CasesSettings
from services.cases.store import CaseStore, RulesAt
from shared.host import Service, run
from shared.security.sealing import Opener

HERE = Path(__file__).parent


def rules_by_day(packs: Sequence[Pack], jurisdiction: str, calendar: Calendar) -> RulesAt:
    """What gives the rules in force at a moment; a day's rules are looked up once."""

    @lru_cache(maxsize=4096)
    def on(day: date) -> Rules:
        return Rules(calendar, in_force(packs, jurisdiction, day).cases)

    return lambda moment: on(moment.astimezone(CHINA).date())


def main() -> None:
    """Serve, or migrate with the argument `migrate`."""
    settings = CasesSettings()
    opener = Opener(json.loads(settings.sealing_key.get_secret_value()))
    calendar = ChinaCalendar()
    rules_at = rules_by_day(load(), settings.jurisdiction, calendar)
    words = yaml.safe_load((HERE / "category_words.yaml").read_text("utf-8"))
    service = Service(
        name="cases",
        metadata=tables.metadata,
        migrations=HERE / "migrations",
        handlers=consumers.handlers(CaseStore(words, opener, rules_at)),
        router=partial(router, opener),
        event_topics=consumers.EVENT_TOPICS,
        replies=True,
        loops={due.LOOP: due.falling_due(calendar.version)},
    )
    run(service, settings, sys.argv[1:])


if __name__ == "__main__":
    main()
