"""What residents submit by a deputy's code, the follow link, and who read their contact data."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0006"
down_revision = "cases_0005"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
ALTER TABLE cases
    ADD COLUMN receipt text,
    ADD COLUMN follow text,
    ADD COLUMN consent text,
    ADD COLUMN contact text,
    ADD COLUMN take_up_by timestamptz,
    ADD COLUMN resident_stars smallint,
    ADD COLUMN resident_attitude smallint,
    ADD COLUMN resident_result smallint;
CREATE UNIQUE INDEX cases_receipt_idx ON cases (receipt) WHERE receipt IS NOT NULL;
CREATE UNIQUE INDEX cases_follow_idx ON cases (follow) WHERE follow IS NOT NULL;
CREATE TABLE contact_reads (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id uuid NOT NULL,
    person text NOT NULL,
    role text NOT NULL,
    organisation text,
    purpose text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX contact_reads_case_id_idx ON contact_reads (case_id);
""",
    )
