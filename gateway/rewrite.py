"""Turns one uploaded PDF into a clean one; a program of its own, run for each upload and thrown away.

    python -I rewrite.py < upload > answer

The answer is one line of JSON, `{"pages", "sizes": [document]}` or `{"refused": code}`, then the bytes of
the document. As with `reencode`, it imports nothing but its one library, pikepdf, and has no environment.

Invariants: the type is told by content; what comes out is a new file of pages alone. Nothing in it acts or
can be filled in, no file is inside, and no information about who made it or where: comments and forms are
drawn into their pages, links become their words, and photos inside lose what cameras wrote into them, unless
they are JPEG 2000 or lie in the very text of a page.
The same upload gives the same bytes.
"""

from __future__ import annotations

import io
import json
import re
import resource
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pikepdf import Object, Pdf

PAGES_MAX = 300
BYTES_MAX = 20_000_000
"""Of what comes out, and of a picture inside: packed, a few bytes can stand for a great many."""
MEMORY_BYTES = 1_073_741_824
SECONDS = 20
_HEADING_WITHIN = 1024
"""Readers look for `%PDF-` so far into a file."""
_OF_PAGES = frozenset(
    [
        "/Type",
        "/Parent",
        "/Resources",
        "/Contents",
        "/Group",
        "/UserUnit",
        "/Rotate",
        "/MediaBox",
        "/CropBox",
        "/BleedBox",
        "/TrimBox",
        "/ArtBox",
    ]
)
"""What a page keeps."""
_MARKS = frozenset(
    [
        "/FreeText",
        "/Line",
        "/Square",
        "/Circle",
        "/Polygon",
        "/PolyLine",
        "/Highlight",
        "/Underline",
        "/Squiggly",
        "/StrikeOut",
        "/Caret",
        "/Stamp",
        "/Ink",
    ]
)
"""Comments that are seen on the page itself."""
_UNSEEN = 2 | 32
"""Flags of an annotation that is hidden, or not for the screen."""
_OF_LAYERS = ("/BaseState", "/ON", "/OFF")
"""What is kept of layers: which of them show. Without it, hidden ones would."""
_NOT_OF_STREAMS = [
    "/Metadata",
    "/PieceInfo",
    "/LastModified",
    "/AF",
    "/Measure",
    "/PtData",
    "/OPI",
    "/Ref",
    "/Alternates",
    "/StructParent",
    "/StructParents",
    "/F",
    "/FFilter",
    "/FDecodeParms",
    "/PS",
    "/Subtype2",
]
"""What streams lose: information, other files in which their content would lie, and programs for printers."""
_EMPTIED = frozenset(["/Action", "/Metadata", "/Filespec", "/F", "/EmbeddedFile"])
"""Types of objects of which nothing is left, wherever they hang."""
_ACTIONS = frozenset(
    [
        "/GoToR",
        "/GoToE",
        "/GoToDp",
        "/Launch",
        "/URI",
        "/SubmitForm",
        "/ImportData",
        "/ResetForm",
        "/JavaScript",
        "/Named",
        "/Hide",
        "/Thread",
        "/Sound",
        "/Movie",
        "/Rendition",
        "/Trans",
        "/GoTo3DView",
        "/SetOCGState",
        "/RichMediaExecute",
    ]
)
_SEGMENT = re.compile(rb"\xff+([\x02-\xcf\xd9-\xfe])")
"""What begins a segment of a JPEG."""
_DATA_END = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")
"""What ends a picture's data; `FF 00` and `FF D0`-`FF D7` lie inside it."""
_END, _SCAN, _ADOBE = 0xD9, 0xDA, 0xEE
_NOTES = frozenset({*range(0xE0, 0xF0), 0xFE}) - {_ADOBE}  # Adobe's says how the colours are meant


class Refused(Exception):  # noqa: N818 - a finding
    """The upload is not taken; the text is the code."""


def rewrite(upload: bytes) -> tuple[int, bytes]:
    """How many pages the document has, and the document. Raises Refused."""
    from pikepdf import ObjectStreamMode, PasswordError, Pdf, PdfError

    if b"%PDF-" not in upload[:_HEADING_WITHIN]:
        raise Refused("document-type-not-allowed")
    try:
        # A file that has to be guessed at may come out as something else than what its sender saw.
        source = Pdf.open(io.BytesIO(upload), attempt_recovery=False)
    except (PasswordError, PdfError):  # the second also for protection that is not known
        raise Refused("document-encrypted" if b"/Encrypt" in upload else "document-unreadable") from None
    if source.is_encrypted:
        raise Refused("document-encrypted")
    pages = len(source.pages)
    if pages == 0:
        raise Refused("document-unreadable")
    if pages > PAGES_MAX:
        raise Refused("document-too-many-pages")
    if _is_drawn_by_the_reader(source):
        raise Refused("document-form")
    source.flatten_annotations("screen")
    for page in source.pages:
        for key in set(page.obj.keys()) - _OF_PAGES:
            del page.obj[key]
    clean = Pdf.new()
    clean.pages.extend(source.pages)
    _keep_layers(source, clean)
    for found in clean.objects:
        _clean(found)
    out = io.BytesIO()
    clean.save(
        out,
        min_version="1.7",
        fix_metadata_version=False,
        object_stream_mode=ObjectStreamMode.generate,
        deterministic_id=True,
    )
    if out.tell() > BYTES_MAX:
        raise Refused("document-too-large")
    return pages, out.getvalue()


