"""PDFs made by hand for tests: one with everything in it that acts or tells of its maker, and files that are none."""

from __future__ import annotations

import io
from functools import cache

from pikepdf import Array, Dictionary, Encryption, Name, ObjectStreamMode, Pdf, Stream, StreamDecodeLevel

from tests.photo_files import GPS_MARK, MAKER, photo

AUTHOR = "AN-AUTHOR-OF-DOCUMENTS"
TELLING = (AUTHOR, "SCRIPT-MARK", "XMP-MARK", "XFA-MARK", "INSIDE-MARK", "PRIVATE-MARK", "NOTE-MARK")
"""Words that no document may keep."""
ACTING = [
    "/JavaScript",
    "/JS",
    "/OpenAction",
    "/AA",
    "/Launch",
    "/URI",
    "/EmbeddedFile",
    "/XFA",
    "/AcroForm",
    "/Annots",
]
"""Names that stand for what acts or can be filled in, and for files inside."""
DESCRIBING = ["/Metadata", "/PieceInfo", "/Info", "/Names"]
"""Names that stand for what tells of the maker."""


@cache
def document(words: str = "REPORT-WORDS", *, pages: int = 1) -> bytes:
    """A PDF whose page shows some words, a filled field and a photo, with everything behind it that may not stay."""
    pdf = Pdf.new()
    font = pdf.make_indirect(Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica))
    resources = Dictionary(Font=Dictionary(F1=font))
    script = pdf.make_indirect(Dictionary(Type=Name.Action, S=Name.JavaScript, JS="app.alert('SCRIPT-MARK')"))
    inside = pdf.make_stream(b"INSIDE-MARK", Type=Name.EmbeddedFile)
    file = pdf.make_indirect(Dictionary(Type=Name.Filespec, F="INSIDE-MARK.exe", EF=Dictionary(F=inside)))

    def xmp() -> Stream:
        return pdf.make_stream(b"<x:xmpmeta>XMP-MARK</x:xmpmeta>", Type=Name.Metadata, Subtype=Name.XML)

    def drawn(text: str) -> Stream:
        content = f"BT /F1 12 Tf 2 5 Td ({text}) Tj ET".encode()
        form = pdf.make_stream(content, Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 200, 20]))
        form.Resources = resources
        form.PieceInfo = Dictionary(App=Dictionary(Private="PRIVATE-MARK"))
        return form

    picture = pdf.make_stream(
        b"",
        Type=Name.XObject,
        Subtype=Name.Image,
        Width=64,
        Height=48,
        ColorSpace=Name.DeviceRGB,
        BitsPerComponent=8,
        Metadata=xmp(),
    )
    picture.write(photo(64, 48), filter=Name.DCTDecode)

    def annotation(kind: Name, height: int, **more: object) -> Dictionary:
        rectangle = Array([100, height, 300, height + 20])
        found = Dictionary(Type=Name.Annot, Subtype=kind, Rect=rectangle, F=4, Contents="NOTE-MARK", **more)
        return pdf.make_indirect(found)

    field = annotation(
        Name.Widget,
        100,
        FT=Name.Tx,
        T="field",
        V="FIELD-WORDS",
        AP=Dictionary(N=drawn("FIELD-WORDS")),
        A=script,
        AA=Dictionary(E=script),
    )
    hidden = annotation(Name.FreeText, 140, AP=Dictionary(N=drawn("HIDDEN-WORDS")))
    hidden.F = 2
    acting = [
        annotation(Name.Link, 180, A=Dictionary(S=Name.Launch, F="SCRIPT-MARK.exe")),
        annotation(
            Name.Link, 220, A=Dictionary(S=Name.URI, URI="http://example.org/SCRIPT-MARK", Next=script)
        ),
        annotation(Name.FileAttachment, 260, FS=file),
    ]
    for number in range(pages):
        page = pdf.add_blank_page(page_size=(595, 842)).obj
        content = f"BT /F1 12 Tf 50 700 Td ({words} {number}) Tj ET q 64 0 0 48 50 600 cm /P1 Do Q"
        page.Contents = pdf.make_stream(content.encode())
        page.Resources = Dictionary(Font=Dictionary(F1=font), XObject=Dictionary(P1=picture))
        page.AA = Dictionary(O=script)
        page.Metadata = xmp()
        page.PieceInfo = Dictionary(App=Dictionary(Private="PRIVATE-MARK"))
        if number == 0:
            page.Annots = Array([field, hidden, *acting])
    root = pdf.Root
    root.OpenAction = script
    root.AA = Dictionary(WC=script)
    root.Names = Dictionary(
        JavaScript=Dictionary(Names=Array(["x", script])), EmbeddedFiles=Dictionary(Names=Array(["f", file]))
    )
    root.AcroForm = Dictionary(Fields=Array([field]), XFA=pdf.make_stream(b"XFA-MARK"))
    root.Metadata = xmp()
    pdf.docinfo["/Author"] = AUTHOR
    return _saved(pdf)


def in_layers() -> bytes:
    """A PDF with a layer that shows and one that does not."""
    pdf = Pdf.new()
    seen, unseen = (
        pdf.make_indirect(Dictionary(Type=Name.OCG, Name=name, Usage=Dictionary(CreatorInfo="LAYER-AUTHOR")))
        for name in ("seen", "unseen")
    )
    page = pdf.add_blank_page().obj
    page.Resources = Dictionary(Properties=Dictionary(L1=seen, L2=unseen))
    page.Contents = pdf.make_stream(b"/OC /L1 BDC 0 0 9 9 re f EMC /OC /L2 BDC 9 9 9 9 re f EMC")
    pdf.Root.OCProperties = Dictionary(
        OCGs=Array([seen, unseen]), D=Dictionary(Creator="LAYER-AUTHOR", OFF=Array([unseen]))
    )
    return _saved(pdf)


def changed(content: bytes, **root: object) -> bytes:
    """A PDF with something else in its root."""
    with Pdf.open(io.BytesIO(content)) as pdf:
        for name, value in root.items():
            pdf.Root[f"/{name}"] = value
        return _saved(pdf)


def encrypted(password: str) -> bytes:
    """A PDF that asks for a password, or with an empty one is only restricted."""
    with Pdf.open(io.BytesIO(document())) as pdf:
        out = io.BytesIO()
        pdf.save(out, encryption=Encryption(user=password, owner="owner"), fix_metadata_version=False)
        return out.getvalue()


def legible(content: bytes) -> bytes:
    """A PDF with everything in it that can be unpacked unpacked."""
    with Pdf.open(io.BytesIO(content)) as pdf:
        out = io.BytesIO()
        pdf.save(
            out,
            qdf=True,
            compress_streams=False,
            stream_decode_level=StreamDecodeLevel.generalized,
            object_stream_mode=ObjectStreamMode.disable,
            fix_metadata_version=False,
        )
        return out.getvalue()


@cache
def secrets() -> tuple[bytes, ...]:
    """What no document that was made anew holds, unpacked."""
    return (*(word.encode() for word in (*ACTING, *DESCRIBING, *TELLING, MAKER)), GPS_MARK, b"Exif")


def _saved(pdf: Pdf) -> bytes:
    out = io.BytesIO()
    pdf.save(out, static_id=True, fix_metadata_version=False)
    return out.getvalue()
