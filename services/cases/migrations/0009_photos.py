"""Photos of cases."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0009"
down_revision = "cases_0008"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
ALTER TABLE cases ADD COLUMN photos jsonb NOT NULL DEFAULT '[]';
CREATE INDEX cases_erased_idx ON cases (id) WHERE split_part(sealed, '.', 2) = '' AND photos <> '[]';
CREATE TABLE case_photos (
    case_id uuid NOT NULL,
    digest text NOT NULL,
    number integer NOT NULL,
    state text NOT NULL DEFAULT 'claimed',
    claimed_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (case_id, digest)
);
CREATE INDEX case_photos_claimed_idx ON case_photos (recorded_at) WHERE state = 'claimed';
""",
    )
