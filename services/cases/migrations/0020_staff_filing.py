"""Staff file what they found themselves: such a case has no deputy."""

from alembic import op

revision = "cases_0020"
down_revision = "cases_0019"


def upgrade() -> None:
    op.execute("ALTER TABLE cases ALTER COLUMN deputy_id DROP NOT NULL")
