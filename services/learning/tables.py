"""Tables of learning."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Index, Integer, MetaData, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from shared.messaging.tables import NAMING, messaging_tables

metadata = MetaData(naming_convention=NAMING)
messaging_tables(metadata)

courses = Table(
    "courses",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("lessons", JSONB, nullable=False),
    Column("quiz", JSONB, nullable=False),
    Column("pass_mark", SmallInteger, nullable=False),
    Column("levels", JSONB, nullable=False),
    Column("published_at", DateTime(timezone=True)),
    Column("published_by", Text, nullable=False),
    Column("revisions", JSONB, nullable=False, server_default="{}"),
)
Index("courses_published_at_idx", courses.c.published_at)

lesson_texts = Table(
    "lesson_texts",
    metadata,
    Column("course_id", UUID, primary_key=True),
    Column("lesson", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    Column("written_at", DateTime(timezone=True), nullable=False),
    Column("written_by", Text, nullable=False),
)

enrolments = Table(
    "enrolments",
    metadata,
    Column("course_id", UUID, primary_key=True),
    Column("deputy_id", UUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("lessons", JSONB, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("mark", SmallInteger),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
    Column("certificate", Text),
)
