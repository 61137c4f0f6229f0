"""Motions beside cases: motions with their steps and deadlines, copies of deputies, what became of cases."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0003"
down_revision = "cases_0002"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
CREATE TABLE motions (
    id uuid PRIMARY KEY,
    version integer NOT NULL,
    state text NOT NULL,
    author_id uuid NOT NULL,
    kind text NOT NULL,
    level text NOT NULL,
    county text,
    town text,
    congress text,
    secret boolean NOT NULL,
    sealed text NOT NULL,
    digest text NOT NULL,
    parts jsonb NOT NULL,
    from_case uuid,
    turned boolean NOT NULL,
    number text,
    ground text,
    lead text,
    round smallint NOT NULL,
    contacted smallint NOT NULL,
    supervised boolean NOT NULL,
    extension_asked smallint,
    drafted_at timestamptz NOT NULL,
    submitted_at timestamptz,
    accepted_at timestamptz,
    assigned_at timestamptz,
    answered_at timestamptz,
    closed_at timestamptz,
    changed_at timestamptz NOT NULL,
    extensions jsonb NOT NULL,
    cosigners jsonb NOT NULL,
    handlers jsonb NOT NULL,
    answers jsonb NOT NULL,
    promises jsonb NOT NULL,
    ratings jsonb NOT NULL
);
CREATE INDEX motions_author_id_idx ON motions (author_id);
CREATE INDEX motions_state_submitted_at_idx ON motions (state, submitted_at);
CREATE INDEX motions_submitted_at_idx ON motions (submitted_at);
CREATE INDEX motions_cosigners_idx ON motions USING gin (cosigners);
CREATE INDEX motions_handlers_idx ON motions USING gin (handlers);
CREATE TABLE motion_steps (
    motion_id uuid NOT NULL,
    number integer NOT NULL,
    step text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    department text,
    deputy uuid,
    note text,
    detail jsonb NOT NULL,
    PRIMARY KEY (motion_id, number)
);
CREATE TABLE motion_deadlines (
    motion_id uuid NOT NULL,
    number integer NOT NULL,
    kind text NOT NULL,
    department text,
    promise integer,
    begin timestamptz NOT NULL,
    at timestamptz NOT NULL,
    reason text NOT NULL,
    provisional boolean NOT NULL,
    calendar text NOT NULL,
    ended timestamptz,
    met boolean,
    PRIMARY KEY (motion_id, number)
);
CREATE INDEX motion_deadlines_open_at_idx ON motion_deadlines (at) WHERE ended IS NULL;
CREATE TABLE motion_deputies (
    id uuid PRIMARY KEY,
    sequence integer NOT NULL,
    level text NOT NULL,
    county text,
    town text,
    state text NOT NULL
);
CREATE TABLE case_referrals (
    id uuid PRIMARY KEY,
    case_id uuid NOT NULL,
    deputy_id uuid NOT NULL,
    became text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    reason text
);
CREATE INDEX case_referrals_case_id_idx ON case_referrals (case_id);
""",
    )
