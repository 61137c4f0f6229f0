"""First tables of evaluation."""

from alembic import op

from shared.database.migrate import run_script
from shared.messaging.tables import CREATE_V1

revision = "evaluation_0001"
down_revision = None


def upgrade() -> None:
    run_script(op.get_bind(), CREATE_V1)
    run_script(
        op.get_bind(),
        """
CREATE TABLE rubrics (
    name text NOT NULL,
    version integer NOT NULL,
    effective_from date NOT NULL,
    document jsonb NOT NULL,
    adopted_at timestamptz NOT NULL,
    PRIMARY KEY (name, version)
);
CREATE TABLE ledger (
    deputy_id uuid NOT NULL,
    item text NOT NULL,
    evidence text NOT NULL,
    event_id uuid NOT NULL,
    event_type text NOT NULL,
    sequence bigint NOT NULL,
    time timestamptz NOT NULL,
    happened_on date NOT NULL,
    points integer NOT NULL,
    rubric text NOT NULL,
    rubric_version integer NOT NULL,
    PRIMARY KEY (deputy_id, item, evidence)
);
CREATE INDEX ledger_deputy_id_time_idx ON ledger (deputy_id, time);
CREATE TABLE buckets (
    deputy_id uuid NOT NULL,
    year integer NOT NULL,
    item text NOT NULL,
    points bigint NOT NULL,
    PRIMARY KEY (deputy_id, year, item)
) WITH (fillfactor = 50);
CREATE TABLE totals (
    deputy_id uuid NOT NULL,
    year integer NOT NULL,
    total bigint NOT NULL,
    categories jsonb NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (deputy_id, year)
) WITH (fillfactor = 50);
CREATE INDEX totals_year_total_idx ON totals (year, total);
CREATE SEQUENCE total_version;
CREATE TABLE deputies (
    id uuid PRIMARY KEY,
    sequence bigint NOT NULL,
    number text NOT NULL,
    name text NOT NULL,
    level text NOT NULL,
    county text,
    town text,
    state text NOT NULL
);
CREATE TABLE event_counts (
    type text PRIMARY KEY,
    events bigint NOT NULL,
    unscored bigint NOT NULL,
    last_year integer NOT NULL
);
""",
    )
