"""What `learning` answers: courses 网上学堂, their lessons, who studies them, certificates 结业证书."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from gateway.answers.page import Answer, Page
from shared.contracts import identity


class CourseLesson(Answer):
    """One lesson."""

    key: str
    title: str
    minutes: int
    revision: int
    """The course's version that wrote its text; 0 where there is none."""


class LessonText(CourseLesson):
    """A lesson with what there is to read; `text` is the HTML's source, for staff."""

    course_id: UUID
    html: str | None
    written_at: datetime | None
    text: str | None = None


class LessonPreview(Answer):
    """What a lesson's text would look like."""

    html: str


class CourseQuestion(Answer):
    """One question of a quiz; `answer` is the right option of a draft's, for staff."""

    key: str
    text: str
    options: tuple[str, ...]
    answer: int | None = None


class Progress(Answer):
    """How far one is in a course; `mark` is the quiz's per cent."""

    lessons: tuple[str, ...]
    attempts: int
    mark: int | None
    started_at: datetime
    completed_at: datetime | None
    certificate: str | None


class Course(Answer):
    """A course 网上学堂, for staff also as a draft, with how many study it and how many completed it."""

    id: UUID
    version: int
    title: str
    pass_mark: int
    levels: tuple[identity.Level, ...]
    published_at: datetime | None
    minutes: int
    lessons: tuple[CourseLesson, ...]
    quiz: tuple[CourseQuestion, ...]
    progress: Progress | None
    enrolled: int | None = None
    completed: int | None = None


class CoursePage(Page):
    """Courses."""

    items: tuple[Course, ...]


class Learner(Progress):
    """A deputy's way through a course."""

    deputy_id: UUID


class LearnerPage(Page):
    """Who studies a course 学习情况, the first to begin first."""

    items: tuple[Learner, ...]


class Certificate(Answer):
    """A certificate of a course 结业证书."""

    number: str
    course_id: UUID
    title: str
    minutes: int
    mark: int
    completed_at: datetime
    deputy_id: str
