"""What may happen at activities, in consultations and with logged duties, as pure decisions.

Each function takes a thing as it stands and what is asked, and returns the thing afterwards or raises
a refusal. Activities and consultations carry only those deputies' parts that the decisions at hand
are about (`attendances`, `answers`); the counters count all.

    duty: declared ──confirm──► confirmed     declared ──reject──► rejected     declared ──withdraw──► withdrawn
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from typing import Literal
from uuid import UUID

from services.participation import errors

ActivityKind = Literal["theme", "inspection", "research", "reception", "training"]
ConsultationKind = Literal["legislation", "questionnaire"]
DutyKind = Literal["inspection", "research", "reception", "visit", "hearing", "meeting"]
DutyState = Literal["declared", "confirmed", "rejected", "withdrawn"]

CHINA = timezone(timedelta(hours=8), "CST")
"""A day is a day in China, which has one time zone and no summer time."""
CHECK_IN_BEFORE = timedelta(hours=1)
DECLARED_WITHIN = timedelta(days=90)
PLANNED_WITHIN = timedelta(days=5 * 366)
"""Nothing is planned further ahead than a term of five years."""
LASTS_AT_MOST = timedelta(days=366)
CAPACITY_MAX = 1_000_000

CODE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Characters of an activity's code: none that is easily taken for another."""
CODE_LENGTH = 8


@dataclass(frozen=True)
class Attendance:
    """One deputy's part in an activity; who came without signing up has both times equal."""

    signed_up_at: datetime
    checked_in_at: datetime | None = None


@dataclass(frozen=True)
class Activity:
    """An activity. `capacity` None means without limit; `code` is shown at the place and nowhere else."""

    id: UUID
    title: str
    kind: ActivityKind
    county: str | None
    starts_at: datetime
    ends_at: datetime
    capacity: int | None
    code: str = field(repr=False)
    announced_at: datetime
    announced_by: str
    venue: str | None = None
    description: str | None = None
    version: int = 1
    sign_ups: int = 0
    check_ins: int = 0
    attendances: Mapping[UUID, Attendance] = field(default_factory=dict, repr=False)


def announce(activity: Activity) -> Activity:
    """Announce an activity that ends after it starts, lasts at most a year and is over within a term."""
    lasts = activity.ends_at - activity.starts_at
    is_ahead = timedelta(0) < activity.ends_at - activity.announced_at <= PLANNED_WITHIN
    if not (timedelta(0) < lasts <= LASTS_AT_MOST and is_ahead):
        raise errors.period_not_valid()
    if activity.capacity is not None and activity.capacity > CAPACITY_MAX:
        raise errors.capacity_not_valid(CAPACITY_MAX)
    return activity


def sign_up(activity: Activity, deputy: UUID, at: datetime) -> Activity:
    """Sign a deputy up 报名, before the start and while there is a place."""
    if deputy in activity.attendances:
        raise errors.already_signed_up()
    if at >= activity.starts_at:
        raise errors.sign_up_closed()
    return _attended(activity, deputy, Attendance(at))


def check_in(activity: Activity, deputy: UUID, code: str, at: datetime) -> Activity:
    """Check a deputy in 签到, from an hour before the start until the end.

    Who had not signed up is signed up by it, if there is a place left.
    """
    before = activity.attendances.get(deputy)
    if before is not None and before.checked_in_at is not None:
        raise errors.already_checked_in()
    if at + CHECK_IN_BEFORE < activity.starts_at or at > activity.ends_at:
        raise errors.check_in_not_open()
    if not hmac.compare_digest(_typed(code).encode(), activity.code.encode()):
        raise errors.code_wrong()
    signed_up_at = at if before is None else before.signed_up_at
    return _attended(activity, deputy, Attendance(signed_up_at, max(at, signed_up_at)))


def _typed(code: str) -> str:
    """A code as somebody may type it: in small letters, with spaces or dashes."""
    return "".join(character for character in code.upper() if character not in " -")


def _attended(activity: Activity, deputy: UUID, attendance: Attendance) -> Activity:
    is_new = deputy not in activity.attendances
    if is_new and activity.capacity is not None and activity.sign_ups >= activity.capacity:
        raise errors.activity_full()
    return replace(
        activity,
        version=activity.version + 1,
        sign_ups=activity.sign_ups + is_new,
        check_ins=activity.check_ins + (attendance.checked_in_at is not None),
        attendances={**activity.attendances, deputy: attendance},
    )


@dataclass(frozen=True)
class Question:
    """One question: a choice among `options`, or an opinion in words."""

    key: str
    text: str
    kind: Literal["choice", "text"]
    options: tuple[str, ...]
    required: bool


