"""The data warehouse 人大数据仓: every event as Parquet, partitioned by business day and type, written once.

Owns: the files under `WAREHOUSE_URL` (docs/warehouse.md). Consumes: every event topic that all may read.
Emits: nothing. It has no database and no consumer group.

Invariants: what is in no manifest does not exist; the position in the log is what the newest manifest says
and nothing else, so a killed attempt leaves only files that nobody sees; a manifest is created, never
replaced, so of two writers one wins.
"""
