"""Tables of cases."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    and_,
    func,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from services.cases.metadata import metadata
from services.cases.motions import tables as motions  # whoever has the tables of cases has those of motions
from services.cases.search import tables as search

__all__ = [
    "ERASED",
    "HAS_ATTACHMENTS",
    "WITHOUT_ATTACHMENTS",
    "case_due",
    "case_photos",
    "case_routings",
    "case_steps",
    "cases",
    "contact_reads",
    "departments",
    "metadata",
    "motions",
    "routing_catalogues",
    "routing_lessons",
    "routing_models",
    "search",
]

cases = Table(
    "cases",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_since", DateTime(timezone=True)),
    Column("deputy_id", UUID),  # none where staff filed what they found themselves
    Column("county", Text, nullable=False),
    Column("town", Text),
    Column("origin", Text, nullable=False),
    Column("category", Text),
    Column("category_doubted", Boolean, nullable=False, server_default="false"),
    Column("urgency", Text, nullable=False),
    Column("department", Text),
    Column("co_handlers", JSONB, nullable=False),
    Column("reason", Text),
    Column("result", Text),
    Column("answer", Text),
    Column("stars", SmallInteger),
    Column("returned", SmallInteger, nullable=False),
    Column("transferred", SmallInteger, nullable=False),
    Column("designated", Boolean, nullable=False),
    Column("reopened", SmallInteger, nullable=False),
    Column("clock", JSONB),
    Column("accept_by", DateTime(timezone=True)),
    Column("answer_by", DateTime(timezone=True)),
    Column("dates_reason", Text),
    Column("dates_why", JSONB, nullable=False, server_default="[]"),
    Column("accept_why", JSONB, nullable=False, server_default="[]"),
    Column("provisional", Boolean, nullable=False),
    Column("calendar", Text),
    Column("extension_asked", SmallInteger),
    Column("chased", SmallInteger, nullable=False),
    Column("answered_at", DateTime(timezone=True)),
    Column("on_time", Boolean),
    Column("late", Boolean, nullable=False, server_default="false"),
    Column("closed_at", DateTime(timezone=True)),
    Column("reminded", Boolean, nullable=False),
    Column("merged_into", UUID),
    Column("split_from", UUID),
    Column("followers", JSONB, nullable=False),
    Column("photos", JSONB, nullable=False, server_default="[]"),
    Column("documents", JSONB, nullable=False, server_default="[]"),
    Column("receipt", Text),
    Column("follow", Text),
    Column("consent", Text),
    Column("contact", Text),
    Column("take_up_by", DateTime(timezone=True)),
    Column("resident_stars", SmallInteger),
    Column("resident_attitude", SmallInteger),
    Column("resident_result", SmallInteger),
    Column("objected", Boolean, nullable=False, server_default="false"),
    Column("sealed", Text, nullable=False),
    Column("filed_at", DateTime(timezone=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
)
Index("cases_deputy_id_filed_at_idx", cases.c.deputy_id, cases.c.filed_at)
Index("cases_state_filed_at_idx", cases.c.state, cases.c.filed_at)
Index("cases_filed_at_id_idx", cases.c.filed_at, cases.c.id)
Index("cases_answer_by_id_idx", cases.c.answer_by, cases.c.id)
Index("cases_county_filed_at_idx", cases.c.county, cases.c.filed_at)
TOWN_DIGITS = 9
TOWN = func.left(cases.c.town, text(str(TOWN_DIGITS)))
"""The town of a case, also of one whose place is a village in it."""
Index("cases_town_filed_at_idx", TOWN, cases.c.filed_at)
Index("cases_category_filed_at_idx", cases.c.category, cases.c.filed_at)
Index(
    "cases_county_category_filed_at_idx",
    cases.c.county,
    cases.c.category,
    cases.c.filed_at,
    postgresql_include=["state"],
)
Index("cases_department_filed_at_idx", cases.c.department, cases.c.filed_at)
Index(
    "cases_owed_idx",
    cases.c.answer_by,
    cases.c.id,
    postgresql_where=cases.c.state.in_(("routed", "accepted", "in-progress", "waiting")),
)
Index(
    "cases_open_idx",
    cases.c.county,
    cases.c.filed_at,
    postgresql_where=cases.c.state.in_(
        ("triage", "routed", "accepted", "in-progress", "waiting", "answered")
    ),
)
Index("cases_co_handlers_idx", cases.c.co_handlers, postgresql_using="gin")
Index("cases_followers_idx", cases.c.followers, postgresql_using="gin")
Index("cases_merged_into_idx", cases.c.merged_into, postgresql_where=cases.c.merged_into.is_not(None))
Index("cases_split_from_idx", cases.c.split_from, postgresql_where=cases.c.split_from.is_not(None))
Index("cases_receipt_idx", cases.c.receipt, unique=True, postgresql_where=cases.c.receipt.is_not(None))
Index("cases_follow_idx", cases.c.follow, unique=True, postgresql_where=cases.c.follow.is_not(None))

ERASED = func.split_part(cases.c.sealed, ".", 2) == ""
"""The content key of the case's words was destroyed, which is how a case is erased (ADR 5)."""
HAS_ATTACHMENTS = or_(cases.c.photos != text("'[]'"), cases.c.documents != text("'[]'"))
"""Of a case that may have none any more: something is left to remove."""
WITHOUT_ATTACHMENTS = or_(ERASED, and_(cases.c.state == text("'withdrawn'"), cases.c.receipt.is_not(None)))
"""Nobody may see attachments of such a case any more: it was erased, or its resident withdrew it."""
Index(
    "cases_without_attachments_idx", cases.c.id, postgresql_where=and_(WITHOUT_ATTACHMENTS, HAS_ATTACHMENTS)
)

