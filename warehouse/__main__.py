"""`python -m warehouse`: write the warehouse, round after round; `once`: one round; `compact`: one compaction, if due.

Each round is a process of its own (`once`): what reading and Parquet take of memory is given back, and the
one that stays is small. So is each compaction, one at a time beside the rounds, which do not wait for it; one that
cannot be done leaves the events as they are, and is tried again when the next is due. `/livez`, `/readyz` and
`/metrics` say how the last round went; not ready means that rounds fail, and the lag metric how far the warehouse is
behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest

_ROUND_SECONDS = 3600.0
_AGAIN_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_NICE = 10
"""How far a compaction stands back behind the rounds and whatever else runs there."""
_COMPACT = [sys.executable, "-m", "warehouse", "compact"]
_FILES = 1000
"""As many new files make a compaction due (`warehouse.compacting`)."""

REGISTRY = CollectorRegistry()
ROWS = Counter("dbt_warehouse_rows_total", "Rows written", registry=REGISTRY)
LOST = Gauge(
    "dbt_warehouse_lost_records",
    "Records that the log had lost before they were written, since the warehouse began",
    registry=REGISTRY,
)
COMPACTIONS_FAILED = Counter(
    "dbt_warehouse_compactions_failed_total", "Compactions that could not be done", registry=REGISTRY
)
LAG = Gauge("dbt_warehouse_lag_records", "Records not yet written, at the end of a round", registry=REGISTRY)
BEHIND = Gauge(
    "dbt_warehouse_behind_seconds",
    "Since the beginning of the last round that wrote everything",
    registry=REGISTRY,
)


class State:
    """How the last round went; read by the answering threads."""

    def __init__(self) -> None:
        self.caught_up_at = time.monotonic()
        self.reason = ""
        self.new_rows = self.new_files = 0
        self.began = False

    def took(self, told: dict[str, int], began: float) -> None:
        """A round ended well."""
        ROWS.inc(told["rows"])
        LAG.set(told["lag"])
        LOST.set(told["lost"])
        self.reason = ""
        self.new_rows += told["rows"]
        self.new_files += told["files"]
        if not told["lag"]:
            self.caught_up_at = began

    def may_compact(self, rows: int) -> bool:
        """Whether a compaction may be due: after the first round, since nobody knows what was before."""
        if self.began and self.new_rows < rows and self.new_files < _FILES:
            return False
        self.began = True
        self.new_rows = self.new_files = 0
        return True


def serve(state: State, host: str, port: int) -> ThreadingHTTPServer:
    """Answer `/livez`, `/readyz` and `/metrics` in threads."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, kind = 200, b"{}", "application/json"
            if self.path == "/metrics":
                BEHIND.set(time.monotonic() - state.caught_up_at)
                body, kind = generate_latest(REGISTRY), CONTENT_TYPE_LATEST
            elif self.path == "/readyz":
                status = 503 if state.reason else 200
                body = json.dumps({"warehouse": state.reason} if state.reason else {}).encode()
            elif self.path != "/livez":
                status = 404
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Requests are not logged."""

    server = ThreadingHTTPServer((host, port), Answers)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server


def follow() -> int:
    """Rounds until a stop signal; a last one then, so that a suite that stops leaves nothing unwritten."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    seconds = float(os.environ.get("WAREHOUSE_SECONDS", "300"))
    rows = int(os.environ.get("WAREHOUSE_COMPACT_ROWS", "500000"))
    state = State()
    server = serve(state, os.environ.get("HTTP_HOST", "127.0.0.1"), int(os.environ["HTTP_PORT"]))
    rounds(state, stop, seconds, rows)
    server.shutdown()
    return 0


def rounds(state: State, stop: threading.Event, seconds: float, rows: int) -> None:
    """Rounds until the stop, and a last one; beside them a compaction when `rows` are new and none is under way."""
    beside = threading.Thread()
    wait = seconds  # while the suite starts there is nothing to write, and little time
    while not stop.wait(wait):
        went = one_round(state)
        wait = seconds if went else min(seconds, _AGAIN_SECONDS)
        if went and not beside.is_alive() and state.may_compact(rows):
            beside = threading.Thread(target=compaction, args=(stop,), name="compaction", daemon=True)
            beside.start()
    one_round(state)
    if beside.is_alive():
        beside.join()


def one_round(state: State) -> bool:
    """A round in a process of its own; whether it ended well."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "warehouse", "once"],
            stdout=subprocess.PIPE,
            timeout=_ROUND_SECONDS,
            check=False,
            start_new_session=True,  # a signal to the group must not cut the last round short
        )
        *logged, told = done.stdout.decode().splitlines(keepends=True) or [""]
        sys.stdout.writelines(logged)
        if done.returncode == 0:
            state.took(json.loads(told), began)
            return True
        sys.stdout.write(told)
        state.reason = f"the last round ended with {done.returncode}"
    except (subprocess.TimeoutExpired, OSError, ValueError, LookupError) as error:
        state.reason = type(error).__name__
    return False


def compaction(stop: threading.Event) -> None:
    """A compaction in a process of its own, which a stop cuts short: what it had written nobody sees."""
    try:
        child = subprocess.Popen(_COMPACT, start_new_session=True)
    except OSError:
        COMPACTIONS_FAILED.inc()
        return
    ends = time.monotonic() + _ROUND_SECONDS
    while child.poll() is None:
        if stop.wait(_LOOK_SECONDS) or time.monotonic() > ends:
            child.kill()
            child.wait()
    if child.returncode and not stop.is_set():
        COMPACTIONS_FAILED.inc()


def compact() -> int:
    """One compaction, if it is due. 0, or 1 where it could not be done."""
    import duckdb

    from shared.messaging import failpoints
    from shared.telemetry import logging
    from warehouse import compacting
    from warehouse.manifests import Contradiction
    from warehouse.settings import WarehouseSettings

    settings = WarehouseSettings()
    logging.configure(service="warehouse", instance=settings.instance, level=settings.log_level)
    failpoints.arm(settings.failpoint)
    try:
        asyncio.run(
            compacting.compact(
                settings.warehouse_url,
                settings,
                at_least=settings.warehouse_compact_rows,
                memory=settings.warehouse_compact_memory,
            )
        )
    except (Contradiction, OSError, TimeoutError, duckdb.Error) as error:
        logging.logger(__name__).warning("compaction-failed", error=type(error).__name__)
        return 1
    return 0


def once() -> int:
    """One round; its account as the last line of standard output. 0, or 1 where it could not be done."""
    from aiokafka.errors import KafkaError

    from shared.storage import open_storage
    from shared.telemetry import logging
    from warehouse.manifests import Contradiction
    from warehouse.settings import WarehouseSettings
    from warehouse.writing import Stalled, as_line, write_round

    settings = WarehouseSettings()
    logging.configure(service="warehouse", instance=settings.instance, level=settings.log_level)
    log = logging.logger(__name__)
    try:
        told = asyncio.run(write_round(settings, open_storage(settings.warehouse_url, settings)))
    except (KafkaError, LookupError, Contradiction, Stalled, OSError, TimeoutError) as error:
        log.warning("round-failed", error=type(error).__name__)
        return 1
    sys.stdout.write(json.dumps(as_line(told)) + "\n")
    return 0


def main() -> int:
    """Run one of the three; returns the exit code."""
    if sys.argv[1:] == ["once"]:
        return once()
    if sys.argv[1:] == ["compact"]:
        os.nice(_NICE)
        return compact()
    if sys.argv[1:]:
        sys.stderr.write("arguments: nothing, once or compact\n")
        return 2
    return follow()


if __name__ == "__main__":
    sys.exit(main())
