"""Settings of cases."""

from __future__ import annotations

from pydantic import SecretStr

from shared.settings import ServiceSettings


class CasesSettings(ServiceSettings):
    """`sealing_key` is the private X25519 JWK that opens residents' words; `jurisdiction` names the rule packs."""

    sealing_key: SecretStr
    jurisdiction: str = "ningbo"
