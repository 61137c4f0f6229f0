"""Marks beside the hashes of a case's words: words common everywhere and rare in a list are found by one index.

The table is written anew, which takes a minute or two for a million cases, in which cases stand still. Replicas
of the version before could go on hashing, for the database makes the marks.
"""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0018"
down_revision = "cases_0017"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
LOCK TABLE cases, case_words IN ACCESS EXCLUSIVE MODE;
CREATE INDEX cases_county_category_filed_at_idx ON cases (county, category, filed_at) INCLUDE (state);

CREATE FUNCTION case_marks(cases) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT array_remove(ARRAY[
        'd:' || ($1).department,
        'c:' || ($1).category,
        'p:' || ($1).county,
        'p:' || left(($1).town, 9),
        'm:' || to_char(($1).filed_at AT TIME ZONE 'UTC', 'YYYY-MM'),
        CASE WHEN ($1).state IN ('withdrawn', 'merged', 'declined') THEN 's:' || ($1).state END
    ], NULL) || ARRAY(SELECT 'd:' || code FROM jsonb_array_elements_text(($1).co_handlers) AS code)
$$;
ALTER TABLE case_words RENAME TO case_words_before;
CREATE TABLE case_words (
    case_id uuid NOT NULL,
    hashes integer[] NOT NULL,
    sketch bit(2048) NOT NULL,
    marks text[] NOT NULL
);
INSERT INTO case_words
    SELECT case_id, hashes, sketch, case_marks(cases) FROM case_words_before JOIN cases ON id = case_id ORDER BY filed_at;
DROP TABLE case_words_before;
SET LOCAL maintenance_work_mem = '256MB';
ALTER TABLE case_words ADD CONSTRAINT case_words_pkey PRIMARY KEY (case_id);
CREATE INDEX case_words_hashes_idx ON case_words USING gin (hashes, marks) WITH (gin_pending_list_limit = 1024);
ANALYZE case_words;

CREATE FUNCTION case_words_marked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.marks := (SELECT case_marks(cases) FROM cases WHERE id = NEW.case_id);
    RETURN NEW;
END $$;
CREATE TRIGGER case_words_are_marked BEFORE INSERT ON case_words
    FOR EACH ROW EXECUTE FUNCTION case_words_marked();
CREATE FUNCTION case_marks_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE case_words SET marks = case_marks(NEW) WHERE case_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER case_marks_are_others
    AFTER UPDATE OF department, category, county, town, filed_at, state, co_handlers ON cases
    FOR EACH ROW WHEN (
        (OLD.department, OLD.category, OLD.county, OLD.town, OLD.filed_at, OLD.co_handlers)
        IS DISTINCT FROM (NEW.department, NEW.category, NEW.county, NEW.town, NEW.filed_at, NEW.co_handlers)
        OR OLD.state IS DISTINCT FROM NEW.state AND (OLD.state IN ('withdrawn', 'merged', 'declined')
            OR NEW.state IN ('withdrawn', 'merged', 'declined'))
    ) EXECUTE FUNCTION case_marks_follow();
""",
    )
