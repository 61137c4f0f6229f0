"""A look into a service's database from outside the service, for tests."""

from __future__ import annotations

from typing import Any

import asyncpg

from deploy.local.stack import LocalStack


async def rows(stack: LocalStack, service: str, statement: str, *arguments: Any) -> list[dict[str, Any]]:
    """What the database of a service answers to one statement."""
    dsn = stack.env_for(service)["DATABASE_URL"].replace("+asyncpg", "")
    connection = await asyncpg.connect(dsn, timeout=60)
    try:
        return [dict(row) for row in await connection.fetch(statement, *arguments)]
    finally:
        await connection.close()
