"""Browsers' sessions that may be renewed."""

from alembic import op

from shared.database.migrate import run_script

revision = "identity_0003"
down_revision = "identity_0002"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
CREATE TABLE browser_sessions (
    id uuid PRIMARY KEY,
    person text NOT NULL,
    use text NOT NULL,
    credentials text NOT NULL,
    begun_at timestamptz NOT NULL,
    renewed_at timestamptz NOT NULL,
    newest bytea NOT NULL,
    before bytea,
    successor_key bytea
);
CREATE INDEX browser_sessions_renewed_at_idx ON browser_sessions (renewed_at);
""",
    )
