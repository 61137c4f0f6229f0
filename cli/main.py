"""Commands of `daibiaotong`; each is a few lines over the module that does the work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli import demo as demo_command
from cli import operator, trace
from cli import rules as rules_command
from cli import score as score_command
from cli import up as up_command
from cli import warehouse as warehouse_command

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
letters = typer.Typer(no_args_is_help=True, help="Messages that could not be handled.")
topics = typer.Typer(no_args_is_help=True, help="Kafka's topics and rights.")
contracts = typer.Typer(no_args_is_help=True, help="The generated schemas and AsyncAPI documents.")
rules = typer.Typer(no_args_is_help=True, help="Rule packs 办理规则包: check, compare, reckon a deadline.")
warehouse = typer.Typer(no_args_is_help=True, help="The data warehouse 人大数据仓: all events, in SQL.")
routing = typer.Typer(
    no_args_is_help=True,
    help="Which department a case goes to 派单: train, use, judge a classifier; try a catalogue.",
)
app.add_typer(letters, name="dead-letters")
app.add_typer(topics, name="topics")
app.add_typer(contracts, name="contracts")
app.add_typer(rules, name="rules")
app.add_typer(warehouse, name="warehouse")
scores = typer.Typer(
    no_args_is_help=True, help="Rubrics 评价办法 and scores: check, explain, compare, try a draft."
)
app.add_typer(scores, name="score")
app.add_typer(routing, name="routing")
archives = typer.Typer(no_args_is_help=True, help="The archive 履职档案 of a deputy: keep it, check it.")
app.add_typer(archives, name="archive")
console = Console()


def _replicas(asked: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in ",".join(asked).split(","):
        if not part:
            continue
        name, _, count = part.partition("=")
        if not count.isdigit() or int(count) < 1:
            raise typer.BadParameter(f"{part!r}: write it as cases=3,gateway=2")
        found[name] = int(count)
    return found


@app.command()
def up(
    replicas: Annotated[list[str] | None, typer.Option(help="cases=3,gateway=2")] = None,
    broker: Annotated[str | None, typer.Option(envvar="BROKER", help="kafka or tansu")] = None,
) -> None:
    """Run the suite until Ctrl-C; prints the addresses."""
    raise typer.Exit(up_command.run(console, broker or None, _replicas(replicas or [])))


@app.command()
def demo(
    scale: Annotated[str, typer.Option(envvar="SCALE", help="1, or one part in a whole number")] = "0.1",
    messages: Annotated[
        str, typer.Option(envvar="MESSAGES", help="JSONL files with real texts, comma between")
    ] = "",
    broker: Annotated[str | None, typer.Option(envvar="BROKER", help="kafka or tansu")] = None,
    divisions: Annotated[Path | None, typer.Option(envvar="DIVISIONS", help="real divisions as JSON")] = None,
    seed: int = 20210715,
    oneshot: Annotated[bool, typer.Option(envvar="ONESHOT", help="end after the table")] = False,
) -> None:
    """Start the suite, play the city's year, compare every figure, audit every score; then keep it running."""
    asked = demo_command.Asked(
        scale=scale or "0.1",
        messages=tuple(Path(name).absolute() for name in messages.split(",") if name),
        broker=broker or None,
        divisions=divisions,
        seed=seed,
        stay=console.is_terminal and not oneshot,
    )
    raise typer.Exit(demo_command.run(console, asked))


@app.command()
def status() -> None:
    """Services, lag, outbox and dead letters of the running suite."""
    raise typer.Exit(operator.show_status(console))


@app.command(name="trace")
def trace_command(
    identifier: Annotated[str, typer.Argument(help="id of a case, a command or a message")],
) -> None:
    """One case's or command's whole way through all services, with times."""
    raise typer.Exit(trace.show(console, identifier))


@letters.command(name="list")
def letters_list(service: Annotated[str | None, typer.Argument()] = None, *, every: bool = False) -> None:
    """Dead letters not yet replayed (with --every also the replayed)."""
    raise typer.Exit(operator.list_letters(console, service, every=every))


@letters.command(name="show")
def letters_show(service: str, letter: str) -> None:
    """One dead letter: where it came from and why it lies here."""
    raise typer.Exit(operator.show_letter(console, service, letter))


