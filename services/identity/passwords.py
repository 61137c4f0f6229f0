"""Hashing passwords with argon2id, in threads of its own.

Invariants: the parameters are the library's defaults, everywhere the same (RFC 9106's second
recommendation: 64 MiB, 3 passes, 4 lanes); at most two hashes are computed at once, which bounds the
memory; checking against nothing costs as much as checking against a hash.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

R = TypeVar("R")

_AT_ONCE = 2
_WAITING_MAX = 64


class TooBusy(Exception):  # noqa: N818 - passes by itself
    """More sign-ins wait to be checked than a person would wait for."""


class Passwords:
    """Makes and checks hashes outside the event loop."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """The argon2id hash of a password, with its salt and parameters."""
        return await self._run(lambda: self._hasher.hash(password))

    async def matches(self, hashed: str | None, password: str) -> bool:
        """Whether the password belongs to the hash; None, for an unknown name, never does.

        Raises TooBusy instead of letting people wait.
        """
        if self._waiting >= _WAITING_MAX:
            raise TooBusy
        return await self._run(lambda: self._check(hashed, password))

    def _check(self, hashed: str | None, password: str) -> bool:
        if self._nobodys is None:
            self._nobodys = self._hasher.hash(secrets.token_urlsafe())
        try:
            return self._hasher.verify(hashed or self._nobodys, password) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], R]) -> R:
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1
