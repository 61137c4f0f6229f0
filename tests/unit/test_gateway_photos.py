"""Uploads of photos: only clean pictures come in, every other file gets its code, and quarantine is left in time."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gateway import reencode
from gateway.uploads import Quarantine, made_anew
from shared.http.problems import Problem
from tests.gateway_door import Door, Said, door
from tests.gateway_door import settings as gateway_settings
from tests.photo_files import GPS_MARK, HEIC, HTML, MAKER, SVG, photo, png_that_says

DAY = 86_400
CASE = {"title": "井盖", "text": "路口窨井盖破损。", "county": "330203"}


@pytest.fixture
def at() -> Door:
    return door()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "quarantine"


@pytest.fixture
def quarantine(folder: Path) -> Quarantine:
    return Quarantine(gateway_settings(quarantine_url=folder.as_uri()))


async def upload(at: Door, content: bytes, *, role: Any = "deputy", kind: str = "image/jpeg") -> Said:
    return await at.ask("POST", "/api/photos", role=role, raw=content, headers={"content-type": kind})


def of(answer: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    first, _, rest = answer.partition(b"\n")
    said = json.loads(first)
    length = said.get("sizes", [0])[0]
    return said, rest[:length], rest[length:]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_no_byte_of_the_uploads_metadata_is_left_in_photo_or_thumbnail(kind: str) -> None:
    given_file = photo(kind=kind)
    assert MAKER.encode() in given_file
    said, full, thumbnail = of(reencode.answer(given_file))
    assert (said["width"], said["height"]) == (640, 480)
    for found in (full, thumbnail):
        picture = Image.open(io.BytesIO(found))
        assert picture.format == "JPEG"
        assert not picture.getexif()
        assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        for mark in (GPS_MARK, MAKER.encode(), b"Exif", b"ICC_PROFILE", b"2022:03:04"):
            assert mark not in found
    assert max(Image.open(io.BytesIO(thumbnail)).size) == reencode.THUMBNAIL_SIDE


def test_a_photo_is_turned_as_it_was_held_and_made_small_enough() -> None:
    said, full, _ = of(reencode.answer(photo(4000, 3000, turned=True)))
    assert (said["width"], said["height"]) == (1920, 2560) == Image.open(io.BytesIO(full)).size


def test_what_is_behind_transparency_does_not_show_and_the_same_file_gives_the_same_bytes() -> None:
    out = io.BytesIO()
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(out, "PNG")
    answer = reencode.answer(out.getvalue())
    assert answer == reencode.answer(out.getvalue())
    assert Image.open(io.BytesIO(of(answer)[1])).getpixel((32, 32)) == (255, 255, 255)


REFUSED = {
    "heic": (HEIC, 415, "photo-heic"),
    "html": (HTML, 415, "photo-type-not-allowed"),
    "svg": (SVG, 415, "photo-type-not-allowed"),
    "gif": (b"GIF89a" + b"\0" * 64, 415, "photo-type-not-allowed"),
    "pdf": (b"%PDF-1.7\n" + b"\0" * 64, 415, "photo-type-not-allowed"),
    "one byte": (b"\xff", 415, "photo-type-not-allowed"),
    "bomb": (png_that_says(30_000, 30_000), 422, "photo-too-many-pixels"),
    "line": (png_that_says(1_000_000, 1), 422, "photo-too-many-pixels"),
    "cut": (photo()[:3000], 422, "photo-unreadable"),
    "empty inside": (png_that_says(4000, 4000), 422, "photo-unreadable"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_each_wrong_file_is_a_problem_with_its_code_whatever_it_calls_itself(
    at: Door, name: str
) -> None:
    content, status, code = REFUSED[name]
    said = await upload(at, content, kind="image/jpeg")
    assert (said.status, said.code) == (status, code)


async def test_a_photo_is_kept_under_its_digest_and_a_command_may_name_it(at: Door) -> None:
    said = await upload(at, photo(kind="PNG"), kind="text/html")
    assert said.status == 201
    digest = said.body["digest"]
    assert (await upload(at, photo(kind="PNG"))).body["digest"] == digest
    filed = await at.ask("POST", "/api/cases", role="deputy", content={**CASE, "photos": [digest, digest]})
    assert filed.status == 200
    assert at.post.sent[-1][1].data["photos"] == [digest, digest]


@pytest.mark.parametrize(
    ("photos", "code"),
    [
        (["0" * 64], "photo-unknown"),
        (["../../etc/passwd"], "invalid-request"),
        (["0" * 64] * 10, "invalid-request"),
    ],
)
async def test_a_command_naming_what_was_not_uploaded_is_not_sent(
    at: Door, photos: list[str], code: str
) -> None:
    said = await at.ask("POST", "/api/cases", role="deputy", content={**CASE, "photos": photos})
    assert (said.status, said.code) == (422, code)
    assert at.post.sent == []


async def test_who_is_not_signed_in_or_may_not_file_uploads_nothing(at: Door) -> None:
    assert (await upload(at, photo(), role=None)).code == "not-signed-in"
    assert (await upload(at, photo(), role="simulation")).code == "role-not-allowed"


async def test_a_body_over_10_mb_is_413_and_an_empty_one_422(at: Door) -> None:
    said = await at.ask("POST", "/api/photos", role="deputy", headers={"content-length": "10485761"})
    assert (said.status, said.code) == (413, "too-large")
    assert (await upload(at, b"")).code == "photo-unreadable"


async def test_after_so_many_uploads_in_an_hour_a_person_is_asked_to_wait() -> None:
    at = door(photos_per_hour_max=2)
    first = [(await upload(at, HTML)).status for _ in range(3)]
    assert first == [415, 415, 429]
    at.person = uuid4()
    assert (await upload(at, HTML)).code == "photo-type-not-allowed"


async def test_a_storage_that_is_away_is_a_503_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "thumbnails").write_text("where a folder should be")
    at = door(quarantine_url=tmp_path.as_uri())
    said = await upload(at, photo())
    assert (said.status, said.code) == (503, "storage-away")
    assert said.headers["retry-after"]


@pytest.fixture(scope="module")
def seeds() -> list[bytes]:
    return [photo(64, 48, kind) for kind in ("JPEG", "PNG", "WEBP")]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rubbish_is_refused_or_comes_out_as_a_clean_picture(seeds: list[bytes], data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        content = data.draw(st.binary(max_size=600))
    else:
        content = bytearray(data.draw(st.sampled_from(seeds)))
        for _ in range(data.draw(st.integers(1, 12))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        content = bytes(content[: data.draw(st.integers(0, len(content)))])
    said, full, thumbnail = of(reencode.answer(content))
    if "refused" in said:
        assert said["refused"] in {
            "photo-heic",
            "photo-type-not-allowed",
            "photo-too-many-pixels",
            "photo-unreadable",
        }
    else:
        assert Image.open(io.BytesIO(full)).size == (said["width"], said["height"])
        assert Image.open(io.BytesIO(thumbnail)).format == "JPEG"
        assert MAKER.encode() not in full


async def test_the_decoder_has_nothing_of_ours_and_may_die_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGEST_KEY", "secret")
    monkeypatch.setattr(reencode, "__file__", str(Path(__file__).parents[1] / "decoder_of_tests.py"))
    assert await made_anew("photo", b"environment") == ({"width": 0, "height": 0}, [b"", b""])
    with pytest.raises(Problem) as failed:
        await made_anew("photo", b"die")
    assert failed.value.code == "photo-unreadable"


def aged(folder: Path, kind: str, digest: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(folder / kind / digest, (then, then))


async def test_an_unclaimed_photo_goes_after_a_day_and_a_claimed_one_when_its_command_must_be_done(
    quarantine: Quarantine, folder: Path
) -> None:
    digests = [await quarantine.keep("photo", f"photo {n}".encode(), b"small") for n in range(4)]
    young, old, claimed, old_claim = digests
    await quarantine.claim("photo", [claimed, old_claim])
    for digest in (old, claimed, old_claim):
        aged(folder, "photos", digest, DAY + 60)
    aged(folder, "claims", old_claim, 9 * DAY)
    assert await quarantine.sweep() == 2
    assert {path.name for path in (folder / "photos").iterdir()} == {young, claimed}
    assert {path.name for path in (folder / "thumbnails").iterdir()} == {young, claimed}
    assert {path.name for path in (folder / "claims").iterdir()} == {claimed}


async def test_a_photo_in_its_last_minute_can_no_longer_be_named_unless_it_was(
    quarantine: Quarantine, folder: Path
) -> None:
    digest = await quarantine.keep("photo", b"photo", b"small")
    aged(folder, "photos", digest, DAY - 30)
    with pytest.raises(Problem, match="photo-unknown"):
        await quarantine.claim("photo", [digest])
    await quarantine.keep("photo", b"photo", b"small")  # uploaded again
    await quarantine.claim("photo", [digest])
    aged(folder, "photos", digest, DAY + 30)
    await quarantine.claim("photo", [digest])


async def test_a_thumbnail_without_its_photo_goes_too(quarantine: Quarantine, folder: Path) -> None:
    digest = await quarantine.keep("photo", b"photo", b"small")
    (folder / "photos" / digest).unlink()
    aged(folder, "thumbnails", digest, DAY + 60)
    assert await quarantine.sweep() == 0
    assert list((folder / "thumbnails").iterdir()) == []


def test_the_quarantine_is_for_its_owner_alone(at: Door, quarantine: Quarantine, folder: Path) -> None:
    assert quarantine._storage
    assert folder.stat().st_mode & 0o077 == 0
    assert urlsplit(folder.as_uri()).scheme == "file"
