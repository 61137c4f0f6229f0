"""Which message goes to which handler."""

from __future__ import annotations

from services.cases.handlers import DECISIONS, CaseDesk
from services.cases.motions import handlers as motions
from services.cases.motions.store import MotionStore, ReferralStore, keep_deputies
from services.cases.routing import desk as routing
from services.cases.store import CaseStore, keep_departments
from services.cases.webhooks.desk import Delivering, WebhookStore, webhook_desk
from shared.contracts.identity import DepartmentChanged, DeputyChanged
from shared.contracts.registry import Contract
from shared.messaging.desk import Desk, FrontDesk
from shared.messaging.runner import Handler
from shared.security.sealing import Opener

EVENT_TOPICS = ("department.changed", "deputy.changed")


def handlers(
    store: CaseStore,
    motion_store: MotionStore,
    referral_store: ReferralStore,
    webhooks: WebhookStore,
    opener: Opener,
    adoptions: routing.AdoptionStore,
) -> dict[type[Contract], Handler]:
    """Every message class that cases handles; one front desk, so that a mixed batch stays whole."""
    desk = FrontDesk(
        CaseDesk(store, DECISIONS),
        motions.MotionDesk(motion_store, motions.DECISIONS),
        Desk(referral_store, motions.ON_REFERRALS),
        webhook_desk(webhooks),
        Desk(adoptions, routing.DECISIONS),
    )
    return {
        **Delivering(desk, opener).handlers(),
        DepartmentChanged: keep_departments,
        DeputyChanged: keep_deputies,
    }
