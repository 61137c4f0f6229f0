"""Messages of notify: the in-app inbox 消息."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from shared.contracts.registry import Contract, command


@command("notice.mark", owner="notify", roles=("deputy", "staff", "department"), key="person id")
class MarkNotices(Contract):
    """Mark one's own notices as read or unread."""

    notices: tuple[UUID, ...] = Field(min_length=1, max_length=500)
    read: bool = True


@command("notice.mark-all", owner="notify", roles=("deputy", "staff", "department"), key="person id")
class MarkAllNotices(Contract):
    """Mark one's own notices as read, from one of them back to the oldest, however many they are."""

    up_to: UUID
