"""Settings of the warehouse's writer."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from shared.settings import KafkaSettings
from shared.storage import StorageSettings


class WarehouseSettings(KafkaSettings, StorageSettings):
    """`warehouse_url` is a storage (docs/warehouse.md); a round begins every `warehouse_seconds`.

    One manifest takes at most `warehouse_rows_max` records, which bounds the memory of a round. A compaction is
    due after `warehouse_compact_rows` new records (`warehouse.compacting`) and takes `warehouse_compact_memory`.
    """

    environment: Literal["production", "demo", "test"] = "production"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    instance: str = "1"
    http_host: str = "127.0.0.1"
    http_port: int = Field(ge=0, le=65535)
    warehouse_url: str
    warehouse_seconds: float = Field(default=300.0, gt=0)
    warehouse_rows_max: int = Field(default=50_000, ge=1, le=1_000_000)
    warehouse_compact_rows: int = Field(default=500_000, ge=1)
    warehouse_compact_memory: str = Field(default="1GB", pattern=r"\d+[MG]B")
    failpoint: str | None = None

    @model_validator(mode="after")
    def _no_failpoint_in_production(self) -> Self:
        if self.environment == "production" and self.failpoint is not None:
            raise ValueError("FAILPOINT is for tests; ENVIRONMENT=production refuses it")
        return self
