"""Documents of cases, in the table of their photos.

Replicas of the version before would look for a document among the photos: replace them all before the
gateway, which is what lets documents in.
"""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0010"
down_revision = "cases_0009"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
ALTER TABLE cases ADD COLUMN documents jsonb NOT NULL DEFAULT '[]';
ALTER TABLE case_photos ADD COLUMN kind text NOT NULL DEFAULT 'photo', ADD COLUMN bytes integer;
DROP INDEX cases_erased_idx;
CREATE INDEX cases_erased_idx ON cases (id)
    WHERE split_part(sealed, '.', 2) = '' AND (photos <> '[]' OR documents <> '[]');
""",
    )
