"""What `participation` answers: activities 代表活动, consultations 意见征集, logged duties 履职登记."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from gateway.answers.page import Answer, Page
from shared.contracts import participation


class Attendance(Answer):
    """One's own part in an activity."""

    signed_up_at: datetime
    checked_in_at: datetime | None


class Activity(Answer):
    """An activity 代表活动; no county means the whole city, `venue` is where in it. `code` is for staff."""

    id: UUID
    title: str
    kind: participation.ActivityKind
    county: str | None
    starts_at: datetime
    ends_at: datetime
    capacity: int | None
    venue: str | None
    description: str | None
    sign_ups: int
    check_ins: int
    code: str | None = None
    mine: Attendance | None


class ActivityPage(Page):
    """Activities."""

    items: tuple[Activity, ...]


class Attender(Attendance):
    """A deputy's part in an activity."""

    deputy_id: UUID


class AttendancePage(Page):
    """Who signed up for an activity 报名, the earliest first."""

    items: tuple[Attender, ...]


class OwnAnswers(Answer):
    """One's own answers to a consultation."""

    answered_at: datetime
    answers: dict[str, str]


class AskedQuestion(Answer):
    """One question of a consultation."""

    key: str
    text: str
    kind: Literal["choice", "text"]
    options: tuple[str, ...]
    required: bool


class Consultation(Answer):
    """A consultation 意见征集; no county means the whole city.

    For staff: how many answered, how many opinions they wrote, and, of one consultation, how often each option
    of each question was chosen.
    """

    id: UUID
    title: str
    kind: Literal["legislation", "questionnaire"]
    county: str | None
    questions: tuple[AskedQuestion, ...]
    opened_at: datetime
    closes_at: datetime
    closed_at: datetime | None
    mine: OwnAnswers | None
    respondents: int | None = None
    opinions: int | None = None
    results: dict[str, dict[str, int]] | None = None


class ConsultationPage(Page):
    """Consultations."""

    items: tuple[Consultation, ...]


class Opinion(Answer):
    """What a deputy wrote to one question of a consultation."""

    deputy_id: UUID
    question: str
    text: str
    answered_at: datetime


class OpinionPage(Page):
    """Opinions, the earliest first."""

    items: tuple[Opinion, ...]


class Duty(Answer):
    """A logged duty 履职登记."""

    id: UUID
    deputy_id: UUID
    kind: participation.DutyKind
    happened_on: date
    note: str
    state: participation.DutyState
    declared_at: datetime
    reason: str | None = None


class DutyPage(Page):
    """Duties."""

    items: tuple[Duty, ...]
