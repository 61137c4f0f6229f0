"""Webhooks without backends: whose they are, where they may lead, and how a body is signed."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cases.settings import CasesSettings
from services.cases.webhooks import endpoints, sending
from services.cases.webhooks.endpoints import Webhook
from shared.refusals import Refusal

NOW = datetime(2026, 11, 24, tzinfo=UTC)
HOOK = Webhook(uuid4(), "housing", "https://example.org/hook", "sealed", NOW)


def refusal(decide: object, *arguments: object, **named: object) -> str:
    with pytest.raises(Refusal) as found:
        decide(*arguments, **named)  # type: ignore[operator]
    return found.value.code


@pytest.mark.parametrize("known", [None, replace(HOOK, state="removed"), HOOK])
def test_somebody_elses_webhook_is_as_unknown_as_none(known: Webhook | None) -> None:
    sender = "other" if known is HOOK else "housing"
    assert refusal(endpoints.remove, known, sender) == "webhook-unknown"
    more = {"delivery": None, "since": NOW, "numbers": {}}
    assert refusal(endpoints.replay, known, sender, **more) == "webhook-unknown"


def test_a_department_registers_for_itself_alone_and_an_operator_for_any() -> None:
    more = {"active": True, "present": 0}
    assert endpoints.register(None, HOOK, sender_department="housing", **more) is HOOK
    assert endpoints.register(None, HOOK, sender_department=None, **more) is HOOK
    assert refusal(endpoints.register, None, HOOK, sender_department="other", **more) == "not-your-department"
    own = {"sender_department": "housing"}
    assert refusal(endpoints.register, None, HOOK, **own, active=False, present=0) == "department-unknown"
    assert refusal(endpoints.register, None, HOOK, **own, active=True, present=5) == "webhook-too-many"
    assert refusal(endpoints.register, HOOK, HOOK, **own, **more) == "webhook-exists"
    assert endpoints.remove(HOOK, None).state == "removed"


def test_a_replay_names_a_delivery_or_a_time_and_a_foreign_delivery_is_unknown() -> None:
    delivery = uuid4()
    numbers = {(HOOK.id, delivery): 7, (uuid4(), delivery): 3}
    found = endpoints.replay(HOOK, "housing", delivery=delivery, since=None, numbers=numbers)
    assert found.replays == (endpoints.Replay(7, None),)
    for both in ({"delivery": None, "since": None}, {"delivery": delivery, "since": NOW}):
        assert refusal(endpoints.replay, HOOK, "housing", **both, numbers=numbers) == "replay-from-what"
    unknown = {"delivery": uuid4(), "since": None, "numbers": numbers}
    assert refusal(endpoints.replay, HOOK, "housing", **unknown) == "delivery-unknown"


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/", "ftp://example.org/", "https://", "https:///x", "example.org", "//example.org",
        "https://user@example.org/", "https://user:secret@example.org/", "https://example.org/#part",
        "https://example.org:0/", "https://example.org:99999/", "https://exam ple.org/", "https://例.cn/",
        "https://example.org/\nhost: x", "https://[::1", "https://localhost/", "https://127.0.0.1/",
        "https://10.0.0.1/", "https://192.168.1.1/", "https://172.16.0.1/", "https://169.254.169.254/meta",
        "https://0.0.0.0/", "https://[::1]/", "https://[fe80::1]/", "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://100.64.0.1/",
        "https://224.0.0.1/", "javascript:alert(1)", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_an_address_that_messages_may_not_go_to_is_refused(url: str) -> None:
    assert refusal(endpoints.check_url, url, loopback_allowed=False) == "webhook-url-not-allowed"


@pytest.mark.parametrize("url", ["https://example.org", "https://example.org:8443/a?b=c", "https://8.8.8.8/"])
def test_an_address_on_the_open_network_is_fine(url: str) -> None:
    endpoints.check_url(url, loopback_allowed=False)


def test_this_machine_is_allowed_by_a_setting_only_and_other_private_addresses_never() -> None:
    for url in ("http://127.0.0.1:8000/", "http://localhost/", "http://[::1]:1/", "https://127.0.0.1/"):
        endpoints.check_url(url, loopback_allowed=True)
        assert refusal(endpoints.check_url, url, loopback_allowed=False) == "webhook-url-not-allowed"
    for url in ("http://10.0.0.1/", "https://10.0.0.1/", "http://example.org/"):
        assert refusal(endpoints.check_url, url, loopback_allowed=True) == "webhook-url-not-allowed"


@given(st.text())
def test_no_text_makes_the_check_fail_otherwise(url: str) -> None:
    try:
        endpoints.check_url(url, loopback_allowed=False)
    except Refusal as found:
        assert found.code == "webhook-url-not-allowed"  # noqa: PT017 - either way is right


@given(st.ip_addresses())
def test_what_is_public_is_global_and_wraps_no_other_address(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if endpoints.is_public(str(address)):
        assert address.is_global
        private = (address.is_private, address.is_link_local, address.is_loopback, address.is_multicast)
        assert not any(private)


@given(st.ip_addresses(v=4))
def test_a_private_address_stays_private_however_it_is_wrapped(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    for wrapped in (
        f"::ffff:{address}",
        str(ipaddress.IPv6Address((0x64FF9B << 96) + number)),
        str(ipaddress.IPv6Address((0x2002 << 112) + (number << 80))),
    ):
        assert not endpoints.is_public(wrapped)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.1", "0x7f000001", "2130706433"])
async def test_a_name_that_leads_to_this_machine_is_not_resolved(name: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - NotAllowedError, or no such name on this system
        await sending.GuardedResolver(loopback_allowed=False).resolve(name, 80)


async def test_one_private_address_among_others_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def answers(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", ("8.8.8.8", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answers, raising=False)
    with pytest.raises(sending.NotAllowedError):
        await sending.GuardedResolver(loopback_allowed=True).resolve("rebinding.example.org", 443)


def test_the_signature_is_that_of_the_published_example() -> None:
    # Standard Webhooks, the example of its reference libraries.
    found = sending.signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        at=1614265330,
    )
    assert found == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(st.binary(min_size=24, max_size=64))
def test_a_secret_of_the_right_form_has_a_key(key: bytes) -> None:
    assert sending.secret_key("whsec_" + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", "secret", "whsec_" + "A" * 200, "whsec_äöü"]
)
def test_a_secret_of_another_form_has_none(secret: str) -> None:
    with pytest.raises(ValueError, match="no secret"):
        sending.secret_key(secret)


def test_production_refuses_addresses_of_this_machine() -> None:
    given_: dict[str, object] = {
        "kafka_bootstrap_servers": "none:0",
        "http_port": 0,
        "jwks_url": "http://none",
        "database_url": "postgresql+asyncpg://none",
        "sealing_key": "{}",
        "quarantine_url": "file:///none",
        "photos_url": "file:///none",
        "webhook_loopback_allowed": True,
    }
    with pytest.raises(ValueError, match="WEBHOOK_LOOPBACK_ALLOWED"):
        CasesSettings.model_validate(given_)
    assert CasesSettings.model_validate({**given_, "environment": "test"}).webhook_loopback_allowed
