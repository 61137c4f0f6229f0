"""The write side of learning: the only place that writes its tables.

Invariants: courses are read without a lock, for what a completion depends on never changes once a course is
published, and locked in key order to be changed; enrolments are locked in key order; a text once written
stays; a batch costs the same number of statements whatever its size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, and_, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.learning import errors, tables
from services.learning.domain import Course, Enrolment, Lesson, QuizQuestion
from shared.database.engine import VersionConflict
from shared.database.rows import insert_rows, update_rows
from shared.messaging.desk import subject_id, subject_ids
from shared.messaging.received import Received

Courses = Mapping[UUID, Course]

_COURSE = tuple(field.name for field in fields(Course) if field.name != "written")
_ENROLMENT = tuple(field.name for field in fields(Enrolment))


def deputy_id(message: Received[Any]) -> UUID:
    """Who sent a command. Raises Refusal when it is no person."""
    try:
        return UUID(message.sender().person)
    except ValueError:
        raise errors.not_a_person() from None


async def read_courses(
    connection: AsyncConnection, ids: Sequence[UUID], *, locked: bool = False
) -> dict[UUID, Course]:
    """Courses by id, with `locked` in key order; missing ones left out."""
    asked = select(tables.courses).where(tables.courses.c.id.in_(ids)).order_by(tables.courses.c.id)
    rows = await connection.execute(asked.with_for_update() if locked else asked)
    return {
        row["id"]: Course(
            **{
                **{name: row[name] for name in _COURSE},
                "lessons": tuple(Lesson(**lesson) for lesson in row["lessons"]),
                "quiz": tuple(
                    QuizQuestion(**{**question, "options": tuple(question["options"])})
                    for question in row["quiz"]
                ),
                "levels": tuple(row["levels"]),
            }
        )
        for row in rows.mappings()
    }


class CourseStore:
    """Courses by id."""

    def key(self, message: Received[Any]) -> str:
        """The course id."""
        return str(subject_id(message))

    async def load(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> dict[str, Course]:
        """The courses of a batch; a new one relies on its primary key."""
        found = await read_courses(connection, subject_ids(messages), locked=True)
        return {str(key): course for key, course in found.items()}

    async def context(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> None:
        """Nothing besides."""

    async def save(
        self,
        connection: AsyncConnection,
        before: Mapping[str, Course],
        after: Mapping[str, Course],
    ) -> None:
        """Write new and changed courses, and the texts written."""
        new = [_cells(course) for key, course in after.items() if key not in before]
        old = [_cells(course) for key, course in after.items() if key in before]
        texts = [
            {"course_id": course.id, **asdict(text)} for course in after.values() for text in course.written
        ]
        await insert_rows(connection, tables.courses, new)
        if await update_rows(connection, tables.courses, old) != len(old):
            raise VersionConflict("a locked course is gone")
        await insert_rows(connection, tables.lesson_texts, texts)


def _cells(course: Course) -> dict[str, Any]:
    found = asdict(course)
    return {name: found[name] for name in _COURSE}


class EnrolmentStore:
    """Enrolments by course and deputy."""

    def key(self, message: Received[Any]) -> str:
        """The course id and the sender's id."""
        return f"{subject_id(message)}/{deputy_id(message)}"

    async def load(
        self, connection: AsyncConnection, messages: Sequence[Received[Any]]
    ) -> dict[str, Enrolment]:
        """The enrolments of a batch, locked in key order."""
        pairs = set()
        for message in messages:
            with contextlib.suppress(ValueError):  # of no person, or about nothing: the decision refuses it
                pairs.add((UUID(message.envelope.subject), UUID(message.sender().person)))
        table = tables.enrolments
        asked = (
            func.unnest(
                cast([pair[0] for pair in pairs], ARRAY(Uuid)), cast([pair[1] for pair in pairs], ARRAY(Uuid))
            )
            .table_valued("course_id", "deputy_id")
            .render_derived(name="asked")
        )
        rows = await connection.execute(
            select(table)
            .join(
                asked,
                and_(table.c.course_id == asked.c.course_id, table.c.deputy_id == asked.c.deputy_id),
            )
            .order_by(table.c.course_id, table.c.deputy_id)
            .with_for_update(of=table)
        )
        return {
            f"{row['course_id']}/{row['deputy_id']}": Enrolment(
                **{**{name: row[name] for name in _ENROLMENT}, "lessons": frozenset(row["lessons"])}
            )
            for row in rows.mappings()
        }

    async def context(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> Courses:
        """The courses of the batch."""
        return await read_courses(connection, subject_ids(messages))

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, Enrolment], after: Mapping[str, Enrolment]
    ) -> None:
        """Write new and changed enrolments."""
        new = [_row(enrolment) for key, enrolment in after.items() if key not in before]
        old = [_row(enrolment) for key, enrolment in after.items() if key in before]
        await insert_rows(connection, tables.enrolments, new)
        if await update_rows(connection, tables.enrolments, old) != len(old):
            raise VersionConflict("a locked enrolment is gone")


def _row(enrolment: Enrolment) -> dict[str, Any]:
    cells = {name: getattr(enrolment, name) for name in _ENROLMENT}
    return {**cells, "lessons": sorted(enrolment.lessons)}
