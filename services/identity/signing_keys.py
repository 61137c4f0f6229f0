"""The keys that sign tokens: files in one folder that all replicas share.

Each file `<kid>.json` holds one Ed25519 key as a JWK; the kid begins with the moment of its making.
Invariants: a key signs only once it has been there for `PUBLISHED_SECONDS`, so that everybody can
know it before meeting it (unless it is the only one); a replaced key's private half is destroyed
after two days, its public half stays as long as a command or dead letter signed with it may be read.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from shared.security.tokens import ALGORITHM, TokenVerifier
from shared.telemetry.logging import logger

PUBLISHED_SECONDS = 120.0
PRIVATE_KEPT_SECONDS = 2 * 86_400.0
PUBLIC_KEPT_SECONDS = 40 * 86_400.0
"""Longer than `identity.replay` and its like keep a message (30 days, deploy/kafka/topics.yaml)."""

_REREAD_SECONDS = 60.0
_REREAD_SECONDS_MIN = 1.0
_KID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_MADE = "%Y%m%dT%H%M%SZ"

log = logger(__name__)


class NoSigningKey(Exception):  # noqa: N818 - says what to do
    """The folder holds no key that could sign."""


def made_at(kid: str) -> float:
    """When the key was made, in Unix seconds."""
    return datetime.strptime(kid.partition("-")[0], _MADE).replace(tzinfo=UTC).timestamp()


class Keyring:
    """The keys of a folder, read anew once a minute and when somebody shows an unknown one."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self._read_at = float("-inf")
        self._keys: dict[str, OKPKey] = {}

    def ensure(self) -> None:
        """Make the first key unless there is one; replicas that start together make one between them.

        Raises OSError when the folder cannot be used.
        """
        with self._locked():
            if not any(key.is_private for key in self._load().values()):
                self._add()
        self._reread(_REREAD_SECONDS_MIN)

    def rotate(self) -> tuple[str, list[str], list[str]]:
        """Add a key; destroy private halves replaced two days ago, drop public ones after forty.

        Returns the new kid, the kids without private half from now on, and the kids dropped.
        """
        with self._locked():
            new = self._add()
            keys = self._load()
            closed: list[str] = []
            dropped: list[str] = []
            for kid, following in pairwise(sorted(keys)):
                replaced_for = self._clock() - made_at(following)
                if replaced_for > PUBLIC_KEPT_SECONDS:
                    self._path(kid).unlink(missing_ok=True)
                    dropped.append(kid)
                elif replaced_for > PRIVATE_KEPT_SECONDS and keys[kid].is_private:
                    self._write(kid, keys[kid], private=False)
                    closed.append(kid)
            return new, closed, dropped

    def signer(self) -> OKPKey:
        """The key to sign with now. Raises NoSigningKey."""
        self._reread(_REREAD_SECONDS)
        able = sorted(kid for kid, key in self._keys.items() if key.is_private)
        if not able:
            raise NoSigningKey
        published = [kid for kid in able if made_at(kid) <= self._clock() - PUBLISHED_SECONDS]
        return self._keys[published[-1] if published else able[0]]

    def public(self) -> KeySet:
        """Every key to verify with, without its private half, as fresh as the folder."""
        self._reread(_REREAD_SECONDS_MIN)
        return KeySet([OKPKey.import_key(key.as_dict(private=False)) for key in self._keys.values()])

    def _reread(self, seconds: float) -> None:
        now = self._clock()
        if self._keys and 0 <= now - self._read_at < seconds:
            return
        self._read_at = now
        try:
            self._keys = self._load() or self._keys
        except OSError as error:
            log.warning("signing-keys-unreadable", error=type(error).__name__)

    def _load(self) -> dict[str, OKPKey]:
        found: dict[str, OKPKey] = {}
        for path in sorted(self._folder.glob("*.json")):
            if not _KID.fullmatch(path.stem):
                continue
            try:
                found[path.stem] = OKPKey.import_key(json.loads(path.read_text("utf-8")))
            except FileNotFoundError:
                continue  # dropped by a rotation between the listing and the reading
            except (ValueError, TypeError, KeyError, JoseError) as error:
                log.warning("signing-key-unreadable", kid=path.stem, error=type(error).__name__)
        return found

    def _add(self) -> str:
        kid = f"{datetime.fromtimestamp(self._clock(), UTC).strftime(_MADE)}-{secrets.token_hex(4)}"
        key = OKPKey.generate_key("Ed25519", parameters={"kid": kid, "use": "sig", "alg": ALGORITHM})
        self._write(kid, key, private=True)
        return kid

    def _write(self, kid: str, key: OKPKey, *, private: bool) -> None:
        path = self._path(kid)
        half = path.with_suffix(f".{os.getpid()}.part")
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(key.as_dict(private=private), file)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)

    def _path(self, kid: str) -> Path:
        return self._folder / f"{kid}.json"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class OwnVerifier(TokenVerifier):
    """Verifies identity's own tokens with the keys of the folder, without asking itself over HTTP."""

    def __init__(self, keyring: Keyring) -> None:
        super().__init__(jwks_url="")
        self._keyring = keyring

    async def fetch_keys(self) -> None:
        """Read the folder anew, at most once a second."""
        self.use_keys(self._keyring.public())
