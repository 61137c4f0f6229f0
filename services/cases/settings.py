"""Settings of cases."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from shared.settings import ServiceSettings
from shared.storage import StorageSettings


class WebhookSettings(BaseSettings):
    """How deliveries are attempted; units are in the names. 16 attempts from 5 s, at most an hour apart: seven hours.

    `webhook_loopback_allowed` lets addresses of this machine be used, also without TLS: for demo and tests.
    """

    webhook_attempts_max: int = Field(default=16, ge=1, le=100)
    webhook_first_seconds: float = Field(default=5.0, gt=0)
    webhook_longest_seconds: float = Field(default=3600.0, gt=0)
    webhook_timeout_seconds: float = Field(default=10.0, gt=0, le=60)
    webhook_poll_seconds: float = Field(default=1.0, gt=0, le=30)
    webhook_loopback_allowed: bool = False


class PhotoSettings(StorageSettings):
    """The gateway's quarantine, and the service's own storage of photos and documents."""

    quarantine_url: str
    photos_url: str
    photos_poll_seconds: float = Field(default=1.0, gt=0, le=30)


class LearningSettings(BaseSettings):
    """When routing learns by itself.

    From `learn_first` confirmed cases on; then again with `learn_new` more and `learn_days` after the last time.
    """

    learn_first: int = Field(default=500, ge=1)
    learn_new: int = Field(default=200, ge=1)
    learn_days: float = Field(default=7.0, ge=0)
    learn_look_seconds: float = Field(default=3600.0, gt=0)


class CasesSettings(ServiceSettings, WebhookSettings, PhotoSettings, LearningSettings):
    """`sealing_key` is the private X25519 JWK that opens residents' words; `jurisdiction` names the rule packs."""

    sealing_key: SecretStr
    jurisdiction: str = "ningbo"

    @model_validator(mode="after")
    def _no_loopback_in_production(self) -> Self:
        if self.environment == "production" and self.webhook_loopback_allowed:
            raise ValueError(
                "WEBHOOK_LOOPBACK_ALLOWED is for demo and tests; ENVIRONMENT=production refuses it"
            )
        return self
