"""Plays the year on a suite that is already up: `python -m simulation --gateway URL --scale 0.05`.

Secrets come from the environment alone: SIMULATION_SECRET and the KAFKA_* variables of the principal
`simulation`. Exits 0 when every figure is equal, 1 when one differs, 2 when the play could not be played.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from aiokafka.errors import KafkaError
from rich.console import Console

from simulation.demo import play, show_people
from simulation.gateway_client import GatewayError


def main() -> int:
    """Read the arguments, play, print."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument(
        "--gateway", required=True, help="address of the gateway, such as http://127.0.0.1:8080"
    )
    parser.add_argument(
        "--scale", default="0.1", help="1 plays the whole year, 0.1 (the default) a tenth of it"
    )
    parser.add_argument("--seed", type=int, default=20210715)
    parser.add_argument(
        "--messages", default="", help="JSON-lines files with subject and body, between commas"
    )
    parser.add_argument(
        "--divisions", type=Path, help="JSON file {code, name, children} of the city's divisions"
    )
    parser.add_argument(
        "--journal", type=Path, default=Path("journal.tsv"), help="where every request is noted"
    )
    args = parser.parse_args()
    console = Console()
    secret = os.environ.get("SIMULATION_SECRET")
    if not secret or "KAFKA_BOOTSTRAP_SERVERS" not in os.environ:
        console.print("Set SIMULATION_SECRET and the KAFKA_* variables of the principal simulation.")
        return 2
    kafka_env = {key: value for key, value in os.environ.items() if key.startswith("KAFKA_")}
    playing = play(
        args.gateway,
        args.scale,
        args.seed,
        [Path(name) for name in args.messages.split(",") if name],
        secret,
        kafka_env,
        console,
        journal_path=args.journal,
        divisions=args.divisions,
    )
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            result = runner.run(playing)
    except (ValueError, GatewayError, TimeoutError, KafkaError) as error:
        console.print(f"The year could not be played: {error}", markup=False, highlight=False)
        return 2
    show_people(console, result.people)
    return result.exit_code


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """The faster event loop where it exists (not on Windows): it halves the cost of a request."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


if __name__ == "__main__":
    sys.exit(main())
