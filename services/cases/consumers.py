"""Which message goes to which handler."""

from __future__ import annotations

from services.cases.handlers import DECISIONS, CaseDesk
from services.cases.store import CaseStore, keep_departments
from shared.contracts.identity import DepartmentChanged
from shared.contracts.registry import Contract
from shared.messaging.runner import Handler

EVENT_TOPICS = ("department.changed",)


def handlers(store: CaseStore) -> dict[type[Contract], Handler]:
    """Every message class that cases handles."""
    return {**CaseDesk(store, DECISIONS).handlers(), DepartmentChanged: keep_departments}
