"""Use cases of learning: each turns a command into a decision of `domain` and says it to others."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.learning import domain, errors
from services.learning.domain import Course, Enrolment
from services.learning.store import Courses, deputy_id
from shared.contracts import learning as contract
from shared.contracts.registry import Contract
from shared.messaging.desk import Decide, Decision, Emission, check_area, subject_id
from shared.messaging.received import Received

_NEVER_CHANGES = 1
"""Sequence of a fact about one deputy, which is said once."""


def _given(message: Received[Any], published_at: datetime | None) -> Course:
    data = message.data
    check_area(message, None)
    return Course(
        id=subject_id(message),
        title=data.title,
        lessons=tuple(domain.Lesson(one.key, one.title, one.minutes) for one in data.lessons),
        quiz=tuple(domain.QuizQuestion(q.key, q.text, q.options, q.answer) for q in data.quiz),
        pass_mark=data.pass_mark,
        levels=data.levels,
        published_at=published_at,
        published_by=message.sender().person,
    )


def draft_course(course: Course | None, message: Received[contract.DraftCourse], _: None) -> Decision[Course]:
    """Save a course that is not published yet."""
    saved = domain.keep(course, _given(message, None), message.data.version)
    return Decision(saved, saved.version)


def publish_course(
    course: Course | None, message: Received[contract.PublishCourse], _: None
) -> Decision[Course]:
    """Publish a course."""
    published = domain.keep(course, _given(message, message.now), message.data.version)
    fact = contract.CoursePublished(
        course_id=published.id, title=published.title, levels=published.levels, minutes=published.minutes
    )
    return Decision(published, published.version, (Emission(fact),))


def write_lesson(course: Course | None, message: Received[contract.WriteLesson], _: None) -> Decision[Course]:
    """Write a lesson's text."""
    data = message.data
    check_area(message, None)
    if course is None:
        raise errors.course_unknown()
    written = domain.write(
        course,
        data.lesson,
        title=data.title,
        text=data.text,
        revision=data.revision,
        at=message.now,
        by=message.sender().person,
    )
    return Decision(written, written.version)


def record_progress(
    enrolment: Enrolment | None, message: Received[contract.RecordProgress], courses: Courses
) -> Decision[Enrolment]:
    """Record lessons and an attempt at the quiz; the first of them enrols the sender."""
    course = _known(courses, message)
    changed = domain.record(
        course,
        enrolment or _new(course, message),
        message.now,
        lessons=message.data.lessons,
        answers=message.data.answers,
    )
    return Decision(changed, changed.version)


def complete_course(
    enrolment: Enrolment | None, message: Received[contract.CompleteCourse], courses: Courses
) -> Decision[Enrolment]:
    """Complete the course and say so."""
    course = _known(courses, message)
    completed = domain.complete(course, enrolment or _new(course, message), message.now)
    fact = contract.CourseCompleted(
        course_id=course.id,
        deputy_id=completed.deputy_id,
        minutes=course.minutes,
        mark=completed.mark or 0,
    )
    emission = Emission(fact, key=completed.deputy_id, sequence=_NEVER_CHANGES)
    return Decision(completed, completed.version, (emission,), time=completed.completed_at)


def _known(courses: Courses, message: Received[Contract]) -> Course:
    """The course, which for deputies is there once it is published."""
    course = courses.get(subject_id(message))
    if course is None or course.published_at is None:
        raise errors.course_unknown()
    return course


def _new(course: Course, message: Received[Contract]) -> Enrolment:
    at = message.not_before(course.published_at or message.now)
    return Enrolment(course.id, deputy_id(message), started_at=at, changed_at=at)


ON_COURSES: dict[type[Contract], Decide[Course]] = {
    contract.DraftCourse: draft_course,
    contract.PublishCourse: publish_course,
    contract.WriteLesson: write_lesson,
}
ON_ENROLMENTS: dict[type[Contract], Decide[Enrolment]] = {
    contract.RecordProgress: record_progress,
    contract.CompleteCourse: complete_course,
}
