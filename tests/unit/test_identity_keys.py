"""Signing keys in a shared folder, settings, and password hashing."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OKPKey
from pydantic import ValidationError

from services.identity.passwords import Passwords
from services.identity.settings import IdentitySettings
from services.identity.signing_keys import (
    PRIVATE_KEPT_SECONDS,
    PUBLIC_KEPT_SECONDS,
    PUBLISHED_SECONDS,
    Keyring,
    NoSigningKey,
    OwnVerifier,
)
from shared.security.tokens import AUDIENCE, ISSUER, Untrusted, sign


@dataclass
class Clock:
    """Unix seconds that a test sets."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keyring(tmp_path: Path, clock: Clock) -> Keyring:
    found = Keyring(tmp_path / "keys", clock)
    found.ensure()
    return found


def kids(keyring: Keyring) -> set[str]:
    return {str(key.kid) for key in keyring.public().keys}


def token(key: OKPKey) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "roles": ["deputy"], "iat": now, "exp": now + 60}
    return sign(claims, key)


def test_replicas_that_start_together_make_one_key(tmp_path: Path) -> None:
    rings = [Keyring(tmp_path / "keys") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Keyring.ensure, rings))
    assert len(list((tmp_path / "keys").glob("*.json"))) == 1
    assert len({ring.signer().kid for ring in rings}) == 1


def test_private_keys_are_readable_by_their_owner_alone(tmp_path: Path, keyring: Keyring) -> None:
    (file,) = (tmp_path / "keys").glob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_published_set_holds_no_private_half(keyring: Keyring) -> None:
    assert all("d" not in key for key in keyring.public().as_dict(private=False)["keys"])
    assert not any(key.is_private for key in keyring.public().keys)


def test_a_new_key_signs_only_once_everybody_can_know_it(keyring: Keyring, clock: Clock) -> None:
    old = keyring.signer().kid
    clock.now += 3600
    new, _, _ = keyring.rotate()
    clock.now += PUBLISHED_SECONDS - 1
    assert kids(keyring) == {old, new}
    assert keyring.signer().kid == old
    clock.now += 2
    assert keyring.signer().kid == new


def test_another_process_sees_a_rotation_within_a_minute(
    tmp_path: Path, keyring: Keyring, clock: Clock
) -> None:
    other = Keyring(tmp_path / "keys", clock)
    assert len(kids(other)) == 1
    clock.now += 3600
    keyring.rotate()
    clock.now += PUBLISHED_SECONDS + 61
    assert other.signer().kid == keyring.signer().kid


def test_a_replaced_key_loses_its_private_half_after_two_days_and_verifies_for_forty(
    tmp_path: Path, keyring: Keyring, clock: Clock
) -> None:
    first = str(keyring.signer().kid)
    clock.now += 90 * 86_400  # its age does not count, only how long ago it was replaced
    second, closed, dropped = keyring.rotate()
    assert (closed, dropped) == ([], [])
    clock.now += PRIVATE_KEPT_SECONDS + 10
    third, closed, dropped = keyring.rotate()
    assert (closed, dropped) == ([first], [])
    assert "d" not in json.loads((tmp_path / "keys" / f"{first}.json").read_text())
    clock.now += PUBLIC_KEPT_SECONDS - 60
    _, closed, dropped = keyring.rotate()
    assert (closed, dropped) == ([second], [first])
    clock.now += 2
    assert first not in kids(keyring)
    assert {second, third} <= kids(keyring)


def test_a_file_that_is_no_key_spoils_nothing(tmp_path: Path, keyring: Keyring, clock: Clock) -> None:
    signer = keyring.signer().kid
    for name in ("20991231T000000Z-00000000.json", "notes.json"):
        (tmp_path / "keys" / name).write_text("{not json")
    clock.now += 120
    assert kids(keyring) == {signer}
    assert keyring.signer().kid == signer


