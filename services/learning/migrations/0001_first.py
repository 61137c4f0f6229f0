"""First tables of learning."""

from alembic import op

from shared.database.migrate import run_script
from shared.messaging.tables import CREATE_V1

revision = "learning_0001"
down_revision = None


def upgrade() -> None:
    run_script(op.get_bind(), CREATE_V1)
    run_script(
        op.get_bind(),
        """
CREATE TABLE courses (
    id uuid PRIMARY KEY,
    version integer NOT NULL,
    title text NOT NULL,
    lessons jsonb NOT NULL,
    quiz jsonb NOT NULL,
    pass_mark smallint NOT NULL,
    levels jsonb NOT NULL,
    published_at timestamptz NOT NULL,
    published_by text NOT NULL
);
CREATE INDEX courses_published_at_idx ON courses (published_at);
CREATE TABLE enrolments (
    course_id uuid NOT NULL,
    deputy_id uuid NOT NULL,
    version integer NOT NULL,
    lessons jsonb NOT NULL,
    attempts integer NOT NULL,
    mark smallint,
    started_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    completed_at timestamptz,
    certificate text,
    PRIMARY KEY (course_id, deputy_id)
);
""",
    )
