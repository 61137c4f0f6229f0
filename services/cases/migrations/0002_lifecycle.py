"""The whole lifecycle: clocks and deadlines, co-handling, reopening, merging, what falls due.

New columns have defaults, so that a process of the version before can go on filing meanwhile.
"""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0002"
down_revision = "cases_0001"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
ALTER TABLE cases
    ADD COLUMN urgency text NOT NULL DEFAULT 'normal',
    ADD COLUMN co_handlers jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN designated boolean NOT NULL DEFAULT false,
    ADD COLUMN reopened smallint NOT NULL DEFAULT 0,
    ADD COLUMN clock jsonb,
    ADD COLUMN accept_by timestamptz,
    ADD COLUMN answer_by timestamptz,
    ADD COLUMN dates_reason text,
    ADD COLUMN provisional boolean NOT NULL DEFAULT false,
    ADD COLUMN calendar text,
    ADD COLUMN extension_asked smallint,
    ADD COLUMN chased smallint NOT NULL DEFAULT 0,
    ADD COLUMN answered_at timestamptz,
    ADD COLUMN on_time boolean,
    ADD COLUMN closed_at timestamptz,
    ADD COLUMN reminded boolean NOT NULL DEFAULT false,
    ADD COLUMN merged_into uuid,
    ADD COLUMN split_from uuid,
    ADD COLUMN followers jsonb NOT NULL DEFAULT '[]';
CREATE INDEX cases_co_handlers_idx ON cases USING gin (co_handlers);
CREATE INDEX cases_followers_idx ON cases USING gin (followers);
CREATE INDEX cases_merged_into_idx ON cases (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX cases_split_from_idx ON cases (split_from) WHERE split_from IS NOT NULL;
ALTER TABLE case_steps
    ADD COLUMN sealed text,
    ADD COLUMN answer_by timestamptz,
    ADD COLUMN dates_reason text;
CREATE TABLE case_due (
    case_id uuid NOT NULL,
    due text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (case_id, due)
);
CREATE INDEX case_due_at_idx ON case_due (at);
""",
    )
