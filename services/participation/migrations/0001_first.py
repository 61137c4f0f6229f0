"""First tables of participation."""

from alembic import op

from shared.database.migrate import run_script
from shared.messaging.tables import CREATE_V1

revision = "participation_0001"
down_revision = None


def upgrade() -> None:
    run_script(op.get_bind(), CREATE_V1)
    run_script(
        op.get_bind(),
        """
CREATE TABLE activities (
    id uuid PRIMARY KEY,
    version integer NOT NULL,
    title text NOT NULL,
    kind text NOT NULL,
    county text,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    capacity integer,
    code text NOT NULL,
    announced_at timestamptz NOT NULL,
    announced_by text NOT NULL,
    sign_ups integer NOT NULL,
    check_ins integer NOT NULL
);
CREATE INDEX activities_starts_at_idx ON activities (starts_at);
CREATE TABLE attendances (
    activity_id uuid NOT NULL,
    deputy_id uuid NOT NULL,
    signed_up_at timestamptz NOT NULL,
    checked_in_at timestamptz,
    PRIMARY KEY (activity_id, deputy_id)
);
CREATE TABLE consultations (
    id uuid PRIMARY KEY,
    version integer NOT NULL,
    title text NOT NULL,
    kind text NOT NULL,
    county text,
    questions jsonb NOT NULL,
    opened_at timestamptz NOT NULL,
    opened_by text NOT NULL,
    closes_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    closed_at timestamptz,
    respondents integer NOT NULL,
    opinions integer NOT NULL
);
CREATE INDEX consultations_opened_at_idx ON consultations (opened_at);
CREATE TABLE answers (
    consultation_id uuid NOT NULL,
    deputy_id uuid NOT NULL,
    answered_at timestamptz NOT NULL,
    answers jsonb NOT NULL,
    opinions smallint NOT NULL,
    PRIMARY KEY (consultation_id, deputy_id)
);
CREATE TABLE duties (
    id uuid PRIMARY KEY,
    version integer NOT NULL,
    deputy_id uuid NOT NULL,
    kind text NOT NULL,
    happened_on date NOT NULL,
    note text NOT NULL,
    state text NOT NULL,
    declared_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    decided_by text,
    reason text
);
CREATE INDEX duties_deputy_id_declared_at_idx ON duties (deputy_id, declared_at);
CREATE INDEX duties_state_declared_at_idx ON duties (state, declared_at);
""",
    )
