"""Residents' photos, which go with a withdrawn concern too, and their objections.

Replicas of the version before know neither: replace them all before the gateway, which lets both in.
"""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0019"
down_revision = "cases_0018"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
ALTER TABLE cases ADD COLUMN objected boolean NOT NULL DEFAULT false;
DROP INDEX cases_erased_idx;
CREATE INDEX cases_without_attachments_idx ON cases (id)
    WHERE (split_part(sealed, '.', 2) = '' OR (state = 'withdrawn' AND receipt IS NOT NULL))
        AND (photos <> '[]' OR documents <> '[]');
""",
    )
