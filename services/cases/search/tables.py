"""Tables of the search: hashes of cases' words, what is still to be hashed, and by which key it was."""

from __future__ import annotations

from sqlalchemy import Column, FetchedValue, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY, BIT, UUID

from services.cases.metadata import metadata
from services.cases.search.grams import SKETCH_BITS

case_words = Table(
    "case_words",
    metadata,
    Column("case_id", UUID, primary_key=True),
    Column("hashes", ARRAY(Integer), nullable=False),
    Column("sketch", BIT(SKETCH_BITS), nullable=False),
    Column("marks", ARRAY(Text), nullable=False, server_default=FetchedValue()),  # by a trigger; see `marks`
)
Index("case_words_hashes_idx", case_words.c.hashes, case_words.c.marks, postgresql_using="gin")

cases_to_index = Table("cases_to_index", metadata, Column("case_id", UUID, primary_key=True))
"""Filled by a trigger when words are written."""

words_key = Table("words_key", metadata, Column("fingerprint", Text, primary_key=True))
"""One row: with which key the words are hashed."""
