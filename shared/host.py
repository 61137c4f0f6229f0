"""Runs one service process: HTTP, consumers and relay, from the first attempt to the last flush.

Order: HTTP answers at once (alive, not ready); then the process waits for its database and for the
broker, saying so; then it consumes and relays. On SIGTERM it stops consuming, then relaying, then
answering. Invariant: everything is built here and handed down; nothing is global but metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from aiokafka.errors import KafkaError
from fastapi import APIRouter, FastAPI
from faststream.kafka import KafkaBroker
from sqlalchemy import MetaData, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.envelope import Actor
from shared.contracts.operations import ReplayDeadLetter
from shared.contracts.registry import Contract, declaration_of
from shared.database.engine import driver_dsn, make_engine
from shared.database.migrate import migrate
from shared.http import problems
from shared.http.callers import callers
from shared.http.operations import operations_router
from shared.messaging import deadletters, failpoints
from shared.messaging.clock import TICK_TOPIC, BusinessClock
from shared.messaging.kafka import watch_broker
from shared.messaging.outcomes import follow
from shared.messaging.received import Decoder
from shared.messaging.relay import Relay
from shared.messaging.runner import Handler, Limits, Runner
from shared.messaging.stream import Reading, Stream
from shared.messaging.subscriber import Subscription, make_broker
from shared.refusals import Refusal
from shared.security.tokens import TokenVerifier
from shared.settings import ServiceSettings
from shared.telemetry import logging, tracing
from shared.telemetry.health import Health

WhoCalls = Callable[..., Awaitable[Actor]]

log = logging.logger(__name__)


@dataclass(frozen=True)
class Surroundings:
    """What a service's own loop may use. `health` counts its turns: a loop that makes none for 60 s is stalled.

    `lag` tells how many records wait for this process, as far as it knows.
    """

    engine: AsyncEngine
    clock: BusinessClock
    health: Health
    lag: Callable[[], int]


Loop = Callable[[Surroundings], Coroutine[Any, Any, None]]
"""Work of a service that no message starts, such as what falls due. Runs until cancelled, in every replica."""


@dataclass(frozen=True)
class Service:
    """What makes a service this service; everything else is the same for all.

    `handlers` maps each message class to its handler, commands and events alike; `event_topics` are
    the facts it reads; `replies` says that it also reads `department.<code>.replies`. `router` builds
    its read-only HTTP from the engine and the dependency that gives the caller. `at_start` runs in
    the serving process once the database is there. `loops` are its own loops by name; `queues` are tables
    whose rows are work that such a loop has still to do, shown beside the lag. With `reading` the facts come
    as a `Stream`; `handlers` then take what that sets aside.
    """

    name: str
    metadata: MetaData
    migrations: Path
    handlers: Mapping[type[Contract], Handler]
    router: Callable[[AsyncEngine, WhoCalls], APIRouter]
    event_topics: Sequence[str] = ()
    replies: bool = False
    refusals_by_constraint: Mapping[str, Refusal] = field(default_factory=dict)
    at_start: Callable[[AsyncEngine], Awaitable[None]] | None = None
    loops: Mapping[str, Loop] = field(default_factory=dict)
    queues: Mapping[str, str] = field(default_factory=dict)
    reading: Callable[[AsyncEngine], Reading] | None = None
    verifier: TokenVerifier | None = None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # this module handles signals: uvicorn would end the process before the rest has stopped


def run(service: Service, settings: ServiceSettings, arguments: Sequence[str]) -> None:
    """Entry of `python -m services.<name>`: serve; `migrate`: migrate and return; `migrate-and-serve`: both.

    The last is for one machine, where a process of its own for each migration is mostly importing.
    """
    logging.configure(service=service.name, instance=settings.instance, level=settings.log_level)
    if list(arguments) not in ([], ["migrate"], ["migrate-and-serve"]):
        sys.exit(f"unknown argument {arguments[0]!r}: nothing (serve), migrate, or migrate-and-serve")
    if arguments:
        asyncio.run(migrate(settings.database_url, service.migrations))
    if list(arguments) == ["migrate"]:
        return
    import uvloop

    uvloop.run(serve(service, settings))


async def serve_http(app: FastAPI, host: str, port: int) -> tuple[uvicorn.Server, asyncio.Task[None]]:
    """Start answering HTTP; the server ends when `should_exit` is set."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=75,  # longer than our own clients keep a connection, so that none closes under them
        backlog=4096,
    )
    server = _Server(config)
    return server, asyncio.create_task(server.serve(), name="http")


def stop_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def calm_collector() -> None:
    """Spare the collector what was imported, for good; `shared` has it look seldom at the rest."""
    gc.collect()
    gc.freeze()


async def serve(service: Service, settings: ServiceSettings) -> None:
    """Serve until a stop signal."""
    calm_collector()
    failpoints.arm(settings.failpoint)
    tracing.configure(service.name, settings.otel_exporter_otlp_endpoint)
    stop = stop_signals()
    health = Health()
    clock = BusinessClock(settings.business_time)
    engine = make_engine(
        settings.database_url,
        pool_size=settings.database_pool_size,
        application=f"{service.name}-{settings.instance}",
    )
    verifier = service.verifier or TokenVerifier(settings.jwks_url)
    caller = callers(verifier)
    subscriptions: list[Subscription | Stream] = []
    health.not_ready("start", "starting")

    app = FastAPI(title=f"daibiaotong {service.name}", docs_url=None, redoc_url=None)
    app.state.clock = clock  # for questions about "now"
    problems.install(app)
    app.include_router(
        operations_router(
            service=service.name,
            engine=engine,
            health=health,
            consumers=lambda: subscriptions,
            caller=caller,
            queues=service.queues,
        )
    )
    app.include_router(service.router(engine, caller))
    server, http = await serve_http(app, settings.http_host, settings.http_port)
    http.add_done_callback(lambda _: stop.set())

    work = asyncio.create_task(
        _consume_and_relay(service, settings, engine, verifier, clock, health, subscriptions), name="work"
    )
    work.add_done_callback(lambda _: stop.set())
    await stop.wait()
    log.info("stopping")
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work
    server.should_exit = True
    await http
    await engine.dispose()


