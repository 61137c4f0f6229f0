"""The archive as a signed package: a ZIP of what people read (PDF), what programs read (JSON) and the signature.

`manifest.jws` is a compact JWS (RFC 7515, Ed25519 as of RFC 8037) whose payload names each file with its
SHA-256 (hex), the deputy and the moment. Invariants: a package verifies only if every file that it names is
there, unchanged, and nothing else lies beside it; a package is made anew for each asking and not kept.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from datetime import datetime
from io import BytesIO
from typing import Any
from uuid import UUID

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

ALGORITHM = "Ed25519"
MANIFEST = "manifest.jws"
_FILES_MAX = 20
_BYTES_MAX = 200_000_000


class NotGenuine(Exception):  # noqa: N818 - a finding, not a fault of ours
    """A package that is not what was signed; the text says what is wrong."""


class Signer:
    """Signs with the service's private Ed25519 key (a JWK); its `kid` is the key's thumbprint (RFC 7638)."""

    def __init__(self, private_jwk: Mapping[str, Any]) -> None:
        self._key = OKPKey.import_key(dict(private_jwk))
        self._kid = self._key.thumbprint()

    @property
    def public_keys(self) -> dict[str, Any]:
        """The keys to verify with (a JWKS), for everybody."""
        public = self._key.as_dict(private=False)
        return {"keys": [{**public, "kid": self._kid, "use": "sig", "alg": ALGORITHM}]}

    def pack(self, files: Mapping[str, bytes], *, deputy_id: UUID, made_at: datetime) -> bytes:
        """A package of these files."""
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        manifest = {"files": digests, "deputy_id": str(deputy_id), "made_at": made_at.isoformat()}
        header = {"alg": ALGORITHM, "kid": self._kid}
        payload = json.dumps(manifest, ensure_ascii=False, sort_keys=True).encode()
        signed = jws.serialize_compact(header, payload, self._key, algorithms=[ALGORITHM])
        out = BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as folder:
            for name, content in (*files.items(), (MANIFEST, signed.encode())):
                folder.writestr(name, content)
        return out.getvalue()


def verify(package: bytes, public_keys: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a genuine package. Raises NotGenuine."""
    try:
        with zipfile.ZipFile(BytesIO(package)) as folder:
            names = folder.namelist()
            sizes = sum(one.file_size for one in folder.infolist())
            if len(names) > _FILES_MAX or sizes > _BYTES_MAX or len(set(names)) != len(names):
                raise NotGenuine("the package holds too much, or a name twice")
            files = {name: folder.read(name) for name in names}
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError, ValueError) as error:
        raise NotGenuine("the file is no ZIP archive, or broken") from error
    signed = files.pop(MANIFEST, None)
    if signed is None:
        raise NotGenuine(f"there is no {MANIFEST}")
    try:
        keys = KeySet.import_key_set({"keys": list(public_keys["keys"])})
        found = jws.deserialize_compact(signed, keys, algorithms=[ALGORITHM])
        manifest: dict[str, Any] = json.loads(found.payload)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise NotGenuine("the signature is not by one of these keys") from error
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for name in sorted({*digests, *manifest["files"]}):
        if digests.get(name) != manifest["files"].get(name):
            raise NotGenuine(f"{name} is not the file that was signed")
    return manifest
