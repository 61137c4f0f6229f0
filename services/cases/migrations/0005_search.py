"""Search by keyed hashes of the sealed words; lists by position.

The trigger keeps the invariant that hashes never outlive the words they were made from, whoever changes them.
"""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0005"
down_revision = "cases_0004"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
CREATE TABLE case_words (
    case_id uuid PRIMARY KEY,
    hashes integer[] NOT NULL,
    sketch bit(2048) NOT NULL
);
CREATE INDEX case_words_hashes_idx ON case_words USING gin (hashes) WITH (gin_pending_list_limit = 1024);
CREATE TABLE cases_to_index (case_id uuid PRIMARY KEY);
CREATE TABLE words_key (fingerprint text PRIMARY KEY);
CREATE FUNCTION case_words_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM case_words WHERE case_id = OLD.id;
    END IF;
    IF TG_OP = 'DELETE' THEN
        DELETE FROM cases_to_index WHERE case_id = OLD.id;
    ELSE
        INSERT INTO cases_to_index VALUES (NEW.id) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER case_words_are_new AFTER INSERT OR DELETE ON cases
    FOR EACH ROW EXECUTE FUNCTION case_words_follow();
CREATE TRIGGER case_words_are_others AFTER UPDATE OF sealed ON cases
    FOR EACH ROW WHEN (OLD.sealed IS DISTINCT FROM NEW.sealed) EXECUTE FUNCTION case_words_follow();
INSERT INTO cases_to_index SELECT id FROM cases;

CREATE INDEX cases_filed_at_id_idx ON cases (filed_at, id);
CREATE INDEX cases_answer_by_id_idx ON cases (answer_by, id);
CREATE INDEX cases_county_filed_at_idx ON cases (county, filed_at);
CREATE INDEX cases_category_filed_at_idx ON cases (category, filed_at);
CREATE INDEX cases_department_filed_at_idx ON cases (department, filed_at);
CREATE INDEX cases_overdue_idx ON cases (filed_at) WHERE chased >= 2;
CREATE INDEX cases_open_idx ON cases (county, filed_at)
    WHERE state IN ('triage', 'routed', 'accepted', 'in-progress', 'waiting', 'answered');
DROP INDEX cases_department_state_idx;
""",
    )
