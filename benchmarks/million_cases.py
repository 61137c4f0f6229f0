"""A million cases in the store: how long lists, filters, searches and similar cases take.

    python -m benchmarks.million_cases [--cases 1000000] [--rounds 40] [--folder DIR]

A PostgreSQL and one cases process of their own. Cases are loaded by COPY, without the triggers and with
the indices made afterwards: three years of filings over the city's towns, departments and 9,185 deputies,
few of whom file much; the newest are open, of the older ones some are overdue. Their words are of a pool of
generated texts with invented streets and estates, sealed and hashed as the service does it. Then pages are
asked of the service's HTTP API, each kind with other values every time, two requests in flight; p50, p95 and
the slowest go to benchmarks/million_cases.json. A p95 of 200 ms or more makes the command fail.

Loading ends with an error after --load-seconds, or when the disk has less than 5 GB left. With --folder the
data stay there, and the next run uses them again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid5

import aiohttp
import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from deploy.kafka.provision import Catalogue
from deploy.local.runfolder import CHECKOUT
from deploy.local.stack import LocalStack
from deploy.local.supervisor import ProcessSpec, http_ready
from services.cases.search.grams import SKETCH_BITS, Keyed
from services.cases.search.indexing import keyed_by
from shared.contracts.registry import Role
from shared.security.sealing import Opener, Sealer, private_key_of
from shared.testing.issuer import Issuer
from simulation.case_texts import generated_text
from simulation.city import City, Scale, build_city

RESULT = Path(__file__).with_suffix(".json")
SEED = 20210715
NOW = datetime.now(UTC).replace(microsecond=0)
DAYS = 3 * 365
TEXTS = 5_000
TARGET_MS = 200.0
BUFFERS = "1GB"
"""PostgreSQL's shared buffers: what the runbook asks for of a store of this size, a third of it."""
LEFT_BYTES_MIN = 5 << 30
IN_FLIGHT = 2
OPEN = ("triage", "routed", "accepted", "in-progress", "waiting", "answered")
CATEGORIES = (
    ("城乡建设", 30),
    ("交通运输", 16),
    ("环境保护", 14),
    ("公共安全", 9),
    ("教育文体", 9),
    ("劳动和社会保障", 9),
    ("卫生计生", 7),
    ("商贸旅游", 6),
)


@dataclass(frozen=True)
class Words:
    """One text of the pool, as it rests."""

    text: str
    category: str
    sealed: str
    hashes: list[int]
    sketch: asyncpg.BitString


def _hanzi(rng: random.Random, count: int) -> str:
    return "".join(chr(rng.randrange(0x4E00, 0x6E00)) for _ in range(count))


def pool_of(opener: Opener, keyed: Keyed, city: City, count: int) -> list[Words]:
    """Texts in the distribution of their categories, each with a street and an estate that few others name."""
    rng = random.Random(SEED)
    sealer = Sealer(opener.public_jwk)
    names, weights = zip(*CATEGORIES, strict=True)
    found = []
    for _ in range(count):
        category = rng.choices(names, weights)[0]
        town = rng.choice(city.towns)
        generated = generated_text(rng, town.name, category, storm=False, resident=rng.random() < 0.6)
        where = f"{_hanzi(rng, 2)}路{rng.randrange(1, 400)}号{_hanzi(rng, 2)}小区{rng.randrange(1, 90)}幢"
        text = f"{where}，{generated.text}"
        sealed = sealer.seal({"title": generated.title, "text": text, "contact": "13800000000"})
        searched = f"{generated.title}\n{text}"
        bits = asyncpg.BitString.from_int(keyed.sketch(searched), SKETCH_BITS)
        found.append(Words(text, category, sealed, keyed.values(searched), bits))
    return found


