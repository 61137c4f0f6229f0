"""Turns one uploaded picture into a clean one; a program of its own, run for each upload and thrown away.

    python -I reencode.py < upload > answer

The answer is one line of JSON, `{"width", "height", "sizes": [photo, thumbnail]}` or `{"refused": code}`,
then the bytes of both pictures. It imports nothing but Pillow and has no environment, so that a file that
breaks the decoder gets no secret, no more memory than `MEMORY_BYTES`, and no more time than `SECONDS`.

Invariants: the type is told by content; what comes out is a new JPEG of pixels alone, no byte of the
upload's metadata (EXIF with its GPS position, XMP, comments, colour profiles) is in it; the same upload
gives the same bytes.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP")
PIXELS_MAX = 40_000_000
"""Of a JPEG, which is decoded at the size that is needed; other formats take four times the memory."""
OTHER_PIXELS_MAX = 20_000_000
SIDE_MAX = 30_000
PHOTO_SIDE = 2560
THUMBNAIL_SIDE = 320
MEMORY_BYTES = 1_073_741_824
SECONDS = 20
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif"}


class Refused(Exception):  # noqa: N818 - a finding
    """The upload is not taken; the text is the code."""


def reencode(upload: bytes) -> tuple[tuple[int, int], bytes, bytes]:
    """The photo's width and height, the photo and its thumbnail as JPEG. Raises Refused."""
    from PIL import Image, UnidentifiedImageError

    if upload[4:8] == b"ftyp" and upload[8:12] in _HEIC_BRANDS:
        raise Refused("photo-heic")
    Image.MAX_IMAGE_PIXELS = None  # ours is stricter, and has a code of its own
    try:
        picture: Image.Image = Image.open(io.BytesIO(upload), formats=FORMATS)
    except UnidentifiedImageError:
        raise Refused("photo-type-not-allowed") from None
    width, height = picture.size
    most = PIXELS_MAX if picture.format == "JPEG" else OTHER_PIXELS_MAX
    if width * height > most or max(width, height) > SIDE_MAX:
        raise Refused("photo-too-many-pixels")
    picture.draft("RGB", (PHOTO_SIDE, PHOTO_SIDE))  # a JPEG is decoded at the size that is needed
    clean = _flat(_upright(picture))
    clean.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    photo = _jpeg(clean, 85)
    size = clean.size
    clean.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    return size, photo, _jpeg(clean, 75)


def _flat(picture: Image.Image) -> Image.Image:
    """Colours without transparency, in a picture that has nothing but pixels."""
    from PIL import Image

    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        flat = Image.new("RGB", picture.size, "white")
        flat.paste(picture, mask=picture.getchannel("A"))
        return flat
    flat = picture.convert("RGB")
    flat.info.clear()
    return flat


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as the camera was held; where that is written wrongly, as it is."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # noqa: BLE001 - broken EXIF fails in many ways; a broken picture fails again below
        return picture


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def answer(upload: bytes) -> bytes:
    """What the program says about an upload, whatever it is."""
    parts: list[bytes] = []
    try:
        (width, height), *parts = reencode(upload)
        said = {"width": width, "height": height, "sizes": [len(part) for part in parts]}
    except Refused as refused:
        said = {"refused": str(refused)}
    except Exception:  # noqa: BLE001 - a broken file fails anywhere in a decoder, MemoryError among the ways
        said = {"refused": "photo-unreadable"}
    return json.dumps(said).encode() + b"\n" + b"".join(parts)


def main() -> None:
    """Read an upload, write the answer."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")  # a warning may name what is in the file
    sys.stdout.buffer.write(answer(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
