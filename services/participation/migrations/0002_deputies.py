"""Of what congress each deputy is."""

from alembic import op

from shared.database.migrate import run_script

revision = "participation_0002"
down_revision = "participation_0001"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        "CREATE TABLE deputies (id uuid PRIMARY KEY, sequence integer NOT NULL, congress text);",
    )