class Load:
    """The rows of `count` cases, always the same, in the order of filing."""

    def __init__(self, city: City, pool: Sequence[Words], count: int) -> None:
        self._pool, self._count = pool, count
        rng = random.Random(f"{SEED}/people")
        self._towns = [town.code for town in city.towns]
        self._town_weights = [rng.paretovariate(1.2) for _ in self._towns]
        self.deputies = [uuid5(UUID(int=SEED), deputy.number) for deputy in city.deputies]
        self._deputy_weights = [min(rng.paretovariate(1.1), 300.0) for _ in self.deputies]
        self._departments = {
            (category, county.code): city.department_for(category, county.code).code
            for category, _ in CATEGORIES
            for county in city.counties
        }

    def cases(self) -> Iterator[dict[str, Any]]:
        """Rows of `cases`."""
        rng = random.Random(f"{SEED}/cases")
        towns = rng.choices(self._towns, self._town_weights, k=self._count)
        deputies = rng.choices(self.deputies, self._deputy_weights, k=self._count)
        for number in range(self._count):
            age = timedelta(days=DAYS * (1 - (number + 1) / self._count) ** 1.3)
            yield self._case(rng, number, age, towns[number], deputies[number])

    def _case(
        self, rng: random.Random, number: int, age: timedelta, town: str, deputy: UUID
    ) -> dict[str, Any]:
        words = self._pool[number % len(self._pool)]
        filed_at = NOW - age - timedelta(seconds=rng.randrange(1, 3600))
        days = age.days
        is_open = rng.random() < (0.95 if days < 7 else 0.5 if days < 30 else 0.012)
        state = rng.choice(OPEN) if is_open else rng.choices(("closed", "withdrawn", "merged"), (96, 2, 2))[0]
        is_routed = state != "triage"
        department = self._departments[words.category, town[:6]] if is_routed else None
        answer_by = filed_at + timedelta(days=7) if is_routed else None
        is_late = is_routed and rng.random() < (1.0 if is_open and days > 8 else 0.03)
        is_answered = state in ("answered", "closed")
        answered_at = filed_at + timedelta(days=9 if is_late else 4) if is_answered else None
        is_closed = state == "closed"
        helpers = [f"co-{rng.randrange(40)}"] if rng.random() < 0.05 else []
        followers = [str(rng.choice(self.deputies))] if rng.random() < 0.05 else []
        return {
            "id": case_id(number),
            "version": 6,
            "state": state,
            "deputy_id": deputy,
            "county": town[:6],
            "town": town if rng.random() < 0.9 else None,
            "origin": "resident",
            "category": words.category if is_routed else None,
            "urgency": "normal",
            "department": department,
            "co_handlers": json.dumps(helpers),
            "reason": "2 words; serves county" if is_routed else None,
            "result": rng.choice(("solved", "explained", "unsolved")) if is_answered else None,
            "answer": "已安排人员到现场处理完毕。" if is_answered else None,
            "stars": rng.randrange(1, 6) if is_closed and rng.random() < 0.7 else None,
            "returned": 0,
            "transferred": 0,
            "designated": False,
            "reopened": 0,
            "accept_by": answer_by and answer_by - timedelta(days=5),
            "answer_by": answer_by,
            "dates_reason": "7 个工作日" if is_routed else None,
            "provisional": False,
            "calendar": "chinesecalendar",
            "chased": 2 if is_late else 0,
            "answered_at": answered_at,
            "on_time": not is_late if is_answered else None,
            "closed_at": answered_at if is_closed else None,
            "reminded": False,
            "followers": json.dumps(followers),
            "sealed": words.sealed,
            "filed_at": filed_at,
            "changed_at": answered_at or filed_at,
        }

    def words(self) -> Iterator[tuple[Any, ...]]:
        """Rows of `case_words`."""
        for number in range(self._count):
            words = self._pool[number % len(self._pool)]
            yield (case_id(number), words.hashes, words.sketch)


def case_id(number: int) -> UUID:
    """The id of the case of a number."""
    return uuid5(UUID(int=SEED), str(number))


