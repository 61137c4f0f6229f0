"""Settings of the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from limits import parse
from pydantic import AfterValidator, Field, SecretStr

from shared.settings import ProcessSettings
from shared.storage import StorageSettings


def _parsed(limit: str) -> str:
    parse(limit)  # raises ValueError
    return limit


Limit = Annotated[str, AfterValidator(_parsed)]
"""How often something may happen, such as `20/hour`."""


class GatewaySettings(ProcessSettings, StorageSettings):
    """`service_urls` maps each service to the addresses of its replicas; units are in the names.

    `digest_key` is shared by all gateways: it makes the digest by which a repeated command is known. So is
    `intake_secret`, from which residents' receipt numbers and follow links are derived. Limits such as
    `20/hour` are each gateway's own.
    `quarantine_url` is the storage of uploads, which all gateways and `cases` share; a claimed one stays there
    as long as a command can lie in its topic. The limits of photos hold for documents too; an hour's are shared.
    Residents' photos come with their form, which `concern_bytes_max` limits: what one form brings beyond what is
    taken is read all the same, so that its page can say so; an hour's are those of an address.
    `web_folder` is what the web pages were built to; `divisions_file` names the city's towns, {code, name, children}.
    """

    service_urls: dict[str, list[str]]
    digest_key: SecretStr
    intake_secret: Annotated[SecretStr, Field(min_length=16)]
    intake_client_secret: SecretStr
    concerns_per_address: Limit = "20/hour"
    concerns_per_code: Limit = "120/hour"
    follow_attempts_per_address: Limit = "60/minute"
    follow_requests_per_concern: Limit = "60/minute"
    follow_seconds: int = Field(default=3600, ge=60)
    web_folder: Path = Path(__file__).resolve().parents[1] / "web" / "dist"
    divisions_file: Path | None = None
    outcome_wait_seconds: float = Field(default=2.0, gt=0, le=30)
    roster_wait_seconds: float = Field(default=20.0, gt=0, le=120)
    waiting_max: int = Field(default=5000, ge=1)
    body_bytes_max: int = Field(default=262_144, ge=1024)
    quarantine_url: str
    quarantine_hours: float = Field(default=24.0, gt=0)
    quarantine_claimed_days: float = Field(default=8.0, gt=0)
    photos_per_hour_max: int = Field(default=60, ge=1)
    photo_bytes_max: int = Field(default=10_485_760, ge=1024)
    concern_bytes_max: int = Field(default=67_108_864, ge=1024)
    roster_bytes_max: int = Field(default=10_485_760, ge=1024)
    stream_clients_max: int = Field(default=5000, ge=1)
    stream_queue_max: int = Field(default=200, ge=1)
    stream_ping_seconds: int = Field(default=20, ge=1)
    stream_seconds_max: float = Field(default=900.0, gt=0)
