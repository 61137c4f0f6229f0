"""What falls due in motions, and when it was said that a deadline has passed."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0016"
down_revision = "cases_0015"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
        ALTER TABLE motion_deadlines ADD COLUMN told timestamptz;
        CREATE TABLE motion_due (
            motion_id uuid NOT NULL,
            number integer NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (motion_id, number)
        );
        CREATE INDEX motion_due_at_idx ON motion_due (at);
        INSERT INTO motion_due
            SELECT motion_id, number, at FROM motion_deadlines WHERE ended IS NULL AND kind <> 'object';
        CREATE INDEX motion_deadlines_open_calendar_idx ON motion_deadlines (calendar) WHERE ended IS NULL;
        """,
    )
