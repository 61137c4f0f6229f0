"""Migrations on real PostgreSQL: they make exactly the tables that the code has, and can be run again."""

from __future__ import annotations

import asyncio
import importlib
import shutil
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


async def test_cases_from_before_get_their_marks_and_keep_their_hashes(
    empty_database: SecretStr, tmp_path: Path
) -> None:
    folder = Path(str(importlib.import_module("services.cases.tables").__file__)).parent / "migrations"
    for file in folder.glob("0*.py"):
        if file.name < "0017":
            shutil.copy(file, tmp_path)
    await migrate(empty_database, tmp_path)
    engine = create_async_engine(empty_database.get_secret_value())
    try:
        async with engine.begin() as connection:
            await connection.exec_driver_sql(
                "INSERT INTO cases (id, version, state, deputy_id, county, town, origin, category, urgency, department,"
                " co_handlers, returned, transferred, designated, reopened, provisional, chased, reminded, followers,"
                " sealed, filed_at, changed_at) SELECT gen_random_uuid(), 1, 'withdrawn', gen_random_uuid(), '330203',"
                " '330203001005', 'own', '城乡建设', 'normal', 'housing', '[\"roads\"]', 0, 0, false, 0, false, 0,"
                " false, '[]', 'x', '2022-03-31T23:00:00Z', now()"
            )
            await connection.exec_driver_sql(
                "INSERT INTO case_words SELECT id, '{1,2}', repeat('1', 2048)::bit(2048) FROM cases"
            )
        await migrate(empty_database, folder)
        async with engine.begin() as connection:
            found = await connection.exec_driver_sql(
                "SELECT hashes, bit_count(sketch), marks FROM case_words"
            )
            row = found.mappings().one()
            assert (row["hashes"], row["bit_count"]) == ([1, 2], 2048)
            assert set(row["marks"]) == {
                "d:housing", "d:roads", "c:城乡建设", "p:330203", "p:330203001", "m:2022-03", "s:withdrawn",
            }  # fmt: skip
            await connection.exec_driver_sql("UPDATE cases SET sealed = 'y'")
            assert (await connection.exec_driver_sql("SELECT 1 FROM case_words")).all() == []
    finally:
        await engine.dispose()
