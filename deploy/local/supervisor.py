"""Starts, watches, restarts and stops child processes.

Invariants:

- Each child runs in a session of its own, so a Ctrl-C in the terminal reaches the supervisor alone, and
  appends its output to `<run>/logs/<name>.log`.
- A child that was ready once and then ends is started again, after a pause that doubles up to a bound; not after an
  end that was asked for with `kill`, which is no fault of the child's.
  One that ends before it was ready is not: starting it has failed, and the log's last lines say why.
- No child outlives the supervisor, not even one that was killed with SIGKILL (see `tether`). What an
  earlier supervisor still left in the run folder (elsewhere than on Linux, or a child slow to stop) is
  ended before anything is started.
- Children are stopped in the reverse order of their start; those started together are stopped together.

Every method may be called from any thread. One supervisor at a time uses a run folder: its owner holds
the folder's lock.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psutil

from deploy.local.runfolder import make_private_folder, write_private

Readiness = Callable[[], str | None]
"""Asked again and again until it returns None; before that it returns what is still missing."""

Say = Callable[[str], None]
"""Takes one line for the person in front of the screen."""

_TETHER = Path(__file__).with_name("tether.py")
_LOG_LIMIT = 20 * 1024 * 1024
_POLL_SECONDS = 0.05
_STEADY_SECONDS = 30.0
# What a person's shell holds for tools of their own must not reach a child by accident.
_NOT_INHERITED = ("KAFKA_", "PG", "DATABASE_URL")


def say_on_stderr(line: str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class StartFailedError(RuntimeError):
    """A child ended or missed its deadline before it was ready; the message carries its log's last lines."""


class NotRunningError(RuntimeError):
    """The named child has no process at the moment."""