async def load(
    connection: asyncpg.Connection, rows: Load, keyed: Keyed, *, seconds: float, folder: Path
) -> None:
    """Fill the tables. Raises RuntimeError when time or disk run out."""
    deadline = time.monotonic() + seconds

    def watched(found: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        for number, row in enumerate(found):
            if number % 10_000 == 0:
                if time.monotonic() > deadline:
                    raise RuntimeError(
                        f"loading took more than {seconds:.0f} s; {number:,} rows were written"
                    )
                if shutil.disk_usage(folder).free < LEFT_BYTES_MIN:
                    raise RuntimeError("the disk is nearly full")
            yield row

    indices = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('cases', 'case_words') "
        "AND indexdef NOT LIKE 'CREATE UNIQUE%'"
    )
    await connection.execute("ALTER TABLE cases DISABLE TRIGGER USER; SET synchronous_commit = off")
    for index in indices:
        await connection.execute(f"DROP INDEX {index['indexname']}")
    columns = list(next(rows.cases()))
    filed = (tuple(row.values()) for row in rows.cases())
    await connection.copy_records_to_table("cases", records=watched(filed), columns=columns)
    columns = ["case_id", "hashes", "sketch"]
    await connection.copy_records_to_table("case_words", records=watched(rows.words()), columns=columns)
    await connection.execute("SET maintenance_work_mem = '1GB'")
    for index in indices:
        await connection.execute(index["indexdef"], timeout=max(deadline - time.monotonic(), 1.0))
    await connection.execute("ALTER TABLE cases ENABLE TRIGGER USER")
    await connection.execute("INSERT INTO words_key VALUES ($1) ON CONFLICT DO NOTHING", keyed.fingerprint)
    await connection.execute("VACUUM (ANALYZE) cases, case_words")


@dataclass(frozen=True)
class Asked:
    """One request: as whom, and what."""

    token: str
    path: str
    query: dict[str, Any]
    body: dict[str, Any] | None = None


class Questions:
    """Every kind of request that is measured, with other values each time."""

    def __init__(self, city: City, pool: Sequence[Words], issuer: Issuer, deputies: Sequence[UUID]) -> None:
        self._rng = random.Random(f"{SEED}/questions")
        self._city, self._pool, self._issuer, self._deputies = city, pool, issuer, deputies

    def kinds(self) -> dict[str, Callable[[], Asked]]:
        """The requests by name."""
        pick = self._rng.choice
        counties = [county.code for county in self._city.counties]
        departments = [department.code for department in self._city.departments]
        common = ("小区", "路灯", "窨井盖", "噪音", "停车", "学校", "垃圾", "危险", "电梯", "污水")

        def category() -> str:
            return pick(CATEGORIES)[0]

        def town() -> str:
            return pick(self._city.towns).code

        def words() -> Words:
            return pick(self._pool)

        def street() -> str:
            while not (found := words().text.split("号")[0]):
                pass
            return found

        def staff(**query: Any) -> Asked:
            return self._as("staff", query, org=self._city.code)

        def of_county(**query: Any) -> Asked:
            return self._as("staff", query, org=pick(counties))

        def deputy(**query: Any) -> Asked:
            return self._as("deputy", query, person=pick(self._deputies))

        def department(**query: Any) -> Asked:
            return self._as("department", query, org=pick(departments))

        def between() -> dict[str, str]:
            begin = NOW - timedelta(days=self._rng.randrange(30, DAYS))
            return {"filed_from": begin.isoformat(), "filed_until": (begin + timedelta(days=30)).isoformat()}

        def similar(role: Role) -> Asked:
            body = {"text": words().text, "county": (place := town())[:6], "town": place}
            return Asked(self._token(role, org=self._city.code), "/cases/similar", {}, body)

        def overview(org: str, days: int) -> Asked:
            query = {
                "filed_from": (NOW - timedelta(days=days)).isoformat(),
                "filed_until": NOW.isoformat(),
            }
            return Asked(self._token("staff", org=org), "/overview", query)

        return {
            "overview: a year of the city": lambda: overview(self._city.code, 365),
            "overview: a month of the city": lambda: overview(self._city.code, 30),
            "overview: a year of a county": lambda: overview(pick(counties), 365),
            "list: staff of the city": staff,
            "list: staff of a county": of_county,
            "list: a deputy's own": deputy,
            "list: a department's own": department,
            "filter: triage": lambda: staff(state="triage"),
            "filter: withdrawn, category": lambda: staff(state="withdrawn", category=category()),
            "filter: closed, county, category": lambda: staff(
                state="closed", county=pick(counties), category=category()
            ),
            "filter: town": lambda: staff(place=town()),
            "filter: department": lambda: staff(department=pick(departments)),
            "filter: a deputy": lambda: staff(deputy=pick(self._deputies)),
            "filter: a month": lambda: staff(**between()),
            "filter: a month, town, closed": lambda: staff(**between(), place=town(), state="closed"),
            "filter: overdue": lambda: staff(overdue="true"),
            "filter: overdue, county, open": lambda: of_county(overdue="true", state="in-progress"),
            "filter: a department's open by deadline": lambda: department(sort="deadline", state="routed"),
            "filter: all by deadline": lambda: staff(sort="deadline"),
            "search: a common word": lambda: staff(q=pick(common)),
            "search: a common word, county": lambda: of_county(q=pick(common)),
            "search: a common word, department": lambda: department(q=pick(common)),
            "search: a common word, own": lambda: deputy(q=pick(common)),
            "search: a common word, closed, category": lambda: staff(
                q=pick(common), state="closed", category=category()
            ),
            "search: a common word, town, category": lambda: staff(
                q=pick(common), place=town(), category=category()
            ),
            "search: a common word, withdrawn": lambda: staff(q=pick(common), state="withdrawn"),
            "search: a common word, a month": lambda: staff(q=pick(common), **between()),
            "search: a common word, triage": lambda: staff(q=pick(common), state="triage"),
            "search: a street": lambda: staff(q=street()),
            "search: a street's name": lambda: staff(q=street()[:2]),
            "search: two words": lambda: staff(q=f"{pick(common)} {pick(common)}"),
            "search: a phrase": lambda: staff(q=words().text[-14:-2] or words().text[:6]),
            "search: a common character": lambda: staff(q=pick("路区号不水天")),
            "search: a rare character": lambda: staff(q=_hanzi(self._rng, 1)),
            "search: a number": lambda: staff(q=f"{self._rng.randrange(100, 400)}号"),
            "search: nothing like it": lambda: staff(q=_hanzi(self._rng, 4)),
            "similar: while filing": lambda: similar("deputy"),
            "similar: in triage": lambda: similar("staff"),
            "clusters of a county": lambda: Asked(
                self._token("staff", org=pick(counties)), "/case-clusters", {"days": 7}
            ),
        }

    def _token(self, role: Role, *, person: object = UUID(int=1), org: str | None = None) -> str:
        return self._issuer.token(person, role, organisation=org)

    def _as(
        self, role: Role, query: dict[str, Any], *, person: object = UUID(int=1), org: str | None = None
    ) -> Asked:
        return Asked(self._token(role, person=person, org=org), "/cases", query)


