"""The run folder: where it is, private files in it, and the ports a run remembers.

Everything a run leaves on the disk lies in this one folder (data, logs, secrets, ports, pids), so removing
it gives a new beginning. The folder is readable by its owner alone.
"""

from __future__ import annotations

import errno
import json
import os
import random
import socket
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

# Below the range from which the kernel takes the source ports of outgoing connections. A port out of that
# range can be lost to a client while its server restarts, and a client polling it can even connect to itself.
PORT_RANGE = range(20_000, 32_000)


def run_folder() -> Path:
    """Return the run folder: `DAIBIAOTONG_RUN`, or `.run` in the checkout."""
    named = os.environ.get("DAIBIAOTONG_RUN")
    return Path(named).expanduser().absolute() if named else CHECKOUT / ".run"


def port_range() -> range:
    """Return the ports to choose from: `DAIBIAOTONG_PORTS` such as `20000-25999`, or `PORT_RANGE`.

    Several runs on one machine that begin at the same moment need ranges of their own; none but these ports is taken.

    Raises:
        ValueError: the variable is no such range.
    """
    named = os.environ.get("DAIBIAOTONG_PORTS")
    if named is None:
        return PORT_RANGE
    first, _, last = named.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) < 65_536):
        raise ValueError(f"DAIBIAOTONG_PORTS is {named!r}, not a range such as 20000-25999")
    return range(int(first), int(last) + 1)


def make_private_folder(folder: Path) -> Path:
    """Make a folder that only its owner may open, with its parents, and return it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner alone: a reader sees the old text or the new."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


class Ports:
    """Free loopback ports by name, remembered in the run folder so that a restart gets the same ones.

    Two names never share a port. Whoever holds the run folder's lock is the only one to use this.
    """

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / "ports.json"
        self._taken: dict[str, int] = {}
        if self._path.exists():
            self._taken = {str(name): int(port) for name, port in json.loads(self._path.read_text()).items()}

    def take(self, name: str, preferred: int | None = None) -> int:
        """Return the port of `name`: the remembered one, else the preferred one, else any; each only if free.

        Raises:
            RuntimeError: no free port was found.
        """
        ports = port_range()
        if ports != PORT_RANGE and preferred not in ports:
            preferred = None  # another run may prefer the same at this moment
        others = {port for other, port in self._taken.items() if other != name}
        wanted = (
            [self._taken.get(name), preferred] if preferred is None else [preferred, self._taken.get(name)]
        )
        candidates = [port for port in wanted if port] + random.sample(ports, min(200, len(ports)))
        for port in candidates:
            if port not in others and _is_free(port):
                if self._taken.get(name) != port:
                    self._taken[name] = port
                    write_private(self._path, json.dumps(self._taken, indent=1, sort_keys=True))
                return port
        raise RuntimeError(f"no free port on 127.0.0.1 for {name}")


def _is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True
