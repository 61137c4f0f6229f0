"""A browser's session 登录会话 as pure decisions: which refresh token renews it, what becomes of it, and until when.

Invariants: the newest token alone renews; for some seconds the one before it gets the very same successor again
(two tabs at once, an answer that was lost on the way); any other token of the session must have been copied, and
ends it for everybody; no renewal moves the end of the whole; other credentials than those it began with end it.
What is kept renews nothing: digests, and a key that makes the newest token only out of the one before it.
Sources: RFC 6749 §6; RFC 9700 §4.14.2 (rotation, reuse, expiry, binding).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

SECRET_BYTES = 32
_ID_BYTES = 16
_TEXT_LENGTH = 64
_OF_PHONES = frozenset({"deputy"})

End = Literal["another-use", "credentials-changed", "idle", "over", "reused"]
"""Why a session ended."""


@dataclass(frozen=True)
class Limits:
    """For how long a session lives without a renewal, and for how long as a whole."""

    idle: timedelta
    whole: timedelta


@dataclass(frozen=True)
class Terms:
    """The limits of deputies' phones and of desks, and for how long the token before the newest is still heard."""

    phone: Limits
    desk: Limits
    grace: timedelta

    def of(self, roles: frozenset[str]) -> Limits:
        """The limits of somebody with these roles: a deputy who is anything besides works at a desk."""
        return self.phone if roles == _OF_PHONES else self.desk

    @property
    def longest_idle(self) -> timedelta:
        """After this without a renewal a session is over, whoever has it."""
        return max(self.phone.idle, self.desk.idle)


@dataclass(frozen=True)
class Token:
    """A refresh token: the session's id, by which it is found, and 256 bits that only its holder knows."""

    session: UUID
    secret: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The token as it travels."""
        return base64.urlsafe_b64encode(self.session.bytes + self.secret).decode()

    @property
    def digest(self) -> bytes:
        """What is kept of it."""
        return hashlib.sha256(self.secret).digest()

    def next(self, key: bytes) -> Token:
        """The one after it: as random as `key`, and the same for the same key."""
        return Token(self.session, hmac.digest(key, self.secret, "sha256"))


def read_token(text: str) -> Token | None:
    """A token as it travelled, or None if it is none."""
    if len(text) != _TEXT_LENGTH:
        return None
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except ValueError:
        return None
    return Token(UUID(bytes=raw[:_ID_BYTES]), raw[_ID_BYTES:])


@dataclass(frozen=True)
class Session:
    """A session; `credentials` stands for what it began with, `use` for where its tokens may be shown."""

    id: UUID
    person: str
    use: str
    credentials: str
    begun_at: datetime
    renewed_at: datetime
    newest: bytes
    before: bytes | None = None
    successor_key: bytes | None = field(default=None, repr=False)

    def ends_at(self, limits: Limits) -> datetime:
        """When it is over unless it is renewed."""
        return min(self.renewed_at + limits.idle, self.begun_at + limits.whole)


@dataclass(frozen=True)
class Renewed:
    """A session that goes on with `token`; it is the very same session where nothing is to be written."""

    session: Session
    token: Token


def begin(token: Token, *, person: str, use: str, credentials: str, at: datetime) -> Session:
    """A session whose first token this is."""
    return Session(token.session, person, use, credentials, at, at, token.digest)


def renew(
    found: Session,
    shown: Token,
    *,
    use: str,
    credentials: str | None,
    limits: Limits,
    grace: timedelta,
    at: datetime,
    key: bytes,
) -> Renewed | End:
    """The session after one of its tokens was shown, or why it ends; `key` is random and new.

    `credentials` are the present ones of its person, None for somebody who may not act any more.
    """
    if use != found.use:
        return "another-use"
    if credentials != found.credentials:
        return "credentials-changed"
    if at >= found.renewed_at + limits.idle:
        return "idle"
    if at >= found.begun_at + limits.whole:
        return "over"
    if hmac.compare_digest(shown.digest, found.newest):
        token = shown.next(key)
        after = replace(found, renewed_at=at, newest=token.digest, before=shown.digest, successor_key=key)
        return Renewed(after, token)
    if (
        found.before is not None
        and found.successor_key is not None
        and hmac.compare_digest(shown.digest, found.before)
        and at < found.renewed_at + grace
    ):
        return Renewed(found, shown.next(found.successor_key))
    return "reused"
