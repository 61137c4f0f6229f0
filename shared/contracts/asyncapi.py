"""The contract as documents: one JSON Schema per message type, one AsyncAPI 3 document per service.

`python -m shared.contracts.asyncapi write` writes them into `shared/contracts/schemas`;
`… check` fails (exit 1) and names each file that differs from the code.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from shared.contracts import commands, events
from shared.contracts.envelope import CONTENT_TYPE, Envelope
from shared.contracts.registry import EVERY_SERVICE, Declaration

FOLDER = Path(__file__).parent / "schemas"
SERVICES = ("identity", "cases", "participation", "learning", "evaluation", "notify")


def schema(declaration: Declaration) -> dict[str, Any]:
    """The JSON Schema of a whole message: the envelope with this type's data."""
    whole = Envelope.model_json_schema(mode="serialization")
    data = declaration.model.model_json_schema(mode="serialization", ref_template="#/$defs/{model}")
    definitions = data.pop("$defs", {})
    whole["title"] = declaration.type
    whole["description"] = (declaration.model.__doc__ or "").strip()
    whole["properties"]["type"] = {"const": declaration.type}
    whole["properties"]["data"] = data
    whole["$defs"] = {**whole.get("$defs", {}), **definitions}
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return whole


def document(service: str) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of a service: what it receives and what it sends."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for declaration in (*commands().values(), *events().values()):
        if declaration.owner not in (service, EVERY_SERVICE):
            continue
        topic = declaration.topic.replace(f"{EVERY_SERVICE}.", f"{service}.")
        if declaration.type.startswith("department.") and service == "cases":
            topic = "department.{code}.routed"
        name = topic.replace(".", "-").replace("{", "").replace("}", "")
        channel = channels.setdefault(name, {"address": topic, "messages": {}})
        if "{code}" in topic:
            channel["parameters"] = {"code": {"description": "code of the department"}}
        channel["messages"][declaration.type] = {
            "name": declaration.type,
            "contentType": CONTENT_TYPE,
            "summary": (declaration.model.__doc__ or "").strip(),
            "payload": {"$ref": f"./{declaration.type}.json"},
        }
        action = "receive" if declaration.kind == "command" else "send"
        operations[f"{action}-{declaration.type}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": [{"$ref": f"#/channels/{name}/messages/{declaration.type}"}],
        }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": f"Daibiaotong {service}", "version": "0.1.0"},
        "defaultContentType": CONTENT_TYPE,
        "channels": channels,
        "operations": operations,
    }


def files() -> dict[str, str]:
    """Every generated file by name."""
    found = {f"{d.type}.json": schema(d) for d in (*commands().values(), *events().values())}
    found |= {f"{service}.asyncapi.json": document(service) for service in SERVICES}
    return {name: json.dumps(content, ensure_ascii=False, indent=2) + "\n" for name, content in found.items()}


def differing() -> list[str]:
    """Names of committed files that are missing, stale or no longer generated."""
    wanted = files()
    present = {path.name for path in FOLDER.glob("*.json")}
    stale = [n for n, text in wanted.items() if n not in present or (FOLDER / n).read_text("utf-8") != text]
    return sorted({*stale, *(present - wanted.keys())})


def write() -> None:
    """Write every file and remove what is no longer generated."""
    FOLDER.mkdir(exist_ok=True)
    wanted = files()
    for path in FOLDER.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        write()
    elif found := differing():
        sys.exit(
            "differs from the code (run `python -m shared.contracts.asyncapi write`): " + ", ".join(found)
        )
