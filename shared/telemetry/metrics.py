"""All metric names of the kit in one place, each with a sentence; Prometheus text at `/metrics`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

BATCH_SIZE = Histogram(
    "dbt_batch_records",
    "Records in one consumed batch",
    ["consumer"],
    buckets=(1, 5, 20, 50, 100, 250, 500, 1000, 5000),
    registry=REGISTRY,
)
BATCH_SECONDS = Histogram(
    "dbt_batch_seconds",
    "Seconds from receiving a batch to its commit",
    ["consumer"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
    registry=REGISTRY,
)
HANDLED = Counter(
    "dbt_messages_total", "Messages by what became of them", ["consumer", "type", "result"], registry=REGISTRY
)
RETRIES = Counter("dbt_batch_retries_total", "Batches tried again", ["consumer", "error"], registry=REGISTRY)
DEAD_LETTERS = Counter("dbt_dead_letters_total", "Dead letters written", ["reason"], registry=REGISTRY)
DEAD_LETTERS_OPEN = Gauge("dbt_dead_letters_open", "Dead letters not yet replayed", registry=REGISTRY)
PAUSED = Gauge(
    "dbt_topics_paused", "Topics paused after too many dead letters", ["consumer"], registry=REGISTRY
)
LAG = Gauge("dbt_consumer_lag_records", "Records not yet taken in", ["consumer"], registry=REGISTRY)
OUTBOX_ROWS = Gauge("dbt_outbox_rows", "Outbox rows not yet published", registry=REGISTRY)
OUTBOX_OLDEST = Gauge("dbt_outbox_oldest_seconds", "Age of the oldest unpublished row", registry=REGISTRY)
OUTBOX_PARKED = Gauge(
    "dbt_outbox_parked_rows", "Outbox rows held back, e.g. for a missing topic", registry=REGISTRY
)
RELAYED = Counter("dbt_relayed_total", "Messages published from the outbox", registry=REGISTRY)
RELAY_ACTIVE = Gauge("dbt_relay_active", "1 while this process is the database's relay", registry=REGISTRY)
LOOP_AGE = Gauge("dbt_loop_age_seconds", "Seconds since a loop's last turn", ["loop"], registry=REGISTRY)
HTTP_SECONDS = Histogram(
    "dbt_http_seconds",
    "Seconds to answer an HTTP request",
    ["route", "status"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5),
    registry=REGISTRY,
)
