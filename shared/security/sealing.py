"""Sealed fields: what a resident wrote travels and rests as ciphertext that one service can open.

A sealed field is a compact JWE (RFC 7516), ECDH-ES+A256KW with A256GCM to the service's X25519 key.
Invariant: each field has a content key of its own, wrapped in the JWE's second part; whoever blanks
that part has erased the content for good, backups of the service's key notwithstanding.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.jwk import OKPKey

_ALGORITHMS = ["ECDH-ES+A256KW", "A256GCM"]


class Unsealable(Exception):  # noqa: N818 - a finding, not a fault of ours
    """A sealed field that this key cannot open; nothing of it is repeated."""


class Sealer:
    """Seals to a service's public key (a JWK)."""

    def __init__(self, public_jwk: dict[str, Any]) -> None:
        self._key = OKPKey.import_key({k: v for k, v in public_jwk.items() if k != "d"})

    def seal(self, content: dict[str, Any]) -> str:
        """A compact JWE of the content as JSON."""
        header = {"alg": _ALGORITHMS[0], "enc": _ALGORITHMS[1]}
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return jwe.encrypt_compact(header, text, self._key, algorithms=_ALGORITHMS)


class Opener:
    """Opens what was sealed to the service's own private key (a JWK)."""

    def __init__(self, private_jwk: dict[str, Any]) -> None:
        self._key = OKPKey.import_key(private_jwk)

    @property
    def public_jwk(self) -> dict[str, Any]:
        """The key to seal to, for everybody."""
        return dict(self._key.as_dict(private=False))

    def derived_key(self, purpose: str) -> bytes:
        """A secret of 32 bytes for another purpose, from the private key by HKDF (RFC 5869)."""
        secret = self._key.as_dict(private=True)["d"]
        return HKDF(SHA256(), 32, None, purpose.encode()).derive(str(secret).encode())

    def open(self, sealed: str) -> dict[str, Any]:
        """The content; raises Unsealable when it was not sealed to this key or is not a JSON object."""
        try:
            plain = jwe.decrypt_compact(sealed, self._key, algorithms=_ALGORITHMS).plaintext
            content = json.loads(plain or b"")
        except Exception as error:
            # A foreign header trips the library in ways of its own, a KeyError among them.
            raise Unsealable from error
        if not isinstance(content, dict):
            raise Unsealable
        return content


def private_key_of(seed: str) -> dict[str, Any]:
    """The X25519 private JWK of a secret of 32 random bytes in base64url, e.g. `secrets.token_urlsafe(32)`.

    Raises ValueError for a secret of another length.
    """
    raw = base64.urlsafe_b64decode(seed + "=" * (-len(seed) % 4))
    key = X25519PrivateKey.from_private_bytes(raw)
    public = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).decode().rstrip("=")
    return {"kty": "OKP", "crv": "X25519", "d": seed.rstrip("="), "x": public}


def new_private_key() -> dict[str, Any]:
    """A new X25519 key as a private JWK."""
    return dict(OKPKey.generate_key("X25519").as_dict(private=True))
