"""Settings of identity."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from services.identity.sessions import Limits, Terms
from shared.contracts.registry import Role
from shared.settings import ServiceSettings

ClientName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,30}$")]


class Client(BaseModel):
    """A machine that gets tokens with a secret of its own."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    secret: Annotated[SecretStr, Field(min_length=16)]
    roles: frozenset[Role]


class IdentitySettings(ServiceSettings):
    """`sealing_key` is the private X25519 JWK that opens passwords; `identity_clients` JSON by client name.

    `identity_keys_dir` is shared by all replicas. Batches are small because hashing a password takes
    a few tenths of a second, and a batch must end before the loop counts as stalled.
    A browser's session ends after `idle` without a renewal, and as a `whole`: a deputy's phone is in one hand,
    a desk (staff, departments, operators) in an office. Changed limits hold from the next renewal.
    """

    sealing_key: SecretStr
    identity_clients: dict[ClientName, Client] = Field(default_factory=dict)
    identity_keys_dir: Path
    batch_records_max: int = Field(default=100, ge=1, le=200)
    session_phone_idle_hours: float = Field(default=14 * 24, gt=0)
    session_phone_whole_days: float = Field(default=90, gt=0)
    session_desk_idle_hours: float = Field(default=12, gt=0)
    session_desk_whole_days: float = Field(default=7, gt=0)
    session_grace_seconds: float = Field(default=30, ge=0, le=120)

    @property
    def session_terms(self) -> Terms:
        """The limits of browsers' sessions."""
        return Terms(
            phone=Limits(
                timedelta(hours=self.session_phone_idle_hours), timedelta(days=self.session_phone_whole_days)
            ),
            desk=Limits(
                timedelta(hours=self.session_desk_idle_hours), timedelta(days=self.session_desk_whole_days)
            ),
            grace=timedelta(seconds=self.session_grace_seconds),
        )

    @model_validator(mode="after")
    def _simulation_only_where_allowed(self) -> Self:
        if not self.allow_simulated_time:
            for name, client in self.identity_clients.items():
                if "simulation" in client.roles:
                    raise ValueError(
                        f"client {name!r} has the role simulation, which needs ALLOW_SIMULATED_TIME=true"
                    )
        return self
