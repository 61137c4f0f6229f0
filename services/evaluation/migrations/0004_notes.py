"""Notes that staff make in archives."""

from alembic import op

from shared.database.migrate import run_script

revision = "evaluation_0004"
down_revision = "evaluation_0003"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
CREATE TABLE notes (
    id uuid PRIMARY KEY,
    deputy_id uuid NOT NULL,
    part text NOT NULL,
    happened_on date NOT NULL,
    title text NOT NULL,
    noted_by text NOT NULL,
    noted_at timestamptz NOT NULL,
    approving integer,
    ballots integer,
    state text NOT NULL,
    version integer NOT NULL,
    reason text
);
CREATE INDEX notes_deputy_id_idx ON notes (deputy_id);
""",
    )
