"""An issuer of tokens for tests: a key of its own and, where processes verify, a server of its JWKS."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web
from joserfc.jwk import KeySet, OKPKey

from shared.contracts.registry import Role
from shared.security.tokens import AUDIENCE, ISSUER, sign


class Issuer:
    """Signs tokens as identity would."""

    def __init__(self) -> None:
        self._key = OKPKey.generate_key("Ed25519", parameters={"kid": "test"})
        self._runner: web.AppRunner | None = None

    @property
    def keys(self) -> KeySet:
        """The public keys."""
        return KeySet([OKPKey.import_key(self._key.as_dict(private=False))])

    def token(
        self,
        person: object,
        *roles: Role,
        organisation: str | None = None,
        lifetime_seconds: float = 900,
        issued_at: float | None = None,
        simulated: bool = False,
    ) -> str:
        """A token of a person with roles."""
        issued = time.time() if issued_at is None else issued_at
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(person),
            "roles": list(roles),
            "org": organisation,
            "iat": int(issued),
            "exp": int(issued + lifetime_seconds),
        }
        if simulated:
            claims["act"] = {"sub": "simulation"}
        return sign(claims, self._key)

    async def serve(self) -> str:
        """Serve the keys; returns the address of the JWKS."""

        async def jwks(_: web.Request) -> web.Response:
            return web.json_response(self.keys.as_dict(private=False))

        app = web.Application()
        app.router.add_get("/jwks", jwks)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        return f"http://127.0.0.1:{port}/jwks"

    async def close(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()
