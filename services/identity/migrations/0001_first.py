"""First tables of identity."""

from alembic import op

from shared.database.migrate import run_script
from shared.messaging.tables import CREATE_V1

revision = "identity_0001"
down_revision = None


def upgrade() -> None:
    run_script(op.get_bind(), CREATE_V1)
    run_script(
        op.get_bind(),
        """
CREATE TABLE deputies (
    id uuid PRIMARY KEY,
    version integer NOT NULL,
    number text NOT NULL,
    name text NOT NULL,
    level text NOT NULL,
    county text,
    town text,
    constituency text NOT NULL,
    code text NOT NULL,
    term_from date NOT NULL,
    term_until date NOT NULL,
    state text NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT deputies_number_key UNIQUE (number),
    CONSTRAINT deputies_code_key UNIQUE (code)
);
CREATE INDEX deputies_county_town_idx ON deputies (county, town);
CREATE TABLE departments (
    code text PRIMARY KEY,
    version integer NOT NULL,
    name text NOT NULL,
    categories jsonb NOT NULL,
    counties jsonb NOT NULL,
    state text NOT NULL,
    changed_at timestamptz NOT NULL
);
CREATE TABLE staff (
    id uuid PRIMARY KEY,
    version integer NOT NULL,
    name text NOT NULL,
    organisation text NOT NULL,
    state text NOT NULL,
    changed_at timestamptz NOT NULL
);
CREATE TABLE roster_imports (
    id uuid PRIMARY KEY,
    begun_by text NOT NULL,
    begun_at timestamptz NOT NULL,
    parts smallint NOT NULL,
    parts_done smallint[] NOT NULL,
    rows integer NOT NULL,
    accepted integer NOT NULL,
    changed integer NOT NULL
);
CREATE TABLE roster_import_rows (
    import_id uuid NOT NULL,
    part smallint NOT NULL,
    line integer NOT NULL,
    number text,
    changed boolean NOT NULL,
    errors jsonb,
    PRIMARY KEY (import_id, part, line)
);
CREATE INDEX roster_import_rows_import_id_number_idx ON roster_import_rows (import_id, number);
CREATE TABLE credentials (
    person text PRIMARY KEY,
    version integer NOT NULL,
    login text NOT NULL,
    hash text NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT credentials_login_key UNIQUE (login)
);
CREATE TABLE sign_in_failures (
    login_digest bytea PRIMARY KEY,
    failures smallint NOT NULL,
    failed_at timestamptz NOT NULL
);
CREATE INDEX sign_in_failures_failed_at_idx ON sign_in_failures (failed_at);
""",
    )