@dataclass(frozen=True)
class Answer:
    """One deputy's answer: by question an option or words; `opinions` counts those in words."""

    answered_at: datetime
    answers: Mapping[str, str] = field(repr=False)
    opinions: int


@dataclass(frozen=True)
class Consultation:
    """A consultation. It takes answers until `closes_at`, or until staff close it (`closed_at`)."""

    id: UUID
    title: str
    kind: ConsultationKind
    county: str | None
    questions: tuple[Question, ...]
    opened_at: datetime
    opened_by: str
    closes_at: datetime
    changed_at: datetime
    closed_at: datetime | None = None
    version: int = 1
    respondents: int = 0
    opinions: int = 0
    answers: Mapping[UUID, Answer] = field(default_factory=dict, repr=False)


def open_consultation(consultation: Consultation) -> Consultation:
    """Open a consultation whose questions can be answered, until a moment within a term from now."""
    keys = [question.key for question in consultation.questions]
    if len(set(keys)) < len(keys) or not all(map(_answerable, consultation.questions)):
        raise errors.questions_not_valid()
    if not timedelta(0) < consultation.closes_at - consultation.opened_at <= PLANNED_WITHIN:
        raise errors.closing_not_valid()
    return consultation


def _answerable(question: Question) -> bool:
    options = question.options
    if question.kind == "text":
        return not options
    return len(options) >= 2 and len(set(options)) == len(options) and all(map(str.strip, options))


def answer(
    consultation: Consultation, deputy: UUID, answers: Mapping[str, str], at: datetime
) -> Consultation:
    """Take a deputy's answer; blank words count as no answer."""
    if consultation.closed_at is not None or at > consultation.closes_at:
        raise errors.consultation_closed()
    if deputy in consultation.answers:
        raise errors.already_answered()
    given = _valid(consultation.questions, answers)
    opinions = sum(question.kind == "text" for question in consultation.questions if question.key in given)
    return replace(
        consultation,
        version=consultation.version + 1,
        changed_at=max(at, consultation.changed_at),
        respondents=consultation.respondents + 1,
        opinions=consultation.opinions + opinions,
        answers={**consultation.answers, deputy: Answer(at, given, opinions)},
    )


def _valid(questions: Sequence[Question], answers: Mapping[str, str]) -> dict[str, str]:
    if answers.keys() - {question.key for question in questions}:
        raise errors.question_unknown()
    given = {key: words for key, words in answers.items() if words.strip()}
    for question in questions:
        if (
            question.kind == "choice"
            and question.key in given
            and given[question.key] not in question.options
        ):
            raise errors.option_unknown()
        if question.required and question.key not in given:
            raise errors.answer_missing()
    if not given:
        raise errors.answer_missing()
    return given


def close(consultation: Consultation, at: datetime) -> Consultation:
    """Close a consultation 结束, before its last moment or after it."""
    if consultation.closed_at is not None:
        raise errors.consultation_closed()
    closed_at = max(at, consultation.changed_at)
    return replace(consultation, version=consultation.version + 1, changed_at=closed_at, closed_at=closed_at)


@dataclass(frozen=True)
class Duty:
    """A duty that a deputy says to have done; it counts once staff confirmed it."""

    id: UUID
    deputy_id: UUID
    kind: DutyKind
    happened_on: date
    note: str = field(repr=False)
    declared_at: datetime
    changed_at: datetime
    state: DutyState = "declared"
    version: int = 1
    decided_by: str | None = None
    reason: str | None = field(default=None, repr=False)


def declare(duty: Duty) -> Duty:
    """Declare a duty 履职登记, done today or within the last 90 days."""
    today = duty.declared_at.astimezone(CHINA).date()
    earliest = today - DECLARED_WITHIN
    if not earliest <= duty.happened_on <= today:
        raise errors.date_not_valid(earliest, today)
    return duty


def confirm(duty: Duty, staff: str, at: datetime) -> Duty:
    """Staff confirm a declared duty."""
    return _decided(duty, "confirmed", at, decided_by=staff)


def reject(duty: Duty, staff: str, at: datetime, reason: str) -> Duty:
    """Staff reject a declared duty and say why."""
    return _decided(duty, "rejected", at, decided_by=staff, reason=reason)


def withdraw(duty: Duty, deputy: UUID, at: datetime) -> Duty:
    """The deputy takes a declared duty back."""
    if deputy != duty.deputy_id:
        raise errors.not_your_duty()
    return _decided(duty, "withdrawn", at)


def _decided(
    duty: Duty, state: DutyState, at: datetime, *, decided_by: str | None = None, reason: str | None = None
) -> Duty:
    if duty.state != "declared":
        raise errors.duty_decided(duty.state)
    return replace(
        duty,
        version=duty.version + 1,
        state=state,
        changed_at=max(at, duty.changed_at),
        decided_by=decided_by,
        reason=reason,
    )
