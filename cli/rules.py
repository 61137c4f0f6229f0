"""`daibiaotong rules`: check rule packs, compare two, and reckon a deadline by hand.

A pack is named by its file, by its own name (`ningbo-2016`), or by its place (`ningbo`: the pack in force today,
or on the day that is reckoned from).
"""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from services.cases.deadlines import pack as packs
from services.cases.deadlines.calendar import ChinaCalendar
from services.cases.deadlines.reckoning import CHINA, Limit, deadline
from services.cases.deadlines.rules import Pack
from services.cases.yaml_file import Flaw
from shared.refusals import Refusal

_TO_CONFIRM = "[yellow]to be confirmed by the office that adopts it 待采用机关确认[/yellow]"


def check(console: Console, files: list[Path]) -> int:
    """Say what each file holds, or every flaw on stderr; 1 if there is one."""
    failed = False
    for file in files:
        try:
            pack = _from_file(file)
        except packs.PackInvalid as invalid:
            failed = True
            for flaw in invalid.flaws:
                print(flaw, file=sys.stderr)
            continue
        until = f"until {pack.until}" if pack.until else "until further notice"
        console.print(
            f"{pack.name}: {pack.title}, from {pack.begins} {until},",
            f"{len(packs.parameters(pack))} parameters;",
            f"confirmed by {pack.confirmed_by}" if pack.confirmed_by else _TO_CONFIRM,
            soft_wrap=True,
        )
    return 1 if failed else 0


def diff(console: Console, one: str, other: str) -> int:
    """Print a table of what differs."""
    today = datetime.now(CHINA).date()
    try:
        first, second = _named(one, today), _named(other, today)
    except Refusal as refused:
        print(refused.detail, file=sys.stderr)
        return 1
    table = Table(
        Column("parameter", no_wrap=True),
        Column(first.name, overflow="fold"),
        Column(second.name, overflow="fold"),
    )
    differences = packs.diff(first, second)
    for found in differences:
        table.add_row(
            found.parameter,
            _with_source(found.value, found.source),
            _with_source(found.other, found.other_source),
        )
    console.print(table)
    both = packs.parameters(first).keys() | packs.parameters(second).keys()
    console.print(f"{len(differences)} of {len(both)} parameters differ")
    return 0


def reckon(console: Console, name: str, parameter: str, day: date) -> int:
    """Print the date and its reason."""
    try:
        pack = _named(name, day)
    except Refusal as refused:
        print(refused.detail, file=sys.stderr)
        return 1
    found = packs.parameters(pack)
    limit = found.get(parameter)
    if not isinstance(limit, Limit):
        limits = ", ".join(key for key, value in found.items() if isinstance(value, Limit))
        why = "sets no limit here" if parameter in found and limit is None else "has no such limit"
        print(f"{pack.name} {why}; its limits are {limits}", file=sys.stderr)
        return 1
    begin = datetime(day.year, day.month, day.day, tzinfo=CHINA)
    console.print(deadline("", limit, begin, ChinaCalendar()).reason, soft_wrap=True, highlight=False)
    return 0


def _with_source(value: str, source: str) -> str:
    return f"{value}\n[dim]{source}[/dim]" if source else value


def _named(name: str, day: date) -> Pack:
    if Path(name).suffix == ".yaml":
        return _from_file(Path(name))
    shipped = packs.load()
    for pack in shipped:
        if pack.name == name:
            return pack
    return packs.in_force(shipped, name, day)


def _from_file(file: Path) -> Pack:
    try:
        return packs.read_pack(file.read_text("utf-8"), str(file))
    except (OSError, UnicodeDecodeError):
        raise packs.PackInvalid([Flaw(str(file), None, "the file", "cannot be read")]) from None
