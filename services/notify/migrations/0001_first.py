"""First tables of notify."""

from alembic import op

from shared.database.migrate import run_script
from shared.messaging.tables import CREATE_V1

revision = "notify_0001"
down_revision = None


def upgrade() -> None:
    run_script(op.get_bind(), CREATE_V1)
    run_script(
        op.get_bind(),
        """
CREATE TABLE notices (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    subject text NOT NULL,
    at timestamptz NOT NULL,
    person text,
    audience text,
    county text,
    levels text[],
    follows text,
    parameters jsonb NOT NULL,
    CONSTRAINT notices_addressee_check CHECK ((person IS NULL) <> (audience IS NULL))
);
CREATE INDEX notices_person_at_idx ON notices (person, at);
CREATE INDEX notices_subject_kind_idx ON notices (subject, kind) WHERE audience IS NOT NULL;
CREATE TABLE read_marks (
    person text NOT NULL,
    notice_id uuid NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (person, notice_id)
);
CREATE TABLE deputies (
    id uuid PRIMARY KEY,
    sequence integer NOT NULL,
    level text NOT NULL,
    county text,
    term_from date NOT NULL,
    state text NOT NULL
);
""",
    )