@letters.command(name="replay")
def letters_replay(service: str, letter: str) -> None:
    """Hand a dead letter in again, once."""
    raise typer.Exit(operator.replay_letter(console, service, letter))


@app.command()
def rewind(
    topics: Annotated[list[str] | None, typer.Argument(help="all that evaluation takes in, if none")] = None,
) -> None:
    """Let evaluation take events in again from the beginning of the log; a score changes only if it was wrong."""
    raise typer.Exit(operator.rewind(console, topics or []))


@topics.command(name="apply")
def topics_apply() -> None:
    """Make the declared topics, accounts and rights (KAFKA_* and DAIBIAOTONG_RUN from the environment)."""
    from deploy.kafka import provision

    raise typer.Exit(provision.main(["apply"]))


@contracts.command(name="write")
def contracts_write() -> None:
    """Write the schemas and the AsyncAPI documents from the code."""
    from shared.contracts import asyncapi

    asyncapi.write()


@contracts.command(name="check")
def contracts_check() -> None:
    """Fail where the committed documents differ from the code."""
    from shared.contracts import asyncapi

    found = asyncapi.differing()
    if found:
        console.print("differs from the code:", ", ".join(found))
    raise typer.Exit(1 if found else 0)


@rules.command(name="check")
def rules_check(files: list[Path]) -> None:
    """Read rule packs and say what is wrong with them, with file, line and reason."""
    raise typer.Exit(rules_command.check(console, files))


@rules.command(name="diff")
def rules_diff(one: str, other: str) -> None:
    """What differs between two packs, parameter by parameter (a file, a pack's name, or a place)."""
    raise typer.Exit(rules_command.diff(console, one, other))


@rules.command(name="reckon")
def rules_reckon(
    pack: Annotated[str, typer.Argument(help="a file, a pack's name, or a place")],
    limit: Annotated[str, typer.Argument(help="such as motions.answer or cases.answer.normal")],
    date: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="the day it is counted from")],
) -> None:
    """When a limit ends that began on that day, and why."""
    raise typer.Exit(rules_command.reckon(console, pack, limit, date.date()))


@warehouse.command(name="tables")
def warehouse_tables() -> None:
    """Each table with its rows, days, files and size."""
    raise typer.Exit(warehouse_command.tables(console))


@warehouse.command(name="query")
def warehouse_query(
    sql: Annotated[str, typer.Argument(help='such as "select d_state, count(*) from case_filed group by 1"')],
    *,
    csv: Annotated[bool, typer.Option("--csv", help="as CSV")] = False,
) -> None:
    """Answer a question in SQL (DuckDB); tables are those of `tables`, and `events` for all."""
    raise typer.Exit(warehouse_command.query(console, sql, as_csv=csv))


_Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"])]


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


@scores.command(name="check")
def score_check(files: list[Path]) -> None:
    """Read rubrics and say what is wrong with them, with file, line and reason."""
    raise typer.Exit(score_command.check(console, files))


@scores.command(name="explain")
def score_explain(
    deputy: Annotated[str, typer.Argument(help="id, number or name")],
    year: int | None = None,
    on: _Day = None,
    between: Annotated[
        tuple[datetime, datetime] | None,
        typer.Option(formats=["%Y-%m-%d"], help="two days: what changed between them"),
    ] = None,
    pdf: Annotated[Path | None, typer.Option(help="write a sheet for printing")] = None,
) -> None:
    """The list that adds up to a deputy's score: what was capped and why, and what would raise it."""
    if between is not None:
        begin, until = between
        raise typer.Exit(score_command.difference(console, deputy, begin.date(), until.date()))
    raise typer.Exit(score_command.explain(console, deputy, year, _day(on), pdf))


@scores.command(name="report")
def score_report(deputy: str, file: Path, year: int | None = None) -> None:
    """A draft of the deputy's report of the year 述职, made from recorded facts alone (FILE.docx or FILE.pdf)."""
    raise typer.Exit(score_command.report(console, deputy, file, year))


