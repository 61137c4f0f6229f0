"""What the nightly audits found."""

from alembic import op

from shared.database.migrate import run_script

revision = "evaluation_0005"
down_revision = "evaluation_0004"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
CREATE TABLE audits (
    day date PRIMARY KEY,
    finished_at timestamptz NOT NULL DEFAULT now(),
    deputies integer NOT NULL,
    rows bigint NOT NULL,
    differences integer NOT NULL
);
""",
    )
