"""Buckets by month, fences of the batches, and whose totals are to be derived anew.

Records are taken in again from the beginning, which the ledger's key makes harmless; so counts begin at 0.
"""

from alembic import op

from shared.database.migrate import run_script
from shared.messaging.fences import CREATE_FENCES_V1

revision = "evaluation_0002"
down_revision = "evaluation_0001"


def upgrade() -> None:
    run_script(op.get_bind(), CREATE_FENCES_V1)
    run_script(
        op.get_bind(),
        """
DROP INDEX ledger_deputy_id_time_idx;
DROP TABLE buckets;
CREATE TABLE buckets (
    deputy_id uuid NOT NULL,
    month integer NOT NULL,
    item text NOT NULL,
    points bigint NOT NULL,
    PRIMARY KEY (deputy_id, month, item)
) WITH (fillfactor = 70);
INSERT INTO buckets
SELECT deputy_id, extract(year FROM happened_on)::int * 12 + extract(month FROM happened_on)::int - 1, item, sum(points)
FROM ledger GROUP BY 1, 2, 3 HAVING sum(points) <> 0 ORDER BY 1, 2, 3;
CREATE TABLE unsettled (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    deputies uuid[] NOT NULL,
    years integer[] NOT NULL
);
ALTER TABLE unsettled ALTER deputies SET STORAGE EXTERNAL, ALTER years SET STORAGE EXTERNAL;
CREATE TABLE schedule (
    one boolean PRIMARY KEY CHECK (one),
    version integer NOT NULL
);
INSERT INTO schedule SELECT true, count(*) FROM rubrics;
TRUNCATE event_counts;
""",
    )
