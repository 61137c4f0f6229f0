"""Settings of evaluation."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from shared.settings import ServiceSettings


class EvaluationSettings(ServiceSettings):
    """`first_rubric_from` is the 1 January from which the shipped rubric counts where none was adopted yet.

    `archive_key` is the private Ed25519 JWK that signs archives; `audit_deputies` is how many deputies each
    night's audit reckons anew. `divisions_file` names the city's towns as the gateway's does, for archives.
    """

    archive_key: SecretStr
    first_rubric_from: date = date(2020, 1, 1)
    audit_deputies: int = Field(default=500, ge=1)
    divisions_file: Path | None = None

    @field_validator("first_rubric_from")
    @classmethod
    def _a_new_year(cls, value: date) -> date:
        if (value.month, value.day) != (1, 1):
            raise ValueError("must be a 1 January")
        return value
