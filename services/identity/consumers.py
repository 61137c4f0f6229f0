"""Which message goes to which handler."""

from __future__ import annotations

from services.identity.handlers import PasswordDesk, RosterDesk, department_desk, staff_desk, station_desk
from shared.contracts.registry import Contract
from shared.messaging.desk import FrontDesk
from shared.messaging.runner import Handler


def handlers(passwords: PasswordDesk) -> dict[type[Contract], Handler]:
    """Every message class that identity handles.

    Who is registered in a batch can get a password in it, and a roster can name the stations of its batch.
    """
    desk = FrontDesk(department_desk(), staff_desk(), station_desk(), RosterDesk(), passwords)
    return dict(desk.handlers())
