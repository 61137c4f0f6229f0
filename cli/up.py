"""`daibiaotong up`: the suite until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping

from rich.console import Console

from cli import running
from deploy.local.broker import BrokerError
from deploy.local.lock import AlreadyRunningError
from deploy.local.postgres import PostgresError
from deploy.local.runfolder import run_folder
from deploy.local.suite import Suite
from deploy.local.supervisor import StartFailedError

CANNOT_START = (AlreadyRunningError, PostgresError, BrokerError, StartFailedError)


def run(console: Console, broker: str | None, replicas: Mapping[str, int]) -> int:
    """Start, print the addresses, wait for Ctrl-C or SIGTERM, stop. Returns the exit code."""
    stop = stop_event()
    try:
        with Suite(run_folder(), broker=broker, replicas=replicas) as suite:
            access = running.leave(suite)
            show_addresses(console, suite)
            console.print("Ctrl-C stops everything.")
            stop.wait()
            console.print("stopping …")
            access.unlink(missing_ok=True)
    except CANNOT_START as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 1
    return 0


def stop_event() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set, so that everything is stopped in order."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def show_addresses(console: Console, suite: Suite) -> None:
    """Print where everything answers."""
    console.print(f"phone pages    {suite.gateway_url}/m/", highlight=False)
    console.print(f"console        {suite.gateway_url}/console/", highlight=False)
    console.print(f"gateway        {suite.gateway_url}/api/openapi.json", highlight=False)
    for service, urls in suite.service_urls.items():
        console.print(f"{service:<14} {' '.join(urls)}", highlight=False)
    console.print(
        f"Kafka          {suite.stack.broker.bootstrap} ({suite.stack.broker.kind})", highlight=False
    )
    console.print(f"logs           {suite.stack.run_dir / 'logs'}", highlight=False)
