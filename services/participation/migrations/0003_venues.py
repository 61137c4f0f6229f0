"""Where an activity takes place, and what it is about."""

from alembic import op

from shared.database.migrate import run_script

revision = "participation_0003"
down_revision = "participation_0002"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        "ALTER TABLE activities ADD COLUMN venue text, ADD COLUMN description text;",
    )