@archives.command(name="export")
def archive_export(deputy: str, file: Path) -> None:
    """The archive as a signed package (FILE.zip: PDF and JSON) or as a spreadsheet (FILE.xlsx)."""
    raise typer.Exit(score_command.export(console, deputy, file))


@archives.command(name="verify")
def archive_verify(
    file: Path,
    keys: Annotated[Path | None, typer.Option(help="a JWKS instead of the running suite's")] = None,
) -> None:
    """Whether a package is what was signed."""
    raise typer.Exit(score_command.verify(console, file, keys))


@scores.command(name="again")
def score_again(
    rubric: Path,
    year: int,
    out: Annotated[
        Path | None, typer.Option(help="a .parquet or .csv file for totals, grades and ranks")
    ] = None,
    memory: Annotated[
        str, typer.Option(help="the most that may be taken; beyond it is spilt to disk")
    ] = "1GB",
) -> None:
    """Score a year again from the warehouse 人大数据仓 under any rubric; nothing that counts is changed."""
    raise typer.Exit(score_command.again(console, rubric, year, out, memory))


@scores.command(name="rebuild")
def score_rebuild(
    *,
    from_log: Annotated[
        bool, typer.Option("--from-log", help="not from the warehouse, though there is one")
    ] = False,
    compare: Annotated[bool, typer.Option("--compare", help="only say what differs")] = False,
) -> None:
    """Make ledger and sums anew from all events beside the running service, and put them in place without a gap."""
    raise typer.Exit(score_command.rebuild(console, from_log=from_log, compare=compare))


@scores.command(name="simulate")
def score_simulate(draft: Path, begin: _Day = None, until: _Day = None) -> None:
    """Score a period under a draft beside the adopted rubrics: who rises and falls; changes nothing."""
    raise typer.Exit(score_command.simulate(console, draft, _day(begin), _day(until)))


_MESSAGES = typer.Argument(
    help="JSON lines with subject and body, or tokens; and label where it must be known"
)
_PRECISION = typer.Option(min=0.5, max=1.0, help="share right of what is routed without staff")


@routing.command(name="train")
def routing_train(
    file: Annotated[Path, _MESSAGES],
    model: Annotated[Path, typer.Option(help="folder for the model, made where missing")],
    precision: Annotated[float, _PRECISION] = 0.98,
) -> None:
    """Train a classifier on messages whose category is known."""
    from cli import routing as routing_command

    raise typer.Exit(routing_command.train(console, file, model, precision))


@routing.command(name="predict")
def routing_predict(
    file: Annotated[Path, _MESSAGES], model: Annotated[Path, typer.Option(help="folder of the model")]
) -> None:
    """One JSON line a message: category, confidence, whether it may be routed without staff."""
    from cli import routing as routing_command

    raise typer.Exit(routing_command.predict(file, model))


@routing.command(name="evaluate")
def routing_evaluate(
    file: Annotated[Path, _MESSAGES],
    on: Annotated[Path | None, typer.Option(help="judge on this file, not by cross-validation")] = None,
    precision: Annotated[float, _PRECISION] = 0.98,
    cold: Annotated[bool, typer.Option("--cold", help="train nothing: the shipped words alone")] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """How good and how costly a classifier trained on the file is, by 5-fold cross-validation."""
    from cli import routing as routing_command

    if cold and on is not None:
        raise typer.BadParameter("with --cold FILE itself is judged")
    raise typer.Exit(routing_command.evaluate(console, file, on, precision, cold=cold, as_json=as_json))


@routing.command(name="replay")
def routing_replay(
    catalogue: Annotated[Path | None, typer.Argument(help="a draft catalogue 派单目录, as YAML")] = None,
    model: Annotated[str | None, typer.Option(help="version of a model that the service holds")] = None,
    begin: _Day = None,
    until: _Day = None,
) -> None:
    """What a draft would have done with past cases: how many go elsewhere, from where to where; changes nothing."""
    from cli import routing_replay as command

    if catalogue is None and model is None:
        raise typer.BadParameter("name a draft catalogue, or --model, or both")
    raise typer.Exit(command.replay(console, catalogue, model, _day(begin), _day(until)))


def main() -> None:
    """Entry point."""
    app()


if __name__ == "__main__":
    main()
