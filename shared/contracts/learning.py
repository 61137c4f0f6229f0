"""Messages of learning: the online school 网上学堂."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from shared.contracts.identity import Level
from shared.contracts.registry import Contract, command, event

Key = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]


LESSON_TEXT_MAX = 20_000
"""In characters: the longest text with its title fits into one command, whatever its script."""


class Lesson(Contract):
    """One lesson of a course; `minutes` is its length."""

    key: Key
    title: str = Field(min_length=1, max_length=200)
    minutes: int = Field(ge=1, le=600)


class QuizQuestion(Contract):
    """One question of a course's quiz; `answer` is the index of the right option, from 0."""

    key: Key
    text: str = Field(min_length=1, max_length=500)
    options: tuple[str, ...] = Field(min_length=2, max_length=10)
    answer: int = Field(ge=0)


class CourseContent(Contract):
    """What a course says of itself; the texts of its lessons come with `lesson.write`.

    `version` is that of the draft as one read it, so that nobody saves over another; without it whatever is there
    is replaced.
    """

    title: str = Field(min_length=1, max_length=200)
    lessons: tuple[Lesson, ...] = Field(min_length=1, max_length=100)
    quiz: tuple[QuizQuestion, ...] = Field(default=(), max_length=50)
    pass_mark: int = Field(default=60, ge=0, le=100, description="per cent of right answers")
    levels: tuple[Level, ...] = Field(default=("city", "county", "town"), description="whom it is for")
    version: int | None = Field(default=None, ge=1)


@command("course.publish", owner="learning", roles=("staff",), key="course id")
class PublishCourse(CourseContent):
    """Publish a course with lessons and a quiz, or the draft with this id as it is given here."""


@command("course.draft", owner="learning", roles=("staff",), key="course id")
class DraftCourse(CourseContent):
    """Save a course that staff alone see until it is published; each time the whole of it."""


@command("lesson.write", owner="learning", roles=("staff",), key="course id")
class WriteLesson(Contract):
    """Write a lesson's text, or correct it; of a published course too, whose learners keep their progress.

    The text is in a small Markdown: headings, lists, quotations, emphasis and links; HTML in it is shown as
    it is written. `revision` is that of the lesson as one read it, so that nobody writes over another.
    """

    lesson: Key
    title: str = Field(min_length=1, max_length=200)
    text: str = Field(min_length=1, max_length=LESSON_TEXT_MAX)
    revision: int = Field(default=0, ge=0)


@command("course.progress", owner="learning", roles=("deputy",), key="course id")
class RecordProgress(Contract):
    """Lessons that the deputy has finished, and the answers to the quiz (question key to option index)."""

    lessons: tuple[Key, ...] = Field(default=(), max_length=100)
    answers: dict[Key, int] = Field(default_factory=dict, max_length=50)


@command("course.complete", owner="learning", roles=("deputy",), key="course id")
class CompleteCourse(Contract):
    """Finish a course; refused while a lesson is missing or the quiz is not passed."""


@event("course.published", owner="learning", key="course id")
class CoursePublished(Contract):
    """A course was published."""

    course_id: UUID
    title: str
    levels: tuple[Level, ...]
    minutes: int


@event("course.completed", owner="learning", key="deputy id")
class CourseCompleted(Contract):
    """A deputy completed a course; `mark` is the quiz's per cent."""

    course_id: UUID
    deputy_id: UUID
    minutes: int
    mark: int = Field(ge=0, le=100)
