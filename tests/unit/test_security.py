"""Tokens that are to be believed and those that are not; sealed fields that open and those that are lost."""

from __future__ import annotations

import base64
import contextlib
import json
import time
import warnings
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe, jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet, OctKey, OKPKey

from shared.security import tokens
from shared.security.sealing import Opener, Sealer, Unsealable, new_private_key
from shared.security.tokens import ALGORITHM, AUDIENCE, ISSUER, LEEWAY_SECONDS, TokenVerifier, Untrusted, sign
from shared.testing.issuer import Issuer

NOW = time.time()


def claims(**changes: Any) -> dict[str, Any]:
    """Claims that are believed, with changes; None leaves a claim out."""
    whole = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "wang",
        "roles": ["deputy"],
        "iat": int(NOW),
        "exp": int(NOW) + 900,
    } | changes
    return {name: value for name, value in whole.items() if value is not None}


def new_key(kid: str) -> OKPKey:
    return OKPKey.generate_key("Ed25519", parameters={"kid": kid})


def public(*keys: OKPKey) -> KeySet:
    return KeySet([OKPKey.import_key(key.as_dict(private=False)) for key in keys])


KEY = new_key("one")


@pytest.fixture
def verifier(monkeypatch: pytest.MonkeyPatch) -> TokenVerifier:
    """Knows KEY; its source of keys is away, and is not asked."""
    found = TokenVerifier("http://127.0.0.1:9/jwks")
    found.use_keys(public(KEY))
    return found


# --- tokens


async def test_a_token_says_who_acts_with_which_roles_for_whom(verifier: TokenVerifier) -> None:
    actor = await verifier.verify(sign(claims(roles=["staff", "operator"], org="330200"), KEY), at=NOW)
    assert (actor.person, actor.roles, actor.organisation) == ("wang", {"staff", "operator"}, "330200")
    assert not actor.acting_for_simulation


@pytest.mark.parametrize("change", [{"act": {"sub": "simulation"}}, {"roles": ["simulation"]}])
async def test_the_simulation_is_known_when_it_acts_in_somebodys_name(
    verifier: TokenVerifier, change: dict[str, Any]
) -> None:
    assert (await verifier.verify(sign(claims(**change), KEY), at=NOW)).acting_for_simulation


async def test_a_token_signed_with_another_key_is_not_believed(verifier: TokenVerifier) -> None:
    for kid in ("one", "two"):
        with pytest.raises(Untrusted):
            await verifier.verify(sign(claims(), new_key(kid)), at=NOW)


def forged_by_algorithm() -> dict[str, str]:
    """Tokens that choose their own algorithm."""

    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        same_curve = jwt.encode({"alg": "EdDSA", "kid": "one"}, claims(), KEY, algorithms=["EdDSA"])
    public_bytes = json.dumps(KEY.as_dict(private=False)).encode()
    raw_public = base64.urlsafe_b64decode(str(KEY.as_dict(private=False)["x"]) + "=")
    return {
        "none": f"{part({'alg': 'none', 'kid': 'one'})}.{part(claims())}.",
        "no algorithm": f"{part({'kid': 'one'})}.{part(claims())}.",
        "HS256 with the public key as the secret": jwt.encode(
            {"alg": "HS256", "kid": "one"}, claims(), OctKey.import_key(raw_public), algorithms=["HS256"]
        ),
        "HS256 with the public key's text": jwt.encode(
            {"alg": "HS256", "kid": "one"}, claims(), OctKey.import_key(public_bytes), algorithms=["HS256"]
        ),
        "another name for the same curve": same_curve,
    }


@pytest.mark.parametrize("how", sorted(forged_by_algorithm()))
async def test_a_token_cannot_choose_its_algorithm(verifier: TokenVerifier, how: str) -> None:
    with pytest.raises(Untrusted):
        await verifier.verify(forged_by_algorithm()[how], at=NOW)


@pytest.mark.parametrize(
    "header", [{"alg": ALGORITHM, "crit": 5}, ["alg"], 7, {"alg": [ALGORITHM]}, {}], ids=str
)
async def test_no_header_makes_verifying_fail_otherwise(verifier: TokenVerifier, header: Any) -> None:
    odd = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    with pytest.raises(Untrusted):
        await verifier.verify(f"{odd}.e30.e30", at=NOW)


