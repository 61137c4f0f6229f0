"""The motions that grew out of a case are found by it."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0022"
down_revision = "cases_0021"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        "CREATE INDEX motions_from_case_idx ON motions (from_case) WHERE from_case IS NOT NULL;",
    )
