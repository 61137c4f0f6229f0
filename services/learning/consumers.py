"""Which message goes to which handler."""

from __future__ import annotations

from services.learning.handlers import ON_COURSES, ON_ENROLMENTS
from services.learning.store import CourseStore, EnrolmentStore
from shared.contracts.registry import Contract
from shared.messaging.desk import Desk, FrontDesk
from shared.messaging.runner import Handler


def handlers() -> dict[type[Contract], Handler]:
    """Every message class that learning handles; courses come first, so that a batch can study what it publishes."""
    desk = FrontDesk(Desk(CourseStore(), ON_COURSES), Desk(EnrolmentStore(), ON_ENROLMENTS))
    return {**desk.handlers()}