@given(st.text(max_size=80))
async def test_no_text_makes_verifying_fail_otherwise(text: str) -> None:
    verifier = TokenVerifier("http://127.0.0.1:9/jwks")
    verifier.use_keys(public(KEY))
    with pytest.raises(Untrusted) as refused:
        await verifier.verify(text, at=NOW)
    assert len(text) < 8 or text not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"aud": "another-system"},
        {"iss": None},
        {"aud": None},
        {"sub": None},
        {"roles": None},
        {"roles": 7},
        {"roles": [{}]},
        {"iat": None},
        {"exp": None},
        {"exp": "soon"},
        {"act": "simulation"},
    ],
    ids=str,
)
async def test_a_token_that_lacks_or_bends_a_claim_is_not_believed(
    verifier: TokenVerifier, changes: dict[str, Any]
) -> None:
    with pytest.raises(Untrusted):
        await verifier.verify(sign(claims(**changes), KEY), at=NOW)


async def test_a_token_is_judged_at_the_time_of_its_message_not_of_its_reading(
    verifier: TokenVerifier,
) -> None:
    issued = NOW - 86_400
    token = sign(claims(iat=int(issued), exp=int(issued) + 900), KEY)
    assert (await verifier.verify(token, at=issued + 899)).person == "wang"
    for at, why in ((issued + 900 + LEEWAY_SECONDS + 2, "expired"), (issued - LEEWAY_SECONDS - 2, "after")):
        with pytest.raises(Untrusted, match=why):
            await verifier.verify(token, at=at)
    assert (await verifier.verify(token, at=issued + 1)).person == "wang", "one refusal spoils no token"


class Keys:
    """Serves a changing set of keys, as identity does, and counts how often it is asked."""

    def __init__(self) -> None:
        self.current = public(KEY)
        self.asked = 0
        self.status = 200

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response(self.current.as_dict(private=False), status=self.status)


@pytest_asyncio.fixture
async def served() -> AsyncIterator[tuple[Keys, str]]:
    keys = Keys()
    app = web.Application()
    app.router.add_get("/jwks", keys.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield keys, f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/jwks"  # type: ignore[union-attr]
    await runner.cleanup()


async def test_a_token_under_a_rotated_key_is_believed_without_a_restart(
    served: tuple[Keys, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_REFRESH_SECONDS_MIN", 0.0)
    keys, url = served
    verifier = TokenVerifier(url)
    old, new = sign(claims(), KEY), new_key("two")
    await verifier.verify(old, at=NOW)
    keys.current = public(KEY, new)
    assert (await verifier.verify(sign(claims(sub="li"), new), at=NOW)).person == "li"
    assert (await verifier.verify(old, at=NOW)).person == "wang"
    assert keys.asked == 2


async def test_forged_tokens_cannot_make_identity_be_asked_again_and_again(served: tuple[Keys, str]) -> None:
    keys, url = served
    verifier = TokenVerifier(url)
    for _ in range(20):
        with pytest.raises(Untrusted):
            await verifier.verify(sign(claims(), new_key("unknown")), at=NOW)
    assert keys.asked == 1


async def test_while_identity_is_away_a_new_verifier_says_so_and_judges_nobody(
    served: tuple[Keys, str],
) -> None:
    keys, url = served
    keys.status = 503
    with pytest.raises(aiohttp.ClientError):
        await TokenVerifier(url).verify(sign(claims(), KEY), at=NOW)
    with pytest.raises(aiohttp.ClientError):
        await TokenVerifier("http://127.0.0.1:9/jwks").verify(sign(claims(), KEY), at=NOW)


async def test_the_tests_issuer_signs_as_identity_does() -> None:
    issuer = Issuer()
    verifier = TokenVerifier("http://127.0.0.1:9/jwks")
    verifier.use_keys(issuer.keys)
    actor = await verifier.verify(issuer.token("wang", "deputy", organisation="330203"), at=time.time())
    assert (actor.person, actor.organisation) == ("wang", "330203")
    assert ALGORITHM == "Ed25519"


# --- sealing

OPENER = Opener(new_private_key())
SEALER = Sealer(OPENER.public_jwk)
WORDS = {"title": "井盖", "text": "路口的井盖坏了", "contact": "13800000000"}
SEALED = SEALER.seal(WORDS)


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=200), max_size=5))
def test_what_is_sealed_opens_again_as_it_was(content: dict[str, str]) -> None:
    assert OPENER.open(SEALER.seal(content)) == content


