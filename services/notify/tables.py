"""Tables of notify."""

from __future__ import annotations

from sqlalchemy import ARRAY, CheckConstraint, Column, Date, DateTime, Index, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from shared.messaging.tables import NAMING, messaging_tables

metadata = MetaData(naming_convention=NAMING)
messaging_tables(metadata)

# For one `person`, or for an `audience` (deputies | staff) narrowed by county and levels; `follows` is the
# kind of the notice about the same subject whose audience this one shares.
notices = Table(
    "notices",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("person", Text),
    Column("audience", Text),
    Column("county", Text),
    Column("levels", ARRAY(Text)),
    Column("follows", Text),
    Column("parameters", JSONB, nullable=False),
    CheckConstraint("(person IS NULL) <> (audience IS NULL)", name="notices_addressee_check"),
)
Index("notices_person_at_idx", notices.c.person, notices.c.at)
Index(
    "notices_subject_kind_idx",
    notices.c.subject,
    notices.c.kind,
    postgresql_where=notices.c.audience.is_not(None),
)

read_marks = Table(
    "read_marks",
    metadata,
    Column("person", Text, primary_key=True),
    Column("notice_id", UUID, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
)

deputies = Table(
    "deputies",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("level", Text, nullable=False),
    Column("county", Text),
    Column("term_from", Date, nullable=False),
    Column("state", Text, nullable=False),
)
