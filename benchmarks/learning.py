"""What a lesson of routing costs, by how many messages it takes.

    python -m benchmarks.learning [--messages 3000 6000 12000 15000] [--past PAST.jsonl]

Each size in a process of its own, so that its peak of memory is its own: as in `python -m services.cases learn`
a fold is cut off to check with, a model is trained on the rest and packed. Messages are generated ones, which are
short and vary some fifty problems; or those of a file, and where it has too few, also halves of two of a category
put together.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from services.cases.routing import files, learning, text, training
from services.cases.routing.files import Message
from simulation.case_texts import generated_text
from simulation.city import CATEGORIES, Scale, build_city

SEED = 20210715


def main() -> None:
    """Measure each size, print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    asked.add_argument("--messages", type=int, nargs="+", default=[3_000, 6_000, 12_000, 15_000])
    asked.add_argument("--past", type=Path)
    asked.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.one:
        print(*measured(options.messages[0], options.past))
        return
    table = Table(
        "messages", "learnt from", "seconds by the clock", "of processor time", "peak GB", "model MB"
    )
    past = ["--past", str(options.past)] if options.past is not None else []
    for count in options.messages:
        one = [sys.executable, "-m", "benchmarks.learning", "--one", "--messages", str(count), *past]
        told = subprocess.run(one, stdout=subprocess.PIPE, text=True, check=True).stdout
        table.add_row(str(count), *told.split())
    Console().print(table)


def measured(count: int, past: Path | None) -> tuple[int, str, str, str, str]:
    """A lesson of so many messages, as the columns of a row."""
    rng = random.Random(SEED)
    known = _generated(count, rng) if past is None else _of_file(past, count, rng)
    clock, processor = time.perf_counter(), time.process_time()
    learnt, _ = learning.cut(known)
    model = training.train([one.words for one in learnt], [one.label or "" for one in learnt])
    _, arrays = files.pack(model)
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return len(learnt), f"{clock:.0f}", f"{processor:.0f}", f"{peak:.2f}", f"{len(arrays) / 1e6:.1f}"


def _generated(count: int, rng: random.Random) -> list[Message]:
    city = build_city(SEED, Scale.parse(0.1))
    found = []
    for _ in range(count):
        category = rng.choice(CATEGORIES)
        said = generated_text(rng, rng.choice(city.towns).name, category)
        found.append(Message(tuple(text.from_text(f"{said.title}\n{said.text}")), category))
    return found


def _of_file(past: Path, count: int, rng: random.Random) -> list[Message]:
    known = files.read_messages(past, labelled=True)
    alike = defaultdict(list)
    for one in known:
        alike[one.label].append(one.words)
    found = rng.sample(known, min(count, len(known)))
    while len(found) < count:
        label = rng.choice(known).label
        head, tail = rng.choice(alike[label]), rng.choice(alike[label])
        found.append(Message((*head[: len(head) // 2], *tail[len(tail) // 2 :]), label))
    return found


if __name__ == "__main__":
    main()
