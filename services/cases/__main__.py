"""Composition root of cases: the only place that builds its parts."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import yaml

from services.cases import consumers, tables
from services.cases.api import router
from services.cases.settings import CasesSettings
from services.cases.store import CaseStore
from shared.host import Service, run
from shared.security.sealing import Opener

HERE = Path(__file__).parent


def main() -> None:
    """Serve, or migrate with the argument `migrate`."""
    settings = CasesSettings()
    opener = Opener(json.loads(settings.sealing_key.get_secret_value()))
    words = yaml.safe_load((HERE / "category_words.yaml").read_text("utf-8"))
    service = Service(
        name="cases",
        metadata=tables.metadata,
        migrations=HERE / "migrations",
        handlers=consumers.handlers(CaseStore(words, opener)),
        router=partial(router, opener),
        event_topics=consumers.EVENT_TOPICS,
        replies=True,
    )
    run(service, settings, sys.argv[1:])


if __name__ == "__main__":
    main()
