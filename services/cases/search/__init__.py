"""Finding cases by their words although the words rest sealed, and cases that are about the same matter.

  grams     characters and pairs of characters of a text as keyed hashes; the likeness of two texts; pure
  marks     what is kept beside the hashes of a case, and which of it all cases of a list have; pure
  clusters  many reports of one matter, found among open cases; pure
  tables    one row of hashes per case, and the cases whose row is still to be written
  indexing  writes those rows, behind the filings
  queries   the read side: search pages, similar cases, candidates for clusters
  api       HTTP: similar cases, clusters

Invariants: no word is stored in clear; a case whose words were erased or replaced loses its hashes in the
same transaction, by a trigger of the database (`migrations/`), whoever wrote it, and its marks follow it likewise.
"""
