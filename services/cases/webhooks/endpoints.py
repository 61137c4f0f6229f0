"""Where a department has its messages delivered, as pure decisions.

Invariants: an address belongs to one department for good; somebody else's is as unknown as one that
does not exist; a removed one never comes back.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

from shared.refusals import Refusal

PER_DEPARTMENT_MAX = 5
_LOCAL_NAMES = frozenset({"localhost"})


@dataclass(frozen=True)
class Replay:
    """What is to be delivered again: from a delivery's number on, or what was written since a moment."""

    number: int | None
    since: datetime | None


@dataclass(frozen=True)
class Webhook:
    """One address. `version` counts changes; `replays` are those not yet carried out."""

    id: UUID
    department: str
    url: str
    sealed: str
    registered_at: datetime
    state: Literal["active", "removed"] = "active"
    version: int = 1
    replays: tuple[Replay, ...] = ()


def check_url(url: str, *, loopback_allowed: bool) -> None:
    """Raise Refusal for an address that messages may not go to; names are looked up at each delivery."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", 0, urlsplit("")
    local = loopback_allowed and is_loopback(host)
    fine = host and port != 0 and (parts.scheme == "https" or (parts.scheme == "http" and local))
    if not fine or parts.username is not None or parts.password is not None or parts.fragment:
        raise webhook_url_not_allowed()
    if any(ord(letter) <= 0x20 or ord(letter) >= 0x7F for letter in url):
        raise webhook_url_not_allowed()
    if (host in _LOCAL_NAMES or (_address(host) and not is_public(host))) and not local:
        raise webhook_url_not_allowed()


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by name or number."""
    address = _address(host)
    return host in _LOCAL_NAMES or (address is not None and address.is_loopback)


def is_public(number: str) -> bool:
    """Whether an IP address lies on the open network; addresses that wrap another one do not count as such."""
    address = _address(number)
    if address is None or not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        return not (address.ipv4_mapped or address.sixtofour or address.teredo) and not any(
            address in wrapping for wrapping in _WRAPPING
        )
    return True


_WRAPPING = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
"""NAT64 (RFC 6052, RFC 8215): the last four bytes are an IPv4 address, private ones among them."""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def register(
    known: Webhook | None, new: Webhook, *, sender_department: str | None, active: bool, present: int
) -> Webhook:
    """A new address. `sender_department` is None for an operator; `active` says whether the department is.

    `present` counts the department's active addresses.
    """
    if known is not None:
        raise webhook_exists()
    if sender_department is not None and sender_department != new.department:
        raise Refusal("not-your-department", "A department registers addresses for itself only.", "forbidden")
    if not active:
        raise Refusal("department-unknown", "There is no active department with this code.", "invalid")
    if present >= PER_DEPARTMENT_MAX:
        raise Refusal(
            "webhook-too-many", f"A department has at most {PER_DEPARTMENT_MAX} addresses; remove one first."
        )
    return new


def of_sender(known: Webhook | None, sender_department: str | None) -> Webhook:
    """The address, if it is the sender's and not removed. Raises Refusal."""
    if known is None or known.state == "removed" or sender_department not in (None, known.department):
        raise Refusal("webhook-unknown", "There is no webhook with this id.", "not-found")
    return known


def remove(known: Webhook | None, sender_department: str | None) -> Webhook:
    """Deliver nothing more there."""
    found = of_sender(known, sender_department)
    return replace(found, state="removed", version=found.version + 1)


def replay(
    known: Webhook | None,
    sender_department: str | None,
    *,
    delivery: UUID | None,
    since: datetime | None,
    numbers: Mapping[tuple[UUID, UUID], int],
) -> Webhook:
    """Deliver again. `numbers` gives a delivery's number by address and message id."""
    found = of_sender(known, sender_department)
    if (delivery is None) == (since is None):
        raise Refusal("replay-from-what", "Name either a delivery or a time to replay from.", "invalid")
    number = None
    if delivery is not None:
        number = numbers.get((found.id, delivery))
        if number is None:
            raise Refusal("delivery-unknown", "There is no such delivery to this webhook.", "not-found")
    return replace(found, version=found.version + 1, replays=(*found.replays, Replay(number, since)))


def webhook_exists() -> Refusal:
    """An address was registered under this id before."""
    return Refusal("webhook-exists", "This id has been used; register the address under a new one.")


def webhook_url_not_allowed() -> Refusal:
    """The address is not one that messages may go to."""
    return Refusal(
        "webhook-url-not-allowed",
        "The address must be https on the open network, in ASCII, without user, password or fragment.",
        "invalid",
    )


def secret_unreadable() -> Refusal:
    """The sealed secret cannot be opened, or has not the form of one."""
    return Refusal(
        "secret-unreadable",
        "Seal a secret of the form whsec_ and base64 of 24 to 64 bytes to this service's key.",
        "invalid",
    )
