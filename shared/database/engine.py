"""The engine of a service's own database, and which of its errors are worth another try.

Invariant: one service, one database, one role; nobody else connects to it.
"""

from __future__ import annotations

import asyncio

import asyncpg
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_TRANSIENT_CLASSES = ("08", "53", "57P")
_TRANSIENT_STATES = frozenset({"40001", "40P01", "55P03", "25006"})
UNIQUE_VIOLATION = "23505"


class VersionConflict(Exception):  # noqa: N818 - passes by itself
    """A row changed between loading and saving; the transaction is tried again."""


def make_engine(url: SecretStr, *, pool_size: int, application: str) -> AsyncEngine:
    """An engine over asyncpg; connections name the application, so that an operator sees who they are."""
    return create_async_engine(
        url.get_secret_value(),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=20,
        hide_parameters=True,  # an error must not print what a resident wrote
        connect_args={
            "timeout": 5,
            "command_timeout": 60,
            "server_settings": {"application_name": application, "jit": "off"},
        },
    )


def driver_dsn(url: SecretStr) -> str:
    """The same address for asyncpg itself."""
    return url.get_secret_value().replace("postgresql+asyncpg://", "postgresql://", 1)


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE of a database error, or None."""
    found: BaseException | None = error
    while found is not None:
        state = getattr(found, "sqlstate", None)
        if isinstance(state, str):
            return state
        found = getattr(found, "orig", None) or found.__cause__
    return None


def constraint_of(error: BaseException) -> str | None:
    """The name of the constraint that a database error is about, or None."""
    found: BaseException | None = error
    while found is not None:
        name = getattr(found, "constraint_name", None)
        if isinstance(name, str):
            return name
        found = getattr(found, "orig", None) or found.__cause__
    return None


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction may succeed later: connection, serialisation, deadlock, timeout."""
    if isinstance(error, (VersionConflict, ConnectionError, asyncio.TimeoutError, TimeoutError, OSError)):
        return True
    # The second: the server's goodbye has come, the connection's end not yet.
    if isinstance(error, (asyncpg.InterfaceError, asyncpg.InternalClientError)):
        return True
    state = sqlstate_of(error)
    if state is not None:
        return state in _TRANSIENT_STATES or state.startswith(_TRANSIENT_CLASSES)
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error.orig, (OSError, asyncpg.InterfaceError))
    return type(error).__name__ == "TimeoutError"