def test_an_emptied_folder_does_not_stop_a_running_process(
    tmp_path: Path, keyring: Keyring, clock: Clock
) -> None:
    signer = keyring.signer().kid
    for file in (tmp_path / "keys").glob("*.json"):
        file.unlink()
    clock.now += 120
    assert keyring.signer().kid == signer
    with pytest.raises(NoSigningKey):
        Keyring(tmp_path / "keys", clock).signer()


async def test_identity_verifies_tokens_signed_after_a_rotation_elsewhere(tmp_path: Path) -> None:
    clock = Clock()
    here, elsewhere = Keyring(tmp_path / "keys", clock), Keyring(tmp_path / "keys", clock)
    here.ensure()
    verifier = OwnVerifier(here)
    assert (await verifier.verify(token(here.signer()), at=time.time())).person == "anna"
    clock.now += 3600
    elsewhere.rotate()
    clock.now += PUBLISHED_SECONDS + 61
    assert elsewhere.signer().kid != Keyring(tmp_path / "keys", Clock()).signer().kid
    assert (await verifier.verify(token(elsewhere.signer()), at=time.time())).person == "anna"


async def test_identity_believes_no_key_but_its_own(keyring: Keyring) -> None:
    stranger = OKPKey.generate_key("Ed25519", parameters={"kid": str(keyring.signer().kid)})
    with pytest.raises(Untrusted):
        await OwnVerifier(keyring).verify(token(stranger), at=time.time())


SETTINGS: dict[str, Any] = {
    "kafka_bootstrap_servers": "127.0.0.1:1",
    "http_port": 0,
    "jwks_url": "http://127.0.0.1/jwks",
    "database_url": "postgresql+asyncpg://identity:db-secret-1@127.0.0.1/identity",
    "sealing_key": "sealing-secret-1",
    "identity_keys_dir": "/nowhere",
    "environment": "test",
}
SIMULATION: dict[str, Any] = {"simulation": {"secret": "client-secret-0123456789", "roles": ["simulation"]}}


def test_a_simulation_client_exists_only_where_simulated_time_is_allowed() -> None:
    with pytest.raises(ValidationError, match="ALLOW_SIMULATED_TIME"):
        IdentitySettings(**SETTINGS, identity_clients=SIMULATION)
    allowed = IdentitySettings(**SETTINGS, identity_clients=SIMULATION, allow_simulated_time=True)
    assert allowed.identity_clients["simulation"].roles == {"simulation"}


@pytest.mark.parametrize(
    "clients",
    [
        {"operator": {"secret": "short-secret", "roles": ["operator"]}},
        {"operator": {"secret": "client-secret-0123456789", "roles": ["king"]}},
        {"Not A Name": {"secret": "client-secret-0123456789", "roles": []}},
        SIMULATION,
    ],
)
def test_wrong_settings_are_told_without_their_secrets(clients: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as told:
        IdentitySettings(**SETTINGS, identity_clients=clients)
    assert "secret-" not in str(told.value)


async def test_a_hash_matches_its_password_alone_and_never_repeats() -> None:
    passwords = Passwords()
    first, second = (
        await passwords.hash("correct horse battery"),
        await passwords.hash("correct horse battery"),
    )
    assert first.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert first != second
    assert await passwords.matches(first, "correct horse battery")
    assert not await passwords.matches(first, "correct horse batterz")
    assert not await passwords.matches("no hash", "correct horse battery")
    assert not await passwords.matches(None, "correct horse battery")


async def test_an_unknown_name_costs_as_much_as_a_wrong_password() -> None:
    passwords = Passwords()
    known = await passwords.hash("correct horse battery")
    await passwords.matches(None, "x")  # makes the hash that stands for nobody's
    spent = {}
    for name, hashed in (("known", known), ("unknown", None)):
        began = time.process_time()
        for _ in range(3):
            await passwords.matches(hashed, "wrong")
        spent[name] = time.process_time() - began
    assert spent["unknown"] > spent["known"] / 2


async def test_hashing_leaves_the_event_loop_free() -> None:
    passwords = Passwords()
    hashing = asyncio.ensure_future(passwords.hash("correct horse battery"))
    turns = 0
    while not hashing.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 10
