"""The constituency 选区 and the term 任期 of a deputy; null until the roster tells of them again."""

from alembic import op

from shared.database.migrate import run_script

revision = "evaluation_0010"
down_revision = "evaluation_0009"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        "ALTER TABLE deputies ADD COLUMN constituency text, ADD COLUMN term_from date, ADD COLUMN term_until date;",
    )
