"""Migrations on real PostgreSQL: they make exactly the tables that the code has, and can be run again."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import Column, Text
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.local.stack import SERVICES, LocalStack
from shared.database.migrate import differences, migrate

SHARES_STACK = True


@pytest_asyncio.fixture
async def empty_database(stack: LocalStack) -> AsyncIterator[SecretStr]:
    """The address of a new database."""
    name = f"migrated_{uuid4().hex[:12]}"
    await asyncio.to_thread(stack.postgres.ensure_database, name, name)
    yield SecretStr(stack.postgres.url(name, name))
    await asyncio.to_thread(stack.postgres.sql, f"DROP DATABASE {name} WITH (FORCE); DROP ROLE {name}")


@pytest.mark.parametrize("service", SERVICES)
async def test_migrations_make_the_tables_of_the_code_and_may_run_twice_and_side_by_side(
    service: str, empty_database: SecretStr
) -> None:
    tables = importlib.import_module(f"services.{service}.tables")
    folder = Path(str(tables.__file__)).parent / "migrations"
    await asyncio.gather(migrate(empty_database, folder), migrate(empty_database, folder))
    await migrate(empty_database, folder)
    engine = create_async_engine(empty_database.get_secret_value())
    try:
        async with engine.connect() as connection:
            assert await connection.run_sync(differences, tables.metadata) == []
            changed = type(tables.metadata)()
            for table in tables.metadata.tables.values():
                table.to_metadata(changed)
            changed.tables["inbox"].append_column(Column("forgotten", Text))
            assert len(await connection.run_sync(differences, changed)) == 1, "a difference must be seen"
    finally:
        await engine.dispose()
