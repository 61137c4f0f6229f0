"""Department accuracy of routing on generated cases whose department is known.

    python -m benchmarks.routing [--cases 5000] [--model DIR]

Cases are generated texts of all categories in all towns of the simulated city; the right department is the
city's own choice for category and county. They are judged by the shipped words, or by a model that `routing
train` made, and sent by the departments' registration, as a service without a catalogue does. The times
are processor times from text to judgement, reading the text into words included, in batches of 64 and alone.

The texts come from the same hands as the shipped words, and vary some fifty problems: what is printed says
that category, place and department work together, not how well words do on what residents write (`routing
evaluate` says that).
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter, defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from services.cases.routing import files
from services.cases.routing.catalogue import Department
from services.cases.routing.choosing import route_of
from services.cases.routing.desk import BATCH, judge_texts
from services.cases.routing.judgement import Judged
from services.cases.routing.model import Model
from services.cases.routing.rules_file import shipped_taxonomy
from simulation.case_texts import generated_text
from simulation.city import CATEGORIES, City, Scale, Town, build_city

SEED = 20210715
ALONE = 500


def main() -> None:
    """Judge, compare, print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    asked.add_argument("--cases", type=int, default=5_000)
    asked.add_argument("--model", type=Path)
    options = asked.parse_args()
    model = files.load(options.model) if options.model is not None else None
    city = build_city(SEED, Scale.parse(0.1))
    rng = random.Random(SEED)
    cases = [(rng.choice(city.towns), rng.choice(CATEGORIES)) for _ in range(options.cases)]
    said = [generated_text(rng, town.name, category) for town, category in cases]
    texts = [f"{one.title}\n{one.text}" for one in said]
    console = Console()
    judged, batch_ms = _timed(texts, model, BATCH)
    _, alone_ms = _timed(texts[:ALONE], model, 1)
    console.print(_shown(city, cases, judged, model))
    console.print(
        f"{batch_ms:.2f} processor ms a case from its text in batches of {BATCH}, {alone_ms:.2f} alone"
    )


def _timed(texts: list[str], model: Model | None, batch: int) -> tuple[list[Judged], float]:
    taxonomy = shipped_taxonomy()
    judge_texts(texts[:batch], model, taxonomy)
    began = time.thread_time()
    parts = [texts[i : i + batch] for i in range(0, len(texts), batch)]
    found = [one for part in parts for one in judge_texts(part, model, taxonomy)]
    return found, (time.thread_time() - began) / len(texts) * 1000


def _shown(city: City, cases: list[tuple[Town, str]], judged: list[Judged], model: Model | None) -> Table:
    departments = {
        one.code: Department(one.code, frozenset(one.categories), frozenset(one.counties))
        for one in city.departments
    }
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (town, category), one in zip(cases, judged, strict=True):
        right = city.department_for(category, town.county).code
        route = route_of(one, None, departments, county=town.county, town=town.code)
        for row in (category, "all"):
            counts[row]["cases"] += 1
            counts[row]["routed"] += route is not None
            counts[row]["right"] += route is not None and route.department == right
            counts[row]["guessed"] += bool(one.guesses) and one.guesses[0].category == category
    by = f"model {model.manifest.version}" if model is not None else shipped_taxonomy().version
    table = Table(
        "category", "cases", "right category", "routed alone", "right department of these", title=by
    )
    for name in (*CATEGORIES, "all"):
        found = counts[name]
        table.add_row(
            name,
            str(found["cases"]),
            f"{found['guessed'] / max(found['cases'], 1):.1%}",
            f"{found['routed'] / max(found['cases'], 1):.1%}",
            f"{found['right'] / max(found['routed'], 1):.2%}",
        )
    return table


if __name__ == "__main__":
    main()
