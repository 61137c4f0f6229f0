"""Which message goes to which handler."""

from __future__ import annotations

from services.cases.handlers import DECISIONS, CaseDesk
from services.cases.store import CaseStore, keep_departments
from services.cases.webhooks.desk import Delivering, WebhookStore, webhook_desk
from shared.contracts.identity import DepartmentChanged
from shared.contracts.registry import Contract
from shared.messaging.desk import FrontDesk
from shared.messaging.runner import Handler
from shared.security.sealing import Opener

EVENT_TOPICS = ("department.changed",)


def handlers(store: CaseStore, webhooks: WebhookStore, opener: Opener) -> dict[type[Contract], Handler]:
    """Every message class that cases handles; one front desk, so that a mixed batch stays whole."""
    desk = FrontDesk(CaseDesk(store, DECISIONS), webhook_desk(webhooks))
    return {**Delivering(desk, opener).handlers(), DepartmentChanged: keep_departments}