def test_the_public_key_does_not_open_and_holds_nothing_secret() -> None:
    assert "d" not in OPENER.public_jwk
    with pytest.raises(Unsealable):
        Opener(OPENER.public_jwk | {"d": new_private_key()["d"]}).open(SEALED)


def test_another_services_key_does_not_open() -> None:
    with pytest.raises(Unsealable):
        Opener(new_private_key()).open(SEALED)


def test_two_seals_of_the_same_words_look_different() -> None:
    first, second = SEALER.seal(WORDS), SEALER.seal(WORDS)
    assert all(a != b for a, b in zip(first.split(".")[1:], second.split(".")[1:], strict=True))
    assert WORDS["contact"] not in base64.urlsafe_b64decode(first.split(".")[3] + "==").decode("latin-1")


def test_blanking_the_wrapped_key_erases_the_words_for_good() -> None:
    header, _, *rest = SEALED.split(".")
    with pytest.raises(Unsealable):
        OPENER.open(".".join([header, "", *rest]))


@settings(max_examples=200)
@given(st.text(max_size=200) | st.lists(st.text(max_size=30), min_size=5, max_size=5).map(".".join))
def test_no_text_makes_opening_fail_otherwise(text: str) -> None:
    with pytest.raises(Unsealable) as refused:
        OPENER.open(text)
    assert str(refused.value) == ""


@settings(max_examples=200)
@given(st.integers(0, len(SEALED) - 1), st.sampled_from("AZaz09-_.!"))
def test_one_character_changed_is_not_opened_as_something_else(place: int, other: str) -> None:
    changed = SEALED[:place] + other + SEALED[place + 1 :]
    with contextlib.suppress(Unsealable):
        assert OPENER.open(changed) == WORDS  # the spare bits of a last character mean nothing


@pytest.mark.parametrize("content", [b"[]", b"7", b"null", b"\xff", b"", b"{"])
def test_sealed_content_that_is_no_object_is_not_opened(content: bytes) -> None:
    public_key = OKPKey.import_key(OPENER.public_jwk)
    algorithms = ["ECDH-ES+A256KW", "A256GCM"]
    sealed = jwe.encrypt_compact(
        {"alg": algorithms[0], "enc": algorithms[1]}, content, public_key, algorithms=algorithms
    )
    with pytest.raises(Unsealable):
        OPENER.open(sealed)


def test_a_seal_that_would_unfold_into_something_huge_is_not_opened() -> None:
    public_key = OKPKey.import_key(OPENER.public_jwk)
    algorithms = ["ECDH-ES+A256KW", "A256GCM", "DEF"]
    header = {"alg": algorithms[0], "enc": algorithms[1], "zip": "DEF"}
    content = json.dumps({"text": "0" * 50_000_000}).encode()
    sealed = jwe.encrypt_compact(header, content, public_key, algorithms=algorithms)
    assert len(sealed) < 120_000
    with pytest.raises(Unsealable):
        OPENER.open(sealed)


@pytest.mark.parametrize(
    "header", [{"alg": "dir"}, {"alg": "RSA-OAEP"}, {"enc": "A128CBC-HS256"}, {"epk": {}}]
)
def test_a_seal_cannot_choose_its_algorithm_or_bend_its_key(header: dict[str, Any]) -> None:
    first, *rest = SEALED.split(".")
    whole = json.loads(base64.urlsafe_b64decode(first + "==")) | header
    bent = base64.urlsafe_b64encode(json.dumps(whole).encode()).rstrip(b"=").decode()
    with pytest.raises(Unsealable):
        OPENER.open(".".join([bent, *rest]))
