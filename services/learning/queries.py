"""The read side of learning: the only place that reads for others.

Invariant: the index of a right answer is dropped here, before anything is shown to anybody; of a draft alone
staff see it, who are writing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.learning import tables

_MINE = ("attempts", "mark", "started_at", "changed_at", "completed_at", "certificate")


def _courses(person: UUID | None, *, counted: bool) -> Select[Any]:
    """Courses, with the enrolment of one person in each; `counted` adds how many study and completed it."""
    mine = tables.enrolments.c
    own = and_(mine.course_id == tables.courses.c.id, mine.deputy_id == person)
    every = tables.enrolments.alias("every").c
    of_course = every.course_id == tables.courses.c.id
    counts = [
        select(func.count(column)).where(of_course).scalar_subquery().label(name)
        for name, column in (("enrolled", every.deputy_id), ("completed", every.completed_at))
        if counted
    ]
    return select(
        tables.courses, mine.lessons.label("lessons_done"), *(mine[name] for name in _MINE), *counts
    ).outerjoin(tables.enrolments, own)


def _shown(row: RowMapping) -> dict[str, Any]:
    asked = ("key", "text", "options") if row["published_at"] else ("key", "text", "options", "answer")
    counts = {name: row[name] for name in ("enrolled", "completed") if name in row}
    progress = (
        None
        if row["started_at"] is None
        else {"lessons": row["lessons_done"], **{name: row[name] for name in _MINE}}
    )
    return {
        **{name: row[name] for name in ("id", "version", "title", "pass_mark", "levels", "published_at")},
        "minutes": sum(lesson["minutes"] for lesson in row["lessons"]),
        "lessons": [_lesson(row, lesson) for lesson in row["lessons"]],
        "quiz": [{name: question[name] for name in asked} for question in row["quiz"]],
        "progress": progress,
        **counts,
    }


def _lesson(row: RowMapping, lesson: dict[str, Any]) -> dict[str, Any]:
    return {**lesson, "revision": row["revisions"].get(lesson["key"], 0)}


def visible(*, drafts: bool) -> list[ColumnElement[bool]]:
    """The courses that somebody may see: published ones, and drafts too for who writes them."""
    return [] if drafts else [tables.courses.c.published_at.is_not(None)]


async def courses(
    connection: AsyncConnection,
    conditions: Sequence[ColumnElement[bool]],
    *,
    person: UUID | None,
    counted: bool,
    number: int,
    size: int,
) -> tuple[list[dict[str, Any]], int]:
    """One page of courses, drafts and then the newest first, with one person's progress, and how many there are."""
    of = tables.courses
    total = await connection.scalar(select(func.count()).select_from(of).where(*conditions))
    rows = await connection.execute(
        _courses(person, counted=counted)
        .where(*conditions)
        .order_by(of.c.published_at.desc().nulls_first(), of.c.id)
        .limit(size)
        .offset((number - 1) * size)
    )
    return [_shown(row) for row in rows.mappings()], int(total or 0)


async def course(
    connection: AsyncConnection, course_id: UUID, *, person: UUID | None, counted: bool, drafts: bool
) -> dict[str, Any] | None:
    """A course with one person's progress in it, or None."""
    found = await connection.execute(
        _courses(person, counted=counted).where(tables.courses.c.id == course_id, *visible(drafts=drafts))
    )
    row = found.mappings().first()
    return None if row is None else _shown(row)


async def lesson(
    connection: AsyncConnection, course_id: UUID, key: str, *, drafts: bool
) -> dict[str, Any] | None:
    """A lesson of a course with its text as it is now, which is None where nothing is written; None without it."""
    asked = select(tables.courses).where(tables.courses.c.id == course_id, *visible(drafts=drafts))
    row = (await connection.execute(asked)).mappings().first()
    found = next((one for one in row["lessons"] if one["key"] == key), None) if row else None
    if row is None or found is None:
        return None
    shown = _lesson(row, found)
    texts = tables.lesson_texts.c
    written = await connection.execute(
        select(texts.text, texts.written_at).where(
            texts.course_id == course_id, texts.lesson == key, texts.revision == shown["revision"]
        )
    )
    text = written.mappings().first()
    return {**shown, "course_id": course_id, **(text or {"text": None, "written_at": None})}


async def learners(
    connection: AsyncConnection, course_id: UUID, *, completed: bool | None, number: int, size: int
) -> tuple[list[dict[str, Any]], int]:
    """One page of who studies a course, the first to begin first, and how many there are; `completed` narrows down."""
    of = tables.enrolments.c
    conditions = [of.course_id == course_id]
    if completed is not None:
        conditions.append(of.completed_at.is_not(None) if completed else of.completed_at.is_(None))
    total = await connection.scalar(select(func.count()).select_from(tables.enrolments).where(*conditions))
    rows = await connection.execute(
        select(of.deputy_id, of.lessons, of.attempts, of.mark, of.started_at, of.completed_at, of.certificate)
        .where(*conditions)
        .order_by(of.started_at, of.deputy_id)
        .limit(size)
        .offset((number - 1) * size)
    )
    return [dict(row) for row in rows.mappings()], int(total or 0)


async def figures(connection: AsyncConnection) -> dict[str, Any]:
    """How many published courses, enrolments and completions there are."""
    courses, enrolments = tables.courses.c, tables.enrolments.c
    rows = await connection.execute(
        select(courses.id, func.count(enrolments.deputy_id), func.count(enrolments.completed_at))
        .select_from(
            tables.courses.outerjoin(tables.enrolments, tables.enrolments.c.course_id == tables.courses.c.id)
        )
        .where(courses.published_at.is_not(None))
        .group_by(courses.id)
    )
    by_course = {str(course_id): (enrolled, completed) for course_id, enrolled, completed in rows}
    return {
        "courses": len(by_course),
        "enrolled": sum(enrolled for enrolled, _ in by_course.values()),
        "completed": sum(completed for _, completed in by_course.values()),
        "completed_by_course": {course_id: completed for course_id, (_, completed) in by_course.items()},
    }
