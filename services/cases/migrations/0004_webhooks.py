"""Webhooks of departments and what is delivered to them."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0004"
down_revision = "cases_0003"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
CREATE TABLE webhooks (
    id uuid PRIMARY KEY,
    version integer NOT NULL,
    state text NOT NULL,
    department text NOT NULL,
    url text NOT NULL,
    sealed text NOT NULL,
    registered_at timestamptz NOT NULL
);
CREATE INDEX webhooks_department_idx ON webhooks (department);
CREATE TABLE webhook_deliveries (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id uuid NOT NULL,
    id uuid NOT NULL,
    case_id text NOT NULL,
    type text NOT NULL,
    sealed text NOT NULL,
    state text NOT NULL DEFAULT 'pending',
    attempts smallint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    fault text
);
CREATE UNIQUE INDEX webhook_deliveries_webhook_id_id_idx ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_pending_idx ON webhook_deliveries (webhook_id, case_id, number)
    WHERE state = 'pending';
CREATE INDEX webhook_deliveries_recorded_at_idx ON webhook_deliveries (recorded_at);
""",
    )
