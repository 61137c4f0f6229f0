"""First tables of cases."""

from alembic import op

from shared.database.migrate import run_script
from shared.messaging.tables import CREATE_V1

revision = "cases_0001"
down_revision = None


def upgrade() -> None:
    run_script(op.get_bind(), CREATE_V1)
    run_script(
        op.get_bind(),
        """
CREATE TABLE cases (
    id uuid PRIMARY KEY,
    version integer NOT NULL,
    state text NOT NULL,
    deputy_id uuid NOT NULL,
    county text NOT NULL,
    town text,
    origin text NOT NULL,
    category text,
    department text,
    reason text,
    result text,
    answer text,
    stars smallint,
    returned smallint NOT NULL,
    sealed text NOT NULL,
    filed_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL
);
CREATE INDEX cases_deputy_id_filed_at_idx ON cases (deputy_id, filed_at);
CREATE INDEX cases_department_state_idx ON cases (department, state);
CREATE INDEX cases_state_filed_at_idx ON cases (state, filed_at);
CREATE TABLE case_steps (
    case_id uuid NOT NULL,
    number integer NOT NULL,
    step text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    department text,
    reason text,
    text text,
    PRIMARY KEY (case_id, number)
);
CREATE TABLE departments (
    code text PRIMARY KEY,
    sequence integer NOT NULL,
    categories jsonb NOT NULL,
    counties jsonb NOT NULL,
    state text NOT NULL
);
""",
    )
