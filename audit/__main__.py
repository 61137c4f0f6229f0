"""`python -m audit --rubric FILE --gateway URL`: recompute every score from the log and compare.

Exit 0: everything agrees. 1: something differs, or nothing was compared. 2: the audit cannot be made
(log cut or unreachable, another rubric in force, gateway away).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from audit.arithmetic import Envelope, Findings, gather, in_force, score, scores, years_in
from audit.comparison import Comparison, Difference, compare
from audit.gateway import GatewayUnusable, fetch_scores
from audit.log import Broker, LogUnusable, read_counts, read_log
from audit.rubric import Rubric, RubricUnusable, read

AGREES, DIFFERS, CANNOT_AUDIT = 0, 1, 2
_SHOWN_DIFFERENCES = 20


@dataclass(frozen=True)
class Arguments:
    """What the command line asks for."""

    rubric: Path
    gateway: str
    years: Sequence[int]
    counts: Path | None


class CannotAudit(Exception):  # noqa: N818 - says what is so
    """The audit cannot be made; the reason is the message."""


def _arguments(argv: Sequence[str] | None) -> Arguments:
    parser = argparse.ArgumentParser(
        prog="audit",
        description="Recompute every deputy's score from the Kafka log and compare it with the gateway's.",
        epilog="Environment: KAFKA_BOOTSTRAP_SERVERS, KAFKA_USERNAME, KAFKA_PASSWORD, KAFKA_KIND, AUDIT_TOKEN.",
    )
    parser.add_argument("--rubric", required=True, type=Path, help="the rubric's YAML file")
    parser.add_argument("--gateway", required=True, help="the gateway's address, e.g. https://host")
    parser.add_argument("--year", action="append", type=int, default=[], help="only this year (repeatable)")
    parser.add_argument("--counts", type=Path, help="JSON file: topic to number of records (Tansu only)")
    found = parser.parse_args(argv)
    return Arguments(found.rubric, found.gateway, found.year, found.counts)


def _envelopes(values: Iterator[bytes], unreadable: list[int]) -> Iterator[Envelope]:
    """The events among the values; what is none is counted in `unreadable`."""
    for value in values:
        try:
            envelope = json.loads(value)
            if not all(isinstance(envelope[name], str) for name in ("id", "source", "type", "time")):
                raise TypeError
            if not isinstance(envelope["data"], dict):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            unreadable[0] += 1
            continue
        yield envelope


def topics_of(rubric: Rubric) -> list[str]:
    """The topics that hold what the rubric looks at, the deputies and the adopted rubrics."""
    types = {rule.event for rule in rubric.rules} | {"deputy.changed", "rubric.adopted", "score.corrected"}
    return sorted({_topic_of(type_) for type_ in types})


def _topic_of(type_: str) -> str:
    name, _, version = type_.rpartition(".")
    return name if version.startswith("v") and version[1:].isdigit() else type_


def years_to_compare(rubric: Rubric, findings: Findings, asked: Sequence[int]) -> list[int]:
    """The years to compare; raises CannotAudit when another rubric than the file's is in force in one."""
    years = list(asked) or [year for year in years_in(findings) if in_force(findings, year) is not None]
    for year in years:
        adopted = in_force(findings, year)
        if adopted is None:
            raise CannotAudit(f"the log holds no rubric for {year}")
        if json.loads(json.dumps(adopted)) != rubric.document:
            raise CannotAudit(
                f"in {year} rubric {adopted.get('name')} version {adopted.get('version')} is in force, "
                f"and it is not the one in the file"
            )
    return years


def _read_everything(arguments: Arguments, rubric: Rubric, console: Console) -> tuple[Findings, int]:
    counts = read_counts(arguments.counts.read_text(encoding="utf-8")) if arguments.counts else None
    topics = topics_of(rubric)
    unreadable = [0]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("reading the log", total=None)

        def counted(values: Iterator[bytes]) -> Iterator[bytes]:
            for value in values:
                progress.advance(task)
                yield value

        values = read_log(
            Broker.of_environment(os.environ),
            topics,
            counts={topic: count for topic, count in (counts or {}).items() if topic in topics} or None,
            on_start=lambda total: progress.update(task, total=total),
        )
        return gather(rubric, _envelopes(counted(values), unreadable)), unreadable[0]


async def _compare(
    arguments: Arguments, rubric: Rubric, findings: Findings, years: Sequence[int]
) -> Comparison:
    token = os.environ.get("AUDIT_TOKEN")
    if not token:
        raise CannotAudit("AUDIT_TOKEN is not set")
    whole = Comparison(0, 0, ())
    nothing = score(rubric, {})
    for year in years:
        shown = await fetch_scores(arguments.gateway, token, year)
        one = compare(year, scores(rubric, findings, year), shown, nothing)
        whole = replace(
            whole,
            deputies=whole.deputies + one.deputies,
            non_zero=whole.non_zero + one.non_zero,
            differences=whole.differences + one.differences,
        )
    return whole


def _print(
    console: Console, findings: Findings, unreadable: int, years: Sequence[int], compared: Comparison
) -> None:
    table = Table(title="Audit of the scores")
    table.add_column("what")
    table.add_column("number", justify="right")
    rows: Mapping[str, Any] = {
        **{f"events {type_}": number for type_, number in sorted(findings.counted.items())},
        "events in all": sum(findings.counted.values()),
        "repeated records": findings.repeated,
        "records that are no event": unreadable,
        "events without what the rubric asks": len(findings.unusable),
        "ids under which two different events stand": len(findings.contradictions),
        "years": ", ".join(map(str, years)) or "none",
        "deputies compared": compared.deputies,
        "scores that are not zero": compared.non_zero,
        "differences": len(compared.differences),
    }
    for what, number in rows.items():
        table.add_row(what, str(number))
    console.print(table)
    if compared.differences:
        console.print(_differences_table(compared.differences))


def _differences_table(differences: Sequence[Difference]) -> Table:
    table = Table(
        title=f"The first {min(len(differences), _SHOWN_DIFFERENCES)} of {len(differences)} differences"
    )
    for column in ("year", "deputy", "what", "audited", "shown"):
        table.add_column(column)
    for one in differences[:_SHOWN_DIFFERENCES]:
        cells = (one.audited, one.shown)
        figures = ("not there" if cell is None else f"{cell / 100:.2f}" for cell in cells)
        table.add_row(str(one.year), one.deputy, one.what, *figures)
    return table


def verdict(findings: Findings, compared: Comparison) -> int:
    """The exit code: agreement of nothing is no agreement."""
    if compared.differences or findings.contradictions:
        return DIFFERS
    if not (findings.counted and compared.deputies and compared.non_zero):
        return DIFFERS
    return AGREES


def main(argv: Sequence[str] | None = None) -> int:
    """Run the audit and return its exit code."""
    arguments = _arguments(argv)
    console = Console()
    try:
        rubric = read(arguments.rubric.read_text(encoding="utf-8"))
        findings, unreadable = _read_everything(arguments, rubric, console)
        years = years_to_compare(rubric, findings, arguments.years)
        compared = asyncio.run(_compare(arguments, rubric, findings, years))
    except (OSError, RubricUnusable, LogUnusable, GatewayUnusable, CannotAudit) as error:
        console.print(f"the audit cannot be made: {error}", markup=False)
        return CANNOT_AUDIT
    _print(console, findings, unreadable, years, compared)
    code = verdict(findings, compared)
    console.print("every score agrees" if code == AGREES else "THE SCORES DO NOT AGREE", markup=False)
    return code


if __name__ == "__main__":
    sys.exit(main())
