"""When routing learnt, from how many confirmed cases, and which model that made."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0024"
down_revision = "cases_0023"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
CREATE TABLE routing_lessons (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    confirmed integer NOT NULL,
    model text
);
""",
    )
