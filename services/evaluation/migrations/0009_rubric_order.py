"""A rubric's document as it was written: its categories stand in the order in which people gave them."""

from alembic import op

from shared.database.migrate import run_script

revision = "evaluation_0009"
down_revision = "evaluation_0008"


def upgrade() -> None:
    run_script(op.get_bind(), "ALTER TABLE rubrics ALTER COLUMN document TYPE json;")
