"""Messages of participation: activities, consultations and logged duties."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.identity import KnownPlaceCode, PlaceCode
from shared.contracts.registry import Contract, command, event

ActivityKind = Literal["theme", "inspection", "research", "reception", "training"]
DutyKind = Literal["inspection", "research", "reception", "visit", "hearing", "meeting"]
DutyState = Literal["declared", "confirmed", "rejected", "withdrawn"]
Key = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]


@command("activity.announce", owner="participation", roles=("staff",), key="activity id")
class AnnounceActivity(Contract):
    """Announce an activity 代表活动; `county` None means the whole city, `venue` 地点 is where in it."""

    title: str = Field(min_length=1, max_length=200)
    kind: ActivityKind
    county: PlaceCode | None = None
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    capacity: int | None = Field(default=None, ge=1)
    venue: str | None = Field(default=None, min_length=1, max_length=100)
    description: str | None = Field(default=None, min_length=1, max_length=2000)


@command("activity.sign_up", owner="participation", roles=("deputy",), key="activity id")
class SignUp(Contract):
    """Sign up for an activity 报名."""


@command("activity.check_in", owner="participation", roles=("deputy",), key="activity id")
class CheckIn(Contract):
    """Check in at an activity 签到 with the code shown there 活动码."""

    code: str = Field(min_length=1, max_length=40)


class Question(Contract):
    """One question of a consultation: a choice among `options`, or an opinion in words."""

    key: Key
    text: str = Field(min_length=1, max_length=500)
    kind: Literal["choice", "text"]
    options: tuple[str, ...] = ()
    required: bool = False


@command("consultation.open", owner="participation", roles=("staff",), key="consultation id")
class OpenConsultation(Contract):
    """Open a consultation 意见征集: on a draft law, or a questionnaire."""

    title: str = Field(min_length=1, max_length=200)
    kind: Literal["legislation", "questionnaire"]
    county: PlaceCode | None = None
    questions: tuple[Question, ...] = Field(min_length=1, max_length=50)
    closes_at: AwareDatetime


@command("consultation.answer", owner="participation", roles=("deputy",), key="consultation id")
class AnswerConsultation(Contract):
    """Answer a consultation once; `answers` maps a question's key to an option or to words."""

    answers: dict[Key, Annotated[str, Field(max_length=5000)]] = Field(
        min_length=1, max_length=50, repr=False
    )


@command("consultation.close", owner="participation", roles=("staff",), key="consultation id")
class CloseConsultation(Contract):
    """Close a consultation; later answers are refused."""


@command("duty.declare", owner="participation", roles=("deputy",), key="duty id")
class DeclareDuty(Contract):
    """Log a duty one has done 履职登记; it counts once staff confirmed it."""

    kind: DutyKind
    happened_on: date
    note: str = Field(min_length=1, max_length=2000, repr=False)


@command("duty.confirm", owner="participation", roles=("staff",), key="duty id")
class ConfirmDuty(Contract):
    """Staff confirm a declared duty."""


@command("duty.reject", owner="participation", roles=("staff",), key="duty id")
class RejectDuty(Contract):
    """Staff reject a declared duty and say why."""

    reason: str = Field(min_length=1, max_length=500, repr=False)


@command("duty.withdraw", owner="participation", roles=("deputy",), key="duty id")
class WithdrawDuty(Contract):
    """The deputy takes a declared duty back."""


@event("activity.announced", owner="participation", key="activity id")
class ActivityAnnounced(Contract):
    """An activity was announced."""

    activity_id: UUID
    title: str
    kind: ActivityKind
    county: KnownPlaceCode | None
    starts_at: AwareDatetime
    ends_at: AwareDatetime


@event("activity.signed-up", owner="participation", key="deputy id")
class ActivitySignedUp(Contract):
    """A deputy signed up for an activity; who comes without having done so has `activity.attended` alone."""

    activity_id: UUID
    deputy_id: UUID
    kind: ActivityKind


@event("activity.attended", owner="participation", key="deputy id")
class ActivityAttended(Contract):
    """A deputy checked in at an activity."""

    activity_id: UUID
    deputy_id: UUID
    kind: ActivityKind


@event("consultation.opened", owner="participation", key="consultation id")
class ConsultationOpened(Contract):
    """A consultation was opened."""

    consultation_id: UUID
    title: str
    kind: Literal["legislation", "questionnaire"]
    county: KnownPlaceCode | None
    closes_at: AwareDatetime


@event("consultation.answered", owner="participation", key="deputy id")
class ConsultationAnswered(Contract):
    """A deputy answered a consultation; `opinions` counts the answers in words."""

    consultation_id: UUID
    deputy_id: UUID
    kind: Literal["legislation", "questionnaire"]
    opinions: int = Field(ge=0)


@event("consultation.closed", owner="participation", key="consultation id")
class ConsultationClosed(Contract):
    """A consultation was closed, with how many answered it."""

    consultation_id: UUID
    respondents: int = Field(ge=0)
    opinions: int = Field(ge=0)


@event("duty.logged", owner="participation", key="duty id")
class DutyLogged(Contract):
    """A logged duty as it stands now; of several the highest `sequence` counts."""

    duty_id: UUID
    deputy_id: UUID
    state: DutyState
    kind: DutyKind
    happened_on: date
