"""Appeals about rows of the ledger."""

from alembic import op

from shared.database.migrate import run_script

revision = "evaluation_0003"
down_revision = "evaluation_0002"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
CREATE TABLE appeals (
    id uuid PRIMARY KEY,
    deputy_id uuid NOT NULL,
    kind text NOT NULL,
    item text NOT NULL,
    evidence text NOT NULL,
    happened_on date NOT NULL,
    reason text NOT NULL,
    state text NOT NULL,
    filed_at timestamptz NOT NULL,
    version integer NOT NULL,
    answer text,
    points integer,
    revision integer,
    decided_by text,
    decided_at timestamptz
);
CREATE INDEX appeals_deputy_id_item_evidence_idx ON appeals (deputy_id, item, evidence);
CREATE UNIQUE INDEX appeals_open_key ON appeals (deputy_id, item, evidence) WHERE state = 'open';
""",
    )
