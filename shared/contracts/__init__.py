"""Every message of the suite: one definition each, owned by its producer.

Invariants: a published version changes only by adding optional fields; a breaking change is a new
class with the next `version`; no event carries residents' personal data or free text.
`shared/contracts/schemas` is generated from here (`daibiaotong contracts write`) and diffed in CI.
"""

from shared.contracts import (
    cases,
    evaluation,
    identity,
    learning,
    motions,
    notify,
    operations,
    participation,
    routing,
    simulation,
    webhooks,
)
from shared.contracts.envelope import Actor, Envelope
from shared.contracts.registry import Contract, commands, contract_of, events

__all__ = [
    "Actor",
    "Contract",
    "Envelope",
    "cases",
    "commands",
    "contract_of",
    "evaluation",
    "events",
    "identity",
    "learning",
    "motions",
    "notify",
    "operations",
    "participation",
    "routing",
    "simulation",
    "webhooks",
]
