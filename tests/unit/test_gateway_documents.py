"""Uploads of documents: only pages come in, nothing that acts or tells of its maker, and every other file gets its code."""

from __future__ import annotations

import io
import json
import os
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pikepdf import Array, Dictionary, Name, Pdf
from PIL import Image

from gateway import rewrite
from gateway.uploads import Quarantine, made_anew
from shared.http.problems import Problem
from tests.document_files import (
    ACTING,
    DESCRIBING,
    TELLING,
    changed,
    document,
    encrypted,
    in_layers,
    legible,
    secrets,
)
from tests.gateway_door import Door, Said, door
from tests.gateway_door import settings as gateway_settings
from tests.photo_files import GPS_MARK, HTML, MAKER, photo

DAY = 86_400
CASE = "018f3a00-0000-7000-8000-00000000aaaa"


@pytest.fixture
def at() -> Door:
    return door()


async def upload(at: Door, content: bytes, *, role: Any = "department", path: str = "/api/documents") -> Said:
    headers = {"content-type": "application/pdf"}
    return await at.ask("POST", path, role=role, raw=content, headers=headers)


async def answer(at: Door, *documents: str) -> Said:
    content = {"result": "solved", "text": "见附件", "documents": documents}
    return await at.ask("POST", f"/api/cases/{CASE}/answer", role="department", content=content)


def of(answered: bytes) -> tuple[dict[str, Any], bytes]:
    first, _, rest = answered.partition(b"\n")
    return json.loads(first), rest


def words_of(content: bytes) -> str:
    """What a reader shows of the first page."""
    with pypdfium2.PdfDocument(content) as pdf:
        return str(pdf[0].get_textpage().get_text_range())


def test_nothing_that_acts_is_inside_or_tells_of_the_maker_is_left_of_a_document() -> None:
    given_file = document(pages=2)
    for mark in (*ACTING, *DESCRIBING, *TELLING):
        assert mark.encode() in legible(given_file), mark
    said, clean = of(rewrite.answer(given_file))
    assert said == {"pages": 2, "sizes": [len(clean)]}
    assert [mark for mark in secrets() if mark in legible(clean)] == []
    with Pdf.open(io.BytesIO(clean)) as pdf:
        assert set(pdf.Root.keys()) == {"/Type", "/Pages"}
        assert "/Info" not in pdf.trailer
        assert pdf.check_pdf_syntax() == []


def test_what_was_seen_is_still_seen_and_what_was_hidden_is_not() -> None:
    words = words_of(of(rewrite.answer(document()))[1])
    assert "REPORT-WORDS 0" in words
    assert "FIELD-WORDS" in words
    assert "HIDDEN-WORDS" not in words


def test_a_layer_that_was_hidden_stays_hidden_and_does_not_name_its_maker() -> None:
    assert b"LAYER-AUTHOR" in legible(in_layers())
    _, clean = of(rewrite.answer(in_layers()))
    assert b"LAYER-AUTHOR" not in legible(clean)
    with Pdf.open(io.BytesIO(clean)) as pdf:
        (hidden,) = pdf.Root.OCProperties.D.OFF
        assert hidden.Name == "unseen"
        assert hidden.objgen == pdf.pages[0].Resources.Properties.L2.objgen


def test_the_same_document_gives_the_same_bytes() -> None:
    assert rewrite.answer(document()) == rewrite.answer(document())


