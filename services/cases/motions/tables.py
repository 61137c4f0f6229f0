"""Tables of motions, in the database of cases."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, DateTime, Index, Integer, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from services.cases.metadata import metadata

__all__ = [
    "case_referrals",
    "metadata",
    "motion_deadlines",
    "motion_deputies",
    "motion_due",
    "motion_steps",
    "motions",
]

motions = Table(
    "motions",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("author_id", UUID, nullable=False),
    Column("kind", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("county", Text),
    Column("town", Text),
    Column("congress", Text),
    Column("secret", Boolean, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("parts", JSONB, nullable=False),
    Column("from_case", UUID),
    Column("turned", Boolean, nullable=False),
    Column("number", Text),
    Column("ground", Text),
    Column("lead", Text),
    Column("round", SmallInteger, nullable=False),
    Column("contacted", SmallInteger, nullable=False),
    Column("supervised", Boolean, nullable=False),
    Column("committee", Text),
    Column("advice", Text),
    Column("bill_outcome", Text),
    Column("extension_asked", SmallInteger),
    Column("drafted_at", DateTime(timezone=True), nullable=False),
    Column("submitted_at", DateTime(timezone=True)),
    Column("accepted_at", DateTime(timezone=True)),
    Column("assigned_at", DateTime(timezone=True)),
    Column("answered_at", DateTime(timezone=True)),
    Column("closed_at", DateTime(timezone=True)),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("extensions", JSONB, nullable=False),
    Column("cosigners", JSONB, nullable=False),
    Column("handlers", JSONB, nullable=False),
    Column("answers", JSONB, nullable=False),
    Column("promises", JSONB, nullable=False),
    Column("ratings", JSONB, nullable=False),
)
Index("motions_author_id_idx", motions.c.author_id)
Index("motions_state_submitted_at_idx", motions.c.state, motions.c.submitted_at)
Index("motions_submitted_at_idx", motions.c.submitted_at)
Index("motions_cosigners_idx", motions.c.cosigners, postgresql_using="gin")
Index("motions_from_case_idx", motions.c.from_case, postgresql_where=motions.c.from_case.isnot(None))
Index("motions_handlers_idx", motions.c.handlers, postgresql_using="gin")

motion_steps = Table(
    "motion_steps",
    metadata,
    Column("motion_id", UUID, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("step", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("department", Text),
    Column("deputy", UUID),
    Column("note", Text),
    Column("detail", JSONB, nullable=False),
)

# One row for each deadline that a motion ever had; open until `ended`, `met` NULL where it went away.
motion_deadlines = Table(
    "motion_deadlines",
    metadata,
    Column("motion_id", UUID, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("department", Text),
    Column("promise", Integer),
    Column("begin", DateTime(timezone=True), nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("reason", Text, nullable=False),
    Column("why", JSONB, nullable=False, server_default="[]"),
    Column("provisional", Boolean, nullable=False),
    Column("calendar", Text, nullable=False),
    Column("ended", DateTime(timezone=True)),
    Column("met", Boolean),
    Column("told", DateTime(timezone=True)),
)
Index(
    "motion_deadlines_open_at_idx",
    motion_deadlines.c.at,
    postgresql_where=motion_deadlines.c.ended.is_(None),
)
Index(
    "motion_deadlines_open_calendar_idx",
    motion_deadlines.c.calendar,
    postgresql_where=motion_deadlines.c.ended.is_(None),
)

# What falls due, derived from each motion as it stands.
motion_due = Table(
    "motion_due",
    metadata,
    Column("motion_id", UUID, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
)
Index("motion_due_at_idx", motion_due.c.at)

motion_deputies = Table(
    "motion_deputies",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("level", Text, nullable=False),
    Column("county", Text),
    Column("town", Text),
    Column("state", Text, nullable=False),
)

case_referrals = Table(
    "case_referrals",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("case_id", UUID, nullable=False),
    Column("deputy_id", UUID, nullable=False),
    Column("became", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("reason", Text),
)
Index("case_referrals_case_id_idx", case_referrals.c.case_id)
