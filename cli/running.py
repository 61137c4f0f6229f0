"""How the CLI finds the suite: the environment, else the run folder of a suite on this machine.

Invariant: the file with the operator's access is readable by its owner alone and goes with the suite.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.runfolder import run_folder, write_private
from deploy.local.suite import Suite

DEMO = "demo"
"""The demo's own run folder, within that of `up`."""
_FILE = "operator.json"


class NotRunning(Exception):  # noqa: N818 - told to the person
    """No suite was found; the text says what to do."""


@dataclass(frozen=True)
class Access:
    """An operator's way in; `evaluation` is the environment of that service, for a rebuild beside it."""

    gateway: str
    secret: str = field(repr=False)
    services: Mapping[str, list[str]]
    kafka: Mapping[str, str] = field(repr=False)
    evaluation: Mapping[str, str] = field(repr=False)


def leave(suite: Suite) -> Path:
    """Write the access of a suite that has come up; returns the file."""
    path = suite.stack.run_dir / _FILE
    access = {
        "gateway": suite.gateway_url,
        "secret": suite.secrets.get("operator"),
        "services": suite.service_urls,
        "kafka": suite.stack.env_for("operator"),
        "evaluation": suite.stack.env_for("evaluation"),
    }
    write_private(path, json.dumps(access))
    return path


def folder() -> Path:
    """The run folder of the suite that was started last: `up`'s or the demo's, `up`'s where none runs."""
    ups = run_folder()
    left = [path for path in (ups / _FILE, ups / DEMO / _FILE) if path.exists()]
    return max(left, key=lambda path: path.stat().st_mtime_ns, default=ups / _FILE).parent


def find() -> Access:
    """The access from GATEWAY_URL, OPERATOR_SECRET, SERVICE_URLS, KAFKA_* and DATABASE_URL, else from the run folder.

    Raises NotRunning.
    """
    if "GATEWAY_URL" in os.environ and "OPERATOR_SECRET" in os.environ:
        kafka = {name: value for name, value in os.environ.items() if name.startswith("KAFKA_")}
        services = json.loads(os.environ.get("SERVICE_URLS", "{}"))
        database = {name: value for name, value in os.environ.items() if name == "DATABASE_URL"}
        return Access(
            os.environ["GATEWAY_URL"], os.environ["OPERATOR_SECRET"], services, kafka, {**kafka, **database}
        )
    try:
        return Access(**json.loads((folder() / _FILE).read_text()))
    except FileNotFoundError:
        raise NotRunning("No suite is running here. Start one with `make up` or `make demo`.") from None
