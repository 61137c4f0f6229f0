"""Which message goes to which handler: every event of the other services, and the adoption of a rubric."""

from __future__ import annotations

from services.evaluation.appeal_store import ON_APPEALS, AppealStore
from services.evaluation.handlers import EventIntake, RubricDesk
from services.evaluation.store import EvaluationStore
from shared.contracts.cases import DepartmentTold, Dossier, ReplyRefused
from shared.contracts.evaluation import AdoptRubric, ScoreCorrected
from shared.contracts.motions import DepartmentToldOfMotion, MotionDossier, MotionReplyRefused
from shared.contracts.registry import EVERY_SERVICE, Contract, Declaration, events
from shared.messaging.desk import Desk
from shared.messaging.runner import Handler

# A department's own mail is for that department alone.
_PRIVATE = (
    Dossier,
    ReplyRefused,
    DepartmentTold,
    MotionDossier,
    MotionReplyRefused,
    DepartmentToldOfMotion,
)
# Its own facts would be a loop, but for corrections, which are facts of a ledger like any other; outcomes
# answer commands; the clock is followed by the process itself.
_OTHER_OWNERS = {"evaluation", EVERY_SERVICE, "simulation"}


def taken_in() -> list[Declaration]:
    """Every event that evaluation takes in."""
    return [
        d
        for d in events().values()
        if d.model is ScoreCorrected or (d.owner not in _OTHER_OWNERS and d.model not in _PRIVATE)
    ]


EVENT_TOPICS = tuple(sorted({declaration.topic for declaration in taken_in()}))


def handlers(store: EvaluationStore) -> dict[type[Contract], Handler]:
    """Every message class that evaluation handles; all events share one handler, so a batch stays whole."""
    intake = EventIntake(store)
    appeals = Desk(AppealStore(store), ON_APPEALS)
    return {
        **{declaration.model: intake for declaration in taken_in()},
        AdoptRubric: RubricDesk(store),
        **appeals.handlers(),
    }