async def measure(
    url: str, kinds: dict[str, Callable[[], Asked]], rounds: int
) -> dict[str, dict[str, float]]:
    """Ask each kind so many times; a list's next page too. Milliseconds."""
    found = {}
    async with aiohttp.ClientSession() as session:

        async def one(asked: Asked, link: str | None = None) -> tuple[float, str | None, int]:
            address = url + asked.path + (link or (f"?{urlencode(asked.query)}" if asked.query else ""))
            headers = {"Authorization": f"Bearer {asked.token}"}
            method = "GET" if asked.body is None else "POST"
            began = time.perf_counter()
            async with session.request(method, address, json=asked.body, headers=headers) as answer:
                content = await answer.json()
                took = time.perf_counter() - began
                if answer.status != 200:
                    raise RuntimeError(f"{asked.path} answered {answer.status}: {content}")
            return took * 1e3, content.get("next"), len(content.get("items", ()))

        for name, kind in kinds.items():
            times: list[float] = []
            sizes: list[int] = []

            async def ask(
                share: int,
                kind: Callable[[], Asked] = kind,
                times: list[float] = times,
                sizes: list[int] = sizes,
            ) -> None:
                for _ in range(share):
                    asked = kind()
                    took, link, size = await one(asked)
                    times.append(took)
                    sizes.append(size)
                    if link is not None:
                        took, _, _ = await one(asked, link)
                        times.append(took)

            await ask(3)
            times.clear()
            sizes.clear()
            await asyncio.gather(*(ask(rounds // IN_FLIGHT) for _ in range(IN_FLIGHT)))
            cuts = statistics.quantiles(times, n=100)
            found[name] = {
                "median_ms": cuts[49],
                "p95_ms": cuts[94],
                "slowest_ms": max(times),
                "count": len(times),
                "items": statistics.mean(sizes),
            }
    return found


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@asynccontextmanager
async def _connected(stack: LocalStack) -> AsyncIterator[asyncpg.Connection]:
    url = stack.env_for("cases")["DATABASE_URL"].replace("+asyncpg", "")
    connection = await asyncpg.connect(url, command_timeout=600)
    try:
        yield connection
    finally:
        await connection.close()


async def _run(stack: LocalStack, arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    issuer = Issuer()
    key = private_key_of(stack.secrets.get("sealing.cases"))
    opener = Opener(key)
    keyed = keyed_by(opener)
    port = stack.ports.take("cases-1")
    env = {
        **stack.env_for("cases"),
        "ENVIRONMENT": "test",
        "INSTANCE": "cases-1",
        "HTTP_PORT": str(port),
        "JWKS_URL": await issuer.serve(),
        "SEALING_KEY": json.dumps(key),
        "QUARANTINE_URL": (stack.run_dir / "quarantine").as_uri(),
        "PHOTOS_URL": (stack.run_dir / "photos").as_uri(),
    }
    spec = ProcessSpec(
        name="cases-1",
        argv=(sys.executable, "-m", "services.cases", "migrate-and-serve"),
        env=env,
        cwd=CHECKOUT,
        ready=http_ready(f"http://127.0.0.1:{port}/readyz"),
        ready_seconds=180,
    )
    await asyncio.to_thread(lambda: stack.provisioner().apply(Catalogue.load()))
    await asyncio.to_thread(stack.supervisor.start, spec)
    city = build_city(SEED, Scale.parse("1"))
    began = time.perf_counter()
    pool = pool_of(opener, keyed, city, min(TEXTS, arguments.cases))
    rows = Load(city, pool, arguments.cases)
    async with _connected(stack) as connection:
        if await connection.fetchval("SELECT count(*) FROM (SELECT 1 FROM cases LIMIT 1) AS one") == 0:
            await load(connection, rows, keyed, seconds=arguments.load_seconds, folder=stack.run_dir)
            # Else who reads a page has to write one of the load's first.
            await asyncio.to_thread(stack.postgres.sql, "CHECKPOINT")
            console.print(f"{arguments.cases:,} cases loaded in {time.perf_counter() - began:.0f} s")
        sizes = {
            row["name"]: row["bytes"] / (1 << 20)
            for row in await connection.fetch(
                "SELECT relname AS name, pg_table_size(oid) AS bytes FROM pg_class WHERE relname LIKE 'case%' "
                "AND relkind IN ('r', 'i') AND pg_table_size(oid) > 1 << 20 ORDER BY 2 DESC"
            )
        }
    questions = Questions(city, pool, issuer, rows.deputies)
    kinds = {name: kind for name, kind in questions.kinds().items() if arguments.only in name}
    found = await measure(f"http://127.0.0.1:{port}", kinds, arguments.rounds)
    await issuer.close()
    return {"cases": arguments.cases, "megabytes": sizes, "pages": found}


def main() -> None:
    """Load, measure, print and write the figures; exit 1 when a p95 misses the target."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--load-seconds", type=float, default=900.0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", default="", help="only kinds with this in their name; nothing is written")
    arguments = parser.parse_args()
    console = Console()
    # Tansu's log is lost with it, and then the databases are made anew as well.
    broker = "kafka" if arguments.folder else "tansu"
    with _folder(arguments.folder) as folder, LocalStack(folder, broker, shared_buffers=BUFFERS) as stack:
        result = uvloop.run(_run(stack, arguments, console))
    table = Table("page", "median ms", "p95", "slowest", "items")
    for name, one in result["pages"].items():
        figures = (one["median_ms"], one["p95_ms"], one["slowest_ms"], one["items"])
        table.add_row(name, *(f"{value:,.0f}" for value in figures))
    console.print(table)
    console.print({name: round(size) for name, size in result["megabytes"].items()})
    if not arguments.only:
        RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if late := [name for name, one in result["pages"].items() if one["p95_ms"] >= TARGET_MS]:
        raise SystemExit(f"p95 of {TARGET_MS:.0f} ms or more: {', '.join(late)}")


if __name__ == "__main__":
    main()
