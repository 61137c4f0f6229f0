"""Courses and the way of one deputy through one course, as pure decisions.

Each function takes a thing as it stands and what is asked, and returns the thing afterwards or raises
a refusal. A quiz's mark is the whole per cent of right answers among all questions, never rounded up;
the best attempt counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Literal
from uuid import UUID

from services.learning import errors

Level = Literal["city", "county", "town"]

CHINA = timezone(timedelta(hours=8), "CST")
"""A certificate bears the day in China, which has one time zone and no summer time."""

_CERTIFICATE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CERTIFICATE_GROUPS = 3


@dataclass(frozen=True)
class Lesson:
    """One lesson; `minutes` is its length."""

    key: str
    title: str
    minutes: int


@dataclass(frozen=True)
class LessonText:
    """What a lesson says, as of one revision; earlier ones are kept."""

    lesson: str
    revision: int
    text: str = field(repr=False)
    written_at: datetime
    written_by: str


@dataclass(frozen=True)
class QuizQuestion:
    """One question of the quiz; `answer` is the index of the right option and stays in this service."""

    key: str
    text: str
    options: tuple[str, ...]
    answer: int = field(repr=False)


@dataclass(frozen=True)
class Course:
    """A course, a draft until it has `published_at`; `pass_mark` in per cent, `levels` are whom it is for.

    `revisions` say by a lesson's key at which version of the course its text was written, where there is one;
    `written` are the texts written since the course was loaded.
    """

    id: UUID
    title: str
    lessons: tuple[Lesson, ...]
    quiz: tuple[QuizQuestion, ...]
    pass_mark: int
    levels: tuple[Level, ...]
    published_at: datetime | None
    published_by: str
    version: int = 1
    revisions: Mapping[str, int] = field(default_factory=dict)
    written: tuple[LessonText, ...] = field(default=(), repr=False)

    @property
    def minutes(self) -> int:
        """How long its lessons are together."""
        return sum(lesson.minutes for lesson in self.lessons)


def keep(before: Course | None, course: Course, read: int | None = None) -> Course:
    """Save a draft, or publish it: its lessons and questions can be told apart and answered.

    `read` is the version that the sender has seen; one who names none replaces whatever is there. A lesson keeps
    its text by its key. A published course changes only by `write`.
    """
    if before is None:
        if read is not None:
            raise errors.course_unknown()
    else:
        if before.published_at is not None:
            raise errors.course_exists()
        if read not in (None, before.version):
            raise errors.course_changed()
        keys = {lesson.key for lesson in course.lessons}
        course = replace(
            course,
            version=before.version + 1,
            revisions={key: version for key, version in before.revisions.items() if key in keys},
            written=before.written,
        )
    if _repeats([lesson.key for lesson in course.lessons]):
        raise errors.lessons_not_valid()
    if _repeats([question.key for question in course.quiz]):
        raise errors.quiz_not_valid()
    for question in course.quiz:
        blank = not all(map(str.strip, question.options))
        if blank or _repeats(question.options) or question.answer >= len(question.options):
            raise errors.quiz_not_valid()
    return course


def write(course: Course, key: str, *, title: str, text: str, revision: int, at: datetime, by: str) -> Course:
    """Write a lesson's title and text anew; its key and minutes stay, and so do learners' progress and hours."""
    if key not in {lesson.key for lesson in course.lessons}:
        raise errors.lesson_unknown()
    if course.revisions.get(key, 0) != revision:
        raise errors.lesson_changed()
    if not title.strip() or not text.strip():
        raise errors.lesson_empty()
    version = course.version + 1
    return replace(
        course,
        lessons=tuple(replace(one, title=title) if one.key == key else one for one in course.lessons),
        version=version,
        revisions={**course.revisions, key: version},
        written=(*course.written, LessonText(key, version, text, at, by)),
    )


def _repeats(values: Collection[str]) -> bool:
    return len(set(values)) < len(values)


@dataclass(frozen=True)
class Enrolment:
    """A deputy's way through a course: lessons done, best mark (None before the first attempt)."""

    course_id: UUID
    deputy_id: UUID
    started_at: datetime
    changed_at: datetime
    version: int = 0
    lessons: frozenset[str] = frozenset()
    attempts: int = 0
    mark: int | None = None
    completed_at: datetime | None = None
    certificate: str | None = None


def record(
    course: Course,
    enrolment: Enrolment,
    at: datetime,
    *,
    lessons: Collection[str],
    answers: Mapping[str, int],
) -> Enrolment:
    """Add finished lessons; answers are one attempt at the quiz, in which what is left out is wrong."""
    if enrolment.completed_at is not None:
        raise errors.already_completed()
    if not lessons and not answers:
        raise errors.nothing_recorded()
    if set(lessons) - {lesson.key for lesson in course.lessons}:
        raise errors.lesson_unknown()
    done = enrolment.lessons | set(lessons)
    if not answers:
        if done == enrolment.lessons and enrolment.version:
            return enrolment
        return _changed(enrolment, at, lessons=done)
    attempt = mark(course, answers)
    best = attempt if enrolment.mark is None else max(attempt, enrolment.mark)
    return _changed(enrolment, at, lessons=done, attempts=enrolment.attempts + 1, mark=best)


def mark(course: Course, answers: Mapping[str, int]) -> int:
    """The per cent of right answers among all questions of the quiz, rounded down."""
    questions = {question.key: question for question in course.quiz}
    if answers.keys() - questions.keys():
        raise errors.question_unknown()
    if not all(0 <= option < len(questions[key].options) for key, option in answers.items()):
        raise errors.option_unknown()
    right = sum(option == questions[key].answer for key, option in answers.items())
    return 100 * right // len(questions)


def complete(course: Course, enrolment: Enrolment, at: datetime) -> Enrolment:
    """Complete the course 结业: every lesson done, the quiz passed; a course without quiz has mark 100."""
    if enrolment.completed_at is not None:
        raise errors.already_completed()
    missing = {lesson.key for lesson in course.lessons} - enrolment.lessons
    if missing:
        raise errors.lessons_missing(len(missing))
    best = enrolment.mark if course.quiz else 100
    if best is None or best < course.pass_mark:
        raise errors.quiz_not_passed(course.pass_mark)
    completed_at = max(at, enrolment.changed_at)
    return _changed(
        enrolment,
        at,
        mark=best,
        completed_at=completed_at,
        certificate=certificate(course.id, enrolment.deputy_id, completed_at),
    )


def _changed(enrolment: Enrolment, at: datetime, **changes: object) -> Enrolment:
    """The enrolment one version later; its time never runs backwards."""
    later = max(at, enrolment.changed_at)
    return replace(enrolment, version=enrolment.version + 1, changed_at=later, **changes)  # type: ignore[arg-type]


def certificate(course_id: UUID, deputy_id: UUID, completed_at: datetime) -> str:
    """The certificate's number 结业证书编号: the day, and 60 bits that follow from course and deputy.

    No counter is needed, so that nobody waits for anybody; among a million certificates two are the
    same with a chance under one in a million.
    """
    digest = hashlib.sha256(course_id.bytes + deputy_id.bytes).digest()
    number = int.from_bytes(digest)
    letters = "".join(
        _CERTIFICATE_ALPHABET[number >> 5 * place & 31] for place in range(4 * _CERTIFICATE_GROUPS)
    )
    groups = [letters[start : start + 4] for start in range(0, len(letters), 4)]
    return "-".join([completed_at.astimezone(CHINA).strftime("%Y%m%d"), *groups])
