"""The ledger's key begins with the evidence, so that what comes new lands at the index's end (ADR 0007)."""

from alembic import op

from shared.database.migrate import run_script

revision = "evaluation_0008"
down_revision = "evaluation_0007"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
ALTER TABLE ledger DROP CONSTRAINT ledger_pkey, ADD PRIMARY KEY (evidence, deputy_id, item);
CREATE INDEX ledger_deputy_id_idx ON ledger (deputy_id);
""",
    )
