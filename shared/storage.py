"""Objects under names: one small interface over a local folder and S3-compatible storage, by configuration.

`file:///var/lib/photos` is a folder, `s3://bucket/prefix` a bucket; the rest of S3 stands in
`StorageSettings`. Invariants: an object appears whole or not at all; what `put` returned from has reached
the disk, or the other side's promise of it; names are lower-case letters, digits and `_ - = . /`, so that
no input leads out of the folder; a storage that does not answer is `StorageAway`, an `OSError`, which
callers treat like a database that is away.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_NAME = re.compile(r"[a-z0-9_=-][a-z0-9_.=-]*(/[a-z0-9_=-][a-z0-9_.=-]*)*")
_ATTEMPTS = 3
_IN_PARTS, _PART = 16 * 2**20, 8 * 2**20
"""What is larger goes to a bucket in parts, each a request of its own: one has `s3_seconds`, whatever its size."""


class StorageAway(OSError):  # noqa: N818 - a finding, like BlockingIOError
    """The storage did not answer, or refused us; nothing is known about the object."""


class StorageSettings(BaseSettings):
    """How to reach S3-compatible storage; without keys those of the environment or machine are used.

    `s3_endpoint` is for others than Amazon (MinIO, Ceph, OSS, OBS); `s3_seconds` is the limit of one request.
    """

    s3_endpoint: str | None = None
    s3_region: str = "us-east-1"
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    s3_virtual_hosted: bool = Field(default=False, description="bucket in the host name, not in the path")
    s3_seconds: float = Field(default=10.0, gt=0, le=300)


@dataclass(frozen=True)
class Stored:
    """An object as a listing shows it; `size` in bytes."""

    name: str
    size: int
    modified: datetime


class Storage:
    """Objects of one folder or bucket."""

    def __init__(self, store: ObjectStore, folder: Path | None) -> None:
        self._store = store
        self._folder = folder

    async def put(self, name: str, content: bytes) -> None:
        """Write an object, in the place of one of that name. Raises StorageAway."""
        await self._put(name, content, "overwrite")

    async def put_new(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one of that name; whether it was written. Raises StorageAway."""
        return await self._put(name, content, "create")

    async def _put(self, name: str, content: bytes, mode: Any) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        _check(name)
        in_parts = mode == "overwrite" and len(content) > _IN_PARTS
        try:
            if self._folder is not None:
                return await asyncio.to_thread(_to_disk, self._folder, name, content, mode)
            await obstore.put_async(
                self._store,
                name,
                content,
                mode=mode,
                use_multipart=in_parts,
                chunk_size=_PART,
                max_concurrency=4,
            )
        except AlreadyExistsError:
            return False
        except Exception as error:
            raise _away(error) from error
        return True

    async def get(self, name: str) -> bytes | None:
        """An object's content, or None where there is none. Raises StorageAway."""
        import obstore

        _check(name)
        try:
            found = await obstore.get_async(self._store, name)
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except Exception as error:
            raise _away(error) from error

    async def look(self, name: str) -> Stored | None:
        """Size and age of an object, or None where there is none. Raises StorageAway."""
        import obstore

        _check(name)
        try:
            found = await obstore.head_async(self._store, name)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise _away(error) from error
        return Stored(found["path"], found["size"], found["last_modified"])

    async def delete(self, name: str) -> None:
        """Remove an object; one that is not there is removed already. Raises StorageAway."""
        import obstore

        _check(name)
        try:
            await obstore.delete_async(self._store, name)
        except FileNotFoundError:
            return
        except Exception as error:
            raise _away(error) from error

    async def under(self, prefix: str) -> AsyncIterator[Stored]:
        """The objects under `prefix/`, in no order. Raises StorageAway."""
        import obstore

        _check(prefix)
        try:
            async for page in obstore.list(self._store, prefix, chunk_size=500):
                for found in page:
                    yield Stored(found["path"], found["size"], found["last_modified"])
        except FileNotFoundError:
            return
        except Exception as error:
            raise _away(error) from error


def open_storage(url: str, settings: StorageSettings | None = None) -> Storage:
    """The storage at `file:///folder` (made where it is missing, for its owner alone) or `s3://bucket/prefix`.

    Raises ValueError for another address.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        from obstore.store import LocalStore

        folder = Path(unquote(parts.path))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Storage(LocalStore(folder), folder)
    if parts.scheme == "s3" and parts.netloc:
        from obstore.store import S3Store

        return Storage(
            S3Store(parts.netloc, prefix=parts.path.strip("/") or None, **s3_options(settings)), None
        )
    raise ValueError("a storage is file:///folder or s3://bucket/prefix")


def s3_options(settings: StorageSettings | None) -> dict[str, Any]:
    """The library's options for a bucket."""
    found = settings or StorageSettings()
    seconds = timedelta(seconds=found.s3_seconds)
    options: dict[str, Any] = {
        "region": found.s3_region,
        "virtual_hosted_style_request": found.s3_virtual_hosted,
        "client_options": {"timeout": seconds, "connect_timeout": min(seconds, timedelta(seconds=3))},
        "retry_config": {"max_retries": _ATTEMPTS - 1, "retry_timeout": seconds},
    }
    if found.s3_endpoint is not None:
        options["endpoint"] = found.s3_endpoint
        options["client_options"]["allow_http"] = found.s3_endpoint.startswith("http://")
    if found.s3_access_key_id is not None:
        options["access_key_id"] = found.s3_access_key_id
    if found.s3_secret_access_key is not None:
        options["secret_access_key"] = found.s3_secret_access_key.get_secret_value()
    return options


def _check(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError("no name of an object")


def _away(error: Exception) -> StorageAway:
    """What to raise instead; the library's text may hold addresses, so only its kind is kept."""
    return StorageAway(f"storage: {type(error).__name__}")


def _to_disk(folder: Path, name: str, content: bytes, mode: str) -> bool:
    """Make a file that lasts through a power cut, with its name and its folders, and is whole whenever it happens."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f"{path.name}#{secrets.randbelow(10**18)}")  # a name that no list shows
    try:
        with staged.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mode == "overwrite":
            staged.replace(path)
        else:
            os.link(staged, path)
    except FileExistsError:
        return False
    finally:
        staged.unlink(missing_ok=True)
    for found in (path.parent, *path.parent.parents):
        _names_to_disk(found)
        if found == folder:
            break
    return True


def _names_to_disk(folder: Path) -> None:
    """One that was removed meanwhile needs nothing."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
