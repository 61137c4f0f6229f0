"""Settings that every process reads from its environment; no secret has a default.

Invariant: importing a module reads nothing; only a composition root builds settings.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class KafkaSettings(BaseSettings):
    """How to reach the broker. With `kafka_username` SASL/SCRAM-SHA-512 is used, else plain text."""

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True)

    kafka_bootstrap_servers: str
    kafka_kind: Literal["kafka", "tansu", "external"] = "kafka"
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_security_protocol: Literal["SASL_PLAINTEXT", "SASL_SSL"] = "SASL_PLAINTEXT"
    kafka_idempotence: bool = True
    kafka_fetch_max_wait_ms: int = Field(default=200, ge=1, le=1000)


class ProcessSettings(KafkaSettings):
    """What the gateway and every service share."""

    environment: Literal["production", "demo", "test"] = "production"
    business_time: Literal["append", "message"] = "append"
    allow_simulated_time: bool = False
    instance: str = "1"
    http_host: str = "127.0.0.1"
    http_port: int = Field(ge=0, le=65535)
    jwks_url: str
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    otel_exporter_otlp_endpoint: str | None = None
    failpoint: str | None = None

    @model_validator(mode="after")
    def _nothing_simulated_in_production(self) -> Self:
        if self.environment == "production":
            for name in ("business_time", "allow_simulated_time", "failpoint"):
                if getattr(self, name) not in ("append", False, None):
                    raise ValueError(
                        f"{name.upper()} is for demo and tests; ENVIRONMENT=production refuses it"
                    )
        return self


class ServiceSettings(ProcessSettings):
    """What every service needs besides: its database and the limits of its consume loop.

    Units are in the names. A batch must finish its retries before Kafka takes the partitions away
    (max.poll.interval, five minutes), which is checked here.
    """

    database_url: SecretStr
    database_pool_size: int = Field(default=6, ge=3)
    batch_records_max: int = Field(default=500, ge=1, le=5000)
    batch_wait_ms: int = Field(default=10, ge=1, le=1000)
    stream_records_max: int = Field(default=5000, ge=1, le=20_000)
    stream_fetch_wait_ms: int = Field(default=20, ge=1, le=1000)
    retry_attempts_max: int = Field(default=6, ge=1, le=20)
    retry_first_seconds: float = Field(default=0.2, gt=0)
    retry_longest_seconds: float = Field(default=5.0, gt=0)
    dead_letters_in_a_row_max: int = Field(default=50, ge=1)
    relay_batch_max: int = Field(default=2000, ge=1)
    relay_poll_seconds: float = Field(default=1.0, gt=0)
    session_timeout_ms: int = Field(default=10_000, ge=1000)

    @model_validator(mode="after")
    def _retries_end_before_the_poll_interval(self) -> Self:
        if self.retry_attempts_max * self.retry_longest_seconds > 240:
            raise ValueError("RETRY_ATTEMPTS_MAX * RETRY_LONGEST_SECONDS must stay under 240 s")
        return self