@dataclass(frozen=True)
class ProcessSpec:
    """One child process.

    `env` is added to the inherited environment. `prefix` is a program that starts this one in other
    circumstances (such as `unshare …`) and `user` an account to become. `death_signal` is what the child
    gets when the supervisor itself dies. `keep_alive` off: an end is final.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    ready: Readiness | None = None
    ready_seconds: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    death_signal: signal.Signals = signal.SIGKILL
    prefix: tuple[str, ...] = ()
    user: str | None = None
    keep_alive: bool = True


def http_ready(url: str) -> Readiness:
    """Return a readiness that asks for GET `url` to answer 200 (directly, through no proxy)."""
    parts = urlsplit(url)

    def ask() -> str | None:
        connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=2)
        try:
            connection.request("GET", parts.path or "/")
            answer = connection.getresponse()
            body = answer.read(500).decode("utf-8", "replace").strip()
        except (OSError, http.client.HTTPException) as error:
            return f"GET {url}: {error}"
        finally:
            connection.close()
        return None if answer.status == 200 else f"GET {url}: {answer.status} {body}"

    return ask


class Supervisor:
    """The children of one run folder. Use it as a context manager: leaving it stops them all."""

    def __init__(
        self,
        run_dir: Path,
        *,
        say: Say = say_on_stderr,
        first_pause: float = 0.5,
        longest_pause: float = 30.0,
    ) -> None:
        self._logs = make_private_folder(run_dir / "logs")
        self._pids = make_private_folder(run_dir / "pids")
        self._say = say
        self._pauses = (first_pause, longest_pause)
        self._children: dict[str, _Child] = {}
        self._waves: list[list[str]] = []
        self._guard = threading.RLock()
        _end_leftovers(self._pids, say)

    def start(self, spec: ProcessSpec, *, wait: bool = True) -> None:
        """Start one child, and by default wait until it is ready.

        Raises:
            StartFailedError: it ended, or was not ready in time.
        """
        self.start_all([spec], wait=wait)

    def start_all(self, specs: Iterable[ProcessSpec], *, wait: bool = True) -> None:
        """Start several children at once, and by default wait until all are ready.

        Raises:
            StartFailedError: one of them ended, or was not ready in time. The others are left running.
        """
        wave = list(specs)
        with self._guard:
            for spec in wave:
                if spec.name in self._children and self._children[spec.name].alive:
                    raise RuntimeError(f"{spec.name} is running already")
            known = {name for names in self._waves for name in names}
            self._waves.append([spec.name for spec in wave if spec.name not in known])
            for spec in wave:
                child = _Child(
                    spec, self._logs / f"{spec.name}.log", self._pids / spec.name, self._say, self._pauses
                )
                self._children[spec.name] = child
                child.begin()
        if wait:
            for spec in wave:
                self.wait_ready(spec.name)

    def run_once(self, specs: Iterable[ProcessSpec], *, seconds: float = 120.0) -> None:
        """Run programs side by side to their end; none is restarted.

        Raises:
            StartFailedError: one did not exit with 0 within the time; those still running are stopped.
        """
        children = [
            _Child(spec, self._logs / f"{spec.name}.log", self._pids / spec.name, self._say, self._pauses)
            for spec in specs
        ]
        for child in children:
            child.begin()
        deadline = time.monotonic() + seconds
        try:
            for child in children:
                child.expect_success(deadline)
        finally:
            for child in children:
                child.stop()

    def wait_ready(self, name: str, seconds: float | None = None) -> None:
        """Wait until a child answers its readiness question (at once, if it has none).

        Raises:
            StartFailedError: it ended for good, or the deadline passed.
        """
        child = self._child(name)
        child.wait_ready(child.spec.ready_seconds if seconds is None else seconds)

    def kill(self, name: str, signal_number: int, *, tree: bool = False) -> None:
        """Send a signal to a child, with `tree` also to everything it started. A dead child is restarted.

        Raises:
            NotRunningError: it has no process at the moment.
        """
        pid = self.pid(name)
        if pid is None:
            raise NotRunningError(f"{name} is not running")
        processes = [psutil.Process(pid), *(psutil.Process(pid).children(recursive=True) if tree else ())]
        self._child(name).is_killed = signal_number not in (signal.SIGSTOP, signal.SIGCONT)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal_number)

    def pid(self, name: str) -> int | None:
        """Return the pid of a child, or None while it has no process."""
        return self._child(name).pid

    def starts(self, name: str) -> int:
        """Return how often a child's process was started since it was last asked for by `start`."""
        return self._child(name).starts

    def names(self) -> list[str]:
        """Return the names of the children that are meant to run, in the order of their start."""
        with self._guard:
            return [name for wave in self._waves for name in wave if self._children[name].alive]

    def log_path(self, name: str) -> Path:
        """Return where a child's output goes."""
        return self._child(name).log_path

    def stop_one(self, name: str) -> None:
        """Stop one child and keep it stopped; without effect if it is stopped."""
        self._child(name).stop()

    def restart(self, name: str, *, wait: bool = True) -> None:
        """Stop a child if it runs, then start it again, keeping its place in the order.

        Raises:
            StartFailedError: it ended, or was not ready in time.
        """
        self.stop_one(name)
        self.start(self._child(name).spec, wait=wait)

    def replace(self, spec: ProcessSpec, *, wait: bool = True) -> None:
        """Stop the child of this name and start it again in another way, such as with a new environment."""
        self.stop_one(spec.name)
        self.start(spec, wait=wait)

    def stop_all(self) -> None:
        """Stop every child, the last started first."""
        with self._guard:
            waves = [[self._children[name] for name in wave] for wave in self._waves]
            self._waves.clear()
        for wave in reversed(waves):
            for child in reversed(wave):
                child.ask_to_stop()
            for child in reversed(wave):
                child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()

    def _child(self, name: str) -> _Child:
        with self._guard:
            if name not in self._children:
                raise KeyError(f"no child process is called {name}")
            return self._children[name]


