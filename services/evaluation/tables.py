"""Tables of evaluation. Points are integers in hundredths of a point; years are those of China Standard Time."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, UUID

from shared.messaging.fences import fence_table
from shared.messaging.tables import NAMING, messaging_tables

OPEN_APPEAL = "appeals_open_key"

metadata = MetaData(naming_convention=NAMING)
messaging_tables(metadata)
fence_table(metadata)

rubrics = Table(
    "rubrics",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("effective_from", Date, nullable=False),
    Column("document", JSON, nullable=False),  # not JSONB, which loses the order of keys
    Column("adopted_at", DateTime(timezone=True), nullable=False),
)

# One row per fact, deputy and item, in its newest version. The key begins with the evidence: ids of things
# follow time, so that what comes new finds its place at the end of the index, however long it has grown. A
# deputy's rows are read together by an index of one column, which keeps equal keys as one.
ledger = Table(
    "ledger",
    metadata,
    Column("deputy_id", UUID, nullable=False),
    Column("item", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("event_id", UUID, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("happened_on", Date, nullable=False),
    Column("points", Integer, nullable=False),
    Column("rubric", Text, nullable=False),
    Column("rubric_version", Integer, nullable=False),
    PrimaryKeyConstraint("evidence", "deputy_id", "item"),
)
Index("ledger_deputy_id_idx", ledger.c.deputy_id)

# Uncapped sums of the ledger. `month` counts from January of year 0 (`domain.month_of`), so that every
# calendar window is a range.
buckets = Table(
    "buckets",
    metadata,
    Column("deputy_id", UUID, primary_key=True),
    Column("month", Integer, primary_key=True),
    Column("item", Text, primary_key=True),
    Column("points", BigInteger, nullable=False),
)

# Whose totals of which years are to be derived anew: one row per batch, for a row per deputy would cost
# as much as a bucket. The two arrays go together.
unsettled = Table(
    "unsettled",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("deputies", ARRAY(UUID), nullable=False),
    Column("years", ARRAY(Integer), nullable=False),
)

# How many rubrics have been adopted. A batch holds the row while it is scored, an adoption changes it.
schedule = Table(
    "schedule",
    metadata,
    Column("one", Boolean, CheckConstraint("one"), primary_key=True),
    Column("version", Integer, nullable=False),
)

# What the buckets give once caps are applied; kept so that a ranking is one read.
totals = Table(
    "totals",
    metadata,
    Column("deputy_id", UUID, primary_key=True),
    Column("year", Integer, primary_key=True),
    Column("total", BigInteger, nullable=False),
    Column("categories", JSONB, nullable=False),
    Column("version", BigInteger, nullable=False),
)
Index("totals_year_total_idx", totals.c.year, totals.c.total)

# Every change of a total takes the next number, so that a deputy's scores of two years share one order.
total_version = Sequence("total_version", metadata=metadata)

deputies = Table(
    "deputies",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("number", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("occupation", Text),
    Column("county", Text),
    Column("town", Text),
    Column("state", Text, nullable=False),
    Column("station", Text),
    Column("constituency", Text),
    Column("term_from", Date),
    Column("term_until", Date),
)

# How many events of each type came one by one (`handlers.EventIntake`), and how many of them no item
# looked at; those that came in batches are counted with their fence.
event_counts = Table(
    "event_counts",
    metadata,
    Column("type", Text, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Column("unscored", BigInteger, nullable=False),
    Column("last_year", Integer, nullable=False),
)

# Appeals 申诉 of deputies about rows of their ledger. A row has one open appeal at most.
appeals = Table(
    "appeals",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("deputy_id", UUID, nullable=False),
    Column("kind", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("happened_on", Date, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("filed_at", DateTime(timezone=True), nullable=False),
    Column("version", Integer, nullable=False),
    Column("answer", Text),
    Column("points", Integer),
    Column("revision", Integer),
    Column("decided_by", Text),
    Column("decided_at", DateTime(timezone=True)),
)
Index("appeals_deputy_id_item_evidence_idx", appeals.c.deputy_id, appeals.c.item, appeals.c.evidence)
Index(
    OPEN_APPEAL,
    appeals.c.deputy_id,
    appeals.c.item,
    appeals.c.evidence,
    unique=True,
    postgresql_where=text("state = 'open'"),
)

# Reports 述职 and honours 奖励 that staff note in archives.
notes = Table(
    "notes",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("deputy_id", UUID, nullable=False),
    Column("part", Text, nullable=False),
    Column("happened_on", Date, nullable=False),
    Column("title", Text, nullable=False),
    Column("noted_by", Text, nullable=False),
    Column("noted_at", DateTime(timezone=True), nullable=False),
    Column("approving", Integer),
    Column("ballots", Integer),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("reason", Text),
)
Index("notes_deputy_id_idx", notes.c.deputy_id)

# What each nightly audit found (`nightly`); `rows` are the ledger rows that it added up.
audits = Table(
    "audits",
    metadata,
    Column("day", Date, primary_key=True),
    Column("finished_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("deputies", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("differences", Integer, nullable=False),
)
