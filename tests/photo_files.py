"""Pictures made by hand for tests: a photo with a position in its EXIF, and files that are none."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

GPS_MARK = b"GPS-MARK-29.8683N"
MAKER = "A-MAKER-OF-PHONES"


def photo(
    width: int = 640, height: int = 480, kind: str = "JPEG", *, colour: str = "red", turned: bool = False
) -> bytes:
    """A picture with what phones write into them: maker, position, a comment; `turned` as held upright."""
    picture = Image.new("RGB", (width, height), colour)
    picture.paste("blue", (0, 0, width // 2, height // 2))
    exif = Image.Exif()
    exif[0x010F] = MAKER
    if turned:
        exif[0x0112] = 6
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", (29.0, 52.0, 6.0), "E", (121.0, 33.0, 0.0)
    gps[29] = "2022:03:04"
    gps[27] = GPS_MARK
    out = io.BytesIO()
    if kind == "JPEG":
        picture.save(out, kind, exif=exif, comment=GPS_MARK, icc_profile=GPS_MARK * 10)
    else:
        picture.save(out, kind, exif=exif)
    return out.getvalue()


def png_that_says(width: int, height: int) -> bytes:
    """A small PNG whose heading promises many pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    data = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64
"""How a photo of an iPhone begins."""
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!DOCTYPE html><script>alert(document.cookie)</script>"
