"""A warehouse of a test's own over a stack's log: rounds as processes, questions in SQL."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from deploy.local.runfolder import CHECKOUT
from deploy.local.stack import LocalStack
from shared.storage import Storage, StorageSettings, open_storage
from tests.s3_server import BUCKET, s3_environment, s3_settings
from warehouse import reading

SIGKILLED = -9


@dataclass
class House:
    """A warehouse in a folder or, with `env`, on S3."""

    stack: LocalStack
    url: str
    settings: StorageSettings | None = None
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def on_s3(cls, stack: LocalStack, port: int, name: str) -> House:
        return cls(stack, f"s3://{BUCKET}/{name}", s3_settings(port), s3_environment(port))

    @property
    def storage(self) -> Storage:
        return open_storage(self.url, self.settings)

    def _run(self, more: dict[str, str], what: str = "once") -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ,
            **self.stack.env_for("warehouse"),
            "ENVIRONMENT": "test",
            "HTTP_PORT": "0",
            "WAREHOUSE_URL": self.url,
            **self.env,
            **more,
        }
        command = [sys.executable, "-m", "warehouse", what]
        return subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False)

    async def round(self, **more: str) -> dict[str, int]:
        done = await asyncio.to_thread(self._run, more)
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    async def killed_round(self, point: str) -> None:
        done = await asyncio.to_thread(self._run, {"FAILPOINT": point})
        assert done.returncode == SIGKILLED, done.stdout + done.stderr
        assert f"failpoint reached: {point}" in done.stderr

    async def compaction(self) -> None:
        done = await asyncio.to_thread(self._run, {"WAREHOUSE_COMPACT_ROWS": "1"}, "compact")
        assert done.returncode == 0, done.stdout + done.stderr

    async def killed_compaction(self) -> None:
        more = {"WAREHOUSE_COMPACT_ROWS": "1", "FAILPOINT": "facts-written"}
        done = await asyncio.to_thread(self._run, more, "compact")
        assert done.returncode == SIGKILLED, done.stdout + done.stderr

    async def grow_old(self, folder: str) -> None:
        """Two days pass for what is there; of a local folder alone."""
        long_ago = time.time() - 2 * 86_400
        async for found in self.storage.under(folder):
            os.utime(Path(urlsplit(self.url).path) / found.name, (long_ago, long_ago))

    async def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in (await reading.query(self.url, sql, self.settings)).rows]

    async def ids(self, table: str = "case_filed") -> list[UUID]:
        return [row[0] for row in await self.ask(f"SELECT id FROM {table}")]

    async def everything(self) -> Sequence[tuple[Any, ...]]:
        """Every cell of every row of every file that counts."""
        found = await reading.contents(self.storage)
        return [row for table in found.tables for row in await self.ask(f'SELECT * FROM "{table}"')]