# Photos and documents. The name stayed what it was, for versions of the service that know only photos.
case_photos = Table(
    "case_photos",
    metadata,
    Column("case_id", UUID, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("kind", Text, nullable=False, server_default="photo"),  # photo | document
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False, server_default="claimed"),  # claimed | kept | missing
    Column("bytes", Integer),  # once it is kept
    Column("claimed_at", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
Index(
    "case_photos_claimed_idx",
    case_photos.c.recorded_at,
    postgresql_where=case_photos.c.state == "claimed",
)

case_steps = Table(
    "case_steps",
    metadata,
    Column("case_id", UUID, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("step", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("department", Text),
    Column("reason", Text),
    Column("why", JSONB, nullable=False, server_default="[]"),
    Column("text", Text),
    Column("sealed", Text),
    Column("answer_by", DateTime(timezone=True)),
    Column("dates_reason", Text),
)

case_due = Table(
    "case_due",
    metadata,
    Column("case_id", UUID, primary_key=True),
    Column("due", Text, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
)
Index("case_due_at_idx", case_due.c.at)

case_routings = Table(
    "case_routings",
    metadata,
    Column("case_id", UUID, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("category", Text),
    Column("because", Text, nullable=False),
    Column("classifier", Text),
    Column("topic", Text),
    Column("catalogue", Text),
    Column("guesses", JSONB, nullable=False),
)

routing_catalogues = Table(
    "routing_catalogues",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", Integer, Identity(always=True), nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", JSONB, nullable=False),
    Column("adopted_by", Text, nullable=False),
    Column("adopted_at", DateTime(timezone=True), nullable=False),
)

routing_models = Table(
    "routing_models",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),  # how often it was adopted
    Column("manifest", LargeBinary, nullable=False),
    Column("arrays", LargeBinary, nullable=False),
    Column("checked", Integer, nullable=False),
    Column("automatic", Integer, nullable=False),
    Column("automatic_right", Integer, nullable=False),
    Column("adopted_by", Text),
    Column("adopted_at", DateTime(timezone=True)),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

routing_lessons = Table(
    "routing_lessons",
    metadata,
    Column("number", Integer, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("confirmed", Integer, nullable=False),
    Column("model", Text),  # none where nothing could be made of the cases
)

# Who read the contact data of a case, and what for; shown to the resident.
contact_reads = Table(
    "contact_reads",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("case_id", UUID, nullable=False),
    Column("person", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("organisation", Text),
    Column("purpose", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)
Index("contact_reads_case_id_idx", contact_reads.c.case_id)

departments = Table(
    "departments",
    metadata,
    Column("code", Text, primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("categories", JSONB, nullable=False),
    Column("counties", JSONB, nullable=False),
    Column("state", Text, nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),  # active | removed
    Column("department", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("registered_at", DateTime(timezone=True), nullable=False),
)
Index("webhooks_department_idx", webhooks.c.department)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("webhook_id", UUID, nullable=False),
    Column("id", UUID, nullable=False),
    Column("case_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),  # pending | delivered | dead
    Column("attempts", SmallInteger, nullable=False, server_default="0"),
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("settled_at", DateTime(timezone=True)),
    Column("fault", Text),
)
Index(
    "webhook_deliveries_webhook_id_id_idx",
    webhook_deliveries.c.webhook_id,
    webhook_deliveries.c.id,
    unique=True,
)
Index(
    "webhook_deliveries_pending_idx",
    webhook_deliveries.c.webhook_id,
    webhook_deliveries.c.case_id,
    webhook_deliveries.c.number,
    postgresql_where=webhook_deliveries.c.state == "pending",
)
Index("webhook_deliveries_recorded_at_idx", webhook_deliveries.c.recorded_at)
