"""Overdue is who owes an answer past its deadline, and no longer who was chased: the index follows."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0012"
down_revision = "cases_0011"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
        DROP INDEX cases_overdue_idx;
        CREATE INDEX cases_owed_idx ON cases (answer_by, id)
            WHERE state IN ('routed', 'accepted', 'in-progress');
        """,
    )
