"""What is held about each case's category; catalogues of responsibilities and classifiers, adopted by staff."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0007"
down_revision = "cases_0006"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
CREATE TABLE case_routings (
    case_id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    category text,
    because text NOT NULL,
    classifier text,
    topic text,
    catalogue text,
    guesses jsonb NOT NULL
);
CREATE TABLE routing_catalogues (
    name text PRIMARY KEY,
    number integer GENERATED ALWAYS AS IDENTITY NOT NULL,
    version integer NOT NULL,
    document jsonb NOT NULL,
    adopted_by text NOT NULL,
    adopted_at timestamptz NOT NULL
);
CREATE TABLE routing_models (
    name text PRIMARY KEY,
    version integer NOT NULL,
    manifest bytea NOT NULL,
    arrays bytea NOT NULL,
    checked integer NOT NULL,
    automatic integer NOT NULL,
    automatic_right integer NOT NULL,
    adopted_by text,
    adopted_at timestamptz,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
""",
    )
