"""Short-lived signed tokens: issued by identity, verified by everybody with its public keys (JWKS).

Invariants: Ed25519 only, chosen by us and never by the token's header; a command's token is judged
at the moment the broker received it, so that a queue does not expire it; a token is never logged.
Source: RFC 7519 (JWT), RFC 8693 §4.1 (`act`, acting in somebody's name), RFC 8037 (Ed25519).
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

from shared.contracts.envelope import Actor
from shared.contracts.registry import Role
from shared.telemetry.logging import logger

AUDIENCE = "daibiaotong"
ISSUER = "daibiaotong-identity"
ALGORITHM = "Ed25519"
LEEWAY_SECONDS = 5
_REFRESH_SECONDS_MIN = 2.0
_CACHE_TOKENS_MAX = 20_000

log = logger(__name__)


class Untrusted(Exception):  # noqa: N818 - the caller decides whether it is an error
    """A token that is not to be believed; the text says why, without the token."""


@dataclass(frozen=True)
class _Verified:
    actor: Actor
    issued_at: float
    expires_at: float


def signing_key_of(seed: str) -> dict[str, Any]:
    """The Ed25519 private JWK of a secret of 32 random bytes in base64url, e.g. `secrets.token_urlsafe(32)`.

    Raises ValueError for a secret of another length.
    """
    raw = base64.urlsafe_b64decode(seed + "=" * (-len(seed) % 4))
    public = Ed25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw()
    text = base64.urlsafe_b64encode(public).decode().rstrip("=")
    return {"kty": "OKP", "crv": "Ed25519", "d": seed.rstrip("="), "x": text}


def sign(claims: dict[str, Any], key: OKPKey) -> str:
    """A signed token with `claims`, under the key's `kid`."""
    return jwt.encode({"alg": ALGORITHM, "kid": key.kid}, claims, key, algorithms=[ALGORITHM])


class TokenVerifier:
    """Verifies tokens against identity's keys, which it fetches anew when it meets an unknown one."""

    def __init__(self, jwks_url: str) -> None:
        self._jwks_url = jwks_url
        self._keys: KeySet | None = None
        self._fetched_at = float("-inf")
        self._lock = asyncio.Lock()
        self._cache: OrderedDict[str, _Verified] = OrderedDict()

    async def fetch_keys(self) -> None:
        """Fetch the key set; raises aiohttp.ClientError or TimeoutError when identity is away."""
        async with self._lock:
            if time.monotonic() - self._fetched_at < _REFRESH_SECONDS_MIN:
                return
            timeout = aiohttp.ClientTimeout(total=5)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(self._jwks_url) as answer,
            ):
                answer.raise_for_status()
                self._keys = KeySet.import_key_set(await answer.json())
            self._fetched_at = time.monotonic()

    def use_keys(self, keys: KeySet) -> None:
        """Take these keys instead of fetching them (identity itself, tests)."""
        self._keys = keys
        self._fetched_at = time.monotonic()

    async def verify(self, token: str, *, at: float) -> Actor:
        """Who the token speaks for at `at` (Unix seconds). Raises Untrusted."""
        verified = self._cache.get(token)
        if verified is None:
            verified = await self._check(token)
            self._cache[token] = verified
            if len(self._cache) > _CACHE_TOKENS_MAX:
                self._cache.popitem(last=False)
        if at < verified.issued_at - LEEWAY_SECONDS:
            raise Untrusted("the token was issued after the message")
        if at > verified.expires_at + LEEWAY_SECONDS:
            raise Untrusted("the token had expired")
        return verified.actor

    async def _check(self, token: str) -> _Verified:
        if self._keys is None:
            await self.fetch_keys()
        claims = self._decode(token)
        if claims is None:
            await self.fetch_keys()  # keys may have been rotated; at most every few seconds
            claims = self._decode(token)
        if claims is None:
            raise Untrusted("the token's signature or form is wrong")
        if claims.get("iss") != ISSUER or claims.get("aud") != AUDIENCE:
            raise Untrusted("the token is not for this system")
        try:
            acting = (claims.get("act") or {}).get("sub") == "simulation"
            roles = frozenset(cast("list[Role]", claims["roles"]))
            actor = Actor(
                person=str(claims["sub"]),
                roles=roles,
                organisation=claims.get("org"),
                acting_for_simulation=acting or "simulation" in roles,
            )
            return _Verified(actor, float(claims["iat"]), float(claims["exp"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Untrusted("the token lacks a claim") from error

    def _decode(self, token: str) -> dict[str, Any] | None:
        """The claims of a token with a good signature, else None."""
        if self._keys is None:
            return None
        try:
            return jwt.decode(token, self._keys, algorithms=[ALGORITHM]).claims
        except Exception:  # noqa: BLE001
            # A foreign header trips the library in ways of its own (a number as `crit` is a TypeError).
            return None
