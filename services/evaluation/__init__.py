"""Evaluation: what each deputy's recorded facts are worth 履职量化评价, and from what 履职档案.

Owns: the adopted rubrics, the ledger (one row per fact, item and deputy), its sums and totals. Each night it
reckons a sample of them anew from the ledger (`nightly`).
Consumes: every event of the other services. Emits: `rubric.adopted`, `score.changed`.
Invariants: a score is a pure function of the set of events, whatever their order, batching or
repetition; points are integers in hundredths; caps are applied to sums, never to single facts; a
rubric counts for whole calendar years and is never adopted for one in which facts were scored.
"""
