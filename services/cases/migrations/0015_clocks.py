"""What lies in triage, and what was answered and not closed, falls due; the dates noted here are counted when they come up."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0015"
down_revision = "cases_0014"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
        ALTER TABLE cases ADD COLUMN state_since timestamptz;
        UPDATE cases SET state_since = changed_at;
        UPDATE cases SET chased = 0 WHERE state = 'answered';
        INSERT INTO case_due (case_id, due, at) SELECT id, 'triage', changed_at FROM cases WHERE state = 'triage';
        INSERT INTO case_due (case_id, due, at)
            SELECT id, 'close-reminder', answered_at FROM cases WHERE state = 'answered';
        """,
    )