class _Child:
    """One child and the thread that starts it, waits for its end and starts it again.

    The thread must do both: the death signal fires at the end of the thread that made the process.
    """

    def __init__(
        self, spec: ProcessSpec, log_path: Path, pid_path: Path, say: Say, pauses: tuple[float, float]
    ) -> None:
        self.spec = spec
        self.log_path = log_path
        self.pid: int | None = None
        self.starts = 0
        self._pid_path = pid_path
        self._say = say
        self._first_pause, self._longest_pause = pauses
        self.is_killed = False
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._was_ready = False
        self._ending = "was never started"
        self._exit_code: int | None = None
        self._log_start = 0
        self._thread = threading.Thread(target=self._run, name=f"watch {spec.name}", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the child runs or is about to be started again."""
        return self._thread.is_alive()

    def begin(self) -> None:
        """Start the thread and with it the process."""
        _rotate(self.log_path)
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        self._thread.start()

    def wait_ready(self, seconds: float) -> None:
        """Wait for readiness; see `Supervisor.wait_ready`."""
        deadline = time.monotonic() + seconds
        missing: str | None = "it has not been started"
        while time.monotonic() < deadline:
            with self._changed:
                if not self.alive:
                    self._fail(self._ending)
                running = self.pid is not None
            if running:
                missing = self.spec.ready() if self.spec.ready else None
                if missing is None:
                    self._was_ready = True
                    return
            with self._changed:
                self._changed.wait(_POLL_SECONDS)
        self._fail(f"was not ready after {seconds:.0f} s: {missing}")

    def expect_success(self, deadline: float) -> None:
        """Wait for the end of a program that runs once, and insist that it succeeded."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._fail("did not end in time")
        if self._exit_code != 0:
            self._fail(self._ending)

    def ask_to_stop(self) -> None:
        """Send the stop signal once, without waiting."""
        with self._changed:
            first = not self._stopping.is_set()
            self._stopping.set()
            if first and self.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, self.spec.stop_signal)
                    os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop the process: the stop signal, a deadline, then SIGKILL to its process group."""
        self.ask_to_stop()
        self._thread.join(self.spec.stop_seconds)
        if not self._thread.is_alive():
            return
        with self._changed:
            if self.pid is not None:
                self._say(
                    f"{self.spec.name} did not stop within {self.spec.stop_seconds:.0f} s and is killed"
                )
                _kill_group(self.pid)
        self._thread.join()

    def _run(self) -> None:
        pause = self._first_pause
        while True:
            began = time.monotonic()
            with self._changed:
                if self._stopping.is_set():
                    return
                try:
                    process = self._spawn()
                except OSError as error:
                    self._ending = f"could not be started: {error}"
                    return
                self.pid = process.pid
                self.starts += 1
                self._changed.notify_all()
            self._remember(process.pid)
            _wait_for_end(process.pid)
            with self._changed:
                # Reaped only now, under the lock: until here nobody else can have got this pid.
                self._exit_code = process.wait()
                self._ending = _describe(self._exit_code)
                self.pid = None
                self._changed.notify_all()
            self._pid_path.unlink(missing_ok=True)
            if self._stopping.is_set() or not self._was_ready or not self.spec.keep_alive:
                return
            if time.monotonic() - began > _STEADY_SECONDS:
                pause = self._first_pause
            self._say(
                f"{self.spec.name} {self._ending}; it is started again in {pause:.1f} s (log: {self.log_path})"
            )
            if self._stopping.wait(pause):
                return
            if not self.is_killed:
                pause = min(pause * 2, self._longest_pause)
            self.is_killed = False

    def _spawn(self) -> subprocess.Popen[bytes]:
        spec = self.spec
        tether = (sys.executable, "-I", "-S", str(_TETHER), str(int(spec.death_signal)), str(os.getpid()))
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)}
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [*spec.prefix, *tether, spec.user or "-", *spec.argv],
                env={**inherited, **spec.env},
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _remember(self, pid: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            began = psutil.Process(pid).create_time()
            write_private(self._pid_path, f"{pid} {began} {int(self.spec.stop_signal)}")

    def _fail(self, why: str) -> None:
        raise StartFailedError(f"{self.spec.name} {why}\n{self._log_tail()}".rstrip())

    def _log_tail(self) -> str:
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(min(self._log_start, size), size - 8_000))
            lines = log.read().decode("utf-8", "replace").splitlines()[-20:]
        return "\n".join([f"--- {self.log_path} ends:", *lines])


def _wait_for_end(pid: int) -> None:
    """Return when the process has ended, leaving it to be reaped, and end what is left of its group."""
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        _kill_group(pid)


def _kill_group(pid: int) -> None:
    """Send SIGKILL to the process group that the process leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _describe(code: int) -> str:
    """Say in words how a process ended."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _rotate(log_path: Path) -> None:
    """Set a log aside that has grown too large; one older log is kept."""
    if log_path.exists() and log_path.stat().st_size > _LOG_LIMIT:
        log_path.replace(log_path.with_name(f"{log_path.name}.1"))


def _end_leftovers(pids: Path, say: Say) -> None:
    """End what an earlier supervisor of this run folder left behind, known by pid and start time."""
    leftovers: list[psutil.Process] = []
    for path in pids.iterdir():
        with contextlib.suppress(psutil.NoSuchProcess, ValueError):
            pid, began, stop_signal = path.read_text("ascii").split()
            process = psutil.Process(int(pid))
            if abs(process.create_time() - float(began)) < 1.0 and process.status() != psutil.STATUS_ZOMBIE:
                say(f"{path.name} (pid {pid}) is left over from an earlier run and is stopped")
                process.send_signal(int(stop_signal))
                leftovers.append(process)
    _, stubborn = psutil.wait_procs(leftovers, timeout=10)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=10)
    for path in pids.iterdir():
        path.unlink()
