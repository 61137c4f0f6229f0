"""Texts of lessons, and courses that are drafts."""

from alembic import op

from shared.database.migrate import run_script

revision = "learning_0002"
down_revision = "learning_0001"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
ALTER TABLE courses ALTER COLUMN published_at DROP NOT NULL;
ALTER TABLE courses ADD COLUMN revisions jsonb NOT NULL DEFAULT '{}';
CREATE TABLE lesson_texts (
    course_id uuid NOT NULL,
    lesson text NOT NULL,
    revision integer NOT NULL,
    text text NOT NULL,
    written_at timestamptz NOT NULL,
    written_by text NOT NULL,
    PRIMARY KEY (course_id, lesson, revision)
);
""",
    )
