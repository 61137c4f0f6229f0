"""One interface, two kinds of storage: a folder, and a server that speaks S3; the same is proved of both."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import obstore
import pytest
import pytest_asyncio

from shared.storage import Storage, StorageAway, open_storage
from tests.s3_server import BUCKET, s3_server, s3_settings


@pytest_asyncio.fixture(scope="module")
async def s3_port() -> AsyncIterator[int]:
    async with s3_server() as port:
        yield port


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, s3_port: int) -> Storage:
    if request.param == "folder":
        return open_storage((tmp_path / "kept").as_uri())
    return open_storage(f"s3://{BUCKET}/tests/{uuid4()}", s3_settings(s3_port))


async def names(storage: Storage, prefix: str) -> list[str]:
    return sorted([found.name async for found in storage.under(prefix)])


async def test_what_was_put_is_there_whole_replaced_and_removed(storage: Storage) -> None:
    content = bytes(range(256)) * 12_000
    assert await storage.get("a/day=2022-03-04/x.jpg") is None
    await storage.put("a/day=2022-03-04/x.jpg", content)
    assert await storage.get("a/day=2022-03-04/x.jpg") == content
    await storage.put("a/day=2022-03-04/x.jpg", b"new")
    assert await storage.get("a/day=2022-03-04/x.jpg") == b"new"
    for _ in range(2):
        await storage.delete("a/day=2022-03-04/x.jpg")
    assert await storage.look("a/day=2022-03-04/x.jpg") is None


async def test_what_is_large_goes_in_parts_and_appears_whole(storage: Storage) -> None:
    content = bytes(range(256)) * 2**17
    await storage.put("a/large", content)
    assert await storage.get("a/large") == content
    assert await names(storage, "a") == ["a/large"]
    if storage._folder is None:
        assert str((await obstore.head_async(storage._store, "a/large"))["e_tag"]).strip('"').endswith("-4")


@pytest.mark.parametrize("new", [True, False])
def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_folders_after(
    new: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that after a power cut there is no file that is cut short, and none gone of which a put had returned."""
    storage = open_storage((tmp_path / "kept").as_uri())
    path = tmp_path / "kept" / "a" / "b" / "c"
    on_disk: list[tuple[str, bool]] = []
    fsync = os.fsync

    def seen(handle: int) -> None:
        on_disk.append((Path(f"/proc/self/fd/{handle}").readlink().name.partition("#")[0], path.exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", seen)
    asyncio.run(storage.put_new("a/b/c", b"x") if new else storage.put("a/b/c", b"x"))
    assert on_disk == [("c", False), ("b", True), ("a", True), ("kept", True)]
    assert list(path.parent.iterdir()) == [path]
    if new:
        assert asyncio.run(storage.put_new("a/b/c", b"y")) is False
        assert list(path.parent.iterdir()) == [path]
        assert path.read_bytes() == b"x"


async def test_of_many_who_write_a_new_name_one_wins(storage: Storage) -> None:
    written = await asyncio.gather(*(storage.put_new("manifests/1", str(n).encode()) for n in range(8)))
    assert sorted(written) == [False] * 7 + [True]
    assert await storage.get("manifests/1") == str(written.index(True)).encode()


async def test_a_listing_has_names_sizes_and_ages_of_one_prefix_alone(storage: Storage) -> None:
    assert await names(storage, "photos") == []
    for n in range(3):
        await storage.put(f"photos/{n}/x", b"x" * n)
    await storage.put("photos-of-others/1", b"x")
    found = [one async for one in storage.under("photos")]
    assert {one.name: one.size for one in found} == {f"photos/{n}/x": n for n in range(3)}
    assert all(abs(datetime.now(UTC) - one.modified) < timedelta(minutes=1) for one in found)
    looked = await storage.look("photos/2/x")
    assert looked is not None
    assert (looked.name, looked.size) == ("photos/2/x", 2)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "A", "a b", "a\0", "ä"])
async def test_no_name_leads_out(storage: Storage, name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        await storage.put(name, b"x")
    with pytest.raises(ValueError, match="no name"):
        await storage.get(name)


async def test_storage_that_does_not_answer_is_said_to_be_away(tmp_path: Path) -> None:
    async with s3_server() as port:
        s3 = open_storage(f"s3://{BUCKET}/x", s3_settings(port))
        await s3.put("a", b"x")
    (tmp_path / "a").write_bytes(b"no folder")
    for storage, name in ((s3, "a"), (open_storage(tmp_path.as_uri()), "a/b")):
        with pytest.raises(StorageAway) as failed:
            await storage.put(name, b"x")
        assert str(tmp_path) not in str(failed.value)
        assert "127.0.0.1" not in str(failed.value)
    with pytest.raises(StorageAway):
        await s3.get("a")
    with pytest.raises(StorageAway):
        await names(s3, "a")


async def test_a_bucket_that_is_not_there_is_away_and_not_empty(s3_port: int) -> None:
    storage = open_storage("s3://nowhere/x", s3_settings(s3_port))
    with pytest.raises(StorageAway):
        await storage.put("a", b"x")
    with pytest.raises(StorageAway):
        await names(storage, "a")


@pytest.mark.parametrize("url", ["", "/var/photos", "file://host/x", "http://x/y", "s3:///x", "ftp://x/y"])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="a storage is"):
        open_storage(url)
