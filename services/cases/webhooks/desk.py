"""The handler of commands on webhooks, and the wrapper that writes deliveries beside the outbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases import tables
from services.cases.webhooks import deliveries, endpoints
from services.cases.webhooks.endpoints import Webhook
from services.cases.webhooks.sending import secret_key
from shared.contracts import webhooks as contract
from shared.contracts.registry import Contract
from shared.database.engine import VersionConflict
from shared.database.rows import insert_rows, update_rows
from shared.messaging.desk import Decide, Decision, Desk, HandlesBatches, subject_id, subject_ids
from shared.messaging.received import Received
from shared.messaging.work import Work
from shared.security.sealing import Opener, Unsealable

_COLUMNS = tuple(field.name for field in fields(Webhook) if field.name != "replays")


@dataclass(frozen=True)
class Context:
    """What decisions on webhooks look up.

    `present` are the ids of active addresses by department, the batch's own not counted; `numbers` the
    deliveries that replays name.
    """

    departments: frozenset[str]
    present: Mapping[str, int]
    numbers: Mapping[tuple[UUID, UUID], int]
    opener: Opener
    loopback_allowed: bool


class WebhookStore:
    """Webhooks by id."""

    def __init__(self, opener: Opener, *, loopback_allowed: bool) -> None:
        self._opener = opener
        self._loopback_allowed = loopback_allowed

    def key(self, message: Received[Any]) -> str:
        """The webhook's id. Raises Refusal when the subject is none."""
        return str(subject_id(message))

    async def load(
        self, connection: AsyncConnection, messages: Sequence[Received[Any]]
    ) -> dict[str, Webhook]:
        """The webhooks of a batch, locked in id order."""
        found = tables.webhooks
        statement = select(found).where(found.c.id.in_(subject_ids(messages)))
        rows = await connection.execute(statement.order_by(found.c.id).with_for_update())
        return {str(row["id"]): Webhook(**{name: row[name] for name in _COLUMNS}) for row in rows.mappings()}

    async def context(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> Context:
        """Departments, how many addresses each has, and the deliveries that are named."""
        departments, webhooks = tables.departments.c, tables.webhooks.c
        codes = await connection.scalars(select(departments.code).where(departments.state == "active"))
        present = await connection.execute(
            select(webhooks.department, func.count())
            .where(webhooks.state == "active")
            .group_by(webhooks.department)
        )
        named = [
            message.data.delivery
            for message in messages
            if isinstance(message.data, contract.ReplayWebhook) and message.data.delivery is not None
        ]
        numbers = await deliveries.numbers(connection, named) if named else {}
        counts: dict[str, int] = {row[0]: row[1] for row in present}
        return Context(frozenset(codes), counts, numbers, self._opener, self._loopback_allowed)

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, Webhook], after: Mapping[str, Webhook]
    ) -> None:
        """Write changed webhooks, and make deliveries due again that are to be replayed."""
        new = [_row(webhook) for key, webhook in after.items() if key not in before]
        old = [_row(webhook) for key, webhook in after.items() if key in before]
        await insert_rows(connection, tables.webhooks, new)
        if await update_rows(connection, tables.webhooks, old) != len(old):
            raise VersionConflict("a locked webhook is gone")
        for webhook in after.values():
            for replay in webhook.replays:
                await deliveries.replay(connection, webhook.id, replay)
            if webhook.state == "removed":
                await deliveries.drop(connection, webhook.id)


def _row(webhook: Webhook) -> dict[str, Any]:
    return {name: getattr(webhook, name) for name in _COLUMNS}


def _department(message: Received[Any]) -> str | None:
    """The sender's department; None for an operator, who acts for any."""
    who = message.sender()
    return None if "operator" in who.roles else who.organisation or ""


def _register(
    known: Webhook | None, message: Received[contract.RegisterWebhook], context: Context
) -> Decision[Webhook]:
    data = message.data
    endpoints.check_url(data.url, loopback_allowed=context.loopback_allowed)
    try:
        secret_key(str(context.opener.open(data.sealed)["secret"]))
    except (Unsealable, KeyError, ValueError):
        raise endpoints.secret_unreadable() from None
    code = data.department or message.sender().organisation or ""
    new = Webhook(subject_id(message), code, data.url, data.sealed, message.now)
    registered = endpoints.register(
        known,
        new,
        sender_department=_department(message),
        active=code in context.departments,
        present=context.present.get(code, 0),
    )
    return Decision(registered, registered.version)


def _remove(
    known: Webhook | None,
    message: Received[contract.RemoveWebhook],
    context: Context,  # noqa: ARG001 - decisions are called alike
) -> Decision[Webhook]:
    removed = endpoints.remove(known, _department(message))
    return Decision(removed, removed.version)


def _replay(
    known: Webhook | None, message: Received[contract.ReplayWebhook], context: Context
) -> Decision[Webhook]:
    again = endpoints.replay(
        known,
        _department(message),
        delivery=message.data.delivery,
        since=message.data.since,
        numbers=context.numbers,
    )
    return Decision(again, again.version)


DECISIONS: dict[type[Contract], Decide[Webhook]] = {
    contract.RegisterWebhook: _register,
    contract.RemoveWebhook: _remove,
    contract.ReplayWebhook: _replay,
}


def webhook_desk(store: WebhookStore) -> Desk[Webhook]:
    """The desk of webhooks."""
    return Desk(store, DECISIONS)


class Delivering:
    """Around a service's desks: what they send to a department's topic is written for its webhooks as well.

    It looks at the topic alone, so that nothing a desk says to a department can be forgotten here.
    """

    def __init__(self, desk: HandlesBatches, opener: Opener) -> None:
        self._desk = desk
        self._writer = deliveries.Writer(opener)

    def handlers(self) -> dict[type[Contract], Delivering]:
        """This wrapper under each message class of its desks, for the runner."""
        return dict.fromkeys(self._desk.handlers(), self)

    async def __call__(self, messages: Sequence[Received[Any]], work: Work) -> None:
        """Let the desks decide, then write the deliveries of what they send."""
        already = len(work.outgoing)
        await self._desk(messages, work)
        await self._writer.write(work.connection, work.outgoing[already:])
