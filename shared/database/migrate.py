"""Brings a service's database to the newest version: a one-shot job, never a side effect of a start.

Invariants: forward only; one migration at a time (advisory lock); a migration that cannot get its
locks within five seconds gives up instead of queueing in front of the service's own work.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr
from sqlalchemy import Connection, MetaData, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK = 727_001


def _config(migrations: Path) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "alembic"))
    config.set_main_option("version_locations", str(migrations))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection, migrations: Path) -> None:
    from alembic import command

    connection.execute(
        text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK}
    )  # waits for another migration
    connection.execute(text("SET lock_timeout = '5s'"))
    config = _config(migrations)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def migrate(url: SecretStr, migrations: Path) -> None:
    """Run every migration in the folder that the database has not seen; raises the database's errors."""
    engine = create_async_engine(url.get_secret_value(), poolclass=pool.NullPool, hide_parameters=True)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, migrations)
    finally:
        await engine.dispose()


def run_script(connection: Connection, script: str) -> None:
    """Run a script of several SQL statements in the migration's transaction (`op.get_bind()`)."""
    connection.exec_driver_sql("SELECT 1")  # begins the driver's transaction, which is lazy
    driver = connection.connection.dbapi_connection
    driver.run_async(lambda session: session.execute(script))  # type: ignore[union-attr]


def differences(connection: Connection, metadata: MetaData) -> list[object]:
    """What the database's schema and the tables in the code disagree on; empty when they are equal."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))