def _is_drawn_by_the_reader(source: Pdf) -> bool:
    """Whether something that readers show is nowhere drawn, so that pages alone would lack it."""
    from pikepdf import Array, Dictionary

    form = source.Root.get("/AcroForm")
    undrawn = isinstance(form, Dictionary) and form.get_bool("/NeedAppearances", default=False)
    if undrawn or source.Root.get_bool("/NeedsRendering", default=False):
        return True
    found = [page.obj.get("/Annots") for page in source.pages]
    notes = [note for array in found if isinstance(array, Array) for note in array]
    return any(isinstance(note, Dictionary) and _is_undrawn(note) for note in notes)


def _is_undrawn(note: Object) -> bool:
    """Whether a mark or a filled field has no picture of itself, and its reader makes one."""
    from pikepdf import Dictionary

    drawn = note.get("/AP")
    if (isinstance(drawn, Dictionary) and "/N" in drawn) or int(note.get("/F", 0)) & _UNSEEN:
        return False
    if _name(note, "/Subtype") != "/Widget":
        return _name(note, "/Subtype") in _MARKS
    above = note.get("/Parent")
    fields = [note, above] if isinstance(above, Dictionary) else [note]
    filled = any(str(field.get("/V", "")) for field in fields)
    return filled and any(_name(field, "/FT") in ("/Tx", "/Ch") for field in fields)


def _keep_layers(source: Pdf, clean: Pdf) -> None:
    """Let the layers that were hidden stay so."""
    from pikepdf import Array, Dictionary

    layers = source.Root.get("/OCProperties")
    if not isinstance(layers, Dictionary):
        return
    shown = layers.get("/D", Dictionary())
    kept = Dictionary(
        OCGs=layers.get("/OCGs", Array()), D=Dictionary({k: shown[k] for k in _OF_LAYERS if k in shown})
    )
    clean.Root.OCProperties = clean.copy_foreign(source.make_indirect(kept))


def _clean(found: Object) -> None:
    """Clean an object and what lies directly in it; what it refers to is cleaned as an object of its own."""
    from pikepdf import Array, Dictionary, Object, Stream

    waiting = [found]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Array):
            waiting += [item for item in one if isinstance(item, Object) and not item.is_indirect]
            continue
        if not isinstance(one, Dictionary | Stream):
            continue
        kind = _name(one, "/Type")
        if kind in _EMPTIED or _name(one, "/S") in _ACTIONS or ("/EF" in one and "/F" in one):
            _empty(one)
        elif kind == "/OCG":
            for key in set(one.keys()) - {"/Type", "/Name", "/Intent"}:
                del one[key]
        if isinstance(one, Stream):
            if _name(one, "/Subtype") == "/PS":
                _empty(one)
            for key in _NOT_OF_STREAMS:
                if key in one:
                    del one[key]
            _clean_photo(one)
        inside = [item for _, item in one.items()]
        waiting += [item for item in inside if isinstance(item, Object) and not item.is_indirect]


def _empty(one: Object) -> None:
    from pikepdf import Stream

    if isinstance(one, Stream):
        one.write(b"")
    for key in list(one.keys()):
        if key != "/Length":
            del one[key]


def _name(one: Object, key: str) -> str:
    from pikepdf import Name

    found = one.get(key)
    return str(found) if isinstance(found, Name) else ""


def _clean_photo(stream: Object) -> None:
    """Take what a camera wrote out of a JPEG."""
    from pikepdf import Array, Dictionary, Name, StreamDecodeLevel

    filters = stream.get("/Filter")
    names = list(filters) if isinstance(filters, Array) else [filters]
    if not names or names[-1] not in (Name.DCTDecode, Name.DCT):
        return
    parameters = stream.get("/DecodeParms")
    own = parameters[-1] if isinstance(parameters, Array) and len(parameters) else parameters
    stream.Filter = Array(names[:-1])  # what wraps the JPEG is taken off, the JPEG itself stays as it is
    if "/DecodeParms" in stream:
        stream.DecodeParms = Array(list(parameters)[:-1] if isinstance(parameters, Array) else [])
    content = stream.read_bytes(StreamDecodeLevel.generalized)
    if len(content) > BYTES_MAX:
        raise Refused("document-too-large")
    own = own if isinstance(own, Dictionary) else None
    stream.write(without_notes(content), filter=Name.DCTDecode, decode_parms=own)


def without_notes(jpeg: bytes) -> bytes:
    """A JPEG without EXIF, XMP, comments, previews, and what is behind its end. Raises Refused."""
    begin = jpeg.find(b"\xff\xd8")
    at = begin + 2
    parts = [b"\xff\xd8"]
    while begin >= 0 and (found := _SEGMENT.match(jpeg, at)):
        marker, body = found[1][0], found.end()
        if marker == _END:
            break
        end = body + int.from_bytes(jpeg[body : body + 2])
        if marker == _SCAN:  # and the picture's data behind it
            following = _DATA_END.search(jpeg, end)
            end = following.start() if following else max(end, len(jpeg))
        if end <= body:
            raise Refused("document-unreadable")
        if marker not in _NOTES:
            parts.append(jpeg[at:end])
        at = end
        if at == len(jpeg):
            break  # cut: readers show what there is
    else:
        raise Refused("document-unreadable")
    return b"".join(parts) + b"\xff\xd9"


def answer(upload: bytes) -> bytes:
    """What the program says about an upload, whatever it is."""
    document = b""
    try:
        pages, document = rewrite(upload)
        said: dict[str, object] = {"pages": pages, "sizes": [len(document)]}
    except Refused as refused:
        said = {"refused": str(refused)}
    except Exception:  # noqa: BLE001 - a broken file fails anywhere in a parser, MemoryError among the ways
        said = {"refused": "document-unreadable"}
    return json.dumps(said).encode() + b"\n" + document


def main() -> None:
    """Read an upload, write the answer."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.buffer.write(answer(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
