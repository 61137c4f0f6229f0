"""Lateness stays: a case that was late is marked (of those from before, its present round alone is known), and one that waits may be overdue already."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0014"
down_revision = "cases_0013"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
        ALTER TABLE cases ADD COLUMN late boolean NOT NULL DEFAULT false;
        UPDATE cases SET late = true WHERE on_time IS FALSE;
        DROP INDEX cases_owed_idx;
        CREATE INDEX cases_owed_idx ON cases (answer_by, id)
            WHERE state IN ('routed', 'accepted', 'in-progress', 'waiting');
        """,
    )
