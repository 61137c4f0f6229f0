"""Which message types exist, who owns each, on which topic it travels and who may send it.

Invariants: a type name belongs to one class for ever; an event's topic is its type name without the
version suffix; a command travels on its owner's `<service>.commands`, one that a service sends itself on
`<service>.due`, which nobody else may write.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict

Role = Literal["deputy", "staff", "department", "operator", "simulation", "intake", "system"]
"""`intake` is a gateway that speaks for residents, who have no account; `system` is a service that sends itself what falls due; no person and no token has it."""

EVERY_SERVICE = "*"


class Contract(BaseModel):
    """The `data` of a message. Readers ignore fields they do not know; writers validate strictly."""

    model_config = ConfigDict(frozen=True, extra="ignore")


@dataclass(frozen=True)
class Declaration:
    """How one message type is known: its name, class, owner and, for a command, the roles that may send it."""

    type: str
    model: builtins.type[Contract]
    owner: str
    kind: Literal["command", "event"]
    key: str
    roles: frozenset[Role] = frozenset()

    @property
    def of_system(self) -> bool:
        """Whether a service sends it to itself."""
        return self.roles == {"system"}

    @property
    def topic(self) -> str:
        """The Kafka topic that the type travels on; for a command of every service, the pattern of it."""
        if self.kind == "command":
            return f"{self.owner}.due" if self.of_system else f"{self.owner}.commands"
        name, _, version = self.type.rpartition(".")
        return name if version.startswith("v") and version[1:].isdigit() else self.type


_BY_TYPE: dict[str, Declaration] = {}
_BY_MODEL: dict[type[Contract], Declaration] = {}

M = TypeVar("M", bound=Contract)


def _declare(declaration: Declaration) -> None:
    if declaration.type in _BY_TYPE:
        raise ValueError(f"message type {declaration.type} is declared twice")
    _BY_TYPE[declaration.type] = declaration
    _BY_MODEL[declaration.model] = declaration


def command(type_: str, *, owner: str, roles: tuple[Role, ...], key: str) -> Callable[[type[M]], type[M]]:
    """Declare a command: `owner` decides on it, `roles` may send it, `key` is its subject."""

    def register(model: type[M]) -> type[M]:
        _declare(Declaration(type_, model, owner, "command", key, frozenset(roles)))
        return model

    return register


def event(type_: str, *, owner: str, key: str) -> Callable[[type[M]], type[M]]:
    """Declare an event: a fact that only `owner` may publish, keyed by `key`."""

    def register(model: type[M]) -> type[M]:
        _declare(Declaration(type_, model, owner, "event", key))
        return model

    return register


def contract_of(type_: str) -> Declaration | None:
    """The declaration of a type name, or None for a type nobody declared."""
    return _BY_TYPE.get(type_)


def declaration_of(model: type[Contract]) -> Declaration:
    """The declaration of a message class; KeyError for a class that is no message."""
    return _BY_MODEL[model]


def commands() -> Mapping[str, Declaration]:
    """All commands by type name."""
    return MappingProxyType({t: d for t, d in _BY_TYPE.items() if d.kind == "command"})


def events() -> Mapping[str, Declaration]:
    """All events by type name."""
    return MappingProxyType({t: d for t, d in _BY_TYPE.items() if d.kind == "event"})
