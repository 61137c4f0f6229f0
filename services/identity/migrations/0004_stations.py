"""Stations, and which deputy belongs to which."""

from alembic import op

from shared.database.migrate import run_script

revision = "identity_0004"
down_revision = "identity_0003"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
CREATE TABLE stations (
    id uuid PRIMARY KEY,
    version integer NOT NULL,
    name text NOT NULL,
    town text NOT NULL,
    code text NOT NULL,
    state text NOT NULL,
    changed_at timestamptz NOT NULL,
    CONSTRAINT stations_code_key UNIQUE (code)
);
ALTER TABLE deputies ADD COLUMN station text;
CREATE INDEX deputies_station_idx ON deputies (station);
""",
    )
