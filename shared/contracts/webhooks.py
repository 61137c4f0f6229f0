"""Messages of cases about webhooks: what a department hears on its own topic, delivered to its own address.

A webhook carries no message of its own: its body is the very event that stands on
`department.<code>.routed`.
"""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.identity import DepartmentCode
from shared.contracts.registry import Contract, command


@command("webhook.register", owner="cases", roles=("department", "operator"), key="webhook id")
class RegisterWebhook(Contract):
    """A department, or an operator for it, has its messages delivered to an address 登记推送地址.

    `sealed` is a JWE for cases of {"secret"}: what the bodies are signed with, `whsec_` and base64 of
    24 to 64 bytes. `department` may be left out by the department itself.
    """

    url: str = Field(min_length=1, max_length=500, repr=False, description="https; no user, no fragment")
    sealed: str = Field(max_length=4096, repr=False)
    department: DepartmentCode | None = None


@command("webhook.remove", owner="cases", roles=("department", "operator"), key="webhook id")
class RemoveWebhook(Contract):
    """Nothing more is delivered to this address 注销推送地址; what was not yet delivered is dropped."""


@command("webhook.replay", owner="cases", roles=("department", "operator"), key="webhook id")
class ReplayWebhook(Contract):
    """Deliver again 重新推送, from one delivery on or from a time on (wall time); exactly one of the two."""

    delivery: UUID | None = Field(default=None, description="id of the first message to deliver again")
    since: AwareDatetime | None = Field(default=None, description="deliver again what was written since then")
