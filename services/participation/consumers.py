"""Which message goes to which handler."""

from __future__ import annotations

from services.participation.handlers import ON_ACTIVITIES, ON_CONSULTATIONS, ON_DUTIES
from services.participation.store import ActivityStore, ConsultationStore, DutyStore, keep_deputies
from shared.contracts.identity import DeputyChanged
from shared.contracts.registry import Contract
from shared.messaging.desk import Desk, FrontDesk
from shared.messaging.runner import Handler

EVENT_TOPICS = ("deputy.changed",)


def handlers() -> dict[type[Contract], Handler]:
    """Every message class that participation handles; one front desk, so that a mixed batch stays whole."""
    desk = FrontDesk(
        Desk(ActivityStore(), ON_ACTIVITIES),
        Desk(ConsultationStore(), ON_CONSULTATIONS),
        Desk(DutyStore(), ON_DUTIES),
    )
    return {**desk.handlers(), DeputyChanged: keep_deputies}
