"""Tables of identity."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from shared.messaging.tables import NAMING, messaging_tables

metadata = MetaData(naming_convention=NAMING)
messaging_tables(metadata)

deputies = Table(
    "deputies",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("number", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("occupation", Text),
    Column("county", Text),
    Column("town", Text),
    Column("constituency", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("term_from", Date, nullable=False),
    Column("term_until", Date, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("station", Text),
    UniqueConstraint("number"),
    UniqueConstraint("code"),
)
Index("deputies_county_town_idx", deputies.c.county, deputies.c.town)
Index("deputies_station_idx", deputies.c.station)

stations = Table(
    "stations",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("town", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("code"),
)

departments = Table(
    "departments",
    metadata,
    Column("code", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("categories", JSONB, nullable=False),
    Column("counties", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)

staff = Table(
    "staff",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("organisation", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)

# One row per import; `parts_done` are the numbers of the parts taken in.
roster_imports = Table(
    "roster_imports",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("begun_by", Text, nullable=False),
    Column("begun_at", DateTime(timezone=True), nullable=False),
    Column("parts", SmallInteger, nullable=False),
    Column("parts_done", ARRAY(SmallInteger), nullable=False),
    Column("rows", Integer, nullable=False),
    Column("accepted", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
)

# One row per judged row: the number of a right one, the errors of a wrong one.
roster_import_rows = Table(
    "roster_import_rows",
    metadata,
    Column("import_id", UUID, primary_key=True),
    Column("part", SmallInteger, primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("number", Text),
    Column("changed", Boolean, nullable=False),
    Column("errors", JSONB),
)
Index("roster_import_rows_import_id_number_idx", roster_import_rows.c.import_id, roster_import_rows.c.number)

# `person` is the id of a deputy or member of staff, or `department:<code>`.
credentials = Table(
    "credentials",
    metadata,
    Column("person", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("login", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    UniqueConstraint("login"),
)

# Attempts that have not (yet) succeeded, by digest: what is typed as a name may be a password.
sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("login_digest", LargeBinary, primary_key=True),
    Column("failures", SmallInteger, nullable=False),
    Column("failed_at", DateTime(timezone=True), nullable=False),
)
Index("sign_in_failures_failed_at_idx", sign_in_failures.c.failed_at)

# Browsers' sessions that may be renewed; `newest` and `before` are digests of refresh tokens.
browser_sessions = Table(
    "browser_sessions",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("person", Text, nullable=False),
    Column("use", Text, nullable=False),
    Column("credentials", Text, nullable=False),
    Column("begun_at", DateTime(timezone=True), nullable=False),
    Column("renewed_at", DateTime(timezone=True), nullable=False),
    Column("newest", LargeBinary, nullable=False),
    Column("before", LargeBinary),
    Column("successor_key", LargeBinary),
)
Index("browser_sessions_renewed_at_idx", browser_sessions.c.renewed_at)
