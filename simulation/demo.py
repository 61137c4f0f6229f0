"""The demo: the city and its year are made, played, ticked, asked and compared; people to sign in as."""

from __future__ import annotations

import contextlib
import os
import secrets
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from simulation.case_texts import CaseText, read_messages
from simulation.city import City, Department, Scale, build_city
from simulation.driver import PREPARED, Cast, Driver, Played, tick_the_clock
from simulation.gateway_client import OPERATOR, GatewayClient, GatewayError, Write, open_gateway
from simulation.journal import Journal
from simulation.phases import PhaseResult, Phases
from simulation.report import Line, ask_all, compare_journal, compare_ways, figures, list_cases, show
from simulation.script import END
from simulation.year import Year, write_year

DEMO_CATEGORY = "城乡建设"
"""Every county has an office of its own for it."""
CONNECTIONS = 64
"""Requests under way at a time."""


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """Somebody to sign in as; `note` says what there is to do."""

    role: str
    name: str
    login: str
    password: str = field(repr=False)
    note: str = ""


@dataclass(frozen=True)
class DemoResult:
    """What came of a play: the table's lines, how the phases went, and people to sign in as."""

    lines: tuple[Line, ...]
    phases: tuple[PhaseResult, ...]
    people: tuple[DemoPerson, ...]
    code: str
    """The public code 代表码 of the county deputy, under which residents write."""
    office: str
    """The code of the department among the people."""

    @property
    def exit_code(self) -> int:
        """0 when every line of the table is equal, else 1."""
        return 0 if self.lines and all(line.equal for line in self.lines) else 1


async def play(
    gateway_url: str,
    scale: float | str,
    seed: int,
    messages: Sequence[Path],
    simulation_secret: str,
    kafka_env: Mapping[str, str],
    console: Console,
    *,
    journal_path: Path,
    divisions: Path | None = None,
) -> DemoResult:
    """Play the year at `gateway_url` and compare what the services say with the script.

    `kafka_env` are the KAFKA_* variables of the principal `simulation`, used for the clock's ticks
    alone: one before the year and one at its end, when what is overdue falls due. The departments' process
    must be running.

    Raises ValueError for a scale, file of messages or divisions that cannot be used, GatewayError or
    TimeoutError when the suite does not get on with the play, KafkaError when the tick cannot be sent.
    """
    at_scale = Scale.parse(scale)
    texts: Sequence[CaseText] = read_messages(messages)
    city = build_city(seed, at_scale, divisions)
    year = write_year(city, seed, at_scale, texts)
    console.print(
        f"{city.name}: {len(city.counties)} counties, {len(city.towns)} towns and streets, "
        f"{len(city.deputies):,} deputies, {len(year.cases):,} cases (seed {seed}, one part in {at_scale.divisor})",
        highlight=False,
    )
    async with _opened(gateway_url, simulation_secret, journal_path) as (gateway, journal):
        phases = Phases(gateway, console, CONNECTIONS)
        driver = Driver(gateway, city, year, phases)
        with phases.shown():
            await tick_the_clock(kafka_env, PREPARED)  # before it, nothing of the year may fall due
            played = await driver.play()
            await tick_the_clock(kafka_env, END)
            await driver.settled()
        lines = await _compared(gateway, journal, city, year, played)
        deputy, office = demo_pair(city, year)
        people = await demo_people(gateway, city, year, played.cast)
        who = played.cast.deputies[deputy]
        public = str((await gateway.get(f"/api/deputies/{who}", who=who))["code"])
    show(console, lines, divisor=at_scale.divisor)
    console.print("Refused by the services (the script's mistakes are meant to be):")
    for (kind, status, code), number in sorted(journal.refusals.items()):
        console.print(f"  {number:>6,} × {kind}: {status} {code}", markup=False, highlight=False)
    return DemoResult(tuple(lines), tuple(phases.results), tuple(people), public, office.code)


async def simulation_token(gateway_url: str, simulation_secret: str) -> str:
    """The simulation's own token, for the departments' process (SIMULATION_TOKEN). Raises GatewayError."""
    with Journal(Path(os.devnull)) as journal:
        async with open_gateway(gateway_url, simulation_secret, journal, connections=1) as gateway:
            return await gateway.token_for(OPERATOR)


@contextlib.asynccontextmanager
async def _opened(url: str, secret: str, journal_path: Path) -> AsyncIterator[tuple[GatewayClient, Journal]]:
    with Journal(journal_path) as journal:
        async with open_gateway(url, secret, journal, connections=CONNECTIONS) as gateway:
            yield gateway, journal


async def _compared(
    gateway: GatewayClient, journal: Journal, city: City, year: Year, played: Played
) -> list[Line]:
    staff = played.cast.staff[city.code]
    lines = await ask_all(gateway, figures(city, year), staff)
    cases = await list_cases(gateway, staff)
    lines += await compare_ways(gateway, year, played.ids, cases, staff)
    return lines + compare_journal(cases, journal.read(), played.mistakes)


def _busiest(city: City, year: Year, level: str) -> int:
    """Which deputy of a level files most cases in the year."""
    filings = Counter(case.deputy for case in year.cases)
    of_level = [i for i, deputy in enumerate(city.deputies) if deputy.level == level]
    return max(of_level, key=lambda i: (filings[i], -i))


def demo_pair(city: City, year: Year) -> tuple[int, Department]:
    """The county deputy among the people, and the office to which that county's cases of DEMO_CATEGORY go."""
    deputy = _busiest(city, year, "county")
    return deputy, city.department_for(DEMO_CATEGORY, city.deputies[deputy].county or "")


async def demo_people(gateway: GatewayClient, city: City, year: Year, cast: Cast) -> list[DemoPerson]:
    """A city deputy, a county deputy (both with cases of their own), staff, a department: with new passwords.

    Raises GatewayError when one of them cannot get a password.
    """
    of_city = _busiest(city, year, "city")
    of_county, office = demo_pair(city, year)
    clerk = city.staff_of(city.code)
    home = next(county.name for county in city.counties if county.code == city.deputies[of_county].county)
    deputies = city.deputies
    chosen = (
        ("city deputy", deputies[of_city].name, "city-deputy", cast.deputies[of_city], ""),
        ("county deputy", deputies[of_county].name, "county-deputy", cast.deputies[of_county], f"of {home}"),
        ("congress staff", clerk.name, "staff", str(clerk.id), "of the city"),
        (
            "department",
            office.name,
            f"department-{office.code}",
            f"department:{office.code}",
            f"gets what is filed in {home} under {DEMO_CATEGORY}",
        ),
    )
    people = []
    for role, name, login, who, note in chosen:
        password = secrets.token_urlsafe(9)
        body = {"login": login, "password": password}
        answer = await gateway.send(
            Write("password.set", who, str(uuid.uuid4()), who, "PUT", "/api/me/password", body)
        )
        if not answer.accepted:
            raise GatewayError(
                f"no password for the {role}: the gateway answered {answer.status} {answer.code}"
            )
        people.append(DemoPerson(role, name, login, password, note))
    return people


def show_people(console: Console, people: Sequence[DemoPerson]) -> None:
    """Print who to sign in as."""
    console.print("People to sign in as:")
    for person in people:
        console.print(
            f"  {person.role:<15} {person.login:<24} {person.password:<14} {person.name}  {person.note}".rstrip(),
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