async def _consume_and_relay(
    service: Service,
    settings: ServiceSettings,
    engine: AsyncEngine,
    verifier: TokenVerifier,
    clock: BusinessClock,
    health: Health,
    subscriptions: list[Subscription | Stream],
) -> None:
    await _wait_for_database(engine, health)
    if service.at_start is not None:
        await service.at_start(engine)
    relay = Relay(
        dsn=driver_dsn(settings.database_url),
        settings=settings,
        health=health,
        batch_max=settings.relay_batch_max,
        poll_seconds=settings.relay_poll_seconds,
    )
    broker = await _start_consumers(service, settings, engine, verifier, clock, health, subscriptions)
    tasks = [asyncio.create_task(relay.run(), name="relay")]
    health.watch("relay", alive=lambda: not tasks[0].done())
    tasks.append(asyncio.create_task(watch_broker(subscriptions[0].client, health), name="broker-watch"))
    if settings.business_time == "message":
        tick = follow(
            settings,
            health,
            (TICK_TOPIC,),
            lambda record: clock.tick(record.value, _wall(record.timestamp)),
            from_end=False,
            name="clock",
            wait_ms=500,
            caught_up=clock.settle,
        )
        tasks.append(asyncio.create_task(tick, name="clock"))
    surroundings = Surroundings(
        engine, clock, health, lambda: sum(subscription.lag or 0 for subscription in subscriptions)
    )
    for name, loop in service.loops.items():
        tasks.append(own := asyncio.create_task(loop(surroundings), name=name))
        health.watch(name, alive=partial(_runs, own))
    health.ready("start")
    log.info("serving")
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        with contextlib.suppress(TimeoutError, KafkaError):
            await asyncio.wait_for(broker.stop(), 20)
        for subscription in subscriptions:
            if isinstance(subscription, Stream):
                await subscription.drain()
        with contextlib.suppress(TimeoutError):
            await relay.drain(seconds=3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _runs(task: asyncio.Task[None]) -> bool:
    return not task.done()


def _wall(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


async def _wait_for_database(engine: AsyncEngine, health: Health) -> None:
    while True:
        try:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1 FROM inbox LIMIT 0"))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            health.not_ready("database", f"{type(error).__name__}: not there or not migrated, trying again")
            log.warning("waiting-for-database", error=type(error).__name__)
            await asyncio.sleep(1)
        else:
            health.ready("database")
            return


async def _start_consumers(
    service: Service,
    settings: ServiceSettings,
    engine: AsyncEngine,
    verifier: TokenVerifier,
    clock: BusinessClock,
    health: Health,
    subscriptions: list[Subscription | Stream],
) -> KafkaBroker:
    limits = Limits(
        attempts_max=settings.retry_attempts_max,
        first_seconds=settings.retry_first_seconds,
        longest_seconds=settings.retry_longest_seconds,
        dead_in_a_row_max=settings.dead_letters_in_a_row_max,
    )

    def runner(group: str) -> Runner:
        return Runner(
            service=service.name,
            engine=engine,
            decoder=Decoder(service.name, verifier, clock),
            handlers={**service.handlers, ReplayDeadLetter: deadletters.replay},
            limits=limits,
            refusals_by_constraint=service.refusals_by_constraint,
            on_turn=lambda: health.turn(group),
        )

    while True:
        broker = make_broker(settings)
        name = service.name
        commands = [f"{name}.commands", f"{name}.replay"]
        if any(declaration_of(model).of_system for model in service.handlers):
            commands.append(f"{name}.due")
        plans: list[tuple[str, Sequence[str], str | None]] = [(f"{name}.commands", commands, None)]
        if service.event_topics and service.reading is None:
            plans.append((name, service.event_topics, None))
        if service.replies:
            plans.append((f"{name}.replies", (), r"^department\.[a-z0-9-]+\.replies$"))
        found: list[Subscription | Stream] = [
            Subscription(
                broker,
                runner(group),
                group=group,
                settings=settings,
                health=health,
                topics=topics,
                pattern=pattern,
            )
            for group, topics, pattern in plans
        ]
        if service.event_topics and service.reading is not None:
            found.append(
                Stream(
                    broker,
                    runner(name),
                    service.reading(engine),
                    group=name,
                    topics=service.event_topics,
                    dsn=driver_dsn(settings.database_url),
                    settings=settings,
                    health=health,
                )
            )
        try:
            await broker.start()
        except (KafkaError, OSError, TimeoutError) as error:
            health.not_ready("broker", f"{type(error).__name__}, trying again")
            log.warning("waiting-for-broker", error=type(error).__name__)
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(broker.stop(), 5)
            await asyncio.sleep(1)
            continue
        health.ready("broker")
        for subscription in found:
            subscription.watch()
        subscriptions[:] = found
        return broker