REFUSED = {
    "html": (HTML, 415, "document-type-not-allowed"),
    "photo": (photo(64, 48), 415, "document-type-not-allowed"),
    "one byte": (b"%", 415, "document-type-not-allowed"),
    "password": (encrypted("secret"), 422, "document-encrypted"),
    "restricted": (encrypted(""), 422, "document-encrypted"),
    "heading alone": (b"%PDF-1.7\n" + b"\0" * 64, 422, "document-unreadable"),
    "cut": (document()[:-200], 422, "document-unreadable"),
    "no page": (document(pages=0), 422, "document-unreadable"),
    "301 pages": (document(pages=301), 422, "document-too-many-pages"),
    "rendered by its reader": (changed(document(), NeedsRendering=True), 422, "document-form"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_each_wrong_file_is_a_problem_with_its_code_and_says_what_to_do(at: Door, name: str) -> None:
    content, status, code = REFUSED[name]
    said = await upload(at, content)
    assert (said.status, said.code) == (status, code)
    assert any(word in said.body["detail"] for word in ("send", "Send", "save", "must be"))


def test_a_form_whose_values_are_nowhere_drawn_is_refused_as_they_would_be_lost() -> None:
    with Pdf.open(io.BytesIO(document())) as pdf:
        pdf.Root.AcroForm[Name.NeedAppearances] = True
        out = io.BytesIO()
        pdf.save(out)
    assert of(rewrite.answer(out.getvalue())) == ({"refused": "document-form"}, b"")


def marked(kind: Name, **more: Any) -> dict[str, Any]:
    """What is said of a document with one more annotation, which has no picture of itself."""
    with Pdf.open(io.BytesIO(document())) as pdf:
        note = Dictionary(Type=Name.Annot, Subtype=kind, Rect=Array([9, 9, 99, 99]), Contents="x", **more)
        found = pdf.make_indirect(note)
        pdf.pages[0].obj.Annots.append(found)
        if kind == Name.Widget:
            pdf.Root.AcroForm.Fields.append(found)
        out = io.BytesIO()
        pdf.save(out, fix_metadata_version=False)
    return of(rewrite.answer(out.getvalue()))[0]


def test_a_mark_or_value_that_only_a_reader_would_draw_is_refused_as_it_would_be_lost() -> None:
    for kind in (Name.FreeText, Name.Ink, Name.Highlight, Name.Stamp):
        assert marked(kind) == {"refused": "document-form"}
        assert marked(kind, F=2)["pages"] == 1, "a hidden one is seen nowhere"
    assert marked(Name.Text)["pages"] == 1, "a comment behind its icon is no part of the page"
    assert marked(Name.Widget, FT=Name.Tx, V="filled") == {"refused": "document-form"}
    assert marked(Name.Widget, FT=Name.Tx)["pages"] == 1
    assert marked(Name.Widget, FT=Name.Sig, V=Dictionary())["pages"] == 1


def test_a_picture_that_unpacks_to_more_than_a_document_may_have_is_refused() -> None:
    cut = b"\xff\xd8\xff\xda\x00\x02" + b"\0" * rewrite.BYTES_MAX + b"\xff\xd9"
    with Pdf.new() as pdf:
        page = pdf.add_blank_page().obj
        picture = pdf.make_stream(b"", Type=Name.XObject, Subtype=Name.Image, Width=1, Height=1)
        picture.write(zlib.compress(cut), filter=Array([Name.FlateDecode, Name.DCTDecode]))
        page.Resources = Dictionary(XObject=Dictionary(P1=picture))
        out = io.BytesIO()
        pdf.save(out)
    assert len(out.getvalue()) < 100_000
    assert of(rewrite.answer(out.getvalue())) == ({"refused": "document-too-large"}, b"")


async def test_a_document_is_kept_under_its_digest_and_a_command_may_name_it(at: Door) -> None:
    said = await upload(at, document("KEPT"))
    assert (said.status, said.body["pages"]) == (201, 1)
    digest = said.body["digest"]
    assert (await upload(at, document("KEPT"))).body["digest"] == digest
    assert (await answer(at, digest)).status == 200
    assert at.post.sent[-1][1].data["documents"] == [digest]
    supplied = {"text": "见附件", "documents": [digest]}
    said = await at.ask("POST", f"/api/cases/{CASE}/supply", role="deputy", content=supplied)
    assert said.status == 200
    assert at.post.sent[-1][1].data["documents"] == [digest]


async def test_a_command_naming_what_is_no_uploaded_document_is_not_sent(at: Door) -> None:
    picture = (await upload(at, photo(64, 48), path="/api/photos")).body["digest"]
    for named, code in (
        (["0" * 64], "document-unknown"),
        ([picture], "document-unknown"),
        (["../../etc/passwd"], "invalid-request"),
        (["0" * 64] * 6, "invalid-request"),
    ):
        said = await answer(at, *named)
        assert (said.status, said.code) == (422, code)
    assert at.post.sent == []


async def test_a_case_is_filed_without_documents(at: Door) -> None:
    content = {"title": "井盖", "text": "破损", "county": "330203", "documents": []}
    said = await at.ask("POST", "/api/cases", role="deputy", content=content)
    assert (said.status, said.code) == (422, "invalid-request")


async def test_who_is_not_signed_in_or_may_not_attach_uploads_nothing(at: Door) -> None:
    assert (await upload(at, document(), role=None)).code == "not-signed-in"
    assert (await upload(at, document(), role="simulation")).code == "role-not-allowed"


async def test_a_body_over_10_mb_is_413_and_an_empty_one_422(at: Door) -> None:
    said = await at.ask("POST", "/api/documents", role="deputy", headers={"content-length": "10485761"})
    assert (said.status, said.code) == (413, "too-large")
    assert (await upload(at, b"")).code == "document-unreadable"


async def test_photos_and_documents_of_an_hour_are_counted_together() -> None:
    at = door(photos_per_hour_max=3)
    at.person = uuid4()
    assert (await upload(at, HTML, path="/api/photos")).status == 415
    assert [(await upload(at, HTML)).status for _ in range(2)] == [415, 415]
    assert (await upload(at, HTML)).code == "too-many-documents"
    assert (await upload(at, HTML, path="/api/photos")).code == "too-many-photos"
    at.person = uuid4()
    assert (await upload(at, HTML)).code == "document-type-not-allowed"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_rubbish_is_refused_or_comes_out_with_nothing_that_acts(data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        content = b"%PDF-1.7\n" + data.draw(st.binary(max_size=600))
    else:
        broken = bytearray(document())
        for _ in range(data.draw(st.integers(1, 12))):
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
        content = bytes(broken[: data.draw(st.integers(0, len(broken)) | st.just(len(broken)))])
    said, clean = of(rewrite.answer(content))
    if "refused" in said:
        assert said["refused"].startswith("document-")
        assert clean == b""
    else:
        assert [mark for mark in ACTING if mark.encode() in legible(clean)] == []


def test_a_photo_in_a_document_keeps_its_pixels_and_loses_what_its_camera_wrote() -> None:
    given_photo = photo(64, 48)
    clean = rewrite.without_notes(given_photo + b"VIDEO-BEHIND-THE-PHOTO")
    for mark in (GPS_MARK, MAKER.encode(), b"Exif", b"ICC_PROFILE", b"VIDEO"):
        assert mark not in clean
    assert Image.open(io.BytesIO(clean)).tobytes() == Image.open(io.BytesIO(given_photo)).tobytes()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 1500))
def test_a_broken_photo_in_a_document_is_refused_or_ends_where_a_photo_ends(rubbish: bytes, cut: int) -> None:
    broken = photo(64, 48)[:cut] + rubbish
    with suppress(rewrite.Refused):
        clean = rewrite.without_notes(broken)
        assert (clean[:2], clean[-2:]) == (b"\xff\xd8", b"\xff\xd9")


async def test_the_parser_has_nothing_of_ours_and_may_die_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIGEST_KEY", "secret")
    monkeypatch.setattr(rewrite, "__file__", str(Path(__file__).parents[1] / "decoder_of_tests.py"))
    assert (await made_anew("document", b"environment"))[0] == {"width": 0, "height": 0}
    with pytest.raises(Problem) as failed:
        await made_anew("document", b"die")
    assert failed.value.code == "document-unreadable"


async def test_documents_leave_the_quarantine_as_photos_do(tmp_path: Path) -> None:
    quarantine = Quarantine(gateway_settings(quarantine_url=tmp_path.as_uri()))
    young, old, claimed = [await quarantine.keep("document", f"document {n}".encode()) for n in range(3)]
    await quarantine.claim("document", [claimed])
    then = time.time() - DAY - 60
    for digest in (old, claimed):
        os.utime(tmp_path / "documents" / digest, (then, then))
    assert await quarantine.sweep() == 1
    assert {path.name for path in (tmp_path / "documents").iterdir()} == {young, claimed}
