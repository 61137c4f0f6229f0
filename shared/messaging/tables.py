"""The tables that every service's database has for messaging, and their first migration."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, UUID

NAMING = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
}

CREATE_V1 = """
CREATE TABLE inbox (
    key text PRIMARY KEY,
    type text NOT NULL,
    fingerprint bytea NOT NULL,
    state text NOT NULL,
    outcome jsonb,
    handled_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key text NOT NULL,
    payload bytea NOT NULL,
    headers jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    parked_since timestamptz,
    parked_reason text
) WITH (fillfactor = 90);
CREATE INDEX outbox_parked_idx ON outbox (topic, key, id) WHERE parked_since IS NOT NULL;
CREATE TABLE dead_letters (
    id uuid PRIMARY KEY,
    inbox_key text NOT NULL,
    type text,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    appended_at timestamptz NOT NULL,
    message_key bytea,
    message bytea NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    attempts smallint NOT NULL,
    state text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    replayed_at timestamptz
);
CREATE UNIQUE INDEX dead_letters_inbox_key_idx ON dead_letters (inbox_key);
CREATE INDEX dead_letters_state_idx ON dead_letters (state, created_at);
"""


def messaging_tables(metadata: MetaData) -> None:
    """Add the inbox, the outbox and the dead letters to a service's tables."""
    Table(
        "inbox",
        metadata,
        Column("key", Text, primary_key=True),
        Column("type", Text, nullable=False),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("state", Text, nullable=False),  # done | dead
        Column("outcome", JSONB),
        Column("handled_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )
    outbox = Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(always=True), primary_key=True),
        Column("topic", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("payload", BYTEA, nullable=False),
        Column("headers", JSONB),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("parked_since", DateTime(timezone=True)),
        Column("parked_reason", Text),
    )
    Index(
        "outbox_parked_idx",
        outbox.c.topic,
        outbox.c.key,
        outbox.c.id,
        postgresql_where=outbox.c.parked_since.is_not(None),
    )
    letters = Table(
        "dead_letters",
        metadata,
        Column("id", UUID, primary_key=True),
        Column("inbox_key", Text, nullable=False),
        Column("type", Text),
        Column("topic", Text, nullable=False),
        Column("partition", Integer, nullable=False),
        Column("offset", BigInteger, nullable=False),
        Column("appended_at", DateTime(timezone=True), nullable=False),
        Column("message_key", BYTEA),
        Column("message", BYTEA, nullable=False),
        Column("reason", Text, nullable=False),
        Column("detail", Text, nullable=False),
        Column("attempts", SmallInteger, nullable=False),
        Column("state", Text, nullable=False),  # dead | replaying | replayed
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("replayed_at", DateTime(timezone=True)),
    )
    Index("dead_letters_inbox_key_idx", letters.c.inbox_key, unique=True)
    Index("dead_letters_state_idx", letters.c.state, letters.c.created_at)
