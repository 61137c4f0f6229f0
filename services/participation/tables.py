"""Tables of participation."""

from __future__ import annotations

from sqlalchemy import Column, Date, DateTime, Index, Integer, MetaData, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from shared.messaging.tables import NAMING, messaging_tables

metadata = MetaData(naming_convention=NAMING)
messaging_tables(metadata)

activities = Table(
    "activities",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("county", Text),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("capacity", Integer),
    Column("code", Text, nullable=False),
    Column("announced_at", DateTime(timezone=True), nullable=False),
    Column("announced_by", Text, nullable=False),
    Column("venue", Text),
    Column("description", Text),
    Column("sign_ups", Integer, nullable=False),
    Column("check_ins", Integer, nullable=False),
)
Index("activities_starts_at_idx", activities.c.starts_at)

attendances = Table(
    "attendances",
    metadata,
    Column("activity_id", UUID, primary_key=True),
    Column("deputy_id", UUID, primary_key=True),
    Column("signed_up_at", DateTime(timezone=True), nullable=False),
    Column("checked_in_at", DateTime(timezone=True)),
)

consultations = Table(
    "consultations",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("county", Text),
    Column("questions", JSONB, nullable=False),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    Column("opened_by", Text, nullable=False),
    Column("closes_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("closed_at", DateTime(timezone=True)),
    Column("respondents", Integer, nullable=False),
    Column("opinions", Integer, nullable=False),
)
Index("consultations_opened_at_idx", consultations.c.opened_at)

answers = Table(
    "answers",
    metadata,
    Column("consultation_id", UUID, primary_key=True),
    Column("deputy_id", UUID, primary_key=True),
    Column("answered_at", DateTime(timezone=True), nullable=False),
    Column("answers", JSONB, nullable=False),
    Column("opinions", SmallInteger, nullable=False),
)

# Of what congress a deputy is, by the place; NULL for the city's. Staff decide on duties of their own area.
deputies = Table(
    "deputies",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("congress", Text),
)

duties = Table(
    "duties",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("deputy_id", UUID, nullable=False),
    Column("kind", Text, nullable=False),
    Column("happened_on", Date, nullable=False),
    Column("note", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("declared_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("decided_by", Text),
    Column("reason", Text),
)
Index("duties_deputy_id_declared_at_idx", duties.c.deputy_id, duties.c.declared_at)
Index("duties_state_declared_at_idx", duties.c.state, duties.c.declared_at)
