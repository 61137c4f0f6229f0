"""An index for the cases of a town: without it a list of one looked through its whole county."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0011"
down_revision = "cases_0010"


def upgrade() -> None:
    run_script(op.get_bind(), "CREATE INDEX cases_town_filed_at_idx ON cases (left(town, 9), filed_at);")
