"""The inbox: which messages this service has already handled. It makes at-least-once exactly-once.

Invariants: ids are claimed in sorted order (two batches cannot deadlock) and in the transaction of
the effect; a dead letter is claimed as `dead` and becomes `done` exactly once, by its replay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.contracts.registry import Contract
from shared.messaging.received import Received, Unit, Unreadable
from shared.messaging.work import Work
from shared.refusals import Refusal
from shared.telemetry import metrics

_CLAIM = (
    "INSERT INTO inbox (key, type, fingerprint, state) "
    "SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[]) "
    "ON CONFLICT DO NOTHING RETURNING key"
)
_KNOWN = "SELECT key, fingerprint, state, outcome FROM inbox WHERE key = ANY($1::text[])"
_ADMIT = "UPDATE inbox SET state = 'done' WHERE key = ANY($1::text[]) AND state = 'dead' RETURNING key"
_STILL_DEAD = "SELECT 1 FROM inbox WHERE key = $1 AND state = 'dead' FOR UPDATE"
_LETTER_DONE = (
    "UPDATE dead_letters SET state = 'replayed', replayed_at = now() WHERE inbox_key = ANY($1::text[])"
)
_ID_REUSED = Refusal(
    "command-id-reused", "This id was used for another command. Send the command under a new id.", "conflict"
)


async def claim(work: Work, units: Sequence[Unit]) -> list[Unit]:
    """The units that are handled now for the first time, in the order given.

    Repetitions of a command get their first outcome again; the same id with other content is refused.
    """
    replays: dict[str, Unit] = {}
    for unit in units:
        if unit.replay_of:
            replays.setdefault(unit.replay_of, unit)  # the relay may have sent a replay twice
    admitted = await _admit(work, replays)
    replayed = {id(unit) for key, unit in replays.items() if key in admitted}
    first: dict[str, Unit] = {}
    repeated: list[Unit] = []
    for unit in units:
        if unit.replay_of and id(unit) not in replayed:
            continue
        if unit.replay_of == unit.key:
            continue  # admitted under its own key, which is claimed already
        if first.setdefault(unit.key, unit) is not unit:
            repeated.append(unit)
    fresh_keys = await _insert(work, [first[key] for key in sorted(first)])
    seen = [unit for key, unit in first.items() if key not in fresh_keys]
    await _answer_repeated(work, seen, repeated, first)
    return [
        unit
        for unit in units
        if (
            id(unit) in replayed
            if unit.replay_of == unit.key
            else first.get(unit.key) is unit and unit.key in fresh_keys
        )
    ]


async def _admit(work: Work, replays: Mapping[str, Unit]) -> set[str]:
    if not replays:
        return set()
    admitted = {row.key for row in await work.connection.exec_driver_sql(_ADMIT, (sorted(replays),))}
    await work.connection.exec_driver_sql(_LETTER_DONE, (sorted(admitted),))
    return admitted


async def _insert(work: Work, units: Sequence[Unit]) -> set[str]:
    if not units:
        return set()
    columns: tuple[list[Any], ...] = ([], [], [], [])
    for unit in units:
        readable = isinstance(unit, Received)
        columns[0].append(unit.key)
        columns[1].append(unit.envelope.type.replace("\0", "") if unit.envelope else "")
        columns[2].append(unit.fingerprint if isinstance(unit, Received) else b"")
        columns[3].append("done" if readable else "dead")
    return {row.key for row in await work.connection.exec_driver_sql(_CLAIM, columns)}


async def _answer_repeated(
    work: Work, seen: Sequence[Unit], repeated: Sequence[Unit], first: dict[str, Unit]
) -> None:
    for unit in repeated:
        metrics.HANDLED.labels(work.service, "", "repeated").inc()
        original = first[unit.key]
        if (
            isinstance(unit, Received)
            and unit.is_command
            and isinstance(original, Received)
            and unit.fingerprint != original.fingerprint
        ):
            work.reject(unit, _ID_REUSED, remember=False)
    metrics.HANDLED.labels(work.service, "", "repeated").inc(len(seen))
    commands: dict[str, Received[Contract]] = {
        u.key: u for u in seen if isinstance(u, Received) and u.is_command
    }
    if not commands:
        return
    for row in await work.connection.exec_driver_sql(_KNOWN, (sorted(commands),)):
        unit = commands[row.key]
        if bytes(row.fingerprint) not in (unit.fingerprint, b""):
            work.reject(unit, _ID_REUSED, remember=False)
        elif row.outcome is not None:
            work.repeat(unit, row.outcome)


async def bury_unreadable(work: Work, units: Sequence[Unit]) -> list[Received[Contract]]:
    """Write dead letters for what cannot be read; return the rest."""
    readable: list[Received[Contract]] = []
    for unit in units:
        if isinstance(unit, Unreadable):
            work.bury(unit, unit.reason, unit.detail, attempts=1)
        else:
            readable.append(unit)
    return readable


async def claim_as_dead(work: Work, unit: Unit) -> bool:
    """Claim a unit whose handler fails as a dead letter; False when somebody handled it meanwhile."""
    if unit.replay_of:
        still_dead = await work.connection.exec_driver_sql(_STILL_DEAD, (unit.replay_of,))
        return still_dead.first() is not None  # else another process has handled it meanwhile
    row = (unit.key, unit.envelope.type if unit.envelope else "", getattr(unit, "fingerprint", b""), "dead")
    claimed = await work.connection.exec_driver_sql(_CLAIM, tuple([cell] for cell in row))
    return claimed.first() is not None
