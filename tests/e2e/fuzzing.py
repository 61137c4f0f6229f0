"""Requests and messages as nobody should send them, made from the committed schemas and a seed.

For every writing operation of the gateway's OpenAPI document, and for every command of a service: what its
schema permits, and the same spoilt: rubbish, huge texts, HTML and SQL, wrong types, times far away, fields that are
missing or unknown, and the ids of other people's things.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from deploy.local.runfolder import CHECKOUT
from shared.contracts.registry import Declaration
from tests.contract.from_schema import permitted

HUGE = "长" * 90_000
"""270 kB as UTF-8: more than the gateway takes at all."""
TEXTS = (
    "",
    " ",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "'; DROP TABLE cases; --",
    "%' OR 1=1 /* \" */",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "../../etc/passwd",
    "a\u0000b",
    "\u202e\u200d\ufeff\U0001f469\u200d\U0001f680",
    "é" * 5_001,
    "9999-12-31T23:59:59+00:00",
    "-271821-04-20T00:00:00Z",
    "0001-01-01",
    "2099-01-01",
    "not-a-uuid",
    "NaN",
    "true",
    "１２３",
)
OTHERS = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    10**40,
    -1.5,
    1e308,
    [],
    {},
    [[[[[[]]]]]],
    {"a": {"b": {"c": {}}}},
    ["x"] * 1_000,
    "9999-12-31T23:59:59.999999Z",
)
WHOLE = (b"", b"{", b"null", b"[]", b'"text"', b"1e999", b"\xff\xfe\x00", b'{"a":NaN}', b"[" * 5_000)
"""Bodies that are no object at all."""


@dataclass(frozen=True)
class Request:
    """One writing request. `body` as bytes; `spoilt` says how, None where the schema permits it."""

    method: str
    path: str
    operation: str
    body: bytes = field(repr=False)
    spoilt: str | None


def drawn(strategy: st.SearchStrategy[Any], number: int, seed_: int) -> list[Any]:
    """So many values of a strategy, the same for the same seed."""
    found: list[Any] = []

    @seed(seed_)
    @settings(
        max_examples=number,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found[:number]


def spoil(chance: random.Random, good: Mapping[str, Any], ids: Sequence[str]) -> tuple[str, Any]:
    """A body with one thing wrong, and what; sometimes with two."""
    body = json.loads(json.dumps(good))
    names = list(body) or ["title"]
    name = chance.choice(names)
    match chance.randrange(7):
        case 0:
            body.pop(name, None)
            return f"without {name}", body
        case 1:
            body[f"x-{name}"] = chance.choice(TEXTS)
            return "a field too many", body
        case 2:
            body[name] = chance.choice(OTHERS)
            return f"{name} of another type", body
        case 3:
            body[name] = HUGE
            return f"{name} is huge", body
        case 4:
            body[name] = chance.choice(ids)
            return f"{name} is somebody else's id", body
        case 5:
            for one in names:
                body[one] = chance.choice(TEXTS)
            return "every field a strange text", body
        case _:
            body[name] = chance.choice(TEXTS)
            return f"{name} is a strange text", body


def writing() -> set[str]:
    """Every operation of the OpenAPI document that writes, as its method and path."""
    document = json.loads((CHECKOUT / "gateway" / "openapi.json").read_text("utf-8"))
    paths = document["paths"].items()
    return {f"{method} {path}" for path, operations in paths for method in set(operations) & _WRITING}


_WRITING = {"post", "put", "patch", "delete"}


def requests(seed_: int, each: int, ids: Sequence[str], skip: frozenset[str]) -> Iterator[Request]:
    """`each` requests for every writing operation of the OpenAPI document that is not in `skip`."""
    document = json.loads((CHECKOUT / "gateway" / "openapi.json").read_text("utf-8"))
    definitions = document["components"]["schemas"]
    chance = random.Random(seed_)
    for path, operations in document["paths"].items():
        for method in sorted(set(operations) & _WRITING):
            content = operations[method].get("requestBody", {}).get("content", {})
            if f"{method} {path}" in skip:
                continue
            schema = content.get("application/json", {}).get("schema", {"type": "object", "properties": {}})
            good = drawn(permitted(schema, definitions), each, seed_)
            for n, body in enumerate(good):
                told, sent = (None, body) if n % 3 == 0 else spoil(chance, body, ids)
                raw = json.dumps(sent, ensure_ascii=True).encode()
                if chance.randrange(11) == 0:
                    told, raw = "no object", chance.choice(WHOLE)
                yield Request(method.upper(), _filled(chance, path, ids), f"{method} {path}", raw, told)


def _filled(chance: random.Random, path: str, ids: Sequence[str]) -> str:
    """The path with its places filled: mostly with ids that exist, else with rubbish."""
    parts = path.split("/")
    for n, part in enumerate(parts):
        if part.startswith("{"):
            parts[n] = chance.choice(
                [*ids, str(UUID(int=chance.getrandbits(128))), "not-an-id", "%00", "%27--"]
            )
    return "/".join(parts)


def messages(
    declaration: Declaration, seed_: int, number: int, ids: Sequence[str]
) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Contents of a command by its JSON Schema, every third as permitted, the others spoilt."""
    schema = declaration.model.model_json_schema()
    chance = random.Random(f"{seed_}/{declaration.type}")
    for n, good in enumerate(drawn(permitted(schema, schema.get("$defs", {})), number, seed_)):
        yield (None, good) if n % 3 == 0 else spoil(chance, good, ids)


def seed_of_the_day() -> int:
    """Another seed each day; a failure names it, and SEED=20261127 in the environment brings that day back."""
    return int(os.environ.get("SEED") or date.today().strftime("%Y%m%d"))  # noqa: DTZ011 - any day will do
