"""The lock that lets one suite at a time use a run folder.

The lock is the kernel's (`flock`), so it goes with the process that held it, however that ended: a lock
file left behind is stale and is taken over. Run as a script (`python lock.py RUN_FOLDER`) it exits 1 with
one line when the folder is in use; it needs the standard library alone.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from typing import TextIO

LOCK_NAME = "lock"


class AlreadyRunningError(RuntimeError):
    """Another process holds the run folder. `pid` is its id, or None where it could not be read."""

    def __init__(self, run_dir: Path, pid: int | None) -> None:
        """Build the one-line message that a person sees."""
        self.pid = pid
        who = f"pid {pid}" if pid else "another process"
        how = f"; stop it with Ctrl-C there, or with: kill {pid}" if pid else ""
        super().__init__(f"a suite is already running in {run_dir} ({who}){how}")


class RunLock:
    """Exclusive use of one run folder, from `acquire` until `release` or the end of this process."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._file: TextIO | None = None

    def acquire(self) -> int | None:
        """Take the lock, and return the pid of a holder that ended without releasing it, if there was one.

        Raises:
            AlreadyRunningError: a living process holds it.
        """
        file = (self._run_dir / LOCK_NAME).open("a+", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _read_pid(file)
            file.close()
            raise AlreadyRunningError(self._run_dir, pid) from None
        left_by = _read_pid(file)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return left_by

    def release(self) -> None:
        """Give the lock up; without effect when it is not held."""
        if self._file is None:
            return
        self._file.seek(0)
        self._file.truncate()
        self._file.close()
        self._file = None


def _read_pid(file: TextIO) -> int | None:
    """Return the pid written in the lock file, or None."""
    file.seek(0)
    text = file.read().strip()
    return int(text) if text.isdecimal() else None


def main(arguments: list[str]) -> int:
    """Say whether the folder named by the only argument is in use: 1 if it is, 0 if not."""
    run_dir = Path(arguments[0])
    if not (run_dir / LOCK_NAME).exists():
        return 0
    lock = RunLock(run_dir)
    try:
        lock.acquire()
    except AlreadyRunningError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    lock.release()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
