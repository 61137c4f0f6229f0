"""A server that speaks S3, as a process of its own, with one bucket."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import boto3
from pydantic import SecretStr

from shared.storage import StorageSettings
from shared.testing.wait import wait_until

BUCKET = "tests"
_KEY_ID, _KEY = "tests", "a key of tests"


def s3_environment(port: int) -> dict[str, str]:
    """How a process is told to reach it."""
    return {
        "S3_ENDPOINT": f"http://127.0.0.1:{port}",
        "S3_ACCESS_KEY_ID": _KEY_ID,
        "S3_SECRET_ACCESS_KEY": _KEY,
        "S3_SECONDS": "30",
    }


def s3_settings(port: int) -> StorageSettings:
    """The same as settings."""
    return StorageSettings(
        s3_endpoint=f"http://127.0.0.1:{port}",
        s3_access_key_id=_KEY_ID,
        s3_secret_access_key=SecretStr(_KEY),
        s3_seconds=30,
    )


@asynccontextmanager
async def s3_server() -> AsyncIterator[int]:
    """The server; gives the port that it took itself, so that nobody else gets it in between."""
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            *(Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", "0"),
            stdout=subprocess.DEVNULL,
            stderr=said,
        )

        async def told() -> int:
            found = re.search(rb"Running on http://127\.0\.0\.1:(\d+)", os.pread(said.fileno(), 10_000, 0))
            return int(found[1]) if found else 0

        try:
            port = await wait_until(told, what="the S3 server", every=0.1)
            client = boto3.client(
                "s3",
                endpoint_url=f"http://127.0.0.1:{port}",
                region_name="us-east-1",
                aws_access_key_id=_KEY_ID,
                aws_secret_access_key=_KEY,
            )
            await asyncio.to_thread(client.create_bucket, Bucket=BUCKET)
            yield port
        finally:
            process.terminate()
            await process.wait()
