"""What is for staff without a place is the city's: NULL, where it was an empty text that nobody's place begins with."""

from alembic import op

from shared.database.migrate import run_script

revision = "notify_0002"
down_revision = "notify_0001"


def upgrade() -> None:
    run_script(op.get_bind(), "UPDATE notices SET county = NULL WHERE audience = 'staff' AND county = '';")
